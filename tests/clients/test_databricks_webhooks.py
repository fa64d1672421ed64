"""The stock databricks-sdk manages webhooks of a running server, and what it changes arrives signed."""

from __future__ import annotations

import hashlib
import hmac
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.test_tutorial import OLDER
from tests.receivers import Receiver, wait_until
from tests.servers import Server, migrated

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.embedded, pytest.mark.timeout(300)]
SECRET = "geheim ✓"


@pytest.mark.parametrize(("python", "version"), [(Path(sys.executable), "0.162."), (OLDER, "0.60.")])
def test_the_stock_client_manages_webhooks_and_its_changes_are_told(tmp_path: Path, python: Path, version: str) -> None:
    if not python.exists():
        pytest.skip("the older client is not installed: make test does it")
    server = Server(migrated(tmp_path / "data"), OUTBOUND_ALLOW="127.0.0.1")
    try:
        server.wait_ready()
        with Receiver() as receiver:
            client = {"DATABRICKS_HOST": server.url, "DATABRICKS_TOKEN": server.token}
            done = subprocess.run(
                [python, Path(__file__).with_name("databricks_webhooks.py")], cwd=tmp_path,
                env={**os.environ, **client, "RECEIVER": receiver.url, "SECRET": SECRET},
                capture_output=True, text=True, timeout=170, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            wait_until(lambda: {"2"} <= {post["version"] for post in receiver.posts}, "a delivery")
            wait_until(lambda: len([post for post in receiver.posts if post["version"] == "2"]) == 2, "both deliveries")
    finally:
        server.stop()

    assert done.stdout.splitlines()[-1].startswith(f"OK {version}")
    tried, *heard = receiver.posts
    created, tagged = sorted(heard, key=lambda post: post["event"])
    assert (tried["event"], tried["model_name"]) == ("MODEL_VERSION_TAG_SET", "example-model")
    assert (created["event"], created["model_name"], created["version"]) == (
        "MODEL_VERSION_CREATED", "fraud-rating", "2",
    )  # fmt: skip
    assert (tagged["event"], tagged["tags"]) == ("MODEL_VERSION_TAG_SET", [{"key": "auc", "value": "0.91"}])
    for call in receiver.calls:
        expected = hmac.new(SECRET.encode(), call.body, hashlib.sha256).hexdigest()
        assert call.headers["x-databricks-signature"] == expected
        assert call.headers["authorization"] == "Bearer of-the-receiver"
