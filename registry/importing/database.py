"""An MLflow server's database, read without the server: PostgreSQL or SQLite, with the tables of 3.18.

Read in one transaction that writes nothing, page by page, and the rows that hang on a page's rows in one statement a
table. Only files that lie on a disk of this machine can be had.
"""

from __future__ import annotations

import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

import psycopg

from registry.importing.source import (
    NotReadable,
    SourceError,
    TheirExperiment,
    TheirLoggedModel,
    TheirMetric,
    TheirModel,
    TheirRun,
    TheirVersion,
)

PAGE, POINTS_PAGE = 500, 25_000
# Without one of these it is no database of MLflow 3, and what they say cannot be guessed.
NEEDED = frozenset({"alembic_version", "experiments", "runs", "latest_metrics", "metrics", "registered_models",
                    "model_versions", "registered_model_aliases", "logged_models", "inputs"})  # fmt: skip
WORKSPACE = "default"
_MODEL_STATUS = {1: "LOGGED_MODEL_PENDING", 2: "LOGGED_MODEL_READY", 3: "LOGGED_MODEL_UPLOAD_FAILED"}
Row = dict[str, Any]


class _Database(Protocol):
    name: str

    def rows(self, query: str, *values: Any) -> list[Row]:
        """``query`` has %s where a value goes, a sequence for ``IN %s``. Raises SourceError."""

    def tables(self) -> set[str]: ...

    def columns(self, table: str) -> set[str]: ...

    def close(self) -> None: ...


class _PostgreSQL:
    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.name = f"postgresql://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
        try:
            self._connection = psycopg.connect(
                parts._replace(scheme="postgresql").geturl(), row_factory=psycopg.rows.dict_row, connect_timeout=10
            )
            self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ  # all of it at one moment
            self._connection.read_only = True
        except psycopg.Error as error:
            raise SourceError(f"{self.name} cannot be reached: {_reason(error)}") from error

    def rows(self, query: str, *values: Any) -> list[Row]:
        try:
            return self._connection.execute(query.replace(" IN %s", " = ANY(%s)"), list(values)).fetchall()
        except psycopg.Error as error:
            raise SourceError(f"{self.name} cannot be read: {_reason(error)}") from error

    def tables(self) -> set[str]:
        found = self.rows(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = ANY(current_schemas(false))"
        )
        return {row["table_name"] for row in found}

    def columns(self, table: str) -> set[str]:
        query = """SELECT column_name FROM information_schema.columns
            WHERE table_schema = ANY(current_schemas(false)) AND table_name = %s"""
        return {row["column_name"] for row in self.rows(query, table)}

    def close(self) -> None:
        self._connection.close()


class _SQLite:
    def __init__(self, address: str) -> None:
        path = Path(unquote(address.removeprefix("sqlite:///").partition("?")[0]))
        self.name = f"sqlite:///{path}"
        if not path.is_file():
            raise SourceError(f"{path} is no file.")
        try:
            self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        except sqlite3.Error as error:
            raise SourceError(f"{self.name} cannot be opened: {error}") from error
        self._connection.row_factory = sqlite3.Row

    def rows(self, query: str, *values: Any) -> list[Row]:
        flat: list[Any] = []
        for value in values:
            if isinstance(value, list):
                query = query.replace(" IN %s", f" IN ({', '.join('?' * len(value))})", 1)
                flat += value
            else:
                query = query.replace("%s", "?", 1)
                flat.append(value)
        try:
            return [dict(row) for row in self._connection.execute(query, flat)]
        except sqlite3.Error as error:
            raise SourceError(f"{self.name} cannot be read: {error}") from error

    def tables(self) -> set[str]:
        return {row["name"] for row in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def columns(self, table: str) -> set[str]:
        return {row["name"] for row in self.rows(f'SELECT name FROM pragma_table_info("{table}")')}

    def close(self) -> None:
        self._connection.close()


class DatabaseSource:
    """``address``: as the server has it in --backend-store-uri. ``artifacts``: the folder that it has in
    --artifacts-destination; without it only files at paths of this machine are found. Raises SourceError."""

    def __init__(self, address: str, *, artifacts: Path | None = None) -> None:
        self._database = _opened(address)
        self.name = self._database.name
        self._artifacts = artifacts
        if missing := NEEDED - self._database.tables():
            raise SourceError(
                f"{self.name} is no database of MLflow 3: the table {min(missing)} is missing. If it is older, let "
                "`mlflow db upgrade` of a newer release bring it up to date first."
            )
        # Servers without workspaces have all their rows in the default one, or no such column yet.
        has_workspaces = "workspace" in self._database.columns("registered_models")
        self._here = f"workspace = '{WORKSPACE}'" if has_workspaces else "1 = 1"

    def close(self) -> None:
        self._database.close()

    # -- Tracking -------------------------------------------------------------------------------------------------

    def experiments(self) -> Iterator[TheirExperiment]:
        rows = self._database.rows(f"SELECT * FROM experiments WHERE {self._here} ORDER BY experiment_id")
        tags = self._pairs("experiment_tags", "experiment_id", [row["experiment_id"] for row in rows])
        for row in rows:
            yield TheirExperiment(
                experiment_id=str(row["experiment_id"]),
                name=row["name"],
                lifecycle_stage=row["lifecycle_stage"] or "active",
                creation_time=row["creation_time"] or 0,
                last_update_time=row["last_update_time"] or 0,
                tags=tags[row["experiment_id"]],
            )

    def runs(self, experiment_id: str) -> Iterator[list[TheirRun]]:
        for rows in self._pages("runs", "run_uuid", "experiment_id = %s", int(experiment_id)):
            yield self._runs(rows)

    def _runs(self, rows: list[Row]) -> list[TheirRun]:
        ids = [row["run_uuid"] for row in rows]
        params, tags = self._pairs("params", "run_uuid", ids), self._pairs("tags", "run_uuid", ids)
        metrics = defaultdict(list)
        for row in self._of("latest_metrics", "run_uuid", ids):
            metrics[row["run_uuid"]].append(_metric(row))
        datasets, inputs, outputs = self._datasets(ids), defaultdict(list), defaultdict(list)
        for row in self._links("RUN_INPUT", "MODEL_INPUT", ids):
            inputs[row["source_id"]].append(row["destination_id"])
        for row in self._links("RUN_OUTPUT", "MODEL_OUTPUT", ids):
            outputs[row["source_id"]].append({"model_id": row["destination_id"], "step": row["step"] or 0})
        return [
            TheirRun(
                run_id=row["run_uuid"],
                run_name=row["name"] or tags[row["run_uuid"]].get("mlflow.runName", ""),
                user_id=row["user_id"] or tags[row["run_uuid"]].get("mlflow.user", ""),
                status=row["status"] or "",
                start_time=row["start_time"] or 0,
                end_time=row["end_time"],
                lifecycle_stage=row["lifecycle_stage"] or "active",
                params=params[row["run_uuid"]],
                tags=tags[row["run_uuid"]],
                metrics=metrics[row["run_uuid"]],
                datasets=datasets[row["run_uuid"]],
                inputs=inputs[row["run_uuid"]],
                outputs=outputs[row["run_uuid"]],
            )
            for row in rows
        ]

    def _links(self, source: str, destination: str, ids: list[str]) -> list[Row]:
        query = (
            "SELECT * FROM inputs WHERE source_type = %s AND destination_type = %s AND source_id IN %s ORDER BY step"
        )
        return self._database.rows(query, source, destination, ids)

    def _datasets(self, run_ids: list[str]) -> defaultdict[str, list[Row]]:
        query = """SELECT i.destination_id, i.input_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source,
            d.dataset_schema, d.dataset_profile FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id
            WHERE i.source_type = 'DATASET' AND i.destination_type = 'RUN' AND i.destination_id IN %s"""
        rows = self._database.rows(query, run_ids)
        tags: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for tag in self._of("input_tags", "input_uuid", [row["input_uuid"] for row in rows]):
            tags[tag["input_uuid"]][tag["name"]] = tag["value"]
        found: defaultdict[str, list[Row]] = defaultdict(list)
        for row in rows:
            dataset = {
                "name": row["name"],
                "digest": row["digest"],
                "source_type": row["dataset_source_type"],
                "source": row["dataset_source"],
                "schema": row["dataset_schema"],
                "profile": row["dataset_profile"],
            }
            kept = {key: value for key, value in dataset.items() if value is not None}
            found[row["destination_id"]].append({"dataset": kept, "tags": tags[row["input_uuid"]]})
        return found

    def history(self, run_id: str, key: str) -> Iterator[list[TheirMetric]]:
        after: tuple[Any, ...] = ()
        columns = "timestamp, step, is_nan, value"  # with run and key this is the primary key
        while True:
            where = "AND (timestamp, step, is_nan, value) > (%s, %s, %s, %s)" if after else ""
            query = (
                f"SELECT * FROM metrics WHERE run_uuid = %s AND key = %s {where} ORDER BY {columns} LIMIT {POINTS_PAGE}"
            )
            rows = self._database.rows(query, run_id, key, *after)
            yield [_metric(row) for row in rows]
            if len(rows) < POINTS_PAGE:
                return
            after = tuple(rows[-1][column] for column in columns.split(", "))

    def logged_models(self, experiment_id: str) -> Iterator[list[TheirLoggedModel]]:
        living = "experiment_id = %s AND lifecycle_stage = 'active'"
        for rows in self._pages("logged_models", "model_id", living, int(experiment_id)):
            yield self._logged_models(rows)

    def _logged_models(self, rows: list[Row]) -> list[TheirLoggedModel]:
        ids = [row["model_id"] for row in rows]
        params = self._pairs("logged_model_params", "model_id", ids, key="param_key", value="param_value")
        tags = self._pairs("logged_model_tags", "model_id", ids, key="tag_key", value="tag_value")
        metrics = defaultdict(list)
        for metric in self._of("logged_model_metrics", "model_id", ids):
            metrics[metric["model_id"]].append(
                TheirMetric(
                    key=metric["metric_name"],
                    value=metric["metric_value"],
                    timestamp=metric["metric_timestamp_ms"],
                    step=metric["metric_step"],
                    run_id=metric["run_id"] or "",
                    model_id=metric["model_id"],
                    dataset_name=metric["dataset_name"] or "",
                    dataset_digest=metric["dataset_digest"] or "",
                )
            )
        return [
            TheirLoggedModel(
                model_id=row["model_id"],
                name=row["name"],
                model_type=row["model_type"] or "",
                source_run_id=row["source_run_id"] or "",
                status=_MODEL_STATUS.get(row["status"], ""),
                status_message=row["status_message"] or "",
                creation_timestamp=row["creation_timestamp_ms"],
                last_updated_timestamp=row["last_updated_timestamp_ms"],
                params=params[row["model_id"]],
                tags=tags[row["model_id"]],
                metrics=metrics[row["model_id"]],
            )
            for row in rows
        ]

    # -- Registry -------------------------------------------------------------------------------------------------

    def models(self) -> Iterator[TheirModel]:
        for rows in self._pages("registered_models", "name", self._here):
            names = [row["name"] for row in rows]
            tags = self._pairs("registered_model_tags", "name", names, where=self._here)
            aliases: defaultdict[str, dict[str, int]] = defaultdict(dict)
            for alias in self._of("registered_model_aliases", "name", names, where=self._here):
                aliases[alias["name"]][alias["alias"]] = int(alias["version"])
            for row in rows:
                yield TheirModel(
                    name=row["name"],
                    description=row["description"] or "",
                    creation_timestamp=row["creation_time"] or 0,
                    last_updated_timestamp=row["last_updated_time"] or 0,
                    tags=tags[row["name"]],
                    aliases=aliases[row["name"]],
                )

    def versions(self, model: TheirModel) -> Iterator[list[TheirVersion]]:
        """The deleted ones too, which only hold their numbers."""
        for rows in self._pages("model_versions", "version", f"name = %s AND {self._here}", model.name, start=0):
            tags: defaultdict[int, dict[str, str]] = defaultdict(dict)
            query = f"SELECT * FROM model_version_tags WHERE name = %s AND {self._here} AND version IN %s"
            for tag in self._database.rows(query, model.name, [row["version"] for row in rows]):
                tags[tag["version"]][tag["key"]] = tag["value"] or ""
            yield [
                TheirVersion(
                    version=row["version"],
                    stage=row["current_stage"] or "None",
                    description=row["description"] or "",
                    user_id=row["user_id"] or "",
                    creation_timestamp=row["creation_time"] or 0,
                    last_updated_timestamp=row["last_updated_time"] or 0,
                    source=row["source"] or "",
                    location=row["storage_location"] or row["source"] or "",
                    run_id=row["run_id"] or "",
                    model_id="",  # the source names it
                    run_link=row["run_link"] or "",
                    status=row["status"] or "READY",
                    status_message=row["status_message"] or "",
                    tags=tags[row["version"]],
                )
                for row in rows
            ]

    # -- Reading --------------------------------------------------------------------------------------------------

    def _pages(self, table: str, key: str, where: str, *values: Any, start: Any = "") -> Iterator[list[Row]]:
        """The rows in the order of their key; the key is text, or a number above ``start``."""
        while True:
            query = f"SELECT * FROM {table} WHERE {where} AND {key} > %s ORDER BY {key} LIMIT {PAGE}"
            rows = self._database.rows(query, *values, start)
            if rows:
                yield rows
            if len(rows) < PAGE:
                return
            start = rows[-1][key]

    def _of(self, table: str, column: str, ids: Sequence[Any], *, where: str = "1 = 1") -> list[Row]:
        return self._database.rows(f"SELECT * FROM {table} WHERE {where} AND {column} IN %s", list(ids)) if ids else []

    def _pairs(
        self,
        table: str,
        column: str,
        ids: Sequence[Any],
        *,
        key: str = "key",
        value: str = "value",
        where: str = "1 = 1",
    ) -> defaultdict[Any, dict[str, str]]:
        found: defaultdict[Any, dict[str, str]] = defaultdict(dict)
        for row in self._of(table, column, ids, where=where):
            found[row[column]][row[key]] = row[value] or ""
        return found

    # -- Files ----------------------------------------------------------------------------------------------------

    def files(self, owner: str) -> Iterator[tuple[str, int]]:
        root = self._root(owner)
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                if path.resolve().is_relative_to(root) and path.is_file():
                    yield path.relative_to(root).as_posix(), path.stat().st_size

    @contextmanager
    def open(self, owner: str, path: str) -> Iterator[BinaryIO]:
        root = self._root(owner)
        found = (root / path).resolve()
        if not found.is_relative_to(root):
            raise NotReadable(f"{path[:200]} leads out of the folder of {owner}")
        try:
            with found.open("rb") as stream:
                yield stream
        except OSError as error:
            raise NotReadable(f"{error.strerror}") from error

    def _root(self, owner: str) -> Path:
        """The folder of a run or logged model on this machine."""
        if owner.startswith("m-"):
            [row] = self._of("logged_models", "model_id", [owner])
        else:
            [row] = self._of("runs", "run_uuid", [owner])
        location = str(row.get("artifact_location") or row.get("artifact_uri") or "")
        scheme = location.partition(":")[0]
        if scheme == "mlflow-artifacts" and self._artifacts is not None:
            place = self._artifacts / unquote(urlsplit(location).path).lstrip("/")
            allowed = self._artifacts.resolve()
        elif scheme == "file" or location.startswith("/"):
            place = Path(unquote(urlsplit(location).path) if scheme == "file" else location)
            allowed = Path("/")
        else:
            why = "name its folder with --artifacts-from" if scheme == "mlflow-artifacts" else "import by its address"
            raise NotReadable(f"they lie at {location[:200]}: {why}")
        resolved = place.resolve()
        if not resolved.is_relative_to(allowed) or owner not in resolved.parts:
            raise NotReadable(f"they lie at {location[:200]}, which is no folder of their own")
        return resolved


def _opened(address: str) -> _Database:
    scheme = address.partition(":")[0].lower()
    if scheme == "sqlite":
        return _SQLite(address)
    if scheme.partition("+")[0] in ("postgresql", "postgres"):
        return _PostgreSQL(address)
    raise SourceError(
        f"Databases are read from PostgreSQL and SQLite, not from {scheme[:40]}: import by the server's address."
    )


def is_database(address: str) -> bool:
    return "://" in address and address.partition(":")[0].lower() not in ("http", "https")


def _reason(error: psycopg.Error) -> str:
    """Its first line, which names no password."""
    return str(error).partition("\n")[0][:300]


def _metric(row: Row) -> TheirMetric:
    return TheirMetric(
        key=row["key"],
        value="NaN" if row["is_nan"] else row["value"],
        timestamp=row["timestamp"] or 0,
        step=row["step"] or 0,
    )
