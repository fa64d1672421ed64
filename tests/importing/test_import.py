"""What a real `mlflow server` holds is here after an import: all of it, once, and as it was."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import mlflow
import numpy
import pytest
import requests
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from mlflow import MlflowClient
from mlflow.entities import ViewType

from accounts.models import User
from notifications.models import Event
from registry.models import ModelVersion, RegisteredModel
from tests.factories import make_model
from tests.importing.conftest import Origin
from tests.registry.test_metric_rows import rebuilt, written
from tests.servers import Server, migrated
from tracking.models import Run

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.timeout(300)]


def import_it(origin: Origin, *options: str) -> str:
    out = StringIO()
    call_command("import_mlflow", origin.url, *options, stdout=out, stderr=StringIO())
    return out.getvalue()


def every_row() -> dict[str, list[tuple[object, ...]]]:
    rooms = ("registry", "tracking", "notifications", "accounts")
    models = [model for model in apps.get_models() if model._meta.app_label in rooms]
    return {model._meta.label: list(model._base_manager.order_by("pk").values_list()) for model in models}


# -- As a client sees it -----------------------------------------------------------------------------------------------


def plain(thing: Any, *left_out: str) -> dict[str, Any]:
    """An entity of the client without what is a server's own."""
    return {key: repr(value) for key, value in dict(thing).items() if key not in left_out}


def everything(client: MlflowClient) -> dict[str, Any]:
    experiments = client.search_experiments(view_type=ViewType.ALL)
    ids = [experiment.experiment_id for experiment in experiments]
    found = client.search_runs(ids, run_view_type=ViewType.ALL, max_results=1000)
    runs = [client.get_run(run.info.run_id) for run in found]  # ours leaves the profiles of datasets out of searches
    names = [model.name for model in client.search_registered_models()]
    versions = [version for name in names for version in client.search_model_versions(f"name = '{name}'")]
    return {
        "experiments": sorted((e.name, e.lifecycle_stage, e.tags, e.experiment_id) for e in experiments),
        "runs": {
            run.info.run_id: (
                plain(run.info, "experiment_id"), run.data.params, run.data.tags,
                repr(sorted(run.data.metrics.items())),
                repr(run.inputs), repr(run.outputs),
            )
            for run in runs
        },
        "histories": {
            (run.info.run_id, key): sorted(
                (point.step, point.timestamp, repr(point.value))
                for point in client.get_metric_history(run.info.run_id, key)
            )
            for run in runs
            for key in run.data.metrics
        },
        "logged models": sorted(
            (m.model_id, m.name, str(m.status), m.source_run_id, m.creation_timestamp, m.params, m.tags,
             [(metric.key, metric.value) for metric in m.metrics or ()])
            for m in client.search_logged_models(ids)
        ),
        "models": [
            (m.name, m.description, m.tags, m.aliases, m.creation_timestamp, m.last_updated_timestamp)
            for m in (client.get_registered_model(name) for name in names)
        ],
        "versions": [
            (v.name, v.version, v.current_stage, v.description, v.tags, v.source, v.run_id, v.status,
             v.creation_timestamp, v.last_updated_timestamp)
            for v in versions
        ],
        "prompts": [(p.name, p.tags) for p in client.search_prompts()],
    }  # fmt: skip


def embedded(folder: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
    return {**inherited, "DATA_DIR": str(folder)}


def import_into(folder: Path, origin: Origin, *options: str) -> subprocess.Popen[str]:
    """The command as an operator runs it, on a data folder of its own."""
    return subprocess.Popen(
        [sys.executable, "manage.py", "import_mlflow", origin.url, *options],
        cwd=settings.BASE_DIR, env=embedded(folder),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.embedded
def test_the_stock_client_finds_the_same_on_both_sides(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(migrated(tmp_path / "data"))
    try:
        server.wait_ready()
        said = import_into(tmp_path / "data", origin, "--artifacts").communicate(timeout=120)[0]
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", server.token)
        there, here = everything(MlflowClient(origin.url)), everything(MlflowClient(server.url))
        mlflow.set_tracking_uri(server.url)
        predictions = json.loads((origin.folder / "predictions.json").read_text())
        inputs = numpy.array([[0.1, 1.0], [0.4, 0.2], [0.9, 0.8], [0.7, 0.1]])
        again = {
            name: mlflow.sklearn.load_model(f"models:/{name}/1").predict_proba(inputs).tolist() for name in predictions
        }
        text = Path(mlflow.artifacts.download_artifacts("models:/model-00@champion", dst_path=tmp_path / "files"))
        prompt = requests.get(  # load_prompt leaves a thread behind that calls the server for minutes
            f"{server.url}/api/2.0/mlflow/model-versions/get?name=greeting&version=1",
            headers={"Authorization": f"Bearer {server.token}"},
            timeout=20,
        ).json()["model_version"]["tags"]
    finally:
        mlflow.set_tracking_uri(None)
        server.stop()

    for what, found in there.items():
        assert here[what] == found, (what, said)
    assert len(here["versions"]) == 9 and len(here["runs"]) == 12
    assert again == predictions and predictions
    assert (text / "weights.txt").read_text() == "model-00 2"
    assert {"key": "mlflow.prompt.text", "value": "Hello {{name}}"} in prompt


STATE = (
    "select run_id, metrics, params, tags, lifecycle_stage from tracking_run",
    "select run_id, key, value, is_nan, timestamp, step from tracking_metricpoint",
    "select model_id, metrics, params, tags from tracking_loggedmodel",
    "select owner_id, path, size, sha256 from registry_artifactfile",
    "select m.name, version, current_stage, v.tags, v.digest, file_count, storage_location, e.data"
    " from registry_modelversion v join registry_registeredmodel m on m.id = v.model_id"
    " join registry_evidence e on e.id = v.evidence_id",
    "select name, tags, aliases, last_version from registry_registeredmodel",
    "select kind, model_name from notifications_event where kind != 'import.finished'",
    "select target, count(*) from registry_stageholding group by target",
)


def rows(folder: Path, query: str) -> list[Any]:
    database = next(folder.glob("*.sqlite3"), None)
    if database is None:
        return []
    connection = sqlite3.connect(database, timeout=20)
    try:
        return sorted(connection.execute(query).fetchall(), key=repr)
    finally:
        connection.close()


def kill_when(process: subprocess.Popen[str], happened: Callable[[], object]) -> None:
    while not happened():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=20) == -signal.SIGKILL
    process.communicate()


@pytest.mark.embedded
def test_an_import_that_is_killed_and_started_again_ends_the_same(tmp_path: Path, origin: Origin) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    for folder in (straight, broken):
        folder.mkdir()
        prepare = [sys.executable, "manage.py", "prepare"]
        subprocess.run(
            prepare, cwd=settings.BASE_DIR, env=embedded(folder), check=True, capture_output=True, timeout=120
        )
    assert import_into(straight, origin, "--artifacts").wait(timeout=120) == 0

    counts = {"tracking_metricpoint": 30, "registry_artifactfile": 9, "registry_modelversion": 1}
    for table, enough in counts.items():
        query = f"select count(*) from {table}"
        process = import_into(broken, origin, "--artifacts")
        kill_when(process, lambda query=query, enough=enough: rows(broken, query)[0][0] >= enough)  # type: ignore[misc]
    process = import_into(broken, origin, "--artifacts")
    said = process.communicate(timeout=120)[0]

    assert process.returncode == 0, said
    for query in STATE:
        assert rows(broken, query) == rows(straight, query) != []


# -- As the database has it --------------------------------------------------------------------------------------------


def test_a_second_import_changes_nothing(admin: User, origin: Origin) -> None:
    first = import_it(origin, "--artifacts")
    before = every_row()

    second = import_it(origin, "--artifacts")

    assert every_row() == before
    assert written() == rebuilt() != {}
    assert "versions                10        10             0" in first
    assert "versions                10         0            10" in second
    assert "files                   26         0            26" in second


def test_a_dry_run_counts_and_writes_nothing(admin: User, origin: Origin) -> None:
    before = every_row()

    said = import_it(origin, "--artifacts", "--dry-run")

    assert every_row() == before
    assert "versions                10        10             0" in said and "Nothing was written." in said


def test_files_can_follow_later(admin: User, origin: Origin) -> None:
    said = import_it(origin)
    without = set(ModelVersion.objects.values_list("digest", "file_count"))
    import_it(origin, "--artifacts")

    found = ModelVersion.objects.filter(model__is_prompt=False)
    assert "they stay where they are" in said and without == {("", 0)}
    assert not found.filter(digest="").exists()
    assert all(version.evidence and version.evidence.data["files"] for version in found.select_related("evidence"))


def test_one_event_for_each_model_says_who_holds_what_and_nobody_is_told(admin: User, origin: Origin) -> None:
    import_it(origin)

    event = Event.objects.get(kind="registered_model.imported", model_name="model-00")
    assert event.data["stages"] == {"Production": [4], "Staging": [5]}
    assert event.data["aliases"] == {"challenger": 5, "champion": 2}
    assert Event.objects.filter(kind="registered_model.imported").count() == 5
    assert not Event.objects.filter(kind="model_version.created").exists()
    assert not any(event.audience for event in Event.objects.all())


def test_a_number_that_was_given_is_never_given_again(admin: User, origin: Origin) -> None:
    import_it(origin)

    model = RegisteredModel.objects.get(name="model-00")
    assert model.last_version == 5
    assert sorted(model.versions.values_list("version", flat=True)) == [1, 2, 4, 5]


def test_a_model_of_the_same_name_is_left_alone(admin: User, origin: Origin) -> None:
    ours = make_model("model-01", description="Ours.")

    said = import_it(origin)

    assert "a model of that name is here that did not come from this server (1): model-01" in said
    assert RegisteredModel.objects.get(name="model-01") == ours and not ours.versions.exists()


def test_runs_belong_to_the_account_that_is_named(admin: User, mira: User, origin: Origin) -> None:
    import_it(origin, "--owner", "mira")

    assert set(Run.objects.values_list("user", flat=True)) == {mira.pk}
    assert Run.objects.exclude(user_id_sent="").exists()
