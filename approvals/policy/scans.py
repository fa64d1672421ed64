"""Judging what a static reading said of the files, and who may clear what it could not read."""

from __future__ import annotations

from approvals.policy.document import SCAN, Policy, ScanRule
from approvals.policy.facts import CheckFact, CheckStatus, Facts
from approvals.policy.reviews import is_author
from approvals.policy.source import listed
from approvals.policy.verdict import Node, Status
from approvals.policy.wording import amount, people, title

_MOST_FINDINGS = 3  # that a sentence names


def judge_scan(rule: ScanRule, policy: Policy, facts: Facts) -> Node:
    """Unsafe stays unsafe, whoever says otherwise; what could not be read is cleared by somebody of the team who looked
    at these very bytes."""
    scan = facts.scan
    if scan is None:
        reason = "The bytes are not covered: the files of this version lie elsewhere, so nobody reads them here."
        return _node(rule, Status.ERROR, reason)
    files = amount(scan.files, "file")
    if scan.unsafe:
        return _node(rule, Status.UNMET, _named(scan.unsafe), figure="unsafe")
    if scan.pending:
        reason = f"{scan.pending} of {files} {'is' if scan.pending == 1 else 'are'} still to be read."
        return _node(rule, Status.WAITING, reason, figure="being read", missing=1, awaited="the reading of its files")
    if not scan.unread:
        return _node(rule, Status.MET, f"{files} read: no pickle imports what is not known.", figure="clean")
    if not rule.vouched_by:
        reason = f"{_named(scan.unread)} The policy names no team in vouched_by that could look and clear it."
        return _node(rule, Status.ERROR, reason, figure="needs a look")

    vouched = _vouches(rule, policy, facts)
    objecting = [vouch.reporter for vouch in vouched if vouch.status != CheckStatus.PASSED]
    if objecting:
        return _node(rule, Status.UNMET, f"{listed(objecting)} looked at the files and would not use them.")
    if vouched:
        who = listed(vouch.reporter for vouch in vouched)
        return _node(rule, Status.MET, f"{who} looked at what could not be read.", figure="vouched for")
    members = facts.team_members.get(rule.vouched_by)
    able = {person: name for person, name in (members or {}).items() if not is_author(person, policy, facts)}
    if members is not None and not able:
        reason = f"{_named(scan.unread)} Nobody in {rule.vouched_by} can vouch for it."
        return _node(rule, Status.ERROR, reason, figure="needs a look")
    names = f": {people(able.values())}" if able else ""
    return _node(
        rule,
        Status.WAITING,
        f"{_named(scan.unread)} Somebody of {rule.vouched_by} must look{names}.",
        figure="needs a look",
        able=able,
        missing=1,
        awaited=f"somebody of {rule.vouched_by} to look at the files",
    )


def _vouches(rule: ScanRule, policy: Policy, facts: Facts) -> list[CheckFact]:
    """The last word of each person of the team who may say it, on these bytes."""
    members = facts.team_members.get(rule.vouched_by, {})
    last: dict[int, CheckFact] = {}
    for check in facts.checks:
        counts = check.name == SCAN and check.digest_matches and check.person is not None and check.person in members
        if counts and check.person is not None and not is_author(check.person, policy, facts):
            last[check.person] = check
    return list(last.values())


def _named(findings: tuple[str, ...]) -> str:
    shown = " ".join(findings[:_MOST_FINDINGS])
    more = len(findings) - _MOST_FINDINGS
    return f"{shown} And {amount(more, 'more finding')}." if more > 0 else shown


def _node(
    rule: ScanRule,
    status: Status,
    reason: str,
    *,
    figure: str = "",
    able: dict[int, str] | None = None,
    missing: int = 0,
    awaited: str = "",
) -> Node:
    return Node(
        kind="scan",
        name=SCAN,
        title=title(rule),
        status=status,
        reason=reason,
        figure=figure,
        who=tuple((able or {}).values()),
        people=tuple(able or ()),
        missing=missing,
        awaited=awaited,
    )
