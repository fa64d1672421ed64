"""Two releases of databricks-sdk run the same unmodified script against a server that was just started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.test_tutorial import OLDER
from tests.servers import Server, migrated

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.embedded, pytest.mark.timeout(300)]


@pytest.mark.parametrize(("python", "version"), [(Path(sys.executable), "0.162.0"), (OLDER, "0.60.0")])
def test_the_workspace_client_runs_unchanged(tmp_path: Path, python: Path, version: str) -> None:
    if not python.exists():
        pytest.skip("the older clients are not installed: make test does it")
    server = Server(migrated(tmp_path / "data"))
    try:
        server.wait_ready()
        *_, ann, bea, rex = server.manage_each(
            *("create_user ann", "create_user bea", "create_user rex"),
            "grant MANAGE_PRODUCTION_VERSIONS * --user bea",
            *("create_token ann", "create_token bea", "create_token rex"),
        )
        tokens = {"MANAGER": server.token, "REQUESTER": ann, "APPROVER": bea, "READER": rex}
        done = subprocess.run(
            [python, Path(__file__).with_name("workspace.py")], cwd=tmp_path,
            env={**os.environ, **tokens, "DATABRICKS_HOST": server.url, "MLFLOW_DISABLE_TELEMETRY": "true"},
            capture_output=True, text=True, timeout=170, check=False,
        )  # fmt: skip
    finally:
        server.stop()

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"OK {version}"
    assert "WARNING" not in done.stderr
