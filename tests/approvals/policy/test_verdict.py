from __future__ import annotations

import json
from typing import Any

import pytest

from approvals.policy import Status, Verdict, combine, evaluate, unreadable
from tests.approvals.policy.cast import ALICE, DKIM, approve, ask_for_changes, facts, metrics, policy, reject

RULES = (
    "metric: {name: accuracy, min: 0.90}",
    "metric: {name: f1, min: 0.88}",
    "approvals: {count: 2, teams: {risk: 1, ml-leads: 1}}",
)
GOOD = metrics(accuracy=0.947, f1=0.94)
BAD = metrics(accuracy=0.5, f1=0.94)
BOTH = (approve(ALICE), approve(DKIM))


def judged(enforcement: str = "block", **known: Any) -> Verdict:
    return evaluate(policy(*RULES, more=f"enforcement: {enforcement}\n"), facts(**known))


@pytest.mark.parametrize(
    ("known", "sentence", "counts", "waiting_for"),
    [
        ({"metrics": GOOD, "reviews": BOTH}, "All 3 requirements are met.", (3, 3), {}),
        ({"metrics": GOOD, "reviews": BOTH[:1]}, "Waiting for 1 approval from ml-leads.", (2, 3), {"approvals": 1}),
        (
            {"metrics": GOOD},
            "Waiting for 2 approvals: at least one from risk and one from ml-leads.",
            (2, 3),
            {"approvals": 2},
        ),
        (
            {"metrics": metrics(accuracy=0.947), "reviews": BOTH[:1]},
            "Waiting for the metric f1 and 1 approval from ml-leads.",
            (1, 3),
            {"approvals": 1, "metric": 1},
        ),
        ({"metrics": BAD, "reviews": BOTH}, "accuracy is 0.5, but it must be at least 0.90.", (2, 3), {}),
        (
            {"metrics": BAD, "reviews": BOTH[:1]},
            "accuracy is 0.5, but it must be at least 0.90; waiting for 1 approval from ml-leads.",
            (1, 3),
            {"approvals": 1},
        ),
        (
            {"metrics": BAD, "reviews": (*BOTH[:1], ask_for_changes(DKIM))},
            "dkim asked for changes; accuracy is 0.5, but it must be at least 0.90; "
            "waiting for 1 approval from ml-leads.",
            (1, 3),
            {"approvals": 1},
        ),
        (
            {"metrics": metrics(accuracy=0.5, f1=0.5), "reviews": (reject(ALICE), reject(DKIM))},
            "alice rejected this and dkim rejected this; accuracy is 0.5, but it must be at least 0.90; "
            "1 more requirement is not met; waiting for 2 approvals: at least one from risk and one from ml-leads.",
            (0, 3),
            {"approvals": 2},
        ),
    ],
)
def test_where_it_stands(
    known: dict[str, Any], sentence: str, counts: tuple[int, int], waiting_for: dict[str, int]
) -> None:
    verdict = judged(**known)

    assert (verdict.sentence, verdict.counts, verdict.waiting_for) == (sentence, counts, waiting_for)
    assert verdict.satisfied is (counts[0] == counts[1])
    assert verdict.satisfied is not bool(verdict.open)


def test_a_refusal_names_what_is_open_and_who_can_clear_it() -> None:
    assert judged(metrics=BAD, reviews=BOTH[:1]).unmet_sentences == (
        "accuracy ≥ 0.90: accuracy is 0.5, but it must be at least 0.90. Can be cleared by mira.",
        "2 approvals: at least one from risk and one from ml-leads: "
        "alice (risk) approved; waiting for 1 approval from ml-leads: dkim or sam.",
    )


def test_who_can_clear_what_is_open_is_known_by_id() -> None:
    assert judged(metrics=BAD, reviews=BOTH[:1]).people == (1, 3, 4)


@pytest.mark.parametrize("enforcement", ["warn", "shadow"])
def test_a_policy_that_does_not_block_is_judged_all_the_same(enforcement: str) -> None:
    verdict = judged(enforcement, metrics=BAD, reviews=BOTH)

    assert verdict.satisfied
    assert not verdict.all_met
    assert verdict.root.enforcement == enforcement
    assert verdict.counts == (2, 3)
    assert verdict.sentence == "Nothing stands in the way, though not all is met."
    assert not verdict.root.blocking and not any(node.blocking for node in verdict.requirements)


def test_several_policies_must_all_hold() -> None:
    met = judged(metrics=GOOD, reviews=BOTH)
    unmet = judged(metrics=BAD, reviews=BOTH)

    assert combine([met, met]).satisfied
    assert not combine([met, unmet]).satisfied
    assert not combine([unmet, met]).satisfied
    assert combine([met, unmet]).counts == (5, 6)
    assert combine([met, unmet]).root.status == Status.UNMET


def test_the_same_approval_is_awaited_once_for_all_policies() -> None:
    waiting = judged(metrics=GOOD, reviews=BOTH[:1])

    both = combine([waiting, waiting])

    assert both.waiting_for == {"approvals": 1}
    assert both.sentence == "Waiting for 1 approval from ml-leads."


def test_a_policy_that_only_warns_does_not_change_the_outcome_of_the_others() -> None:
    met = judged(metrics=GOOD, reviews=BOTH)
    warned = judged("warn", metrics=BAD, reviews=BOTH)
    shadowed = judged("shadow", metrics=BAD)

    verdict = combine([met, warned, shadowed])

    assert verdict.satisfied and not verdict.all_met
    assert verdict.counts == (3, 3)


def test_combining_combinations_keeps_every_policy_once() -> None:
    met = judged(metrics=GOOD, reviews=BOTH)

    assert len(combine([combine([met, met]), met]).policies) == 3
    assert combine([met]) == met


def test_a_policy_that_cannot_be_read_blocks_and_says_where() -> None:
    verdict = combine([judged(metrics=GOOD, reviews=BOTH), unreadable("other-gate", "Line 7: unknown key 'x'")])

    assert not verdict.satisfied
    assert verdict.counts == (3, 4)
    assert verdict.sentence == "The policy other-gate cannot be read: Line 7: unknown key 'x'."
    assert any("Line 7" in sentence for sentence in verdict.unmet_sentences)


def test_the_json_form_is_plain_and_the_same_every_time() -> None:
    verdict = judged(metrics=BAD, reviews=BOTH[:1])

    form = verdict.to_json()

    assert json.loads(json.dumps(form)) == form
    assert form == judged(metrics=BAD, reviews=BOTH[:1]).to_json()
    assert {key: form[key] for key in ("satisfied", "all_met", "counts", "waiting_for")} == {
        "satisfied": False,
        "all_met": False,
        "counts": {"met": 1, "total": 3},
        "waiting_for": {"approvals": 1},
    }
    assert form["tree"]["children"][0] == {
        "kind": "metric",
        "name": "accuracy",
        "title": "accuracy ≥ 0.90",
        "status": "unmet",
        "reason": "accuracy is 0.5, but it must be at least 0.90.",
        "figure": "0.5",
        "needed": "≥ 0.90",
        "who": ["mira"],
        "link": "",
        "blocking": True,
        "missing": 0,
        "enforcement": "",
        "children": [],
    }


def test_a_sentence_names_the_approvals_and_counts_what_it_cannot_hold() -> None:
    more = [f"metric: {{name: m{number}, min: 1}}" for number in range(4)]

    sentence = evaluate(policy(*more, *RULES), facts(metrics=GOOD)).sentence

    assert sentence == (
        "Waiting for 2 approvals: at least one from risk and one from ml-leads, the metric m0 and 3 more requirements."
    )
