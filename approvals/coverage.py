"""What a policy is about right now: the models that it matches, the requests that it has a say in, the people whom it
names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q

from accounts.models import Team, User
from approvals.models import Policy, TransitionRequest, TransitionRequestQuerySet
from approvals.policy import Policy as ReadPolicy
from approvals.policy import Status
from approvals.rulebook import Rule, Rulebook
from approvals.standing import standings_of
from core.json_values import TextAt
from core.prepared import Many, Prepared
from registry.models import RegisteredModel, RegisteredModelQuerySet, TargetKind


def matched_models(read: ReadPolicy, user: User) -> RegisteredModelQuerySet:
    """The models that ``user`` may read and the policy is about."""
    rows, fits = _with_tags(RegisteredModel.objects.live().visible_to(user), [read])
    return rows.filter(fits[0])


def counts_of_models(policies: Sequence[ReadPolicy], user: User) -> list[int]:
    """How many models each policy is about, in one statement for all of them."""
    if not policies:
        return []
    rows, fits = _with_tags(RegisteredModel.objects.live().visible_to(user), policies)
    counts = rows.aggregate(**{f"of_{number}": Count("pk", filter=fit) for number, fit in enumerate(fits)})
    return [counts[f"of_{number}"] for number in range(len(policies))]


def _with_tags(
    rows: RegisteredModelQuerySet, policies: Sequence[ReadPolicy]
) -> tuple[RegisteredModelQuerySet, list[Q]]:
    """The tags that decide, as columns, as a key may hold what Django reads in a keyword; and what each policy asks."""
    keys = {key for read in policies for key in read.tag_keys}
    columns = {key: f"tag_{number}" for number, key in enumerate(sorted(keys))}
    rows = rows.alias(**{column: TextAt("tags", key) for key, column in columns.items()})
    fits = []
    for read in policies:
        named = Q()
        for pattern in read.match.models:
            named |= Q(name__glob=pattern)
        fits.append(named & Q(**{columns[key]: value for key, value in read.match.tags}))
    return rows, fits


def judged_requests(read: ReadPolicy, user: User) -> TransitionRequestQuerySet:
    """The requests that ``user`` may read and the policy has a say in: for what it guards, or away from it."""
    stages = [guard.name for guard in read.guards if guard.kind == TargetKind.STAGE]
    asked = Q(target_kind=TargetKind.STAGE) & (Q(target__in=stages) | Q(from_stage__in=stages))
    for guard in read.guards:
        if guard.kind == TargetKind.ALIAS:
            asked |= Q(target_kind=TargetKind.ALIAS, target__glob=guard.name)
    return TransitionRequest.objects.visible_to(user).filter(asked, model__in=matched_models(read, user))


@dataclass(frozen=True, slots=True)
class Judged:
    """A request, and what one policy says of it now or said when it was decided. ``says`` is None where it had no say:
    it was not in force then."""

    request: TransitionRequest
    says: Status | None
    why: str


def judgements_by(policy: Policy, read: ReadPolicy, requests: Sequence[TransitionRequest]) -> list[Judged]:
    """In as many statements for many requests as for one."""
    assert policy.current is not None
    alone = Rulebook((Rule(revision=policy.current, name=policy.name, read=read),))
    pending = [row for row in requests if row.is_pending]
    standings = dict(zip((row.pk for row in pending), standings_of(pending, rulebook=alone), strict=True))
    found = []
    for row in requests:
        standing = standings.get(row.pk)
        recorded = standing.verdict.to_json() if standing else row.verdict or {}
        found.append(_judged(row, _nodes(recorded, policy.name)))
    return found


def _nodes(verdict: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """What a policy of this name said, of a verdict as it is recorded."""
    tree = verdict.get("tree")
    if not isinstance(tree, dict):
        return []
    policies = tree["children"] if tree["kind"] == "all" else [tree]
    return [node for node in policies if node["kind"] == "policy" and node["name"] == name]


def _judged(row: TransitionRequest, nodes: list[dict[str, Any]]) -> Judged:
    if not nodes:
        return Judged(row, None, "")
    unmet = [child for child in nodes[0]["children"] if child["status"] not in (Status.MET, Status.SKIPPED)]
    return Judged(row, Status(nodes[0]["status"]), " ".join(child["reason"] for child in unmet))


@dataclass(frozen=True, slots=True)
class Named:
    """The people and teams in a policy's text: who approves, who may bypass, and the names nobody has."""

    reviewers: dict[str, list[str]]  # by team
    bypassers: dict[str, list[str]]
    people: list[str]  # who may bypass by name
    unknown: list[str]


_MEMBERS = Prepared(
    lambda teams: (
        Team.objects.filter(name__in=teams)
        .order_by("name", "memberships__user__username")
        .values_list("name", "memberships__user__username", "memberships__user__is_active")
    ),
    Many(str),
)
_ACTIVE = Prepared(
    lambda names: User.objects.filter(username__in=names, is_active=True).values_list("username"), Many(str)
)


def named_in(read: ReadPolicy) -> Named:
    """Teams with their active members. A team without anybody, a person or a reporter who is not here are
    ``unknown``: what waits for them waits for ever."""
    teams = {*read.teams, *read.vouchers, *read.bypass.teams}
    members: dict[str, list[str]] = {}
    for team, username, is_active in _MEMBERS.all(teams):
        members.setdefault(team, []).extend([username] if is_active else [])
    wanted = {*read.bypass.people, *(check.reporter for check in read.checks)}
    there = {name for (name,) in _ACTIVE.all(wanted)}
    return Named(
        reviewers=_of(members, (*read.teams, *read.vouchers)),
        bypassers=_of(members, read.bypass.teams),
        people=[name for name in read.bypass.people if name in there],
        unknown=[
            *(f"No team is called {team}." for team in sorted(teams - set(members))),
            *(f"The team {team} has no members." for team in sorted(members) if not members[team]),
            *(f"No active account is called {name}." for name in sorted(wanted - there)),
        ],
    )


def _of(members: dict[str, list[str]], teams: Iterable[str]) -> dict[str, list[str]]:
    return {team: members[team] for team in dict.fromkeys(teams) if members.get(team)}
