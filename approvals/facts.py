"""What is known of a version and a target right now, read for many requests in as many statements as for one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import OuterRef, Q, QuerySet

from accounts.models import Grant, Level, Membership, User
from accounts.permissions import default_level, grants_along, reaches, read_grants, with_grants
from approvals.models import Check, Comment, Review, TransitionRequest
from approvals.pins import Pins
from approvals.policy import Requirement, RunRule, ScanRule
from approvals.returning import verdicts_of_then
from approvals.rulebook import Rule, Rulebook
from core.clock import now
from core.listing import ListOf
from core.prepared import NO_KEY, Many, Prepared
from registry.gate import Target
from registry.models import HELD_STAGES, Alias, LatestVersion, ModelVersion, Stage, TargetKind
from registry.permissions import level_to_move
from registry.scanning import Scan, scans_of
from tracking.models import OF_A_RUN, LoggedModel, Run


@dataclass(frozen=True, slots=True)
class Question:
    """May ``version`` have ``target`` and give up ``leaving``? For a request or, without one, for a direct change."""

    version: ModelVersion
    target: Target
    leaving: tuple[Target, ...]
    asker: User
    review_request: TransitionRequest | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """The answer of the database to one Question."""

    question: Question
    rules: tuple[Rule, ...]
    pins: Pins
    baseline: ModelVersion | None
    production: ModelVersion | None
    authors: dict[int, str]  # person id -> what they did: asked for, registered, trained
    reviews: tuple[Review, ...]  # each person's newest verdict that nobody dismissed
    carried: tuple[Review, ...] = ()  # the same of the request that is returned to
    members: dict[str, dict[int, User]] = field(
        default_factory=dict
    )  # of each team that a rule names: person id -> person
    vouchers: dict[str, dict[int, User]] = field(default_factory=dict)  # the same of each team that vouches for files
    bypassers: dict[str, dict[int, User]] = field(default_factory=dict)  # the same of each team that may bypass
    movers: dict[int, User] = field(default_factory=dict)  # who may move it; empty where nobody asks, or everybody may
    checks: tuple[Check, ...] = ()  # its current reports, the oldest first; read where a rule asks for one
    at: datetime = field(default_factory=now)  # the moment of asking
    threads: tuple[Comment, ...] | None = None  # that are open; None where no rule asks
    resolvers: dict[int, User] = field(default_factory=dict)  # who may resolve them by their level
    scan: Scan | None = None  # of its files; None where no rule asks or they are not here
    run_status: str = ""  # of its run now, in MLflow's word; empty where no rule asks or the run is not here

    @property
    def recused(self) -> frozenset[int]:
        """The people who take no part."""
        review_request = self.question.review_request
        return frozenset(review_request.recused if review_request else ())


@dataclass(frozen=True, slots=True)
class AlreadyRead:
    """All reviews of a request and all current checks of its version, the newest first, where a page has them at hand
    (with their people); None where it has not."""

    reviews: tuple[Review, ...] | None = None
    checks: tuple[Check, ...] | None = None


NOTHING_READ = AlreadyRead()


def of_request(review_request: TransitionRequest) -> Question:
    version = review_request.version
    target = review_request.asks_for
    return Question(
        version=version,
        target=target,
        leaving=given_up(version, target),
        asker=review_request.requester,
        review_request=review_request,
    )


def given_up(version: ModelVersion, target: Target) -> tuple[Target, ...]:
    """What a version gives up by gaining ``target``: its present stage for a stage, nothing for an alias."""
    if target.kind != TargetKind.STAGE or version.current_stage in (Stage.NONE, target.name):
        return ()
    return (Target(TargetKind.STAGE, version.current_stage),)


def gather(
    questions: Sequence[Question],
    *,
    rulebook: Rulebook | None = None,
    of_now: bool = True,
    read: AlreadyRead = NOTHING_READ,
) -> list[Known]:
    """Read what the questions need: as many statements for a page of requests as for one. ``rulebook``: other policies
    than those in force. Who asks about the past puts its holders, reviews and checks in place: not ``of_now``. What was
    ``read`` already, of one request, is not read again."""
    rulebook = rulebook or Rulebook.load()
    rules = [rulebook.about(q.version.model, entering=q.target, leaving=q.leaving) for q in questions]
    holders = _holders(questions) if of_now else [(None, None)] * len(questions)
    judged = [q.review_request.pk for q in questions if q.review_request and q.review_request.pk]
    reviews = _reviews(judged, read.reviews) if of_now else {}
    asked = list(zip(questions, rules, strict=True))
    then = verdicts_of_then([question.review_request for question in questions])
    open_to_movers = [question for question, chosen in asked if _asks_movers(question, chosen)]
    closed_to_authors = [
        question.version for question, chosen in asked if any(rule.approvals or rule.vouchers for rule in chosen)
    ]
    watched = [question.version for question, chosen in asked if asks_for(RunRule, *chosen)]
    trainers, statuses = _trainers(closed_to_authors, watched=watched, requests=[q.review_request for q in questions])
    reported = [(question.version, {name for rule in chosen for name in rule.reported}) for question, chosen in asked]
    checks = _checks(reported, read.checks) if of_now else {}
    scans = scans_of([question.version for question, chosen in asked if asks_for(ScanRule, *chosen)])
    threads = _threads([question for question, chosen in asked if _waits_for_threads(chosen)])
    named = {team for chosen in rules for rule in chosen for team in (*rule.teams, *rule.vouchers, *rule.bypassers)}
    with_threads = [question for question, _ in asked if threads.get(question.version.pk)]
    teams, movers = _people(named, open_to_movers + with_threads)
    if open_to_movers:
        weighed = [review.reviewer for found in (*reviews.values(), *then) for review in found]
        asking = [q.asker for q, chosen in asked if any(rule.blocks for rule in chosen) or _returns(q)]
        read_grants(weighed + asking)

    known = []
    for question, chosen, (baseline, production), carried in zip(questions, rules, holders, then, strict=True):
        version = question.version
        request_id = question.review_request.pk if question.review_request else None
        able = movers.get((version.model_id, level_to_move(version, question.target)), {})
        talked = _waits_for_threads(chosen)
        known.append(
            Known(
                question=question,
                rules=chosen,
                pins=_pins(version, chosen, baseline),
                baseline=baseline,
                production=production,
                authors=_authors(question, trainers),
                reviews=tuple(reviews.get(request_id, ())) if request_id else (),
                carried=carried,
                members={team: teams.get(team, {}) for rule in chosen for team in rule.teams},
                vouchers={team: teams.get(team, {}) for rule in chosen for team in rule.vouchers},
                bypassers={team: teams.get(team, {}) for rule in chosen for team in rule.bypassers},
                movers=able if _asks_movers(question, chosen) else {},
                threads=_concerning(question, threads.get(version.pk, ())) if talked else None,
                resolvers=able if talked else {},
                checks=tuple(checks.get(version.pk, ())),
                run_status=statuses.get(version.run_id, ""),
                scan=scans.get(version.pk),
            )
        )
    return known


def _pins(version: ModelVersion, rules: Sequence[Rule], baseline: ModelVersion | None) -> Pins:
    return Pins(
        digest=version.digest,
        evidence=version.evidence.digest if version.evidence else "",
        policy_revisions=tuple(sorted(rule.revision.pk for rule in rules)),
        baseline_id=baseline.pk if baseline else None,
    )


def asks_for(kind: type[Requirement], *rules: Rule | None) -> bool:
    return any(isinstance(asked, kind) for rule in rules if rule and rule.read for asked in rule.read.requirements)


def _checks(
    asked: Sequence[tuple[ModelVersion, set[str]]], read: Sequence[Check] | None = None
) -> dict[int, list[Check]]:
    """By version, the current reports of the checks that are asked for."""
    names = {name for _, names in asked for name in names}
    if not names:
        return {}
    rows: Iterable[Check]
    if read is None:
        versions = {version.pk for version, names in asked if names}
        current = Check.objects.current().filter(version__in=versions, name__in=names, reporter__is_active=True)
        rows = current.select_related("reporter").defer("summary").order_by("id")
    else:
        rows = (c for c in reversed(read) if c.is_current and c.name in names and c.reporter.is_active)
    found: dict[int, list[Check]] = {}
    for check in rows:
        found.setdefault(check.version_id, []).append(check)
    return found


def _waits_for_threads(rules: Sequence[Rule]) -> bool:
    return any(rule.waits_for_threads for rule in rules)


_THREADS = Prepared(
    lambda versions, requests: (
        Comment.objects.open_threads()
        .filter(
            Q(request=None) | Q(request__state__in=TransitionRequest.PENDING) | Q(request__in=requests),
            version__in=versions,
        )
        .select_related("author", "request__requester")
        .defer("text")
        .order_by("id")
    ),
    *(Many(int), Many(int)),
)


def _threads(questions: Sequence[Question]) -> dict[int, list[Comment]]:
    """By version, the open threads about it and about requests for it that are judged here or wait."""
    found: dict[int, list[Comment]] = {}
    if questions:
        requests = [question.review_request.pk for question in questions if question.review_request]
        versions = {question.version.pk for question in questions}
        for thread in _THREADS.all(versions, [pk for pk in requests if pk] or [NO_KEY]):
            found.setdefault(thread.version_id, []).append(thread)
    return found


def _concerning(question: Question, threads: Iterable[Comment]) -> tuple[Comment, ...]:
    """Those on the version and on the request; for a direct change, on whatever request waits for the same."""

    def concerns(review_request: TransitionRequest | None) -> bool:
        if review_request is None:
            return True
        if question.review_request:
            return review_request == question.review_request
        return review_request.is_pending and review_request.asks_for == question.target

    return tuple(thread for thread in threads if concerns(thread.request))


def counts_movers(rules: Sequence[Rule]) -> bool:
    """Whether the level on the model decides who may review: where no policy in force asks for approvals at all, or
    where one asks for approvals from no team in particular."""
    asked = [approvals for rule in rules if rule.blocks for approvals in rule.approvals]
    return not asked or any(not approvals.teams for rule in rules for approvals in rule.approvals)


def _asks_movers(question: Question, rules: Sequence[Rule]) -> bool:
    return counts_movers(rules) or _returns(question)


def _returns(question: Question) -> bool:
    return question.review_request is not None and question.review_request.returns_to_id is not None


def _able_at(level: Level) -> Prepared[User]:
    """Active people who administer, or have a grant of this level on one of the models or on a pattern, or are in one
    of the teams; with those grants and the names of those teams."""

    def able(models: list[int], teams: list[str]) -> QuerySet[User]:
        among = Grant.objects.filter(Q(model_id=None) | Q(model_id__in=models), level__gte=level)
        granted = Q(team__in=among.filter(team__isnull=False).values("team"))
        in_teams = Membership.objects.filter(granted | Q(team__name__in=teams))
        asked = Q(is_superuser=True) | Q(pk__in=among.filter(user__isnull=False).values("user"))
        people = User.objects.filter(asked | Q(pk__in=in_teams.values("user")), is_active=True)
        named = Membership.objects.filter(user=OuterRef("pk"), team__name__in=teams)
        with_teams = people.annotate(named_teams=ListOf(named, "team__name"))
        return with_grants(with_teams.order_by("username"), of="pk", among=among)

    return Prepared(able, Many(int), Many(str))


_ABLE = {level: _able_at(level) for level in Level}
_NO_TEAM = ""


def _people(
    teams: set[str], questions: Sequence[Question]
) -> tuple[dict[str, dict[int, User]], dict[tuple[int, Level], dict[int, User]]]:
    """The active members of each team; and by model and level that a question asks about, the active people who have it
    by a grant, their team's grant or as administrators. In one statement."""
    wanted = {(q.version.model_id, level_to_move(q.version, q.target)): q.version.model for q in questions}
    wanted = {key: model for key, model in wanted.items() if default_level() < key[1]}
    if not wanted:
        return _members(teams), {}
    lowest = min(level for _, level in wanted)
    found = _ABLE[lowest].all({model_id for model_id, _ in wanted}, teams or {_NO_TEAM})
    members: dict[str, dict[int, User]] = {}
    for person in found:
        for (team,) in person.named_teams:  # type: ignore[attr-defined]
            members.setdefault(team, {})[person.pk] = person
    granted = {person.pk: grants_along(person) for person in found if not person.is_service}
    return members, {key: _reached(found, granted, key, model.name) for key, model in wanted.items()}


def _reached(
    people: Sequence[User], granted: Mapping[int, Sequence[Grant]], key: tuple[int, Level], name: str
) -> dict[int, User]:
    """Those of the people with the level on the model."""
    model_id, level = key
    grants = {grant.pk: grant for found in granted.values() for grant in found if grant.level >= level}
    reaching = {pk for pk, grant in grants.items() if reaches(grant, model_id=model_id, model_name=name)}
    return {
        person.pk: person
        for person in people
        if person.pk in granted and (person.is_superuser or reaching.intersection(g.pk for g in granted[person.pk]))
    }


# Nobody replaces anybody in None and Archived: many versions lie there.
_LATEST = Prepared(
    lambda models: LatestVersion.objects.filter(model_id__in=models, stage__in=HELD_STAGES).select_related(
        "version__evidence", "version__model"
    ),
    Many(int),
)
_ALIASES = Prepared(
    lambda models, names: Alias.objects.filter(model_id__in=models, name__in=names).select_related(
        "version__evidence", "version__model"
    ),
    *(Many(int), Many(str)),
)


def _holders(questions: Sequence[Question]) -> list[tuple[ModelVersion | None, ModelVersion | None]]:
    """Who holds each question's target, and Production, now; a version is never its own baseline."""
    latest = _LATEST.all({q.version.model_id for q in questions})
    held = {(row.model_id, row.stage): row.version for row in latest}
    of_alias = [q for q in questions if q.target.kind == TargetKind.ALIAS]
    aliases = _ALIASES.all({q.version.model_id for q in of_alias}, {q.target.name for q in of_alias})
    aliased = {(row.model_id, row.name): row.version for row in aliases}

    holders = []
    for question in questions:
        model_id = question.version.model_id
        holding = held if question.target.kind == TargetKind.STAGE else aliased
        holders.append(
            (_other(question, holding.get((model_id, question.target.name))), held.get((model_id, Stage.PRODUCTION)))
        )
    return holders


def _other(question: Question, holder: ModelVersion | None) -> ModelVersion | None:
    return holder if holder and holder.pk != question.version.pk else None


def makers_of(version: ModelVersion) -> dict[int, str]:
    """The people who registered or trained it, and which of the two."""
    trainers, _ = _trainers([version])
    return _makers(version, trainers)


def _authors(question: Question, trainers: dict[str, set[int]]) -> dict[int, str]:
    return {**_makers(question.version, trainers), question.asker.person_id: "asked for"}


def _makers(version: ModelVersion, trainers: dict[str, set[int]]) -> dict[int, str]:
    makers = {
        person: "trained" for source in (version.run_id, version.logged_model_id) for person in trainers.get(source, ())
    }
    if version.user:
        makers[version.user.person_id] = "registered"
    return makers


_REVIEWS = Prepared(
    lambda requests: (
        Review.objects.current()
        .filter(request_id__in=requests, person__is_active=True)
        .select_related("reviewer", "person")
        .order_by("id")
    ),
    Many(int),
)


def _reviews(request_ids: Sequence[int], read: Sequence[Review] | None = None) -> dict[int, list[Review]]:
    """By request, each person's newest verdict that nobody dismissed, the oldest first."""
    rows: Iterable[Review]
    if read is None:
        rows = _REVIEWS.all(request_ids)
    else:
        rows = (r for r in reversed(read) if r.is_current and r.dismissed_at is None and r.person.is_active)
    found: dict[int, list[Review]] = {}
    for review in rows:
        found.setdefault(review.request_id, []).append(review)
    return found


_RUNS = Prepared(
    lambda runs: Run.objects.filter(run_id__in=runs).values_list(*OF_A_RUN),
    Many(str),
)
_LOGGED_MODELS = Prepared(
    lambda models: LoggedModel.objects.filter(model_id__in=models, user__isnull=False).values_list(
        "model_id", "user_id", "user__owner_id"
    ),
    Many(str),
)


def _trainers(
    versions: Iterable[ModelVersion],
    *,
    watched: Sequence[ModelVersion] = (),
    requests: Sequence[TransitionRequest | None] = (),
) -> tuple[dict[str, set[int]], dict[str, str]]:
    """Run id or logged model id -> the people behind the accounts that made it; and run id -> the status of the run,
    for the ``watched`` versions. Runs that came along with ``requests`` are not read again."""
    pairs = [(version.run_id, version.logged_model_id) for version in versions]
    wanted = {run_id for run_id, _ in pairs} | {version.run_id for version in watched}
    trainers: dict[str, set[int]] = {}
    statuses = {}
    along = {asked.version.run_id: asked.runs for asked in requests if asked and asked.runs is not None}
    rows = [row for run_id in wanted for row in along.get(run_id, ())]
    if unread := wanted - along.keys() - {""}:
        rows += _RUNS.all(unread)
    for name, status, user_id, owner_id in rows:
        statuses[name] = status
        if user_id:
            trainers.setdefault(name, set()).add(owner_id or user_id)
    if logged := {model_id for _, model_id in pairs if model_id}:
        for name, user_id, owner_id in _LOGGED_MODELS.all(logged):
            trainers.setdefault(name, set()).add(owner_id or user_id)
    watched_runs = {version.run_id for version in watched}
    return trainers, {name: status for name, status in statuses.items() if name in watched_runs}


_MEMBERS = Prepared(
    lambda teams: (
        Membership.objects.filter(team__name__in=teams, user__is_active=True)
        .select_related("user", "team")
        .order_by("user__username")
    ),
    Many(str),
)


def _members(teams: Iterable[str]) -> dict[str, dict[int, User]]:
    members: dict[str, dict[int, User]] = {}
    for membership in _MEMBERS.all(set(teams)):
        members.setdefault(membership.team.name, {})[membership.user_id] = membership.user
    return members
