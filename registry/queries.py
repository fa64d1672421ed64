"""Look-ups that every door starts from: what one may not see is not there."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from accounts.models import User
from core.errors import Invalid, NotFound
from notifications.models import Event
from registry.gate import Target
from registry.models import Alias, ModelVersion, RegisteredModel, Stage, TargetKind


def get_model(user: User, name: str) -> RegisteredModel:
    """Raises NotFound with MLflow's text."""
    model = RegisteredModel.objects.live().visible_to(user).select_related("user").filter(name=name).first()
    if model is None:
        raise NotFound(f"Registered Model with name={name[:300]} not found")
    return model


def get_version(user: User, name: str, number: int) -> ModelVersion:
    """The live version with its model. Raises NotFound with MLflow's text."""
    version = (
        ModelVersion.objects.live()
        .visible_to(user)
        .select_related("model", "user")
        .filter(model__name=name, model__deleted_at=None, version=number)
        .first()
    )
    if version is None:
        raise NotFound(f"Model Version (name={name[:300]}, version={number}) not found")
    return version


def get_version_by_alias(user: User, name: str, alias: str) -> ModelVersion:
    """``latest`` in any case is the highest live version."""
    model = get_model(user, name)
    if alias.lower() == "latest":
        version = model.versions.live().select_related("model", "user").order_by("-version").first()
        if version is None:
            raise NotFound(f"Latest version not found for model {name}.")
        return version
    number = model.aliases.get(alias)
    if number is None:
        raise Invalid(f"Registered model alias {alias[:255]} not found.", field="alias")
    return get_version(user, name, number)


def canonical_stage(text: str) -> Stage:
    """A stage in any letter case. Raises Invalid with MLflow's text."""
    for stage in Stage:
        if stage.lower() == text.lower():
            return stage
    raise Invalid(
        f"Invalid Model Version stage: {text[:60]}. Value must be one of None, Staging, Production, Archived.",
        field="stage",
    )


def holders(model: RegisteredModel, target: Target) -> list[ModelVersion]:
    """The live versions that hold a stage or an alias now, the highest number first."""
    if target.kind == TargetKind.ALIAS:
        rows = Alias.objects.filter(model=model, name=target.name).select_related("version__model", "version__evidence")
        return [row.version for row in rows]
    return list(
        ModelVersion.objects.live()
        .filter(model=model, current_stage=target.name)
        .select_related("model", "evidence")
        .order_by("-version")[:1000]
    )


def holder(model: RegisteredModel, target: Target) -> ModelVersion | None:
    """Who a version asked for would be compared with: the highest version that holds the target now."""
    return next(iter(holders(model, target)), None)


_TAKES_NAME = ("registered_model.created", "registered_model.renamed")


def events_visible_to(user: User) -> QuerySet[Event]:
    """What happened to models that ``user`` may read; administrators and auditors also see what belongs to no model.

    An event names its model. A name may change hands: what an earlier model of that name went through is not told to
    those who may read the present one, nor the other way round.
    """
    if user.is_superuser or user.is_auditor:
        return Event.objects.all()
    since = _taking_of(OuterRef("model_name")).values("created_at")[:1]
    readable = RegisteredModel.objects.visible_to(user).filter(name=OuterRef("model_name"))
    events = Event.objects.filter(model_name__in=RegisteredModel.objects.visible_to(user).values("name"))
    return _since_name_was_taken(events.annotate(name_taken_at=Subquery(since))).filter(
        Exists(readable.filter(Q(deleted_at=None) | Q(deleted_at__gt=OuterRef("name_taken_at"))))
    )


def events_of(model: RegisteredModel) -> QuerySet[Event]:
    """What happened to a live model under its present name."""
    return _since_name_was_taken(Event.objects.filter(model_name=model.name))


def _since_name_was_taken(events: QuerySet[Event]) -> QuerySet[Event]:
    return events.exclude(Exists(_taking_of(OuterRef("model_name")).filter(id__gt=OuterRef("id"))))


def _taking_of(name: OuterRef) -> QuerySet[Event]:
    """When a model got this name, the last time first."""
    return Event.objects.filter(model_name=name, kind__in=_TAKES_NAME).order_by("-id")
