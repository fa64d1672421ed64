"""Events, the channels that hear of them, and the deliveries of each event to each channel."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import reduce
from operator import or_

from django.conf import settings
from django.db import models
from django.db.models import Q, Subquery
from django.db.models.functions import Cast, Coalesce
from django.db.models.lookups import Exact

from accounts.models import User
from core.clock import now
from core.errors import Invalid
from core.lookups import Unindexed
from core.prepared import NO_KEY

# Numbers of events follow time, but for the clocks of several servers.
CLOCKS_DIFFER = timedelta(hours=1)


class EventQuerySet(models.QuerySet["Event"]):
    def fitting(
        self,
        *,
        kind: str = "",
        actor: str = "",
        model: str = "",
        version: int | None = None,
        request: int | None = None,
        since: date | None = None,
        until: date | None = None,
    ) -> EventQuerySet:
        """Those that fit all that is given: ``actor`` is the name of an account, ``model`` what the model was called
        then, ``since`` and ``until`` are days in UTC, both included.

        Raises Invalid for a version without its model, and for a day that no calendar of ours has.
        """
        if version is not None and not model:
            raise Invalid("Name the model too: each counts its versions from 1.", field="version")
        columns = {"model_name": model, "version": version, "request_id": request}
        rows = self.filter(**{column: value for column, value in columns.items() if value not in ("", None)})
        common = {"kind": kind, "actor_id": _key_of(actor) if actor else ""}
        for column, value in common.items():
            if value != "":  # of a model there is less than of a kind or a person
                rows = rows.filter(Exact(Unindexed(column), value) if model else Q(**{column: value}))
        if since:
            start = _midnight(since, "since")
            rows = rows.filter(created_at__gte=start, pk__gt=_number_before(start))
        if until:
            end = _midnight(until, "until") + timedelta(days=1)
            rows = rows.filter(created_at__lt=end, pk__lt=_number_after(end))
        return rows


def _key_of(username: str) -> int:
    """And no subquery: by the key PostgreSQL knows who does most of what happens, and who hardly anything."""
    return User.objects.filter(username=username).values_list("pk", flat=True).first() or NO_KEY


def _midnight(day: date, field: str) -> datetime:
    if not 2000 <= day.year < 3000:
        raise Invalid("Give a day between the years 2000 and 2999.", field=field)
    return datetime.combine(day, time(), UTC)


def _number_before(moment: datetime) -> Coalesce:
    """All that happened since has a higher number: where a walk through the newest, which cannot see times, ends."""
    earlier = Event.objects.filter(created_at__lt=moment - CLOCKS_DIFFER).order_by("-created_at")
    return Coalesce(Subquery(earlier.values("pk")[:1]), 0)


def _number_after(moment: datetime) -> Coalesce:
    """All that happened before has a lower number: where such a walk begins."""
    later = Event.objects.filter(created_at__gte=moment + CLOCKS_DIFFER).order_by("created_at")
    return Coalesce(Subquery(later.values("pk")[:1]), models.Value(2**63 - 1))


class Event(models.Model):
    """Something that happened, saved with the change. Rows are only ever added (and marked as fanned out).

    ``summary`` is the sentence people read; ``path`` is the page to open; ``audience`` the ids of the people to be
    told personally, fixed when it happened. ``model_id`` says which model it was that had the name then; no foreign
    key, because models live in a room above this one.
    """

    id = models.BigAutoField(primary_key=True)
    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=64)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    model_name = models.CharField(max_length=256, blank=True)
    model_id = models.BigIntegerField(null=True)
    version = models.PositiveIntegerField(null=True)
    request_id = models.BigIntegerField(null=True)
    summary = models.TextField()
    path = models.CharField(max_length=1000, blank=True)
    data = models.JSONField(default=dict)
    audience = models.JSONField(default=list)
    created_at = models.DateTimeField(default=now)
    fanned_out_at = models.DateTimeField(null=True)

    objects = EventQuerySet.as_manager()

    class Meta:
        indexes = [
            # The sweep: what has not been fanned out.
            models.Index(fields=["id"], name="event_unsent_idx", condition=Q(fanned_out_at=None)),
            models.Index(fields=["model_name", "-id"], name="event_model_idx"),  # the activity of a model
            # Since when a name belongs to the model that has it now.
            models.Index(
                fields=["model_name", "-id"],
                name="event_name_taken_idx",
                condition=Q(kind__in=["registered_model.created", "registered_model.renamed"]),
            ),
            models.Index(fields=["request_id", "id"], name="event_request_idx"),  # the timeline of a request
            # The filters of the activity page: by kind, by actor (also whether somebody ever acted), by version (also
            # the activity of a version), and which numbers a day has.
            models.Index(fields=["kind", "-id"], name="event_kind_idx"),
            models.Index(fields=["actor", "-id"], name="event_actor_idx"),
            models.Index(
                fields=["model_name", "version", "-id"],
                name="event_version_idx",
                condition=Q(version__isnull=False),
            ),
            models.Index(fields=["created_at"], name="event_moment_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class ChannelQuerySet(models.QuerySet["Channel"]):
    def shared(self) -> ChannelQuerySet:
        """Those that administrators manage, and have not deleted."""
        return self.filter(user=None, deleted_at=None)

    def webhooks(self, form: str) -> ChannelQuerySet:
        return self.shared().filter(kind=Channel.Kind.WEBHOOK, form=form)

    def naming(self, kinds: Iterable[str]) -> ChannelQuerySet:
        """Those that name one of these kinds. Looked for as text, quotes included: SQLite cannot ask a list."""
        asked = [Q(kinds_as_text__contains=f'"{kind}"') for kind in kinds]
        return self.annotate(kinds_as_text=Cast("kinds", models.TextField())).filter(reduce(or_, asked, Q(pk__in=[])))


class Channel(models.Model):
    """Where events go: the mailbox of one person (``user`` set, made when first needed), or a shared channel.

    ``target`` holds the address or the secret URL, ``secret`` what signs a webhook's messages, ``authorization`` the
    header that it sends; all are encrypted with the site's key. ``kinds`` are named as the form of the webhook names
    them. With a ``model_id`` it hears of that one model, whatever its name; else of those that ``models_glob`` fits.
    """

    class Kind(models.TextChoices):
        EMAIL = "email", "Email"
        SLACK = "slack", "Slack"
        WEBHOOK = "webhook", "Webhook"

    class Form(models.TextChoices):
        STANDARD = "standard", "Standard Webhooks"
        MLFLOW = "mlflow", "MLflow"
        DATABRICKS = "databricks", "Databricks"

    key = models.UUIDField(null=True, unique=True, editable=False)  # what a webhook is known by outside
    kind = models.CharField(max_length=20, choices=Kind.choices)
    form = models.CharField(max_length=20, choices=Form.choices, blank=True)  # of webhooks: how their messages look
    name = models.CharField(max_length=100)
    description = models.CharField(max_length=1000, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="channels"
    )
    target = models.TextField()
    secret = models.TextField(blank=True)
    authorization = models.TextField(blank=True)
    job_id = models.BigIntegerField(default=0)  # the job that it runs in a Databricks workspace; 0 for none
    model_id = models.BigIntegerField(null=True)
    models_glob = models.CharField(max_length=256, default="*")
    kinds = models.JSONField(default=list, blank=True)  # event kinds; empty means all that people are told of
    is_active = models.BooleanField(default=True)
    # It hears of what happens from here on, however late an event is fanned out; None of a mailbox, which hears of all.
    active_since = models.DateTimeField(null=True)
    is_in_test_mode = models.BooleanField(default=False)  # switched off, but for tests of a webhook
    disabled_reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=now)
    updated_at = models.DateTimeField(default=now)
    deleted_at = models.DateTimeField(null=True)  # its deliveries stay, what led to it is erased

    objects = ChannelQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "kind"], condition=Q(user__isnull=False), name="one_channel_per_person"
            ),
            # A webhook has a form and a key, and nothing else has.
            models.CheckConstraint(
                condition=Q(kind="webhook", key__isnull=False) & ~Q(form="")
                | ~Q(kind="webhook") & Q(form="", key__isnull=True),
                name="webhooks_have_form_and_key",
            ),
        ]
        indexes = [
            # The webhooks of a model: listed, heard of, and ended with it.
            models.Index(fields=["model_id"], name="channel_model_idx", condition=Q(model_id__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.name}"


class Delivery(models.Model):
    """One event on its way to one channel. Long waits live in ``next_attempt_at``, never in a waiting task.

    ``part`` tells the messages apart where a form makes several of one event; else it is empty.
    """

    class State(models.TextChoices):
        PENDING = "pending", "Waiting"
        LEASED = "leased", "Sending"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"

    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries")
    part = models.CharField(max_length=100, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=now)
    lease = models.UUIDField(null=True)  # whose claim it is: a worker that lost its lease writes nothing
    lease_until = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["event", "channel", "part"], name="one_delivery_per_part_and_channel")
        ]
        indexes = [
            # The claim: what is due, and leases that ran out.
            models.Index(fields=["next_attempt_at"], name="delivery_due_idx", condition=Q(state="pending")),
            models.Index(fields=["lease_until"], name="delivery_leased_idx", condition=Q(state="leased")),
            models.Index(fields=["-id"], name="delivery_failed_idx", condition=Q(state="failed")),  # the page's filter
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.channel}: {self.state}"


class Attempt(models.Model):
    """One try of a delivery and the answer it got."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="tries")
    at = models.DateTimeField(default=now)
    succeeded = models.BooleanField()
    status_code = models.PositiveSmallIntegerField(null=True)
    answer = models.TextField(blank=True)  # the first 1,000 characters
    duration_ms = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{'sent' if self.succeeded else 'failed'} at {self.at:%Y-%m-%d %H:%M:%S}"
