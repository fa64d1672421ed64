"""The stock client sends parts to the store itself, and the server knows the files all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.buckets import running_bucket
from tests.servers import Server, migrated

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.embedded, pytest.mark.timeout(300)]


@pytest.mark.parametrize("direct", ["&direct=true", ""])
def test_the_stock_client_moves_large_files_by_itself_where_it_is_offered(tmp_path: Path, direct: str) -> None:
    with running_bucket() as bucket:
        server = Server(migrated(tmp_path / "data"), STORAGE_URL=bucket.url + direct)
        try:
            server.wait_ready()
            done = subprocess.run(
                [sys.executable, Path(__file__).with_name("files.py")],
                cwd=tmp_path,
                env={
                    **os.environ,
                    "MLFLOW_TRACKING_URI": server.url,
                    "MLFLOW_TRACKING_TOKEN": server.token,
                    "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": str(5 * 2**20),
                    "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": str(5 * 2**20),
                    "MLFLOW_DISABLE_TELEMETRY": "true",
                },
                capture_output=True,
                text=True,
                timeout=170,
                check=False,
            )
        finally:
            server.stop()

        assert done.returncode == 0, done.stdout + done.stderr + server.text
        assert done.stdout.splitlines()[-1].startswith("OK")
        assert bucket.uploads() == []
        assert len(bucket.keys()) == 5
        asked = [line for line in server.lines if "/mpu/complete/" in line and "code=200" in line]
        assert len(asked) == (3 if direct else 0), server.text
