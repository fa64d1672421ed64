"""Policies with their revisions, transition requests, reviews, checks and comments."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Count, Exists, FilteredRelation, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from accounts.models import Level, Membership, User
from accounts.permissions import default_level, grants_of
from core.addresses import address
from core.clock import now
from core.listing import ListOf
from notifications.models import Event
from registry.gate import Target
from registry.models import Evidence, ModelVersion, RegisteredModel, Stage, TargetKind, sees_every_model
from tracking.models import OF_A_RUN, Run


class PolicyQuerySet(models.QuerySet["Policy"]):
    def in_force(self) -> PolicyQuerySet:
        """Those that guard something today, each with its current text."""
        return self.filter(archived_at=None, current__isnull=False).select_related("current").order_by("name")


class Policy(models.Model):
    """A named policy; ``current`` is the revision in force. Archiving takes it out of force, its history stays."""

    name = models.SlugField(max_length=100, unique=True)
    current = models.ForeignKey("PolicyRevision", null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=now)
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = PolicyQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "policies"

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return address("policy", self.name)


class PolicyRevision(models.Model):
    """One immutable text of a policy. An unreadable text never gets here; one that became unreadable blocks."""

    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    text = models.TextField()
    # None: published from the command line of the server.
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=now)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["policy", "number"], name="one_text_per_revision")]

    def __str__(self) -> str:
        return f"{self.policy} revision {self.number}"


def _like(user: User) -> Q:
    """The Awaited rows that ``user`` would satisfy: by a team, or by their level on the model."""
    teams = Membership.objects.filter(user=user.person_id).values("team__name")
    level = Level.MANAGE if user.is_superuser else default_level()
    found = Q(team__in=teams) | Q(team="", level__lte=level)
    for grant in grants_of(user):
        where = Q(request__model=grant.model_id) if grant.model_id else Q(request__model__name__glob=grant.pattern)
        found |= where & Q(team="", level__lte=grant.level)
    return found


# What one line of a list says of a request: the recorded verdicts, the evidence and the tags are long.
_OF_A_LINE = (
    "target_kind", "target", "comment", "state", "is_bypassed", "created_at", "closed_at", "closed_reason", "outlook",
    "model__name", "version__version", "requester__username",
)  # fmt: skip


class TransitionRequestQuerySet(models.QuerySet["TransitionRequest"]):
    def visible_to(self, user: User) -> TransitionRequestQuerySet:
        """Those about models that ``user`` may read."""
        if sees_every_model(user):
            return self
        return self.filter(model__in=RegisteredModel.objects.visible_to(user))

    def pending(self) -> TransitionRequestQuerySet:
        return self.filter(state__in=TransitionRequest.PENDING)

    def decided(self) -> TransitionRequestQuerySet:
        return self.filter(closed_at__isnull=False)

    def due(self, *, since: datetime, until: datetime) -> TransitionRequestQuerySet:
        """Open ones whose moment came in between."""
        return self.filter(state=TransitionRequest.State.OPEN, not_before__gt=since, not_before__lte=until)

    def for_target(self, target: Target) -> TransitionRequestQuerySet:
        return self.filter(target_kind=target.kind, target=target.name)

    def waiting_on(self, user: User) -> TransitionRequestQuerySet:
        """Open ones in which it is this person's turn: somebody like them is awaited, and they have not spoken.

        Memberships and levels are those of now; what is awaited is as of the last look at the request (Awaited).
        """
        person = user.person_id
        made = Q(request__requester=person) | Q(request__requester__owner=person)
        made |= Q(request__version__user=person) | Q(request__version__user__owner=person)
        of_version = Run.objects.filter(pk=OuterRef("request__version__run_id"))  # not all that they ever trained
        made |= Q(Exists(of_version.filter(Q(user=person) | Q(user__owner=person))))
        like_them = Awaited.objects.filter(_like(user))
        wanted = like_them.filter(request=OuterRef("pk")).exclude(made, authors_too=False)
        spoken = Review.objects.current().filter(request=OuterRef("pk"), person=person)
        mine = Reviewer.objects.filter(request=OuterRef("pk"), person=person)
        asked, recused = mine.filter(asked_by__isnull=False), mine.filter(recused_at__isnull=False)
        waiting = (Q(Exists(wanted)) & ~Exists(spoken)) | Exists(asked)
        # Said twice, for speed: for most people nobody like them is awaited anywhere, and most requests are closed.
        invited = Reviewer.objects.filter(person=person, asked_by__isnull=False)
        near = Q(pk__in=like_them.values("request")) | Q(pk__in=invited.values("request"))
        rows = self.visible_to(user).pending().filter(near)
        return rows.filter(waiting, ~Exists(recused), state=TransitionRequest.State.OPEN)

    def as_shown_to(self, person: int) -> TransitionRequestQuerySet:
        """With the last look of this person at each (``look``), the number of the last event about it or its version
        (``newest``), the request by which another version got the same last (``applied_before`` and the number of
        that version), and how many others are in the stage that is asked for."""
        about = {"model_name": OuterRef("model__name"), "version": OuterRef("version__version")}
        events = Event.objects.filter(Q(request_id=OuterRef("pk")) | Q(request_id=None), **about)
        mine = FilteredRelation("looks", condition=Q(looks__person=person))
        same = {name: OuterRef(name) for name in ("model", "target_kind", "target")}
        applied = TransitionRequest.objects.filter(**same, state=TransitionRequest.State.APPLIED, pk__lt=OuterRef("pk"))
        applied = applied.exclude(version=OuterRef("version")).order_by("-pk")
        there = ModelVersion.objects.live().filter(model=OuterRef("model"), current_stage=OuterRef("target"))
        others = there.exclude(pk=OuterRef("version")).order_by().values("model").annotate(count=Count("pk"))
        return self.annotate(
            look=mine,
            newest=Coalesce(Subquery(events.order_by("-pk").values("pk")[:1]), 0),
            applied_before=Subquery(applied.values("pk")[:1]),
            version_before=Subquery(applied.values("version__version")[:1]),
            others_there=Coalesce(Subquery(others.values("count")), 0),
        ).select_related("look")  # type: ignore[misc]

    def with_runs(self) -> TransitionRequestQuerySet:
        """With the run of each version (``runs``), for where the request stands."""
        return self.annotate(runs=ListOf(Run.objects.filter(pk=OuterRef("version__run_id")), *OF_A_RUN))

    def lines(self) -> TransitionRequestQuerySet:
        """What one line of a list says of a request, and no more."""
        return self.select_related("model", "version", "requester").only(*_OF_A_LINE)

    def with_rows(self) -> TransitionRequestQuerySet:
        """Everything that the review page and the API say about a request, in one statement."""
        return self.select_related(
            "model",
            "version__model",
            "version__evidence",
            "version__user",
            "requester",
            "closed_by",
            "evidence",
            "baseline__model",
        )


class TransitionRequest(models.Model):
    """Somebody asks that a version gets a stage or an alias. Opening pins what it is judged on."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        NEEDS_CHANGES = "needs_changes", "Changes asked for"
        APPLIED = "applied", "Applied"
        REJECTED = "rejected", "Rejected"
        WITHDRAWN = "withdrawn", "Withdrawn"
        SUPERSEDED = "superseded", "Superseded"
        EXPIRED = "expired", "Expired"

    PENDING = (State.OPEN, State.NEEDS_CHANGES)
    # The state machine: from each state, where it may go.
    MOVES: dict[str, tuple[str, ...]] = {
        State.OPEN: (
            State.NEEDS_CHANGES, State.APPLIED, State.REJECTED, State.WITHDRAWN, State.SUPERSEDED, State.EXPIRED,
        ),
        # From here applied by a bypass only; the gate sees to it.
        State.NEEDS_CHANGES: (
            State.OPEN, State.APPLIED, State.REJECTED, State.WITHDRAWN, State.SUPERSEDED, State.EXPIRED,
        ),
    }  # fmt: skip

    id = models.BigAutoField(primary_key=True)
    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="requests")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="requests")
    target_kind = models.CharField(max_length=5, choices=TargetKind.choices, default=TargetKind.STAGE)
    target = models.CharField(max_length=255)
    from_stage = models.CharField(max_length=10, choices=Stage.choices)
    requester = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="transition_requests"
    )
    comment = models.TextField(blank=True)
    archive_existing = models.BooleanField(default=True)
    not_before = models.DateTimeField(null=True)  # when it may be carried out at the earliest, if that was said
    # The request that put the version there the last time: its reviews count for going back to it.
    returns_to = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=15, choices=State.choices, default=State.OPEN)
    # The pins. ``policy_revisions``: ids of the PolicyRevisions in force, sorted.
    policy_revisions = models.JSONField(default=list)
    digest = models.CharField(max_length=64, blank=True)
    evidence = models.ForeignKey(Evidence, on_delete=models.PROTECT, related_name="+")
    baseline = models.ForeignKey(ModelVersion, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=now)
    updated_at = models.DateTimeField(default=now)
    closed_at = models.DateTimeField(null=True)
    closed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    closed_reason = models.TextField(blank=True)
    is_bypassed = models.BooleanField(default=False)  # carried out although not all was met; closed_reason says why
    recused = models.JSONField(
        default=list
    )  # ids of who stepped back (Reviewer): every look at a request asks for them
    outlook = models.JSONField(null=True)  # what lists say of it while it is pending: see approvals/outlook.py
    reminded_at = models.DateTimeField(null=True)  # when those who are awaited were last reminded
    # The verdict tree that the decision was made on, once closed.
    verdict = models.JSONField(null=True)

    # No columns: what ``as_shown_to`` and ``with_runs`` bring along.
    look: Look | None = None
    newest: int = 0
    applied_before: int | None = None
    version_before: int | None = None
    others_there: int | None = None
    runs: list[list[Any]] | None = None

    objects = TransitionRequestQuerySet.as_manager()

    class Meta:
        constraints = [
            # One open request per version, target and requester.
            models.UniqueConstraint(
                fields=["version", "target_kind", "target", "requester"],
                condition=Q(state__in=["open", "needs_changes"]),
                name="one_open_request_per_requester",
            ),
        ]
        indexes = [
            # The inbox: all that is open, newest first.
            models.Index(fields=["-id"], name="request_open_idx", condition=Q(state__in=["open", "needs_changes"])),
            models.Index(fields=["requester", "-id"], name="request_mine_idx"),
            models.Index(fields=["model", "-id"], name="request_model_idx"),  # a model's requests
            # What the minute has come for.
            models.Index(
                fields=["not_before"],
                name="request_scheduled_idx",
                condition=Q(state="open", not_before__isnull=False),
            ),
            models.Index(fields=["-closed_at"], name="request_decided_idx", condition=Q(closed_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"request {self.pk}: {self.version} to {self.target}"

    def get_absolute_url(self) -> str:
        return address("request", self.pk)

    @property
    def is_pending(self) -> bool:
        return self.state in self.PENDING

    @property
    def asks_for(self) -> Target:
        return Target(TargetKind(self.target_kind), self.target)


class Awaited(models.Model):
    """A kind of reviewer that an open request still waits for: a team, or (``team`` empty) whoever has ``level``.

    Written whenever the request is looked at under its lock, with its ``outlook``, so that "whose turn is it" is one
    statement on every page. Nothing is decided on it.
    """

    request = models.ForeignKey(TransitionRequest, on_delete=models.CASCADE, related_name="awaited")
    team = models.CharField(max_length=100, blank=True)
    level = models.PositiveSmallIntegerField(null=True, choices=Level.choices)
    authors_too = models.BooleanField(default=False)  # whether who asked for, registered or trained it counts as well

    class Meta:
        verbose_name_plural = "awaited"
        constraints = [
            models.UniqueConstraint(
                fields=["request", "team", "level"], nulls_distinct=False, name="one_row_per_awaited_kind"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.request} waits for {self.team or self.get_level_display()}"


class Reviewer(models.Model):
    """Somebody with a part in a request by name: asked to look at it, or stepped back from it. Neither counts as a
    verdict: whose approval is needed is the policy's to say.

    Asked is who has an ``asked_by``; ``asked_at`` outlives it, as the last time that they were told.
    """

    request = models.ForeignKey(TransitionRequest, on_delete=models.CASCADE, related_name="reviewers")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(null=True)
    recused_at = models.DateTimeField(null=True)
    recused_reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["request", "person"], name="one_part_per_person")]

    def __str__(self) -> str:
        return f"{self.person} in {self.request}"


class Look(models.Model):
    """When somebody last looked at a request, and what was on the table then: what is new since is marked."""

    request = models.ForeignKey(TransitionRequest, on_delete=models.CASCADE, related_name="looks")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField(default=now)
    evidence = models.CharField(max_length=64, blank=True)
    policy_revisions = models.JSONField(default=list)
    baseline = models.ForeignKey(ModelVersion, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["request", "person"], name="one_look_per_person")]

    def __str__(self) -> str:
        return f"{self.person} looked at {self.request}"


class ReviewQuerySet(models.QuerySet["Review"]):
    def current(self) -> ReviewQuerySet:
        """Each person's newest verdict, unless something moved under it since."""
        return self.filter(is_current=True, dismissed_at=None)

    def approvals(self) -> ReviewQuerySet:
        return self.filter(decision=Review.Decision.APPROVE)


class Review(models.Model):
    """One person's verdict and what they saw. Never edited: a newer one of the same person replaces it in the count."""

    class Decision(models.TextChoices):
        APPROVE = "approve", "Approved"
        REQUEST_CHANGES = "request_changes", "Asked for changes"
        REJECT = "reject", "Rejected"

    request = models.ForeignKey(TransitionRequest, on_delete=models.PROTECT, related_name="reviews")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="reviews")
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )  # behind a credential
    decision = models.CharField(max_length=15, choices=Decision.choices)
    comment = models.TextField(blank=True)
    teams = models.JSONField(default=list)  # names of the reviewer's teams then, for the record
    # What was on the table when this was decided.
    seen_digest = models.CharField(max_length=64, blank=True)
    seen_evidence = models.CharField(max_length=64)
    seen_policy_revisions = models.JSONField(default=list)
    seen_baseline = models.ForeignKey(ModelVersion, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=now)
    is_current = models.BooleanField(default=True)  # the person's newest verdict on this request
    dismissed_at = models.DateTimeField(null=True)
    dismissed_reason = models.CharField(max_length=300, blank=True)

    objects = ReviewQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            # A person counts once, whatever credentials they hold.
            models.UniqueConstraint(
                fields=["request", "person"], condition=Q(is_current=True), name="one_current_review_per_person"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reviewer}: {self.get_decision_display()}"


class CheckQuerySet(models.QuerySet["Check"]):
    def current(self) -> CheckQuerySet:
        """The last word of each reporter on each check of the same bytes."""
        return self.filter(is_current=True)


class Check(models.Model):
    """What a machine found out about a version and reported: tests, a scan, a fairness study. Never edited: a newer
    report of the same reporter on the same bytes replaces it."""

    class Status(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        PASSED = "passed", "Passed"
        FAILED = "failed", "Failed"
        ERROR = "error", "Error"

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="checks", db_index=False)
    name = models.CharField(max_length=250)
    reporter = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    status = models.CharField(max_length=10, choices=Status.choices)
    digest = models.CharField(max_length=64, blank=True)  # of the bytes that were looked at
    figure = models.CharField(max_length=100, blank=True)
    link = models.CharField(max_length=1000, blank=True)
    summary = models.TextField(blank=True)
    reported_at = models.DateTimeField(default=now)
    is_current = models.BooleanField(default=True)

    objects = CheckQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "name", "reporter", "digest"],
                condition=Q(is_current=True),
                name="one_current_report_per_check",
            ),
        ]
        indexes = [models.Index(fields=["version", "-id"], name="check_history_idx")]

    def __str__(self) -> str:
        return f"{self.name} of {self.version}: {self.get_status_display()}"

    @property
    def is_stale(self) -> bool:
        """Reported on other bytes than the version has: it counts for nothing."""
        return self.digest != self.version.digest


class CommentQuerySet(models.QuerySet["Comment"]):
    def visible_to(self, user: User) -> CommentQuerySet:
        """Those that ``user`` finds on some page: a version that is gone has none."""
        there = Q(request__isnull=False) | Q(version__deleted_at=None, version__model__deleted_at=None)
        return self.filter(there, version__model__in=RegisteredModel.objects.visible_to(user))

    def with_rows(self) -> CommentQuerySet:
        """Everything that a comment says of itself, and that decides who may do what with it."""
        return self.select_related("author", "resolved_by", "version__model", "request__requester")

    def open_threads(self) -> CommentQuerySet:
        """The first remarks of threads that nobody has resolved, as long as anything of the thread is left."""
        left = Comment.objects.filter(parent=OuterRef("pk"), deleted_at=None)
        return self.filter(Q(deleted_at=None) | Exists(left), parent=None, resolved_at=None)


class Comment(models.Model):
    """A remark on a request or on a version. Markdown, stored as written.

    One without a ``parent`` begins a thread; a reply's parent is that first remark, and the thread is resolved there.
    A deleted one keeps its place, its author and its times; its text is gone.
    """

    request = models.ForeignKey(TransitionRequest, null=True, on_delete=models.PROTECT, related_name="comments")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="comments")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    parent = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="replies")
    text = models.TextField()
    created_at = models.DateTimeField(default=now)
    edited_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")

    objects = CommentQuerySet.as_manager()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.author}: {self.text[:50]}"

    def get_absolute_url(self) -> str:
        page = self.request.get_absolute_url() if self.request else self.version.get_absolute_url()
        return f"{page}#comment-{self.pk}"


class CommentRevision(models.Model):
    """What a comment said before it was edited."""

    comment = models.ForeignKey(Comment, on_delete=models.PROTECT, related_name="revisions")
    text = models.TextField()
    written_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.comment.author} until {self.written_at:%Y-%m-%d %H:%M}: {self.text[:50]}"
