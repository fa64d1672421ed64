"""The demo's hands: the command line for people, teams and policies; the stock client and the REST API for the rest."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parent.parent
BASE_URL = os.environ.get("MLFLOW_TRACKING_URI") or f"http://127.0.0.1:{os.environ.get('PORT') or 8080}"


def manage(*arguments: str) -> str:
    """Run a management command against the server's DATA_DIR or DATABASE_URL; its output."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={"BASE_URL": BASE_URL, **os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1]
        if "no such table" in said:
            raise SystemExit("No server has its data here: set the same DATA_DIR or DATABASE_URL as `make run` has.")
        raise SystemExit(f"manage.py {' '.join(arguments)}: {said}")
    return done.stdout.strip()


def apply_policy(text: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        manage("policies", "apply", file.name)


@contextlib.contextmanager
def acting_as(token: str) -> Iterator[None]:
    """Let the stock client act with somebody's token."""
    before = os.environ.get("MLFLOW_TRACKING_TOKEN")
    os.environ["MLFLOW_TRACKING_TOKEN"] = token
    try:
        yield
    finally:
        if before is None:
            del os.environ["MLFLOW_TRACKING_TOKEN"]
        else:
            os.environ["MLFLOW_TRACKING_TOKEN"] = before


class Person:
    """Somebody of the cast, with their own token for the REST API."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.token = manage("create_token", name, "--days", "30").splitlines()[-1]
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {self.token}"

    def call(self, method: str, path: str, **fields: Any) -> dict[str, Any]:
        answer = self.session.request(method, f"{BASE_URL}/api/v1/{path}", json=fields or None, timeout=60)
        if not answer.ok:
            raise SystemExit(f"{self.name}: {method} {path} was answered {answer.status_code}: {answer.text[:500]}")
        return answer.json() if answer.content else {}

    def ask(self, model: str, version: str, target: str, comment: str) -> int:
        """Request a stage, or an alias written with its @; the request's number."""
        return self.call("POST", "requests/", model=model, version=int(version), target=target, comment=comment)["id"]

    def review(self, request_id: int, decision: str, comment: str = "") -> str:
        """Say what one thinks of the request as it stands now; its state afterwards."""
        seen = self.call("GET", f"requests/{request_id}/")["seen"]
        done = self.call("POST", f"requests/{request_id}/reviews/", decision=decision, comment=comment, seen=seen)
        return done["state"]

    def say(self, request_id: int, text: str) -> None:
        self.call("POST", f"requests/{request_id}/comments/", text=text)

    def report_check(self, model: str, version: int, name: str, status: str, figure: str) -> None:
        self.call("POST", f"versions/{model}/{version}/checks/", name=name, status=status, figure=figure)
