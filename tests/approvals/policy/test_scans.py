"""Files that a static reading went over: what is met, what waits for a person, and whose word counts."""

from __future__ import annotations

from typing import Any

import pytest

from approvals.policy import CheckFact, Node, PolicyError, ScanFact, ScanRule, Status, evaluate, parse
from tests.approvals.policy.cast import ALICE, DKIM, HEAD, MIRA, NAMES, facts, policy

BROKEN = ("model.pkl: It breaks off.",)
EVIL = ("model.pkl: It imports os.system, which may run anything.",)
CLEAN = ScanFact(files=2)
UNREAD = ScanFact(files=2, unread=BROKEN)


def judged(rule: str, *, more: str = "", **known: Any) -> Node:
    (node,) = evaluate(policy(rule, more=more), facts(**known)).requirements
    return node


def vouch(person: int | None, status: str = "passed", *, matches: bool = True, name: str = "scan") -> CheckFact:
    return CheckFact(name, NAMES.get(person or 0, "ci-bot"), status, matches, person=person)


@pytest.mark.parametrize("rule", ["scan: clean", "scan: {vouched_by: risk}"])
@pytest.mark.parametrize(
    ("scan", "status", "reason"),
    [
        (
            None,
            Status.ERROR,
            "The bytes are not covered: the files of this version lie elsewhere, so nobody reads them here.",
        ),
        (CLEAN, Status.MET, "2 files read: no pickle imports what is not known."),
        (ScanFact(files=2, pending=2), Status.WAITING, "2 of 2 files are still to be read."),
        (ScanFact(files=1, pending=1), Status.WAITING, "1 of 1 file is still to be read."),
        (ScanFact(files=2, unsafe=EVIL), Status.UNMET, EVIL[0]),
        (ScanFact(files=2, pending=1, unsafe=EVIL), Status.UNMET, EVIL[0]),
        (ScanFact(files=2, pending=1, unread=BROKEN), Status.WAITING, "1 of 2 files is still to be read."),
    ],
)
def test_files_are_judged_by_the_worst_of_them(rule: str, scan: ScanFact | None, status: Status, reason: str) -> None:
    node = judged(rule, scan=scan)

    assert (node.status, node.reason) == (status, reason)


def test_what_could_not_be_read_is_an_error_where_nobody_may_clear_it() -> None:
    node = judged("scan: clean", scan=UNREAD, checks=(vouch(ALICE),))

    assert node.status == Status.ERROR
    assert node.reason == f"{BROKEN[0]} The policy names no team in vouched_by that could look and clear it."


@pytest.mark.parametrize(
    ("checks", "status", "reason"),
    [
        ((), Status.WAITING, f"{BROKEN[0]} Somebody of risk must look: alice or sam."),
        ((vouch(ALICE),), Status.MET, "alice looked at what could not be read."),
        ((vouch(ALICE, "failed"),), Status.UNMET, "alice looked at the files and would not use them."),
        ((vouch(ALICE, "failed"), vouch(ALICE)), Status.MET, "alice looked at what could not be read."),
        ((vouch(ALICE, matches=False),), Status.WAITING, f"{BROKEN[0]} Somebody of risk must look: alice or sam."),
        ((vouch(DKIM),), Status.WAITING, f"{BROKEN[0]} Somebody of risk must look: alice or sam."),
        ((vouch(None),), Status.WAITING, f"{BROKEN[0]} Somebody of risk must look: alice or sam."),
        ((vouch(ALICE, name="scan-2"),), Status.WAITING, f"{BROKEN[0]} Somebody of risk must look: alice or sam."),
    ],
)
def test_somebody_of_the_team_clears_it_for_these_bytes(
    checks: tuple[CheckFact, ...], status: Status, reason: str
) -> None:
    node = judged("scan: {vouched_by: risk}", scan=UNREAD, checks=checks)

    assert (node.status, node.reason) == (status, reason)


def test_nobody_vouches_for_what_is_unsafe() -> None:
    node = judged(
        "scan: {vouched_by: risk}", scan=ScanFact(files=1, unsafe=EVIL, unread=BROKEN), checks=(vouch(ALICE),)
    )

    assert (node.status, node.who) == (Status.UNMET, ())


@pytest.mark.parametrize(
    ("known", "more", "status"),
    [
        ({"authors": frozenset({ALICE})}, "", Status.WAITING),
        ({"requester": ALICE}, "", Status.WAITING),
        ({"authors": frozenset({ALICE})}, "reviews: {author_may_approve: true}\n", Status.MET),
        ({"authors": frozenset({MIRA})}, "", Status.MET),
    ],
)
def test_who_made_it_does_not_vouch_for_it_unless_the_policy_lets_them(
    known: dict[str, Any], more: str, status: Status
) -> None:
    node = judged("scan: {vouched_by: risk}", more=more, scan=UNREAD, checks=(vouch(ALICE),), **known)

    assert node.status == status


def test_a_team_in_which_nobody_can_vouch_is_an_error() -> None:
    node = judged("scan: {vouched_by: risk}", scan=UNREAD, team_members={"risk": {MIRA: "mira"}})

    assert (node.status, node.reason) == (Status.ERROR, f"{BROKEN[0]} Nobody in risk can vouch for it.")


def test_a_long_list_of_findings_is_cut() -> None:
    node = judged("scan: clean", scan=ScanFact(files=9, unsafe=EVIL * 5))

    assert node.reason == f"{' '.join(EVIL * 3)} And 2 more findings."


@pytest.mark.parametrize(("written", "rule"), [("clean", ScanRule()), ("{vouched_by: ml-leads}", ScanRule("ml-leads"))])
def test_both_ways_of_asking_are_read(written: str, rule: ScanRule) -> None:
    assert policy(f"scan: {written}").requirements == (rule,)


@pytest.mark.parametrize(
    "written",
    ["scan: {}", "scan: dirty", "scan: true", "scan: {vouched_by: [risk]}", "scan: [clean]", "scan: {who: me}"],
)
def test_anything_else_is_refused(written: str) -> None:
    with pytest.raises(PolicyError):
        policy(written)


def test_the_name_of_the_scan_is_kept_for_people() -> None:
    with pytest.raises(PolicyError, match="Line 5: the name scan is kept for people"):
        parse(f"{HEAD}requirements:\n  - check: {{name: scan, from: ci-bot}}\n")
