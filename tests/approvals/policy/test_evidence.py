"""Checks, descriptions, and what is asked of a version that only gives up its place."""

from __future__ import annotations

from typing import Any

import pytest

from approvals.policy import CheckFact, CheckStatus, Node, Status, evaluate
from tests.approvals.policy.cast import ALICE, approve, facts, policy


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
        ((report("running"),), Status.WAITING, "integration-tests is running."),
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


RULES = (
    "metric: {name: auc, min: 0.9}",
    "check: {name: integration-tests, from: ci-bot}",
    "description: {min_length: 10}",
    "approvals: {count: 1}",
)


def test_a_version_that_only_gives_up_its_place_needs_reviews_and_no_evidence() -> None:
    waiting = evaluate(policy(*RULES), facts(leaving=True))
    approved = evaluate(policy(*RULES), facts(leaving=True, reviews=(approve(ALICE),)))

    assert [node.status for node in waiting.requirements] == [Status.SKIPPED] * 3 + [Status.WAITING]
    assert waiting.requirements[0].reason == "The version only gives up Production: its evidence is not asked for."
    assert waiting.counts == (0, 1)
    assert not waiting.satisfied
    assert approved.satisfied
