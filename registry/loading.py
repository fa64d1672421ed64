"""Models and versions from a file, by COPY: a million versions in minutes, all of them or none.

What is written is what the services would have written, but the gate is not asked: every model is new here, and leaves
an event that says who holds what in it. The files of the versions lie in stores of the operator's list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import orjson
from django.db import connection, models, transaction

from core.clock import from_ms, now, now_ms
from core.digests import sha256_json
from core.errors import Invalid
from notifications.events import record
from registry.events import ModelCreated, ModelImported
from registry.evidence import snapshot
from registry.metric_rows import figures_of
from registry.models import (
    HELD_STAGES,
    Alias,
    Evidence,
    LatestVersion,
    ModelVersion,
    RegisteredModel,
    Stage,
    StageHolding,
    TargetKind,
    VersionMetric,
    says_prompt,
)
from registry.services._rows import check_description, check_name, check_tag
from registry.services.aliases import check_alias
from registry.services.versions import check_lengths
from registry.sources import source_in_store
from tracking.models import Run

AT_ONCE = 10_000  # versions held in memory
HIGHEST = 2**31 - 1
STAGES, READY = tuple(Stage.values), ModelVersion.Status.READY.value
TIMES = range(253_402_300_800_000)  # milliseconds, up to the year 9999
_TIMES = frozenset({"creation_timestamp", "last_updated_timestamp"})
COLUMNS: dict[type[models.Model], tuple[str, ...]] = {
    RegisteredModel: (
        "id", "name", "description", "user_id", "creation_timestamp", "last_updated_timestamp", "last_version", "tags",
        "aliases", "is_prompt", "deleted_at",
    ),
    ModelVersion: (
        "id", "model_id", "version", "current_stage", "description", "user_id", "creation_timestamp",
        "last_updated_timestamp", "source", "storage_location", "run_id", "logged_model_id", "run_link", "status",
        "status_message", "tags", "artifact_owner", "artifact_folder", "digest", "file_count", "total_size",
        "evidence_id", "deleted_at",
    ),
    Evidence: ("id", "version_id", "digest", "data", "packages", "taken_at"),
    VersionMetric: ("model_id", "version_id", "number", "name", "value"),
    LatestVersion: ("model_id", "stage", "version_id"),
    Alias: ("model_id", "name", "version_id", "set_by_id", "set_at"),
    StageHolding: ("model_id", "version_id", "target_kind", "target", "since", "until", "set_by_id", "request_id"),
}  # fmt: skip
_MODEL, _NUMBER, _RUN_ID, _EVIDENCE = (
    COLUMNS[ModelVersion].index(name) for name in ("model_id", "version", "run_id", "evidence_id")
)
_MODEL_FIELDS = {
    "model": str, "description": str, "tags": dict, "aliases": dict, "creation_timestamp": int,
    "last_updated_timestamp": int,
}  # fmt: skip
_VERSION_FIELDS = {
    "version": int, "stage": str, "description": str, "source": str, "run_id": str, "run_link": str, "tags": dict,
    "creation_timestamp": int, "last_updated_timestamp": int,
}  # fmt: skip


@dataclass(slots=True)
class _Model:
    """A model whose versions are being read. ``wanted``: the aliases of a number; ``holders``: the version of each
    alias that was met; ``latest``: the newest version of each stage."""

    pk: int
    fields: dict[str, Any]
    wanted: dict[int, list[str]] = field(default_factory=dict)
    count: int = 0
    last_version: int = 0
    latest: dict[str, int] = field(default_factory=dict)
    stages: dict[str, list[int]] = field(default_factory=dict)
    holders: dict[str, int] = field(default_factory=dict)


class Loading:
    """A file on its way in. ``name`` says in events where it came from; ``on_step`` hears how many versions are in."""

    def __init__(self, name: str, *, on_step: Callable[[int], None]) -> None:
        self.name, self.on_step = name, on_step
        self.models = self.versions = 0
        self._model: _Model | None = None
        self._names: set[str] = set()
        self._waiting: dict[type[models.Model], list[list[Any]]] = {table: [] for table in COLUMNS}
        self._ids: dict[type[models.Model], Iterator[int]] = {}
        self._moment = now()

    def run(self, lines: Iterable[bytes]) -> None:
        """A model's line, then those of its versions with rising numbers, then the next model's. Raises Invalid, which
        names the line, and has written nothing then."""
        if connection.vendor != "postgresql":
            raise Invalid("Datasets are loaded into PostgreSQL only: set DATABASE_URL.")
        is_empty = not RegisteredModel.objects.exists()
        self._names = set(RegisteredModel.objects.live().values_list("name", flat=True))
        with transaction.atomic(), _indexed_afterwards() if is_empty else nullcontext():
            for number, line in enumerate(lines, 1):
                try:
                    self._line(line)
                except Invalid as error:
                    raise Invalid(f"Line {number}: {error.message}") from error
            self._end_model()
            self._copy()
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {', '.join(_table(table) for table in COLUMNS)}")  # or the planner guesses

    def _line(self, line: bytes) -> None:
        try:
            fields = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise Invalid(f"This is no JSON: {error}") from error
        if not isinstance(fields, dict):
            raise Invalid("Each line is a JSON object.")
        if "model" in fields:
            self._end_model()
            self._begin_model(_checked(fields, _MODEL_FIELDS))
        elif self._model is None:
            raise Invalid("The first line is a model's.")
        else:
            self._version(self._model, _checked(fields, _VERSION_FIELDS))

    def _begin_model(self, fields: dict[str, Any]) -> None:
        name = check_name(fields["model"])
        if name in self._names:
            raise Invalid(f"There is a model {name} already.")
        self._names.add(name)
        self._model = _Model(self._next_id(RegisteredModel), fields)
        for alias, number in fields.get("aliases", {}).items():
            if type(number) is not int:
                raise Invalid(f"The alias {alias[:60]} belongs to a version, which is a number.")
            self._model.wanted.setdefault(number, []).append(check_alias(alias))

    def _end_model(self) -> None:
        if (model := self._model) is None:
            return
        name, tags, aliases = model.fields["model"], model.fields.get("tags", {}), model.fields.get("aliases", {})
        if unknown := sorted(aliases.keys() - model.holders.keys()):
            raise Invalid(
                f"The alias {unknown[0]} of {name} belongs to version {aliases[unknown[0]]}, which is not there."
            )
        created, updated = _times(model.fields)
        description, is_prompt = model.fields.get("description", ""), says_prompt(tags)
        self._waiting[RegisteredModel].append([
            model.pk, name, description, None, created, updated, model.last_version, _json(tags), _json(aliases),
            is_prompt, None,
        ])  # fmt: skip
        self._waiting[LatestVersion] += [[model.pk, stage, version] for stage, version in model.latest.items()]
        since = from_ms(updated)
        for alias, version in model.holders.items():
            self._waiting[Alias].append([model.pk, alias, version, None, since])
            self._hold(model, version, TargetKind.ALIAS, alias, updated)
        self.models += 1
        said = {"description": description, "tags": tags, "is_prompt": is_prompt}
        record(ModelCreated(model_name=name, model_id=model.pk, **said), actor=None)
        record(
            ModelImported(
                model_name=name,
                server=self.name,
                model_id=model.pk,
                versions=model.count,
                stages=model.stages,
                aliases=aliases,
            ),
            actor=None,
        )
        self._model = None

    def _version(self, model: _Model, fields: dict[str, Any]) -> None:
        number, stage = fields["version"], fields.get("stage", "None")
        if not model.last_version < number <= HIGHEST:
            raise Invalid(f"Version {number} does not follow {model.last_version}: numbers rise.")
        if stage not in STAGES:
            raise Invalid(f"There is no stage {stage[:60]!r}. Stages are {', '.join(STAGES)}.")
        run_id, run_link, tags = fields.get("run_id", ""), fields.get("run_link", ""), fields.get("tags", {})
        check_lengths(source=fields.get("source", ""), run_link=run_link, run_id=run_id)
        found = source_in_store(fields.get("source", ""), run_id=run_id)
        created, updated = _times(fields)
        pk = self._next_id(ModelVersion)
        self._waiting[ModelVersion].append([
            pk, model.pk, number, stage, fields.get("description", ""), None, created, updated, found.source,
            found.storage_location, run_id, "", run_link, READY, "", _json(tags), "", "", "", 0, 0, None, None,
        ])  # fmt: skip
        model.count += 1
        model.last_version, model.latest[stage] = number, pk
        model.holders |= dict.fromkeys(model.wanted.get(number, ()), pk)
        if stage in HELD_STAGES:
            model.stages.setdefault(stage, []).append(number)
            self._hold(model, pk, TargetKind.STAGE, stage, updated)
        self.versions += 1
        if len(self._waiting[ModelVersion]) == AT_ONCE:
            self._copy()

    def _hold(self, model: _Model, version: int, kind: str, target: str, since: int) -> None:
        self._waiting[StageHolding].append([model.pk, version, kind, target, from_ms(since), None, None, None])

    def _next_id(self, table: type[models.Model]) -> int:
        """From the sequence, many at a time."""
        found = next(self._ids.get(table, iter(())), None)
        if found is None:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)",
                    [_table(table), AT_ONCE],
                )
                self._ids[table] = iter([row[0] for row in cursor.fetchall()])
            found = next(self._ids[table])
        return found

    def _copy(self) -> None:
        self._take_evidence()
        with connection.cursor() as cursor:
            for table, rows in self._waiting.items():
                with cursor.copy(f"COPY {_table(table)} ({', '.join(COLUMNS[table])}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
                rows.clear()
        self.on_step(self.versions)

    def _take_evidence(self) -> None:
        """Of the versions whose runs are here."""
        versions = self._waiting[ModelVersion]
        runs = Run.objects.filter(run_id__in={row[_RUN_ID] for row in versions if row[_RUN_ID]})
        here = set(runs.values_list("run_id", flat=True))
        runs.filter(has_versions=False).update(has_versions=True)
        for row in versions:
            if row[_RUN_ID] in here:
                known, row[_EVIDENCE] = snapshot(ModelVersion(run_id=row[_RUN_ID])), self._next_id(Evidence)
                taken = [row[_EVIDENCE], row[0], sha256_json(known), _json(known), None, self._moment]
                self._waiting[Evidence].append(taken)
                about = [row[_MODEL], row[0], row[_NUMBER]]
                self._waiting[VersionMetric] += [[*about, *figure] for figure in figures_of(known).items()]


@contextmanager
def _indexed_afterwards() -> Iterator[None]:
    """Take indexes and constraints off the tables and put them on again, which is quicker than to keep them up to date
    and locks the tables: for a registry that is empty. In a transaction, so that nothing is lost on the way."""
    tables = [table._meta.db_table for table in COLUMNS]
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint
            WHERE conrelid = ANY(%s::regclass[]) AND contype IN ('f', 'u') ORDER BY contype DESC""",
            [tables],
        )
        constraints = cursor.fetchall()
        cursor.execute(
            """SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
            WHERE indrelid = ANY(%s::regclass[]) AND NOT EXISTS
            (SELECT 1 FROM pg_constraint WHERE conrelid = indrelid AND conindid = indexrelid)""",
            [tables],
        )
        indexes = cursor.fetchall()
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # no table is altered while checks wait for it
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        for table, name, _ in constraints:
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}")
        yield
        for _, definition in indexes:
            cursor.execute(definition)
        for table, name, definition in constraints:
            cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")


def _checked(fields: dict[str, Any], known: dict[str, type]) -> dict[str, Any]:
    """The fields of a line, each of its type; descriptions and tags within their limits."""
    for name, value in fields.items():
        if name not in known:
            raise Invalid(f"{name[:60]!r} is none of {', '.join(known)}.")
        if type(value) is not known[name]:
            raise Invalid(f"{name} is not of type {known[name].__name__}.")
        if (isinstance(value, str) and "\x00" in value) or (name in _TIMES and value not in TIMES):
            raise Invalid(f"{name} holds what cannot be stored.")
    if missing := [name for name in ("model", "version") if name in known and name not in fields]:
        raise Invalid(f"{missing[0]} is missing.")
    check_description(fields.get("description", ""))
    for key, value in fields.get("tags", {}).items():
        if not isinstance(value, str):
            raise Invalid(f"The value of tag {key[:60]!r} is no text.")
        check_tag(key, value)
    return fields


def _times(fields: dict[str, Any]) -> tuple[int, int]:
    created = fields["creation_timestamp"] if "creation_timestamp" in fields else now_ms()
    return created, fields.get("last_updated_timestamp", created)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _table(table: type[models.Model]) -> str:
    return f'"{table._meta.db_table}"'
