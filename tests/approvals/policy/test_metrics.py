from __future__ import annotations

import math
import sys
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mlflow.models import MetricThreshold
from mlflow.models.evaluation.validation import ModelValidationFailedException, _validate

from approvals.policy import UNREAD, Baseline, Metric, Node, Status, evaluate
from tests.approvals.policy.cast import baseline, facts, metrics, policy


def judged(rule: str, **known: Any) -> Node:
    (node,) = evaluate(policy(f"metric: {{{rule}}}"), facts(**known)).requirements
    return node


@pytest.mark.parametrize(
    ("rule", "value", "status", "reason"),
    [
        ("name: auc, min: 0.90", 0.947, Status.MET, "auc is 0.947."),
        ("name: auc, min: 0.90", 0.9, Status.MET, "auc is 0.9."),
        ("name: auc, min: 0.90", 0.87, Status.UNMET, "auc is 0.87, but it must be at least 0.90."),
        ("name: auc, min: 0.90", 0.9629629629629, Status.MET, "auc is 0.963."),
        ("name: auc, min: 0.90", 0.8996123, Status.UNMET, "auc is 0.8996, but it must be at least 0.90."),
        ("name: auc, max: 60", 41.23456, Status.MET, "auc is 41.23."),
        ("name: auc, max: 60000", 1234.5678, Status.MET, "auc is 1234.6."),
        ("name: auc, max: 1", 0.000123456, Status.MET, "auc is 0.000123."),
        ("name: auc, min: 0.90", 0.8999999999, Status.UNMET, "auc is 0.8999999999, but it must be at least 0.90."),
        ("name: auc, max: 60", 60.0, Status.MET, "auc is 60."),
        ("name: auc, max: 60", 60.5, Status.UNMET, "auc is 60.5, but it must be at most 60."),
        ("name: auc, min: 1, max: 2", 1.5, Status.MET, "auc is 1.5."),
        ("name: auc, min: 1, max: 2", 3, Status.UNMET, "auc is 3, but it must be at most 2."),
        ("name: auc, min: -0.1", -0.05, Status.MET, "auc is -0.05."),
        ("name: auc, min: 0", -0.0, Status.MET, "auc is 0."),
        ("name: auc, min: 0.9", math.nan, Status.UNMET, "auc is NaN, which no limit accepts."),
        ("name: auc, max: 0.9", math.nan, Status.UNMET, "auc is NaN, which no limit accepts."),
        ("name: auc, min: 0.9", math.inf, Status.UNMET, "auc is Infinity, which no limit accepts."),
        ("name: auc, max: 0.9", -math.inf, Status.UNMET, "auc is -Infinity, which no limit accepts."),
    ],
)
def test_a_metric_against_its_pass_marks(rule: str, value: float, status: Status, reason: str) -> None:
    node = judged(rule, metrics=metrics(auc=value))

    assert (node.status, node.reason) == (status, reason)


@pytest.mark.parametrize(
    ("rule", "before", "value", "status", "reason"),
    [
        ("max_drop: 0.005", 0.912, 0.907, Status.MET, "auc is 0.907, 0.005 below version 2 (0.912)."),
        ("max_drop: 0.005", 0.912, 0.95, Status.MET, "auc is 0.95, 0.038 above version 2 (0.912)."),
        ("max_drop: 0.005", 0.912, 0.912, Status.MET, "auc is 0.912, the same as version 2 (0.912)."),
        ("max_drop: 0.005", 0.96296, 0.96296, Status.MET, "auc is 0.963, the same as version 2 (0.963)."),
        (
            "max_drop: 0.005", 0.912, 0.9,
            Status.UNMET, "auc is 0.9, 0.012 below version 2 (0.912), but it must not fall by more than 0.005.",
        ),
        (
            "max_drop: 0.005", 0.912, 0.90699999999,
            Status.UNMET,
            "auc is 0.907, 0.00500000001 below version 2 (0.912), but it must not fall by more than 0.005.",
        ),
        (
            "max_drop: 0.03", 0.9950123, 0.9741483,
            Status.MET, "auc is 0.974, 0.021 below version 2 (0.995).",
        ),
        (
            "max_drop: 0.1", 0.96299, 0.96301,
            Status.MET, "auc is 0.963, 2e-05 above version 2 (0.96299).",
        ),
        (
            "max_drop: 0", 0.912, 0.9119,
            Status.UNMET, "auc is 0.9119, 0.0001 below version 2 (0.912), but it must not fall.",
        ),
        ("max_rise: 5", 41, 46, Status.MET, "auc is 46, 5 above version 2 (41)."),
        (
            "max_rise: 5", 41, 46.5,
            Status.UNMET, "auc is 46.5, 5.5 above version 2 (41), but it must not rise by more than 5.",
        ),
        ("min_rise: 0.01", 0.9, 0.91, Status.MET, "auc is 0.91, 0.01 above version 2 (0.9)."),
        (
            "min_rise: 0.01", 0.9, 0.905,
            Status.UNMET, "auc is 0.905, 0.005 above version 2 (0.9), but it must rise by at least 0.01.",
        ),
        ("min_drop: 1", 41, 40, Status.MET, "auc is 40, 1 below version 2 (41)."),
        (
            "min_drop: 1", 41, 41,
            Status.UNMET, "auc is 41, the same as version 2 (41), but it must fall by at least 1.",
        ),
        ("max_drop_percent: 10", 200, 180, Status.MET, "auc is 180, 20 below version 2 (200)."),
        (
            "max_drop_percent: 10", 200, 179,
            Status.UNMET, "auc is 179, 21 below version 2 (200), but it must not fall by more than 10 %.",
        ),
        ("max_drop_percent: 10", -200, -220, Status.MET, "auc is -220, 20 below version 2 (-200)."),
        ("max_rise_percent: 10", -200, -180, Status.MET, "auc is -180, 20 above version 2 (-200)."),
        ("min_rise_percent: 5", 0, 0.001, Status.MET, "auc is 0.001, 0.001 above version 2 (0)."),
        (
            "min_rise_percent: 5", 0, 0,
            Status.UNMET, "auc is 0, the same as version 2 (0), but it must rise by at least 5 %.",
        ),
        (
            "min: 0.95, max_drop: 0.005", 0.912, 0.9,
            Status.UNMET,
            "auc is 0.9, 0.012 below version 2 (0.912), but it must be at least 0.95 and not fall by more than 0.005.",
        ),
        (
            "max_drop: 1", sys.float_info.max, -sys.float_info.max,
            Status.UNMET,
            "auc is -1.79769e+308, 1.79769e+308 below version 2 (1.79769e+308), but it must not fall by more than 1.",
        ),
    ],
)  # fmt: skip
def test_a_metric_against_the_current_holder(
    rule: str, before: float, value: float, status: Status, reason: str
) -> None:
    node = judged(f"name: auc, baseline: production, {rule}", metrics=metrics(auc=value), baseline=baseline(auc=before))

    assert (node.status, node.reason) == (status, reason)


def test_a_rounded_figure_keeps_what_it_was() -> None:
    rounded, whole = (judged("name: auc, min: 0.9", metrics=metrics(auc=value)) for value in (0.9629629629, 0.95))

    assert (rounded.figure, rounded.exact, rounded.to_json()["exact"]) == ("0.963", "0.9629629629", "0.9629629629")
    assert (whole.figure, whole.exact, "exact" in whole.to_json()) == ("0.95", "", False)


def test_a_metric_that_was_not_logged_waits_for_the_requester() -> None:
    node = judged("name: auc, min: 0.9", metrics=metrics(f1=1))

    assert (node.status, node.reason, node.who) == (Status.WAITING, "auc has not been logged.", ("mira",))


def test_without_a_holder_there_is_nothing_to_compare_with_and_nothing_to_stop() -> None:
    node = judged("name: auc, baseline: production, max_drop: 0.1", metrics=metrics(auc=0.1), baseline=None)

    assert (node.status, node.reason) == (
        Status.SKIPPED,
        "Nobody holds Production, so there is nothing to compare auc with.",
    )


def test_without_a_holder_the_other_limits_still_hold() -> None:
    node = judged("name: auc, min: 0.9, baseline: production, max_drop: 0.1", metrics=metrics(auc=0.1), baseline=None)

    assert node.status == Status.UNMET


def test_without_a_holder_a_metric_that_is_missing_is_still_missing() -> None:
    node = judged("name: auc, baseline: production, max_drop: 0.1", baseline=None)

    assert node.status == Status.WAITING


@pytest.mark.parametrize("holder", [Baseline(2, {}), baseline(auc=math.nan), baseline(auc=math.inf)])
def test_a_holder_without_a_usable_figure_is_an_error(holder: Baseline) -> None:
    node = judged("name: auc, baseline: production, max_drop: 0.1", metrics=metrics(auc=0.9), baseline=holder)

    assert node.status == Status.ERROR
    assert "nothing to compare with" in node.reason


def test_baseline_production_means_production_whatever_is_asked_for() -> None:
    asked = {"target_kind": "alias", "target": "champion", "metrics": metrics(auc=0.9)}
    rule = "name: auc, baseline: production, max_drop: 0.1"

    low_champion = judged(rule, **asked, baseline=baseline(1, auc=0.5), production=baseline(2, auc=0.95))
    high_production = judged(rule, **asked, baseline=baseline(1, auc=0.9), production=baseline(2, auc=1.1))
    unread = judged(rule, **asked, baseline=baseline(1, auc=0.9))
    vacant = judged(rule, **asked, baseline=baseline(1, auc=0.9), production=None)

    assert (low_champion.status, low_champion.reason) == (Status.MET, "auc is 0.9, 0.05 below version 2 (0.95).")
    assert high_production.status == Status.UNMET
    assert unread.status == Status.ERROR
    assert vacant.status == Status.SKIPPED


def test_baseline_target_means_whoever_holds_what_is_asked_for() -> None:
    rule = "name: auc, baseline: target, max_drop: 0.1"
    asked = {"target_kind": "alias", "target": "champion", "metrics": metrics(auc=0.9), "production": UNREAD}

    assert judged(rule, **asked, baseline=baseline(1, auc=0.95)).status == Status.MET
    assert judged(rule, **asked, baseline=None).reason == (
        "Nobody holds @champion, so there is nothing to compare auc with."
    )


@pytest.mark.parametrize(("dataset", "status"), [("test", Status.MET), ("train", Status.WAITING), ("", Status.WAITING)])
def test_a_metric_counts_only_on_the_dataset_that_is_named(dataset: str, status: Status) -> None:
    node = judged("name: auc, min: 0.5, dataset: test", metrics={"auc": Metric(0.9, dataset)})

    assert node.status == status
    assert node.needed == "≥ 0.5 on test"


def test_figures_of_two_datasets_are_not_compared() -> None:
    rule = "name: auc, baseline: production, max_drop: 0.1, dataset: test"
    measured = {"auc": Metric(0.9, "test")}

    other = judged(rule, metrics=measured, baseline=Baseline(2, {"auc": Metric(0.9, "train")}))
    same = judged(rule, metrics=measured, baseline=Baseline(2, {"auc": Metric(0.9, "test")}))

    assert (other.status, other.reason) == (Status.ERROR, "Version 2 has no auc on test to compare with.")
    assert same.status == Status.MET


# The mathematics is mlflow's: each limit of ours with the threshold that says the same there.
SAME_AS_MLFLOW: list[tuple[str, str, float, bool]] = [
    ("min", "threshold", 1, True),
    ("max", "threshold", 1, False),
    ("min_rise", "min_absolute_change", 1, True),
    ("min_drop", "min_absolute_change", 1, False),
    ("min_rise_percent", "min_relative_change", 0.01, True),
    ("min_drop_percent", "min_relative_change", 0.01, False),
]
VALUES = st.sampled_from([0.0, 0.001, 0.5, 0.9, 1.0, 40.0, -0.3, -2.0])


@given(st.sampled_from(SAME_AS_MLFLOW), st.sampled_from(["0.001", "0.25", "0.7", "3", "50"]), VALUES, VALUES)
def test_a_limit_decides_as_mlflow_does(
    same: tuple[str, str, float, bool], size: str, before: float, value: float
) -> None:
    ours, theirs, unit, greater_is_better = same
    compares = theirs != "threshold"
    # Where mlflow's rounding of binary fractions would decide, ours follows the decimals that people see.
    moved = abs(value - before)
    assume(not compares or all(abs(moved - mark) > 1e-9 for mark in (float(size), float(size) / 100 * abs(before))))
    threshold = MetricThreshold(**{theirs: float(size) * unit}, greater_is_better=greater_is_better)  # type: ignore[no-untyped-call]

    node = judged(
        f"name: auc, {'baseline: production, ' if compares else ''}{ours}: {size}",
        metrics=metrics(auc=value),
        baseline=baseline(auc=before),
    )
    try:
        _validate({"auc": threshold}, {"auc": value}, {"auc": before})
        accepted = True
    except ModelValidationFailedException:
        accepted = False

    assert (node.status == Status.MET) is accepted
