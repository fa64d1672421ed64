"""Look-ups that every door starts from: what one may not see is not there."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from django.db.models import BooleanField, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.expressions import RawSQL

from accounts.models import User
from accounts.permissions import reads_everything
from core.errors import Invalid, NotFound
from core.keyset import key_in
from core.prepared import Many, Prepared, together
from notifications.models import Event, EventQuerySet
from registry.evidence import lies_elsewhere
from registry.gate import Target
from registry.models import (
    Alias,
    Deployment,
    LatestVersion,
    ModelVersion,
    ModelVersionQuerySet,
    RegisteredModel,
    RunReading,
    Stage,
    TargetKind,
    sees_every_model,
)
from registry.permissions import can_read
from registry.scanning import scans_along

_MODEL = Prepared(
    lambda name: RegisteredModel.objects.live().select_related("user").filter(name=name),
    str,
)
_VERSION = Prepared(
    lambda name, number: (
        ModelVersion.objects.live()
        .select_related("model", "user")
        .filter(model__name=name, model__deleted_at=None, version=number)
    ),
    str,
    int,
)


def _known_version(name: str, number: int) -> QuerySet[ModelVersion]:
    rows = ModelVersion.objects.live().select_related("model", "user", "evidence")
    return rows.filter(model__name=name, model__deleted_at=None, version=number)


_KNOWN_VERSION = Prepared(_known_version, str, int)
_SCANNED_VERSION = Prepared(
    lambda name, number: _known_version(name, number).annotate(scans=scans_along("evidence__data")),  # type: ignore[no-redef]
    *(str, int),
)
_BY_ALIAS = Prepared(
    lambda name, alias: (
        ModelVersion.objects.live()
        .select_related("model", "user")
        .filter(model__name=name, model__deleted_at=None, alias_rows__name=alias)
    ),
    str,
    str,
)
_NEWEST = Prepared(
    lambda model: (
        ModelVersion.objects.live().select_related("model", "user").filter(model=model).order_by("-version")[:1]
    ),
    int,
)
_LATEST = Prepared(lambda model: LatestVersion.objects.select_related("version__user").filter(model=model), int)
_LATEST_BY_NAME = Prepared(
    lambda name: LatestVersion.objects.select_related("version__user").filter(model__name=name, model__deleted_at=None),
    str,
)


def find_model(name: str) -> RegisteredModel | None:
    """The live model of this name, whoever asks: the caller sees to who may know of it."""
    return _MODEL.first(name)


def get_model(user: User, name: str) -> RegisteredModel:
    """Raises NotFound with MLflow's text."""
    model = find_model(name)
    if model is None or not can_read(user, model):
        raise no_model(name)
    return model


def no_model(name: str) -> NotFound:
    """The same whether there is none or somebody may not know of it."""
    return NotFound(
        f"Registered Model with name={name[:300]} not found",
        on_page=f"There is no model {name[:300]}, or it is not for you to see.",
    )


def no_version(name: str, number: int) -> NotFound:
    """The same whether there is none or somebody may not know of it."""
    return NotFound(
        f"Model Version (name={name[:300]}, version={number}) not found",
        on_page=f"There is no version {number} of {name[:300]}, or it is not for you to see.",
    )


def names_of(ids: Iterable[int]) -> dict[int, str]:
    """By key, the names of models."""
    asked = set(ids)
    return dict(RegisteredModel.objects.filter(pk__in=asked).values_list("pk", "name")) if asked else {}


def get_model_of_id(user: User, text: str) -> RegisteredModel:
    """The live model that the Databricks protocol knows by this id."""
    key = key_in(text)
    model = RegisteredModel.objects.live().filter(pk=key).first() if key is not None else None
    if model is None or not can_read(user, model):
        raise NotFound(f"Registered Model with id={text[:300]} not found")
    return model


def name_of(model_id: int | None) -> str:
    """Of the live model with this key; empty when there is none."""
    models = RegisteredModel.objects.live().filter(pk=model_id) if model_id is not None else ()
    return next((model.name for model in models), "")


def owners_of(ids: Iterable[int]) -> dict[int, str]:
    """By key of a model, the name of whoever made it."""
    asked = set(ids)
    found = (
        RegisteredModel.objects.filter(pk__in=asked, user__isnull=False) if asked else RegisteredModel.objects.none()
    )
    return dict(found.values_list("pk", "user__username"))


def get_version(user: User, name: str, number: int) -> ModelVersion:
    """The live version with its model. Raises NotFound with MLflow's text."""
    version = _VERSION.first(name, number)
    if version is None or not can_read(user, version.model):
        raise no_version(name, number)
    return version


def get_known_version(user: User, name: str, number: int, *, with_scans: bool = False) -> ModelVersion:
    """``get_version`` with its evidence, which may be large, and with what is known of its files, in one statement."""
    version = (_SCANNED_VERSION if with_scans else _KNOWN_VERSION).first(name, number)
    if version is None or not can_read(user, version.model):
        raise no_version(name, number)
    return version


def get_version_by_alias(user: User, name: str, alias: str) -> ModelVersion:
    """``latest`` in any case is the highest live version."""
    if alias.lower() == "latest":
        version = _NEWEST.first(get_model(user, name).pk)
        if version is None:
            raise NotFound(f"Latest version not found for model {name}.")
        return version
    version = _BY_ALIAS.first(name, alias)
    if version is None or not can_read(user, version.model):
        get_model(user, name)
        raise Invalid(f"Registered model alias {alias[:255]} not found.", field="alias")
    return version


def get_model_and_latest(user: User, name: str) -> tuple[RegisteredModel, list[ModelVersion]]:
    """``get_model`` and ``latest_versions``, asked together."""
    models, latest = together(_MODEL.of(name), _LATEST_BY_NAME.of(name))
    if not models or not can_read(user, models[0]):
        raise no_model(name)
    return models[0], _by_stage(latest)


def latest_versions(model: RegisteredModel) -> list[ModelVersion]:
    """The live version with the highest number in each stage, in the order of the stages."""
    return _by_stage(_LATEST.all(model.pk))


def _by_stage(latest: list[LatestVersion]) -> list[ModelVersion]:
    found = {row.stage: row.version for row in latest}
    return [found[stage] for stage in Stage if stage in found]


def reading_of(version: ModelVersion) -> RunReading | None:
    """The reading of a run that lies on another tracking server."""
    return RunReading.objects.filter(version=version).first() if lies_elsewhere(version) else None


MOST_VERSIONS = 500
# As the index of versions by run says it, so that SQLite sees that it holds.
_HAS_RUN = RawSQL("NOT (registry_modelversion.run_id = '')", (), output_field=BooleanField())
_OF_RUNS = Prepared(lambda run_ids: _of_runs(ModelVersion.objects.all(), run_ids), Many(str))


def versions_of_runs(user: User, run_ids: Iterable[str]) -> dict[str, list[ModelVersion]]:
    """By run, the live versions made from it that ``user`` may see, the newest first; the first MOST_VERSIONS."""
    ids = list(run_ids)
    made = _OF_RUNS.all(ids) if sees_every_model(user) else _of_runs(ModelVersion.objects.visible_to(user), ids)
    found: dict[str, list[ModelVersion]] = {}
    for version in made:
        found.setdefault(version.run_id, []).append(version)
    return found


def _of_runs(versions: ModelVersionQuerySet, run_ids: list[str]) -> QuerySet[ModelVersion]:
    columns = ("run_id", "version", "current_stage", "creation_timestamp", "model__name", "model__aliases")
    rows = versions.live().filter(_HAS_RUN, run_id__in=run_ids).select_related("model").only(*columns)
    return rows.order_by("-creation_timestamp", "-id")[:MOST_VERSIONS]


def deployments_of(of: RegisteredModel | ModelVersion, *, most: int) -> list[Deployment]:
    """Where a model or a version runs, by name: what one is shown by."""
    return _deployments("model" if isinstance(of, RegisteredModel) else "version", most).all(of.pk)


@cache
def _deployments(column: str, most: int) -> Prepared[Deployment]:
    return Prepared(lambda pk: Deployment.objects.filter(**{column: pk}).with_rows()[:most], int)


def canonical_stage(text: str) -> Stage:
    """A stage in any letter case. Raises Invalid with MLflow's text."""
    for stage in Stage:
        if stage.lower() == text.lower():
            return stage
    raise Invalid(
        f"Invalid Model Version stage: {text[:60]}. Value must be one of None, Staging, Production, Archived.",
        field="stage",
    )


def target_named(text: str) -> Target:
    """``Production`` is a stage, in any letter case, and ``@champion`` an alias."""
    if text.startswith("@"):
        return Target(TargetKind.ALIAS, text[1:])
    return Target(TargetKind.STAGE, canonical_stage(text))


_IN_STAGE = Prepared(
    lambda model, stage: (
        ModelVersion.objects.live()
        .filter(model=model, current_stage=stage)
        .select_related("model", "evidence")
        .order_by("-version")[:1000]
    ),
    *(int, str),
)


def holders(model: RegisteredModel, target: Target) -> list[ModelVersion]:
    """The live versions that hold a stage or an alias now, the highest number first."""
    if target.kind == TargetKind.ALIAS:
        rows = Alias.objects.filter(model=model, name=target.name).select_related("version__model", "version__evidence")
        return [row.version for row in rows]
    return _IN_STAGE.all(model.pk, target.name)


def holder(model: RegisteredModel, target: Target) -> ModelVersion | None:
    """Who a version asked for would be compared with: the highest version that holds the target now."""
    return next(iter(holders(model, target)), None)


# Written out in the statement: SQLite uses an index with a condition only where it can read there that it holds.
_TAKES_NAME = (RawSQL("'registered_model.created'", ()), RawSQL("'registered_model.renamed'", ()))


def events_visible_to(user: User) -> EventQuerySet:
    """What happened to models that ``user`` may read; administrators and auditors also see what belongs to no model,
    though not by a token for some models.

    An event names its model. A name may change hands: what an earlier model of that name went through is not told to
    those who may read the present one, nor the other way round.
    """
    if reads_everything(user):
        return Event.objects.all()
    since = _taking_of(OuterRef("model_name")).values("created_at")[:1]
    readable = RegisteredModel.objects.visible_to(user).filter(name=OuterRef("model_name"))
    events = Event.objects.all()
    if not sees_every_model(
        user
    ):  # says nothing new, but where to look: of a few models, not through all that happened
        events = events.filter(model_name__in=RegisteredModel.objects.visible_to(user).values("name"))
    return of_present_names(events.alias(name_taken_at=Subquery(since))).filter(
        Exists(readable.filter(Q(deleted_at=None) | Q(deleted_at__gt=OuterRef("name_taken_at"))))
    )


def events_of(name: str) -> EventQuerySet:
    """What happened to the live model of this name, as far as it had it."""
    return of_present_names(Event.objects.filter(model_name=name))


def of_present_names(events: EventQuerySet) -> EventQuerySet:
    """Without what earlier models of the same names went through."""
    return events.exclude(Exists(_taking_of(OuterRef("model_name")).filter(id__gt=OuterRef("id"))))


def _taking_of(name: OuterRef) -> EventQuerySet:
    """When a model got this name, the last time first."""
    return Event.objects.filter(model_name=name, kind__in=_TAKES_NAME).order_by("-id")
