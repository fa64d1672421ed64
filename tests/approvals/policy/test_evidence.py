"""Checks, descriptions, signatures, tags, runs, and what is asked of a version that only gives up its place."""

from __future__ import annotations

from typing import Any

import pytest

from approvals.policy import Baseline, CheckFact, CheckStatus, Dataset, Node, RunFact, Status, evaluate
from tests.approvals.policy.cast import ALICE, approve, evaluated_on, facts, policy


def judged(rule: str, **known: Any) -> Node:
    (node,) = evaluate(policy(rule), facts(**known)).requirements
    return node


def report(status: str = CheckStatus.PASSED, *, reporter: str = "ci-bot", digest_matches: bool = True) -> CheckFact:
    return CheckFact("integration-tests", reporter, status, digest_matches, link="https://ci.example/7")


@pytest.mark.parametrize(
    ("checks", "status", "reason"),
    [
        ((), Status.WAITING, "ci-bot has not reported integration-tests."),
        ((report(),), Status.MET, "ci-bot reported that integration-tests passed."),
        ((report("failed"),), Status.UNMET, "ci-bot reported that integration-tests failed."),
        ((report("queued"),), Status.WAITING, "integration-tests is queued."),
        ((report("running"),), Status.WAITING, "integration-tests is running."),
        ((report("error"),), Status.ERROR, "ci-bot could not carry integration-tests out."),
        (
            (report("exploded"),),
            Status.ERROR,
            "ci-bot reported a result of integration-tests that is neither passed nor failed.",
        ),
        ((report(reporter="mira"),), Status.WAITING, "integration-tests was reported, but not by ci-bot."),
        (
            (report(digest_matches=False),),
            Status.WAITING,
            "ci-bot reported integration-tests on other files than these.",
        ),
        ((report("failed"), report()), Status.MET, "ci-bot reported that integration-tests passed."),
        ((report(), report("failed")), Status.UNMET, "ci-bot reported that integration-tests failed."),
        ((report("failed"), report(reporter="mira")), Status.UNMET, "ci-bot reported that integration-tests failed."),
        (
            (report("failed"), report(digest_matches=False)),
            Status.UNMET,
            "ci-bot reported that integration-tests failed.",
        ),
    ],
)
def test_a_check_counts_from_whom_the_policy_names_for_these_bytes(
    checks: tuple[CheckFact, ...], status: Status, reason: str
) -> None:
    node = judged("check: {name: integration-tests, from: ci-bot}", checks=checks)

    assert (node.status, node.reason) == (status, reason)


def test_a_check_links_to_its_details() -> None:
    node = judged("check: {name: integration-tests, from: ci-bot}", checks=(report(),))

    assert (node.title, node.figure, node.link) == ("integration-tests", "passed", "https://ci.example/7")


@pytest.mark.parametrize(
    ("description", "status", "reason"),
    [
        ("", Status.WAITING, "The version has no description."),
        (" " * 50, Status.WAITING, "The version has no description."),
        ("short", Status.WAITING, "The description has 5 characters; 10 are needed."),
        ("x" * 10, Status.MET, "The description has 10 characters."),
    ],
)
def test_a_description_has_a_length(description: str, status: Status, reason: str) -> None:
    node = judged("description: {min_length: 10}", description=description)

    assert (node.status, node.reason) == (status, reason)


def holder(**more: Any) -> Baseline:
    return Baseline(2, {}, **{"has_signature": True, **more})


@pytest.mark.parametrize(
    ("known", "status", "reason"),
    [
        ({"has_signature": False}, Status.WAITING, "The version has no signature."),
        ({"has_signature": False, "baseline": holder()}, Status.WAITING, "The version has no signature."),
        ({}, Status.MET, "The version has a signature, and nobody holds Production yet."),
        ({"baseline": holder()}, Status.MET, "Whoever calls version 2 can call this one."),
        (
            {"baseline": holder(breaks=("the input age is new and required", "the output score is gone"))},
            Status.UNMET,
            "Callers of version 2 may fail: the input age is new and required; the output score is gone.",
        ),
        (
            {"baseline": holder(has_signature=False)},
            Status.ERROR,
            "Version 2 has no signature, so there is nothing to compare with.",
        ),
        (
            {"target": "Staging"},
            Status.ERROR,
            "Which version is in Production was not looked up, so there is nothing to compare with.",
        ),
        ({"target": "Staging", "production": holder()}, Status.MET, "Whoever calls version 2 can call this one."),
    ],
)
def test_a_signature_lets_callers_go_on(known: dict[str, Any], status: Status, reason: str) -> None:
    node = judged("signature: {compatible_with: production}", **{"has_signature": True, **known})

    assert (node.status, node.reason) == (status, reason)
    assert node.title == "signature compatible with Production"


@pytest.mark.parametrize(
    ("tags", "status", "reason"),
    [
        ({}, Status.WAITING, "The version lacks the tags owner and datasheet."),
        ({"owner": "mira", "datasheet": " "}, Status.WAITING, "The version lacks the tag datasheet."),
        ({"owner": "mira", "datasheet": "x"}, Status.MET, "The version has every tag that is asked for."),
    ],
)
def test_tags_are_there_and_say_something(tags: dict[str, str], status: Status, reason: str) -> None:
    node = judged("tags: [owner, datasheet]", tags=tags)

    assert (node.status, node.reason) == (status, reason)
    assert (node.title, node.missing) == ("tags owner and datasheet", int(status == Status.WAITING))


WHOLE = RunFact("FINISHED", "abc123", dirty=False, datasets=evaluated_on("test"))


@pytest.mark.parametrize(
    ("asked", "run", "status", "reason"),
    [
        ("finished: true", None, Status.WAITING, "No run of this version is known."),
        ("finished: true", WHOLE, Status.MET, "The run has finished."),
        ("finished: true", RunFact("RUNNING"), Status.WAITING, "The run has not finished."),
        ("finished: true", RunFact("FAILED"), Status.UNMET, "The run has failed."),
        ("finished: true", RunFact("KILLED"), Status.UNMET, "The run has been killed."),
        ("finished: true", RunFact(), Status.WAITING, "Whether the run has finished is not known."),
        ("commit: recorded", RunFact(), Status.WAITING, "The run names no commit."),
        ("commit: recorded", RunFact(commit="abc123", dirty=True), Status.MET, "Its code is the commit abc123."),
        ("commit: clean", WHOLE, Status.MET, "Its code is the commit abc123."),
        (
            "commit: clean",
            RunFact(commit="abc123"),
            Status.WAITING,
            "The run does not say by its tag mlflow.source.git.dirty whether its code was committed.",
        ),
        (
            "commit: clean",
            RunFact(commit="abc123", dirty=True),
            Status.UNMET,
            "The run's working copy had uncommitted changes on top of abc123.",
        ),
        ("datasets: true", RunFact(), Status.WAITING, "The run names no dataset."),
        ("datasets: true", WHOLE, Status.MET, "It names 1 dataset, each with its digest."),
        (
            "datasets: true",
            RunFact(datasets=evaluated_on("test", digest="")),
            Status.WAITING,
            "The dataset test has no digest.",
        ),
        ("finished: true, commit: recorded", RunFact("FAILED"), Status.UNMET, "The run has failed."),
        (
            "finished: true, commit: clean, datasets: true",
            WHOLE,
            Status.MET,
            "The run has finished. Its code is the commit abc123. It names 1 dataset, each with its digest.",
        ),
    ],
)
def test_a_run_shows_what_is_asked_of_it(asked: str, run: RunFact | None, status: Status, reason: str) -> None:
    node = judged(f"run: {{{asked}}}", run=run)

    assert (node.status, node.reason) == (status, reason)


@pytest.mark.parametrize(
    ("mine", "theirs", "status"),
    [
        (evaluated_on("test"), evaluated_on("test"), Status.MET),
        (evaluated_on("test") + evaluated_on("more", context="training"), evaluated_on("test"), Status.MET),
        (evaluated_on("test"), None, Status.MET),
        (evaluated_on("test"), evaluated_on("test", digest="d2"), Status.UNMET),
        (evaluated_on("test"), evaluated_on("test", "other"), Status.UNMET),
        (evaluated_on("test", context="training"), evaluated_on("test"), Status.WAITING),
        (evaluated_on("test", digest=""), evaluated_on("test", digest=""), Status.WAITING),
        (evaluated_on("test"), (), Status.ERROR),
        (evaluated_on("test"), evaluated_on("test") + evaluated_on("b", digest=""), Status.ERROR),
        (evaluated_on("test") + evaluated_on("b", digest=""), evaluated_on("test"), Status.WAITING),
    ],
)
def test_a_run_is_evaluated_on_what_the_baseline_was(
    mine: tuple[Dataset, ...], theirs: tuple[Dataset, ...] | None, status: Status
) -> None:
    before = None if theirs is None else holder(datasets=theirs)

    node = judged("run: {evaluated_like: target}", run=RunFact(datasets=mine), baseline=before)

    assert node.status == status, node.reason


RULES = (
    "metric: {name: auc, min: 0.9}",
    "check: {name: integration-tests, from: ci-bot}",
    "description: {min_length: 10}",
    "signature: {compatible_with: production}",
    "tags: [owner]",
    "run: {finished: true}",
    "approvals: {count: 1}",
)


def test_a_version_that_only_gives_up_its_place_needs_reviews_and_no_evidence() -> None:
    waiting = evaluate(policy(*RULES), facts(leaving=True))
    approved = evaluate(policy(*RULES), facts(leaving=True, reviews=(approve(ALICE),)))

    assert [node.status for node in waiting.requirements] == [Status.SKIPPED] * 6 + [Status.WAITING]
    assert waiting.requirements[0].reason == "The version only gives up Production: its evidence is not asked for."
    assert waiting.counts == (0, 1)
    assert not waiting.satisfied
    assert approved.satisfied
