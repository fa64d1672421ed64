"""Where a request stands: what each policy with a say makes of it, and who can clear what is unmet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from accounts.models import Level, User
from approvals import facts, policy
from approvals.facts import NOTHING_READ, AlreadyRead, Known, Question, asks_for
from approvals.models import Review, TransitionRequest
from approvals.pins import ALL_PARTS, Pins, in_words
from approvals.policy import (
    Baseline,
    CheckFact,
    Dataset,
    Facts,
    Metric,
    ReviewFact,
    RunFact,
    ScanFact,
    SignatureRule,
    Verdict,
)
from approvals.returning import moved_since
from approvals.rulebook import Rule, Rulebook
from core.answers import YES, Answer, no
from registry.comparison import EvidenceData, breaking_changes, has_signature
from registry.evidence import DIRTY_TAG, known_of
from registry.models import FileScan, ModelVersion
from registry.permissions import can_move, level_to_move
from registry.scanning import Scan

Decision = Review.Decision
STEPPED_BACK = "You stepped back from this review. Step in again to give a verdict."
NOT_A_PERSON = "Reviews are for people: nobody can tell who is behind a service account's approval."


# Where no policy asks anybody for approval: one person who may move the version has to want it.
HOUSE_RULE = policy.Policy(
    name="",
    match=policy.Match(models=("*",)),
    guards=(),
    requirements=(policy.ApprovalsRule(count=1),),
    reviews=policy.Reviews(author_may_approve=True),
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one policy says."""

    rule: Rule
    verdict: Verdict

    @property
    def is_met(self) -> bool:
        return self.verdict.all_met

    @property
    def unmet(self) -> tuple[str, ...]:
        """Each requirement that is not met, with the reason and who can clear it."""
        return self.verdict.unmet_sentences or tuple(
            f"{node.title}: {node.reason}" for node in self.verdict.requirements if not node.passes
        )


@dataclass(frozen=True)
class Standing:
    """Everything that pages, the API and the gate say about one question, worked out from what is ``known``."""

    known: Known

    @property
    def rules(self) -> tuple[Rule, ...]:
        return self.known.rules

    @property
    def pins(self) -> Pins:
        return self.known.pins

    @property
    def seen(self) -> str:
        """What a form carries back, so that the server knows what its sender had before their eyes."""
        return self.pins.token

    @property
    def archives_replaced(self) -> bool:
        return any(rule.read is not None and rule.read.archive_replaced for rule in self.rules if rule.leaving is None)

    @cached_property
    def judgements(self) -> tuple[Judgement, ...]:
        return tuple(Judgement(rule, self._judge(rule)) for rule in self.rules)

    @cached_property
    def verdict(self) -> Verdict:
        """The whole: every policy with a say and, where none of them asks anybody, the house's own rule."""
        return policy.combine(
            [*(judged.verdict for judged in self.judgements), *(verdict for _, verdict in self._house), *self._schedule]
        )

    @cached_property
    def _house(self) -> tuple[tuple[policy.Policy, Verdict], ...]:
        return ((HOUSE_RULE, policy.evaluate(HOUSE_RULE, self._facts(None))),) if self._needs_a_mover else ()

    @property
    def _schedule(self) -> tuple[Verdict, ...]:
        review_request = self.known.question.review_request
        if review_request is None or review_request.not_before is None:
            return ()
        waiting = policy.scheduled(review_request.not_before, self.known.at)
        return (waiting,) if waiting else ()

    def verdict_of(self, name: str) -> Verdict:
        """What one policy says alone; and the house, where no policy asks anybody."""
        own = (self._judge(rule) for rule in self.rules if rule.name == name)
        return policy.combine([*own, *(verdict for _, verdict in self._house)])

    @property
    def is_satisfied(self) -> bool:
        return self.verdict.satisfied

    @property
    def unmet(self) -> tuple[str, ...]:
        return self.verdict.unmet_sentences

    @property
    def reviewers(self) -> tuple[int, ...]:
        """The people who can clear a review requirement that is unmet."""
        asked = (node for node in self.verdict.open if node.kind in ("approvals", "objections"))
        return tuple(dict.fromkeys(person for node in asked for person in node.people))

    @property
    def awaited(self) -> dict[tuple[str, Level | None], bool]:
        """Of which teams, or which level on the model, an approval is missing -> whether authors count as well."""
        found: dict[tuple[str, Level | None], bool] = {}
        question = self.known.question
        judged = [(judgement.rule.read, judgement.verdict) for judgement in self.judgements]
        for read, verdict in [*judged, *self._house]:
            authors_too = read is not None and read.reviews.author_may_approve
            for node in verdict.open:
                if node.kind != "approvals":
                    continue
                teams = [child for child in node.children if child.kind == "team"]
                # Enough of each team, and still too few: anybody of them fills up the count.
                short = [child.name for child in teams if not child.passes] or [child.name for child in teams]
                level = level_to_move(question.version, question.target)
                keys: list[tuple[str, Level | None]] = [(team, None) for team in short] or [("", level)]
                found |= {key: authors_too or found.get(key, False) for key in keys}
        return found

    @property
    def expiry(self) -> tuple[datetime, Rule] | None:
        """When the request ends by itself, and by which policy's word: the one that gives the least time. What has all
        it needs, or waits for a moment only, is decided: it does not end."""
        review_request = self.known.question.review_request
        if review_request is None:
            return None
        is_ready = self.is_satisfied or self.verdict.waits_for_time
        if is_ready and review_request.state == TransitionRequest.State.OPEN:
            return None
        ends = [
            (review_request.created_at + rule.read.reviews.expires_after, rule)
            for rule in self.rules
            if rule.read and rule.blocks and rule.read.reviews.expires_after
        ]
        return min(ends, key=lambda end: end[0], default=None)

    @property
    def remind_after(self) -> timedelta | None:
        """How often those who are awaited are told again: as the most eager of the policies that block wants it."""
        asked = (rule.read.reviews.remind_after for rule in self.rules if rule.read and rule.blocks)
        return min((time for time in asked if time), default=None)

    def would_apply(self, user: User) -> bool:
        """Whether an approval by ``user`` now would be the last one needed."""
        return self.would_count(user).allowed and self._with_approval_of(user).is_satisfied

    def _with_approval_of(self, user: User) -> Standing:
        mine = Review(
            request=self.known.question.review_request,
            reviewer=user,
            person_id=user.person_id,
            decision=Decision.APPROVE,
            seen_digest=self.pins.digest,
            seen_evidence=self.pins.evidence,
            seen_policy_revisions=list(self.pins.policy_revisions),
            seen_baseline_id=self.pins.baseline_id,
        )
        others, carried = (
            tuple(review for review in reviews if review.person_id != user.person_id)
            for reviews in (self.known.reviews, self.known.carried)
        )
        return Standing(replace(self.known, reviews=(*others, mine), carried=carried))

    @cached_property
    def drift(self) -> tuple[str, ...]:
        """What has moved since the request was opened or last looked at, as sentences."""
        review_request = self.known.question.review_request
        if review_request is None or review_request.pk is None:
            return ()
        return tuple(in_words((part,)) for part in self.pins.moved(Pins.of_request(review_request)))

    @cached_property
    def void(self) -> tuple[tuple[Review, tuple[str, ...]], ...]:
        """Approvals of something that has moved since, with the parts that count as moved."""
        dismissing = self._dismissing
        found = []
        for review in self.known.reviews:
            parts = tuple(part for part in self.pins.moved(Pins.of_review(review)) if part in dismissing)
            if parts and review.decision == Decision.APPROVE:
                found.append((review, parts))
        return tuple(found)

    @property
    def _dismissing(self) -> frozenset[str]:
        """The parts whose move voids an approval: what any policy with a say names; without one, all of them."""
        if not self.rules or any(rule.read is None for rule in self.rules):
            return ALL_PARTS
        return frozenset().union(*(rule.read.reviews.dismiss_on for rule in self.rules if rule.read))

    @cached_property
    def carried(self) -> tuple[Review, ...]:
        """The verdicts on the request that is returned to which still hold. None of them speaks of a version that took
        the target after this was asked."""
        review_request = self.known.question.review_request
        if review_request and review_request.pk and review_request.baseline_id != self.pins.baseline_id:
            return ()
        dismissing = self._dismissing
        return tuple(review for review in self.known.carried if not moved_since(review, self.pins, dismissing))

    @property
    def not_carried(self) -> str:
        """Why the others do not, as a sentence; empty where all do."""
        moved = [part for review in self.known.carried for part in moved_since(review, self.pins, self._dismissing)]
        if not moved:
            return ""
        because = in_words(tuple(dict.fromkeys(moved)))
        return f"The reviews of request {self.known.carried[0].request_id} do not count here: since then {because}."

    @property
    def _all_reviews(self) -> tuple[Review, ...]:
        """Of who stepped back, approvals of then count no longer; what they objected to stands."""
        recused = self.known.recused
        standing = (r for r in self.carried if r.decision != Decision.APPROVE or r.person_id not in recused)
        return (*standing, *self.known.reviews)

    @cached_property
    def approvals(self) -> tuple[Review, ...]:
        """The approvals that count: of what is on the table now, by people whom a rule counts."""
        voided = [review for review, _ in self.void]
        approving = (review for review in self._all_reviews if review.decision == Decision.APPROVE)
        return tuple(review for review in approving if review not in voided and self.would_count(review.reviewer))

    def would_count(self, user: User) -> Answer:
        """Whether an approval by ``user`` would count for anything here; no carries the reason."""
        if user.is_service:
            return no(NOT_A_PERSON)
        if user.person_id in self.known.recused:
            return no(STEPPED_BACK)
        answers = [self._counts_for(rule, user) for rule in self.rules if rule.approvals]
        if self._needs_a_mover or not any(rule.approvals for rule in self.rules if rule.blocks):
            answers.append(self._may_move(user))
        return next((given for given in answers if given), answers[0])

    def _counts_for(self, rule: Rule, user: User) -> Answer:
        assert rule.read is not None  # one that cannot be read asks nobody
        done = self.known.authors.get(user.person_id)
        if done and not rule.read.reviews.author_may_approve:
            return no(f"You {done} this version: the policy {rule.name} wants somebody else to approve it.")
        if any(user.person_id in self.known.members.get(team, {}) for team in rule.teams):
            return YES
        if any(not asked.teams for asked in rule.approvals):
            return self._may_move(user)
        return no(
            f"The policy {rule.name} counts approvals from {policy.listed(rule.teams)} only; you are in no such team."
        )

    def _may_move(self, user: User) -> Answer:
        if can_move(user, self.known.question.version, self.known.question.target):
            return YES
        return no(
            "Your approval would not count: you may not move this version yourself. Who manages the model can grant it."
        )

    @property
    def _needs_a_mover(self) -> bool:
        """Asking gives nobody a right: where no policy wants approvals, who may move the version approves. Under a
        policy it is enough that this is who asks; without one, approving is a step of its own, as in Databricks. Going
        back on what others said then, nobody of now would have wanted it: that takes such a person too."""
        if self.known.question.review_request is None:
            return False
        blocking = [rule for rule in self.rules if rule.blocks]
        if any(rule.approvals for rule in blocking):
            return bool(self.carried) and not self._asker_may_move
        return not blocking or not self._asker_may_move

    @cached_property
    def _asker_may_move(self) -> bool:
        question = self.known.question
        return bool(can_move(question.asker, question.version, question.target))

    def _judge(self, rule: Rule) -> Verdict:
        if rule.read is None:
            return policy.unreadable(rule.name, rule.problem)
        return policy.evaluate(rule.read, self._facts(rule))

    def _facts(self, rule: Rule | None) -> Facts:
        """What is known, in the words of the policy room; ``rule`` None is the house's rule."""
        known, question = self.known, self.known.question
        version, model = question.version, question.version.model
        target = (rule.leaving if rule else None) or question.target
        return Facts(
            model_name=model.name,
            model_tags=model.tags,
            version=version.version,
            description=version.description,
            tags=version.tags,
            has_signature=asks_for(SignatureRule, rule) and has_signature(known_of(version)),
            run=_run(version, known.run_status),
            target=target.name,
            target_kind=target.kind,
            from_stage=version.current_stage,
            leaving=rule is not None and rule.leaving is not None,
            requester=question.asker.person_id,
            requester_name=question.asker.username,
            authors=frozenset(known.authors),
            now=known.at,
            metrics=_metrics(version),
            baseline=_baseline(known.baseline, version, compares=asks_for(SignatureRule, rule)),
            production=_baseline(known.production, version, compares=asks_for(SignatureRule, rule)),
            reviews=tuple(self._review(review, rule) for review in self._counting_for(rule)),
            team_members={
                team: {pk: person.username for pk, person in members.items() if pk not in known.recused}
                for team, members in (known.members | known.vouchers).items()
            },
            reviewers={pk: person.username for pk, person in known.movers.items() if pk not in known.recused},
            checks=tuple(
                CheckFact(
                    name=check.name,
                    reporter=check.reporter.username,
                    status=check.status,
                    digest_matches=check.digest == version.digest,
                    figure=check.figure,
                    link=check.link,
                    person=None if check.reporter.is_service else check.reporter_id,
                )
                for check in known.checks
            ),
            scan=_scan(known.scan),
            open_threads=None if known.threads is None else len(known.threads),
            thread_resolvers=self._resolvers,
        )

    @cached_property
    def _resolvers(self) -> dict[int, str]:
        """Who may resolve the open threads: who began them, who asked, and who may move the version."""
        threads = self.known.threads or ()
        found = [thread.author for thread in threads]
        found += [thread.request.requester for thread in threads if thread.request]
        found += self.known.resolvers.values()
        return {user.person_id: user.username for user in found if user.is_active}

    def _counting_for(self, rule: Rule | None) -> tuple[Review, ...]:
        """What was said then makes nobody of now want it: for the house's rule it counts if the asker may move it."""
        return self._all_reviews if rule or not self.known.carried or self._asker_may_move else self.known.reviews

    def _review(self, review: Review, rule: Rule | None) -> ReviewFact:
        why_not = self._why_not(review, rule) if review.decision == Decision.APPROVE else ""
        members = self.known.members
        return ReviewFact(
            person=review.person_id,
            display=review.reviewer.username,
            verdict=review.decision,
            teams=frozenset(team for team in (rule.teams if rule else ()) if review.person_id in members.get(team, {})),
            counts=not why_not,
            why_not=why_not,
        )

    def _why_not(self, review: Review, rule: Rule | None) -> str:
        for voided, parts in self.void:
            if voided is review:
                return f"since this approval {in_words(parts)}"
        if review.reviewer.is_service:
            return NOT_A_PERSON
        if rule and any(review.person_id in self.known.members.get(team, {}) for team in rule.teams):
            return ""
        if rule and rule.teams and all(asked.teams for asked in rule.approvals):
            return f"{review.reviewer.username} is in none of the teams {policy.listed(rule.teams)}"
        if can_move(review.reviewer, self.known.question.version, self.known.question.target):
            return ""
        return f"{review.reviewer.username} may not move this version"


def standing_of(review_request: TransitionRequest, *, read: AlreadyRead = NOTHING_READ) -> Standing:
    """In a constant number of statements; ``TransitionRequest.objects.with_rows()`` brings the rows it reads from, a
    page what it has ``read`` already."""
    [known] = facts.gather([facts.of_request(review_request)], read=read)
    return Standing(known)


def standings_of(requests: Sequence[TransitionRequest], *, rulebook: Rulebook | None = None) -> list[Standing]:
    """For a list of requests, in as many statements as for one; by other policies than those in force, if given."""
    questions = [facts.of_request(review_request) for review_request in requests]
    return [Standing(known) for known in facts.gather(questions, rulebook=rulebook)]


def answer(question: Question, *, rulebook: Rulebook | None = None) -> Standing:
    """Where a change stands that nobody has asked for yet."""
    return Standing(facts.gather([question], rulebook=rulebook)[0])


def _metrics(version: ModelVersion) -> dict[str, Metric]:
    """Its evidence's metrics; a value that no JSON number can say is written as a word there."""
    found = known_of(version)["metrics"]
    return {key: Metric(float(entry["value"]), entry.get("dataset", "")) for key, entry in found.items()}


def _scan(scan: Scan | None) -> ScanFact | None:
    if scan is None:
        return None
    unsafe, unread = (
        tuple(f"{path}: {sentence}" for path, sentence in scan.findings(verdict))
        for verdict in (FileScan.Verdict.UNSAFE, FileScan.Verdict.UNREAD)
    )
    return ScanFact(files=len(scan.files), pending=scan.pending, unsafe=unsafe, unread=unread)


def _baseline(holder: ModelVersion | None, version: ModelVersion, *, compares: bool) -> Baseline | None:
    """``compares``: whether anybody asks about signatures, whose reading takes a while."""
    if holder is None:
        return None
    known = known_of(holder)
    return Baseline(
        version=holder.version,
        metrics=_metrics(holder),
        has_signature=compares and has_signature(known),
        breaks=breaking_changes(known, known_of(version)) if compares else (),
        datasets=_datasets(known),
    )


def _run(version: ModelVersion, status: str) -> RunFact | None:
    """From its evidence, so that it is what was reviewed; ``status`` as of now."""
    known = known_of(version)
    if known["run"] is None:
        return None
    return RunFact(
        status=status or known["run"].get("status", ""),
        commit=known["commit"],
        dirty={"true": True, "false": False}.get(known["tags"].get(DIRTY_TAG, "").lower()),
        datasets=_datasets(known),
    )


def evaluated_on(known: EvidenceData) -> frozenset[tuple[str, str]]:
    """(name, digest) of each dataset that the run of a version was evaluated on."""
    return policy.evaluated_on(_datasets(known))


def _datasets(known: EvidenceData) -> tuple[Dataset, ...]:
    return tuple(Dataset(d["name"], d["digest"], d.get("context", "")) for d in known["datasets"])
