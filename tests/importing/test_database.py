"""A server's database gives what the server itself says, and is refused when it is none."""

from __future__ import annotations

import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.models import User
from registry.importing import DatabaseSource, RestSource, Source, SourceError
from registry.importing.source import DELETED, NotReadable
from registry.models import ArtifactFile, ModelVersion, RegisteredModel
from tests.importing.conftest import MLFLOW, Origin
from tests.importing.test_import import every_row, import_it
from tests.test_production import DATABASE_URL
from tracking.models import LoggedModel, Run

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.timeout(300)]


def of_sqlite(origin: Origin) -> str:
    return f"sqlite:///{origin.folder}/mlflow.db"


def import_database(origin: Origin, *options: str) -> str:
    out = StringIO()
    folder = f"--artifacts-from={origin.folder}/artifacts"
    call_command("import_mlflow", of_sqlite(origin), folder, *options, stdout=out, stderr=StringIO())
    return out.getvalue()


def everything(source: Source) -> dict[str, Any]:
    """All that a source says, in an order of its own."""
    experiments = list(source.experiments())
    ids = [experiment.experiment_id for experiment in experiments]
    runs = [run for experiment in ids for page in source.runs(experiment) for run in page]
    models = list(source.models())
    return {
        "experiments": sorted(experiments, key=lambda one: one.experiment_id),
        "runs": sorted((_sorted(run) for run in runs), key=lambda one: one.run_id),
        "histories": {
            (run.run_id, metric.key): sorted(
                (point.step, point.timestamp, str(point.value))
                for page in source.history(run.run_id, metric.key)
                for point in page
            )
            for run in runs
            for metric in run.metrics
        },
        "logged models": sorted(
            (_sorted(one) for experiment in ids for page in source.logged_models(experiment) for one in page),
            key=lambda one: one.model_id,
        ),
        "models": sorted(models, key=lambda one: one.name),
        "versions": {
            model.name: sorted(
                (replace(v, model_id="") for page in source.versions(model) for v in page if v.stage != DELETED),
                key=lambda one: one.version,
            )
            for model in models
        },
    }


def _sorted(thing: Any) -> Any:
    """Metrics and datasets in one order; what only one of the two ways repeats, left out."""
    metrics = sorted((replace(m, run_id="", model_id="") for m in thing.metrics), key=repr)
    changes = {"metrics": metrics}
    if hasattr(thing, "datasets"):
        changes["datasets"] = sorted(thing.datasets, key=repr)
    return replace(thing, **changes)


def test_the_database_says_what_the_server_says(origin: Origin) -> None:
    server, database = RestSource(origin.url), DatabaseSource(of_sqlite(origin))
    theirs, ours = everything(server), everything(database)

    for kind in theirs:
        assert ours[kind] == theirs[kind], kind
    assert all(len(ours[kind]) > 1 for kind in ours)


def test_the_files_are_those_that_the_server_sends(origin: Origin) -> None:
    server = RestSource(origin.url)
    database = DatabaseSource(of_sqlite(origin), artifacts=origin.folder / "artifacts")
    said = everything(server)
    owners = [run.run_id for run in said["runs"]] + [model.model_id for model in said["logged models"]]

    for owner in owners:
        listed = sorted(server.files(owner))
        assert sorted(database.files(owner)) == listed
        for path, _ in listed[:2]:
            with server.open(owner, path) as there, database.open(owner, path) as here:
                assert here.read(10**7) == _all_of(there)
    assert any(list(server.files(owner)) for owner in owners)


def _all_of(stream: Any) -> bytes:
    content = b""
    while piece := stream.read(100_000):
        content += piece
    return content


@pytest.mark.django_db
def test_an_import_of_the_database_is_whole_and_a_second_changes_nothing(admin: User, origin: Origin) -> None:
    said = import_database(origin, "--dry-run", "--artifacts")
    assert "Nothing was written." in said and not Run.objects.exists()

    import_database(origin, "--artifacts")
    before = every_row()
    import_database(origin, "--artifacts")

    assert every_row() == before
    names = set(RegisteredModel.objects.filter(is_prompt=False).values_list("name", flat=True))
    assert names == {"copied", "empty", "model-00", "model-01"}
    assert LoggedModel.objects.count() >= 2 and Run.objects.count() > 8
    assert not ModelVersion.objects.filter(artifact_owner="", model__is_prompt=False).exists()
    assert ArtifactFile.objects.exists() and not ModelVersion.objects.filter(current_stage=DELETED).exists()


@pytest.mark.django_db
def test_models_that_came_from_the_server_are_not_taken_twice(admin: User, origin: Origin) -> None:
    import_it(origin)
    models = RegisteredModel.objects.count()

    said = import_database(origin)

    assert RegisteredModel.objects.count() == models
    assert "did not come from this server" in said


@pytest.mark.django_db
def test_the_number_of_a_deleted_version_stays_taken(admin: User, origin: Origin, tmp_path: Path) -> None:
    copy = tmp_path / "mlflow.db"
    with sqlite3.connect(of_sqlite(origin).removeprefix("sqlite:///")) as there, sqlite3.connect(copy) as here:
        there.backup(here)
        here.execute(
            """INSERT INTO model_versions (name, version, current_stage, source, workspace)
            VALUES ('model-00', 99, ?, 's', 'default')""",
            [DELETED],
        )
    call_command("import_mlflow", f"sqlite:///{copy}", stdout=StringIO(), stderr=StringIO())

    model = RegisteredModel.objects.get(name="model-00")
    assert model.last_version == 99 and not model.versions.filter(version=99).exists()


def test_without_their_folder_files_are_not_readable(origin: Origin) -> None:
    database = DatabaseSource(of_sqlite(origin))
    run = next(run for e in database.experiments() for page in database.runs(e.experiment_id) for run in page)

    with pytest.raises(NotReadable, match="--artifacts-from"):
        list(database.files(run.run_id))


def test_no_path_leads_out_of_the_folder(origin: Origin, tmp_path: Path) -> None:
    database = DatabaseSource(of_sqlite(origin), artifacts=tmp_path)
    run = next(run for e in database.experiments() for page in database.runs(e.experiment_id) for run in page)
    [row] = database._database.rows("SELECT artifact_uri FROM runs WHERE run_uuid = %s", run.run_id)
    folder = tmp_path / row["artifact_uri"].removeprefix("mlflow-artifacts:/")
    folder.mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "own").write_text("own")

    assert list(database.files(run.run_id)) == [("own", 3)]
    for path in ("link", "../../../secret", str(tmp_path / "secret")):
        with pytest.raises(NotReadable, match="leads out"), database.open(run.run_id, path):
            pass


@pytest.fixture
def on_postgresql(origin: Origin) -> Iterator[str]:
    """The same rows in PostgreSQL, in the tables that mlflow makes there."""
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL")
    name = f"mlflow_{uuid.uuid4().hex[:12]}"
    parts = urlsplit(DATABASE_URL)
    address = parts._replace(scheme="postgresql", path=f"/{name}").geturl()
    with psycopg.connect(parts._replace(path="/postgres").geturl(), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            as_mlflow = address.replace("postgresql://", "postgresql+psycopg2://")
            subprocess.run([MLFLOW, "db", "upgrade", as_mlflow], check=True, capture_output=True, timeout=120)
            _copy(of_sqlite(origin).removeprefix("sqlite:///"), address)
            yield as_mlflow
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _copy(path: str, address: str) -> None:
    with sqlite3.connect(path) as there, psycopg.connect(address) as here:
        here.execute("SET session_replication_role = 'replica'")  # in whatever order
        tables = [row[0] for row in there.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in sorted(set(tables) - {"alembic_version"}):
            columns = [row[1] for row in there.execute(f"PRAGMA table_info({table})")]
            types = dict(
                here.execute(
                    "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s", [table]
                )
            )
            here.execute(f"DELETE FROM {table}")
            for row in there.execute(f"SELECT {', '.join(columns)} FROM {table}"):
                values = [
                    bool(value) if types[column] == "boolean" and value is not None else value
                    for column, value in zip(columns, row, strict=True)
                ]
                here.execute(
                    f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})", values
                )


@pytest.mark.postgres
def test_postgresql_says_the_same_as_sqlite(origin: Origin, on_postgresql: str) -> None:
    assert everything(DatabaseSource(on_postgresql)) == everything(DatabaseSource(of_sqlite(origin)))


# -- Refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("mysql://me:secret@host/mlflow", "Databases are read from PostgreSQL and SQLite, not from mysql"),
        ("sqlite:////nowhere/mlflow.db", "is no file"),
        ("postgresql://me:secret@127.0.0.1:1/mlflow", "postgresql://127.0.0.1:1/mlflow cannot be reached"),
        ("file:///mlruns", "not from file"),
    ],
)
def test_what_is_no_database_of_ours_is_said_so(admin: User, address: str, why: str) -> None:
    with pytest.raises(CommandError) as error:
        call_command("import_mlflow", address)

    assert why in str(error.value) and "secret" not in str(error.value)


def test_a_database_of_something_else_is_said_so(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE runs (id INTEGER)")

    with pytest.raises(SourceError, match="is no database of MLflow 3: the table alembic_version is missing"):
        DatabaseSource(f"sqlite:///{tmp_path}/other.db")
    (tmp_path / "text.db").write_text("no database at all, but long enough to be read as one" * 10)
    with pytest.raises(SourceError, match="cannot be read: file is not a database"):
        DatabaseSource(f"sqlite:///{tmp_path}/text.db")


def test_a_server_has_no_folder_of_files(admin: User, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--artifacts-from goes with a database"):
        call_command("import_mlflow", "https://mlflow.example.com", f"--artifacts-from={tmp_path}")
