from __future__ import annotations

from typing import Any

import pytest

from approvals.policy import Facts, Node, ReviewFact, Status, evaluate
from tests.approvals.policy.cast import (
    ALICE,
    DKIM,
    MIRA,
    NOOR,
    SAM,
    approve,
    ask_for_changes,
    facts,
    policy,
    reject,
)

TWO = "approvals: {count: 2}"
BOTH_TEAMS = "approvals: {count: 2, teams: {risk: 1, ml-leads: 1}}"
ANYBODY = {ALICE: "alice", DKIM: "dkim", SAM: "sam", NOOR: "noor", MIRA: "mira"}


def judged(rule: str, *reviews: ReviewFact, more: str = "", **known: Any) -> Node:
    (node,) = evaluate(policy(rule, more=more), facts(reviews=reviews, **known)).requirements
    return node


@pytest.mark.parametrize(
    ("number", "leaving", "status", "reason"),
    [
        (0, False, Status.MET, "No thread is open."),
        (1, False, Status.UNMET, "1 thread is not resolved."),
        (2, False, Status.UNMET, "2 threads are not resolved."),
        (2, True, Status.UNMET, "2 threads are not resolved."),  # giving up a target is talked about as well
        (None, False, Status.ERROR, "Nobody looked for threads that are not resolved."),
    ],
)
def test_open_threads_are_judged_where_a_policy_waits_for_them(
    number: int | None, leaving: bool, status: Status, reason: str
) -> None:
    resolvers = {ALICE: "alice", MIRA: "mira"}
    known = facts(open_threads=number, leaving=leaving, thread_resolvers=resolvers, reviews=(approve(ALICE),))

    verdict = evaluate(policy("approvals: {count: 1}", more="reviews: {threads_resolved: true}\n"), known)

    node = verdict.requirements[-1]
    assert (node.kind, node.title, node.status, node.reason) == ("threads", "threads resolved", status, reason)
    assert node.who == (("alice", "mira") if status == Status.UNMET else ())
    assert verdict.satisfied is (status == Status.MET)


@pytest.mark.parametrize(
    ("rule", "reviews", "status", "figure", "reason"),
    [
        (TWO, (), Status.WAITING, "0 of 2", "Waiting for 2 approvals."),
        (TWO, (approve(ALICE),), Status.WAITING, "1 of 2", "alice approved; waiting for 1 approval."),
        (TWO, (approve(ALICE), approve(DKIM)), Status.MET, "2 of 2", "alice and dkim approved."),
        (TWO, (approve(ALICE), approve(ALICE)), Status.WAITING, "1 of 2", "alice approved; waiting for 1 approval."),
        (TWO, (approve(ALICE), approve(DKIM), approve(NOOR)), Status.MET, "2 of 2", "alice, dkim and noor approved."),
        (
            BOTH_TEAMS, (),
            Status.WAITING, "0 of 2",
            "Waiting for 2 approvals: at least one from risk and one from ml-leads: alice, sam or dkim.",
        ),
        (
            BOTH_TEAMS, (approve(ALICE),),
            Status.WAITING, "1 of 2", "alice (risk) approved; waiting for 1 approval from ml-leads: dkim or sam.",
        ),
        (
            BOTH_TEAMS, (approve(ALICE), approve(DKIM)),
            Status.MET, "2 of 2", "alice (risk) and dkim (ml-leads) approved.",
        ),
        (
            BOTH_TEAMS, (approve(ALICE), approve(NOOR)),
            Status.WAITING, "2 of 2",
            "alice (risk) and noor approved; waiting for 1 approval from ml-leads: dkim or sam.",
        ),
        (
            BOTH_TEAMS, (approve(SAM),),
            Status.WAITING, "1 of 2", "sam (risk, ml-leads) approved; waiting for 1 approval: alice or dkim.",
        ),
        (
            BOTH_TEAMS, (approve(SAM), approve(NOOR)),
            Status.MET, "2 of 2", "sam (risk, ml-leads) and noor approved.",
        ),
        (
            "approvals: {count: 1, teams: {risk: 1, ml-leads: 1}}", (approve(SAM),),
            Status.MET, "1 of 1", "sam (risk, ml-leads) approved.",
        ),
        (
            BOTH_TEAMS, (approve(ALICE), approve(DKIM), ask_for_changes(SAM)),
            Status.UNMET, "2 of 2", "sam asked for changes.",
        ),
        (BOTH_TEAMS, (approve(ALICE), approve(DKIM), reject(NOOR)), Status.UNMET, "2 of 2", "noor rejected this."),
        (
            TWO, (ask_for_changes(ALICE), approve(ALICE), approve(DKIM)),
            Status.MET, "2 of 2", "alice and dkim approved.",
        ),
        (TWO, (approve(ALICE), approve(DKIM), reject(ALICE)), Status.UNMET, "1 of 2", "alice rejected this."),
    ],
)  # fmt: skip
def test_approvals_are_counted_by_person_and_by_team(
    rule: str, reviews: tuple[ReviewFact, ...], status: Status, figure: str, reason: str
) -> None:
    node = judged(rule, *reviews)

    assert (node.status, node.figure, node.reason) == (status, figure, reason)


def test_the_requester_cannot_approve() -> None:
    node = judged("approvals: {count: 1}", approve(MIRA))

    assert node.status == Status.WAITING
    (mine,) = node.children
    assert (mine.title, mine.status) == ("mira", Status.SKIPPED)
    assert mine.reason == "mira asked for this, and the policy lets nobody approve what they asked for."


def test_who_trained_or_registered_it_cannot_approve() -> None:
    node = judged("approvals: {count: 1}", approve(ALICE), authors=frozenset({ALICE}))

    assert node.status == Status.WAITING
    assert "registered or trained" in node.children[0].reason


def test_an_author_approves_where_the_policy_says_so() -> None:
    node = judged("approvals: {count: 1}", approve(MIRA), more="reviews: {author_may_approve: true}\n")

    assert node.status == Status.MET


def test_an_author_may_always_object() -> None:
    node = judged("approvals: {count: 1}", approve(ALICE), ask_for_changes(MIRA))

    assert node.status == Status.UNMET


def test_a_verdict_that_does_not_count_says_why() -> None:
    void = approve(ALICE, counts=False, why_not="the files have changed since")

    node = judged("approvals: {count: 1}", void)

    assert node.status == Status.WAITING
    assert (node.children[0].status, node.children[0].reason) == (Status.SKIPPED, "the files have changed since.")


def test_an_objection_that_does_not_count_stops_nothing() -> None:
    node = judged("approvals: {count: 1}", approve(ALICE), reject(DKIM, counts=False))

    assert node.status == Status.MET


def test_an_unknown_verdict_is_taken_for_an_objection() -> None:
    strange = ReviewFact(ALICE, "alice", "approved?", frozenset({"risk"}))

    assert judged("approvals: {count: 1}", strange, approve(DKIM)).status == Status.UNMET


def test_who_can_clear_it_are_the_members_who_may_and_have_not() -> None:
    node = judged(BOTH_TEAMS, approve(SAM), authors=frozenset({ALICE}), reviewers=ANYBODY)

    assert node.who == ("dkim", "noor")
    assert node.people == (DKIM, NOOR)


def test_who_objected_can_clear_it() -> None:
    node = judged(TWO, ask_for_changes(DKIM), approve(ALICE), reviewers=ANYBODY)

    assert node.who[0] == "dkim"


def test_a_team_without_people_who_may_approve_is_an_error() -> None:
    node = judged(BOTH_TEAMS, approve(ALICE), team_members={"risk": {ALICE: "alice"}, "ml-leads": {MIRA: "mira"}})

    assert node.status == Status.ERROR
    assert node.reason == "Too few people in ml-leads can approve this: 1 approval from ml-leads missing."
    assert [child.status for child in node.children] == [Status.MET, Status.ERROR, Status.MET]


def test_a_team_that_nobody_looked_up_is_only_awaited() -> None:
    assert judged(BOTH_TEAMS, team_members={}).status == Status.WAITING


def test_each_team_and_each_verdict_is_part_of_the_explanation() -> None:
    node = judged(BOTH_TEAMS, approve(ALICE))

    assert [(child.kind, child.title, child.status, child.figure) for child in node.children] == [
        ("team", "one from risk", Status.MET, "1 of 1"),
        ("team", "one from ml-leads", Status.WAITING, "0 of 1"),
        ("review", "alice", Status.MET, ""),
    ]
    assert not any(child.blocking for child in node.children)


def test_a_long_list_of_people_is_cut_in_the_sentence_only() -> None:
    many = {person: f"p{person}" for person in range(10, 60)}

    node = judged("approvals: {count: 1, teams: {risk: 1}}", team_members={"risk": many})

    assert node.reason == "Waiting for 1 approval from risk: p10, p11, p12, p13, p14 or 45 more."
    assert len(node.who) == 50


def test_a_policy_without_approvals_is_stopped_by_an_objection() -> None:
    known: Facts = facts(description="long enough", reviews=(ask_for_changes(DKIM),))

    verdict = evaluate(policy("description: {min_length: 5}"), known)

    assert not verdict.satisfied
    assert verdict.sentence == "dkim asked for changes."


def test_a_policy_without_approvals_needs_none() -> None:
    assert evaluate(policy("description: {min_length: 5}"), facts(description="long enough")).satisfied
