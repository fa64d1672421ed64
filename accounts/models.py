"""People, teams, service accounts, their credentials and their grants."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.db.models import Q
from django.utils.module_loading import import_string

from core.clock import now

EVERY_MODEL = "*"


class Level(models.IntegerChoices):
    """How far somebody may go with a model; each level includes the ones before it."""

    NONE = 0, "No access"
    READ = 1, "Read"
    EDIT = 2, "Edit"
    MANAGE_STAGING_VERSIONS = 3, "Manage Staging versions"
    MANAGE_PRODUCTION_VERSIONS = 4, "Manage Production versions"
    MANAGE = 5, "Manage"


class User(AbstractUser):
    """A person, or a service account: a user without a password that belongs to somebody.

    ``is_superuser`` is the administrator. Users are switched off (``is_active``), never deleted: events name them.
    """

    is_service = models.BooleanField(default=False)
    is_auditor = models.BooleanField(default=False)
    owner = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="service_accounts")
    # No column: the names of the models that the credential of this very request reaches (Token.pattern).
    reach = EVERY_MODEL

    class Meta(AbstractUser.Meta):
        constraints = [
            # Only a service account has an owner: "who is behind this credential" never loops.
            models.CheckConstraint(condition=Q(owner__isnull=True) | Q(is_service=True), name="only_service_has_owner"),
        ]

    @property
    def person_id(self) -> int:
        """Who is behind the credential: the owner of a service account, else the user. Reviews count by this."""
        return self.owner_id or self.pk

    @property
    def display_name(self) -> str:
        return self.get_full_name() or self.username


ADMINS = "admins"  # what doors call the administrators as a group; no team has that name


class Team(models.Model):
    name = models.SlugField(max_length=100, unique=True)
    members = models.ManyToManyField(User, through="Membership", related_name="teams")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    since = models.DateTimeField(default=now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "user"], name="one_membership_per_team")]

    def __str__(self) -> str:
        return f"{self.user} in {self.team}"


class Grant(models.Model):
    """A level for a person or a team, on one model (``model_id``, follows renames) or on a glob of names.

    ``model_id`` is the id of a registered model; no foreign key, because models live in a room above this one.
    """

    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE, related_name="grants")
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.CASCADE, related_name="grants")
    level = models.PositiveSmallIntegerField(choices=Level.choices)
    model_id = models.BigIntegerField(null=True, blank=True)
    pattern = models.CharField(max_length=256, blank=True)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(user__isnull=True) ^ Q(team__isnull=True), name="grant_to_user_or_team"),
            models.CheckConstraint(
                condition=Q(model_id__isnull=True) ^ Q(pattern=""), name="grant_on_model_or_pattern"
            ),
            # One level per holder and object: granting again replaces. Pattern "" and model id null mean "not this".
            models.UniqueConstraint(
                fields=["user", "model_id"],
                condition=Q(user__isnull=False, pattern=""),
                name="one_user_grant_per_model",
            ),
            models.UniqueConstraint(
                fields=["user", "pattern"],
                condition=Q(user__isnull=False) & ~Q(pattern=""),
                name="one_user_grant_per_glob",
            ),
            models.UniqueConstraint(
                fields=["team", "model_id"],
                condition=Q(team__isnull=False, pattern=""),
                name="one_team_grant_per_model",
            ),
            models.UniqueConstraint(
                fields=["team", "pattern"],
                condition=Q(team__isnull=False) & ~Q(pattern=""),
                name="one_team_grant_per_glob",
            ),
        ]
        indexes = [models.Index(fields=["model_id"], name="grant_model_idx")]  # who may do what on this model

    @property
    def holder(self) -> User | Team:
        return self.user or self.team  # type: ignore[return-value]  # one of them, a constraint says

    def __str__(self) -> str:
        return f"{self.holder}: {self.get_level_display()} on {self.pattern or f'model {self.model_id}'}"


class TokenQuerySet(models.QuerySet["Token"]):
    def usable(self, moment: datetime) -> TokenQuerySet:
        """Neither revoked nor expired, and of somebody active; a service account ends with the person it belongs to."""
        return self.filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=moment),
            Q(user__owner__isnull=True) | Q(user__owner__is_active=True),
            revoked_at=None,
            user__is_active=True,
        )


class Token(models.Model):
    """An API credential: only its SHA-256 is stored; ``prefix`` is what lists show."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    read_only = models.BooleanField(default=False)
    pattern = models.CharField(max_length=256, default=EVERY_MODEL)  # the names of the models that it reaches
    created_at = models.DateTimeField(default=now)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = TokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class SignInLink(models.Model):
    """A one-time way in, for the first administrator and for people without a password; stored hashed."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sign_in_links")
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"sign-in link of {self.user}"


class Session(AbstractBaseSession):
    """A browser that is signed in, as Django keeps it, with whose it is beside what it holds: one look-up finds both.

    Who is signed in says ``session_data``, which nobody can forge; ``user`` repeats it (accounts.sessions).
    """

    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="sessions")

    @classmethod
    def get_session_store_class(cls) -> type[SessionBase]:
        store: type[SessionBase] = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
        return store


class IdempotencyRecord(models.Model):
    """The answer to a call that named itself with an Idempotency-Key, for whoever repeats it within a day.

    Written in the transaction of the call's own changes: both are there, or neither.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    call = models.CharField(max_length=64)  # SHA-256 of method, path and body
    status = models.PositiveSmallIntegerField(default=0)
    answer = models.TextField(blank=True)  # the JSON; empty where it held a secret
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="one_answer_per_key")]
        indexes = [models.Index(fields=["user", "created_at"], name="idempotency_old_idx")]  # what has expired

    def __str__(self) -> str:
        return f"{self.key} of {self.user}"
