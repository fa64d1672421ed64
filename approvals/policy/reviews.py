"""Judging approvals and the conversation: who counts, for which team, and who can still clear what is missing."""

from __future__ import annotations

from approvals.policy.document import ApprovalsRule, Policy
from approvals.policy.facts import Facts, ReviewFact, ReviewVerdict
from approvals.policy.source import listed
from approvals.policy.verdict import Node, Status
from approvals.policy.wording import amount, approvals, people, small


def judge_approvals(rule: ApprovalsRule, policy: Policy, facts: Facts) -> Node:
    """Different people, enough of them, and enough of each team; whoever objects stops it, whatever the number.

    Somebody in two teams serves both minimums and is one person in the count.
    """
    reviews = current(facts)
    approving = [review for review in reviews if _approves(review, policy, facts)]
    objecting = objections(facts)
    short = {team: number - sum(team in review.teams for review in approving) for team, number in rule.teams}
    short = {team: lacking for team, lacking in short.items() if lacking > 0}
    missing = max(rule.count - len(approving), sum(short.values()), 0)
    candidates = _candidates(rule, short, missing, approving, policy, facts)
    deserted = [team for team in short if _is_deserted(team, short[team], approving, policy, facts)]
    awaited = approvals(ApprovalsRule(missing, tuple(short.items()))) if missing else ""
    given = listed(_signature(review, rule) for review in approving)

    if objecting:
        status, reason = Status.UNMET, f"{listed(map(_objection, objecting))}."
        candidates = {review.person: review.display for review in objecting} | candidates
    elif not missing:
        status, reason = Status.MET, f"{given} approved."
    elif deserted:
        status, reason = Status.ERROR, f"Too few people in {listed(deserted)} can approve this: {awaited} missing."
    else:
        status = Status.WAITING
        names = f": {people(candidates.values())}" if candidates else ""
        reason = f"{given} approved; waiting for {awaited}{names}." if given else f"Waiting for {awaited}{names}."
    open_ = status != Status.MET
    return Node(
        kind="approvals",
        title=approvals(rule),
        status=status,
        reason=reason,
        figure=f"{min(len(approving), rule.count)} of {rule.count}",
        needed=approvals(rule),
        who=tuple(candidates.values()) if open_ else (),
        people=tuple(candidates) if open_ else (),
        children=(
            *(_team(team, number, approving, policy, facts) for team, number in rule.teams),
            *(_review(review, policy, facts) for review in reviews),
        ),
        missing=missing,
        awaited=awaited if missing and not deserted else "",
    )


def judge_objections(facts: Facts) -> Node | None:
    """A policy that asks for no approvals is still stopped by a reviewer who says no."""
    objecting = objections(facts)
    if not objecting:
        return None
    return Node(
        kind="objections",
        title="no reviewer objects",
        status=Status.UNMET,
        reason=f"{listed(map(_objection, objecting))}.",
        who=tuple(review.display for review in objecting),
        people=tuple(review.person for review in objecting),
    )


def judge_threads(facts: Facts) -> Node:
    """Whether anything of the conversation is still to be settled."""
    number = facts.open_threads
    if number is None:
        status, reason = Status.ERROR, "Nobody looked for threads that are not resolved."
    elif number:
        status, reason = Status.UNMET, f"{amount(number, 'thread')} {'is' if number == 1 else 'are'} not resolved."
    else:
        status, reason = Status.MET, "No thread is open."
    return Node(
        kind="threads",
        title="threads resolved",
        status=status,
        reason=reason,
        who=tuple(facts.thread_resolvers.values()) if number else (),
        people=tuple(facts.thread_resolvers) if number else (),
    )


def current(facts: Facts) -> list[ReviewFact]:
    """Each person's last verdict, in the order in which people first spoke."""
    return list({review.person: review for review in facts.reviews}.values())


def objections(facts: Facts) -> list[ReviewFact]:
    return [review for review in current(facts) if review.counts and review.verdict != ReviewVerdict.APPROVE]


def why_not(review: ReviewFact, policy: Policy, facts: Facts) -> str:
    """Why a verdict does not count; empty when it does."""
    if not review.counts:
        return review.why_not or "this verdict does not count"
    if review.verdict == ReviewVerdict.APPROVE and is_author(review.person, policy, facts):
        if review.person == facts.requester:
            return f"{review.display} asked for this, and the policy lets nobody approve what they asked for"
        return f"{review.display} registered or trained this version, and the policy lets nobody approve their own work"
    return ""


def is_author(person: int, policy: Policy, facts: Facts) -> bool:
    return not policy.reviews.author_may_approve and (person == facts.requester or person in facts.authors)


def _approves(review: ReviewFact, policy: Policy, facts: Facts) -> bool:
    return review.verdict == ReviewVerdict.APPROVE and not why_not(review, policy, facts)


def _able(team: str, approving: list[ReviewFact], policy: Policy, facts: Facts) -> dict[int, str]:
    """The members of a team whose approval is still to come and would count."""
    done = {review.person for review in approving}
    return {
        person: display
        for person, display in facts.team_members.get(team, {}).items()
        if person not in done and not is_author(person, policy, facts)
    }


def _is_deserted(team: str, lacking: int, approving: list[ReviewFact], policy: Policy, facts: Facts) -> bool:
    """Whether a team that was looked up has too few people left to give what it lacks."""
    return team in facts.team_members and len(_able(team, approving, policy, facts)) < lacking


def _candidates(
    rule: ApprovalsRule, short: dict[str, int], missing: int, approving: list[ReviewFact], policy: Policy, facts: Facts
) -> dict[int, str]:
    """Who can bring a missing approval: the teams that are short, and anybody who may review for the rest."""
    found: dict[int, str] = {}
    for team in short:
        found |= _able(team, approving, policy, facts)
    if missing > sum(short.values()):
        for team, _ in rule.teams:
            found |= _able(team, approving, policy, facts)
        done = {review.person for review in approving}
        found |= {
            person: display
            for person, display in facts.reviewers.items()
            if person not in done and not is_author(person, policy, facts)
        }
    return found


def _signature(review: ReviewFact, rule: ApprovalsRule) -> str:
    """``alice (risk)``: a name with the teams that the rule asks for."""
    teams = [team for team, _ in rule.teams if team in review.teams]
    return f"{review.display} ({', '.join(teams)})" if teams else review.display


def _objection(review: ReviewFact) -> str:
    return f"{review.display} {'rejected this' if review.verdict == ReviewVerdict.REJECT else 'asked for changes'}"


def _team(team: str, number: int, approving: list[ReviewFact], policy: Policy, facts: Facts) -> Node:
    given = [review.display for review in approving if team in review.teams]
    able = _able(team, approving, policy, facts)
    met = len(given) >= number
    if met:
        status, reason = Status.MET, f"{listed(given)} approved for {team}."
    elif _is_deserted(team, number - len(given), approving, policy, facts):
        status, reason = Status.ERROR, f"Too few people in {team} can approve this."
    else:
        status, reason = Status.WAITING, f"{amount(number - len(given), 'approval')} from {team} to come."
    return Node(
        kind="team",
        name=team,
        title=f"{small(number)} from {team}",
        status=status,
        reason=reason,
        figure=f"{min(len(given), number)} of {number}",
        who=() if met else tuple(able.values()),
        people=() if met else tuple(able),
        blocking=False,
    )


def _review(review: ReviewFact, policy: Policy, facts: Facts) -> Node:
    if reason := why_not(review, policy, facts):
        status = Status.SKIPPED
    elif review.verdict == ReviewVerdict.APPROVE:
        status, reason = Status.MET, f"{review.display} approved"
    else:
        status, reason = Status.UNMET, _objection(review)
    return Node(
        kind="review", name=review.display, title=review.display, status=status, reason=f"{reason}.", blocking=False
    )
