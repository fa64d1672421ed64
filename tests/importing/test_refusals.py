"""What cannot be imported is refused or left out, in a sentence."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from accounts.models import User
from registry.importing.models import Registry
from registry.importing.report import Report
from registry.importing.source import TheirModel, TheirVersion
from registry.models import RegisteredModel
from tests.factories import make_run
from tests.servers import free_port


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[str, list[str]]]:
    """A server that answers everything so, and the Authorization headers that it got."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


def refusal(url: str) -> str:
    with pytest.raises(CommandError) as refused:
        call_command("import_mlflow", url, stdout=StringIO(), stderr=StringIO())
    return str(refused.value)


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (200, b"<html>Hello</html>", "does not answer as an MLflow server does"),
        (200, b"[]", "does not answer as an MLflow server does"),
        (200, b'{"experiments": [{"nothing": 1}]}', "does not answer as an MLflow server does"),
        (404, b"<html>Not found</html>", "does not answer as an MLflow server does"),
        (401, b"", "Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME"),
        (403, b"{}", "does not let itself be read (403)"),
        (302, b"", "name the final address"),
        (500, b"oops", "answers 500"),
    ],
)
def test_a_server_that_is_none_is_said_so(admin: User, status: int, body: bytes, sentence: str) -> None:
    with answering(status, body) as (url, _):
        assert sentence in refusal(url)


def test_an_address_that_nobody_answers_is_said_so(admin: User) -> None:
    assert "the connection was refused" in refusal(f"http://127.0.0.1:{free_port()}")
    assert "must look like https://host/path" in refusal("mlruns.db")


def test_credentials_go_along(admin: User, settings: Settings) -> None:
    with answering(401, b"") as (url, seen):
        settings.IMPORT_TOKEN = "secret"
        refusal(url)
        settings.IMPORT_TOKEN, settings.IMPORT_USER, settings.IMPORT_PASSWORD = "", "mira", "word"
        refusal(url)

    assert seen == ["Bearer secret", "Basic bWlyYTp3b3Jk"]


def test_nobody_is_made_an_owner_of_nothing(db: None) -> None:
    assert "There is no administrator yet" in refusal("http://127.0.0.1:1")


class Fake:
    name = "https://mlflow.example.com"

    def __init__(self, *versions: TheirVersion) -> None:
        self._versions = list(versions)

    def versions(self, model: TheirModel) -> Iterator[list[TheirVersion]]:
        yield self._versions


def version(number: int, location: str, **fields: str) -> TheirVersion:
    said = {"stage": "None", "description": "", "user_id": "", "run_id": "", "model_id": "", "run_link": ""}
    said |= {"status": "READY", "status_message": "", "source": location, **fields}
    return TheirVersion(version=number, creation_timestamp=1000, last_updated_timestamp=2000, location=location, **said)


def imported(*versions: TheirVersion, name: str = "churn", aliases: dict[str, int] | None = None) -> Report:
    report = Report()
    source = Fake(*versions)
    registry = Registry(source, report=report, is_dry=False, with_files=False, incomplete=set())  # type: ignore[arg-type]
    registry.model(TheirModel(name, "", 1000, 2000, {"a\x00b": "1", "ok": "\x00x"}, aliases or {}))
    return report


@pytest.mark.django_db
def test_a_version_on_a_disk_or_with_a_strange_host_is_left_out_and_its_number_stays_taken() -> None:
    run = make_run()
    inside = f"mlflow-artifacts:/7/{run.run_id}/artifacts/model"
    report = imported(
        version(1, "file:///etc"),
        version(2, "/srv/mlruns/0/x"),
        version(3, inside, run_id=run.run_id, stage="Production"),
        version(4, "s3://bucket/model", stage="Production"),
        version(5, "ftp://host/model"),
        version(9, f"mlflow-artifacts:/7/{run.run_id}/artifacts/../../secret"),
        aliases={"champion": 4, "gone": 1, "v3": 3},
    )

    model = RegisteredModel.objects.get(name="churn")
    assert {v.version: v.storage_location for v in model.versions.all()} == {
        3: f"mlflow-artifacts:/{run.experiment_id}/{run.run_id}/artifacts/model",
        4: "s3://bucket/model",
    }
    assert (model.last_version, model.aliases, model.tags) == (9, {"champion": 4}, {"ok": "x"})
    assert model.latest.get().version.version == 4
    assert sum(left.total for why, left in report.left.items() if "neither in a run" in why) == 4
    assert sum(left.total for why, left in report.left.items() if why.startswith("an alias")) == 2


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["a/b", "", "\u202eevil", "x" * 300])
def test_a_name_that_is_not_allowed_here_is_left_out(name: str) -> None:
    report = imported(version(1, "s3://bucket/model"), name=name)

    assert not RegisteredModel.objects.exists()
    assert any("whose name is not allowed" in why for why in report.left)
