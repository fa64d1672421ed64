"""Both stock clients run the same unmodified scripts, each against a server of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from django.conf import settings

from tests.servers import Server, migrated

SCRIPTS = ("tutorial.py", "tracking.py", "autologging.py", "prompts.py")
OLDER = settings.BASE_DIR / ".venv-mlflow2" / "bin" / "python"

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.embedded, pytest.mark.timeout(300)]


def run(script: str, python: Path, server: Server, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a script with the stock client of that Python; ``more`` goes into its environment."""
    client = {"MLFLOW_TRACKING_URI": server.url, "MLFLOW_TRACKING_TOKEN": server.token}
    return subprocess.run(
        [python, Path(__file__).with_name(script)], cwd=folder,
        env={**os.environ, **client, **more, "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip


@dataclass(frozen=True)
class Installed:
    """A client, and a server that nobody else uses."""

    python: Path
    version: str
    server: Server


@pytest.fixture(scope="module", params=[(Path(sys.executable), "3.18."), (OLDER, "2.22.")], ids=["3.18", "2.22"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    python, version = request.param
    if not python.exists():
        pytest.skip("the older mlflow client is not installed: make test does it")
    server = Server(migrated(tmp_path_factory.mktemp("tutorial") / "data"))
    try:
        server.wait_ready()
        yield Installed(python, version, server)
    finally:
        server.stop()


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_stock_client_runs_a_script_unchanged(client: Installed, tmp_path: Path, script: str) -> None:
    done = run(script, client.python, client.server, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"OK {client.version}")


@pytest.mark.parametrize(("python", "version"), [(Path(sys.executable), "0.162."), (OLDER, "0.60.")])
def test_the_databricks_client_grants_levels(tmp_path: Path, python: Path, version: str) -> None:
    if not python.exists():
        pytest.skip("the older databricks client is not installed: make test does it")
    server = Server(migrated(tmp_path / "data"), DEFAULT_MODEL_LEVEL="NONE")
    try:
        server.wait_ready()
        tokens = {f"TOKEN_{who.upper()}": _token_of_new(who, server) for who in ("manager", "reader", "outsider")}
        done = run("databricks_permissions.py", python, server, tmp_path, **tokens)
    finally:
        server.stop()

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"OK {version}")


def _token_of_new(username: str, server: Server) -> str:
    """Add a person by our own API and make a token for them."""
    headers = {"Authorization": f"Bearer {server.token}"}
    person = requests.post(f"{server.url}/api/v1/users/", json={"username": username}, headers=headers, timeout=30)
    assert person.status_code == 201, person.text
    made = {"name": "tests", "user": username}
    token = requests.post(f"{server.url}/api/v1/tokens/", json=made, headers=headers, timeout=30)
    return str(token.json()["secret"])
