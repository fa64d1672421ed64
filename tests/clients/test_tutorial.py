"""Both stock clients run the same unmodified script against a server that was just started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from tests.servers import Server

SCRIPT = Path(__file__).with_name("tutorial.py")
OLDER = settings.BASE_DIR / ".venv-mlflow2" / "bin" / "python"

pytestmark = [pytest.mark.clients, pytest.mark.slow]


@pytest.mark.parametrize(("python", "version"), [(Path(sys.executable), "3.18."), (OLDER, "2.22.")])
def test_the_stock_client_runs_the_tutorial_unchanged(tmp_path: Path, python: Path, version: str) -> None:
    if not python.exists():
        pytest.skip("the older mlflow client is not installed: make test does it")
    server = Server(tmp_path / "data")
    try:
        server.wait_ready()
        client = {"MLFLOW_TRACKING_URI": server.url, "MLFLOW_TRACKING_TOKEN": server.token}
        done = subprocess.run(
            [python, SCRIPT], cwd=tmp_path, env={**os.environ, **client, "MLFLOW_DISABLE_TELEMETRY": "true"},
            capture_output=True, text=True, timeout=170, check=False,
        )  # fmt: skip
    finally:
        server.stop()

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"OK {version}")
