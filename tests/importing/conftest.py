"""A real `mlflow server`, filled by the stock client."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings

from tests.servers import free_port

MLFLOW = settings.BASE_DIR / ".venv-reference" / "bin" / "mlflow"


@dataclass(frozen=True)
class Origin:
    url: str
    folder: Path  # with predictions.json


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    """2 models of 5 versions each and what belongs to them: fill.py."""
    if not MLFLOW.exists():
        pytest.skip("mlflow server is not installed: make test does it")
    folder = tmp_path_factory.mktemp("origin")
    address = f"http://127.0.0.1:{(port := free_port())}"
    quiet = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    jobless = {**quiet, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # eight processes that nobody here needs
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [MLFLOW, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
             "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", folder / "artifacts"],
            cwd=folder, env=jobless, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            _wait_for(address, folder / "log")
            fill = [sys.executable, Path(__file__).with_name("fill.py"), "2", "5"]
            client = {**quiet, "MLFLOW_TRACKING_URI": address}
            subprocess.run(fill, cwd=folder, env=client, capture_output=True, timeout=170, check=True)
            yield Origin(address, folder)
        finally:
            os.killpg(server.pid, 15)
            server.wait(timeout=20)


def _wait_for(address: str, log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"mlflow server did not start:\n{log.read_text()}")
