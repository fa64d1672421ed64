"""The scripts of docs/pipelines.md, as they are, against a running server: what each way to decide makes of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from django.conf import settings

from tests.receivers import wait_until
from tests.servers import Server, free_port, migrated

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.embedded, pytest.mark.timeout(300)]

DOCS = Path(settings.BASE_DIR) / "docs"


def gate() -> str:
    """The policy that docs/pipelines.md shows."""
    found = re.search(r"```yaml\n(.*?)```", (DOCS / "pipelines.md").read_text(), re.DOTALL)
    assert found
    return found[1]


@dataclass(frozen=True)
class Place:
    """A server with the people and the policy of the page."""

    server: Server
    tokens: dict[str, str]

    def call(self, who: str, method: str, path: str, **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        answer = requests.request(
            method, f"{self.server.url}/api/v1/{path}", json=body or None, headers=headers, timeout=30
        )
        assert answer.ok, answer.text
        return answer.json()

    def start(self, script: str, *arguments: str, who: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, DOCS / "examples" / script, *arguments],
            env={
                **os.environ,
                "MLFLOW_TRACKING_URI": self.server.url,
                "MLFLOW_TRACKING_TOKEN": self.tokens[who],
                "CHECKS_TOKEN": self.tokens["ci-bot"],
                "MLFLOW_DISABLE_TELEMETRY": "true",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def pending(self, name: str) -> dict[str, Any]:
        def opened() -> list[Any]:
            return self.call("admin", "GET", f"requests/?state=open&model={name}")["items"]

        wait_until(lambda: bool(opened()), "the request", within=120)
        return self.call("admin", "GET", f"requests/{opened()[0]['id']}/")

    def decide(self, name: str, decision: str, **more: str) -> None:
        asked = self.pending(name)
        self.call("alice", "POST", f"requests/{asked['id']}/reviews/", decision=decision, seen=asked["seen"], **more)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One for all: each test has a model of its own."""
    server = Server(migrated(tmp_path_factory.mktemp("pipeline") / "data"), OUTBOUND_ALLOW="127.0.0.1")
    try:
        server.wait_ready()
        here = Place(server, {"admin": server.token})
        server.manage_each(
            "create_user mira",
            "create_user dana",
            "create_user alice",
            "create_user release-bot --service --owner mira",
            "create_user ci-bot --service --owner dana",
            "create_user deploy-bot --service --owner dana",
            "grant EDIT churn-* --user release-bot",
            "grant EDIT churn-* --user deploy-bot",
            "team risk --add alice",
        )
        names = ("alice", "release-bot", "deploy-bot", "ci-bot")
        tokens = server.manage_each(*(f"create_token {name}" for name in names))
        here.tokens.update(zip(names, tokens, strict=True))
        here.call("admin", "POST", "policies/", text=gate())
        yield here
    finally:
        server.stop()


def test_what_is_approved_is_deployed_and_the_pipeline_ends_well(place: Place) -> None:
    name = "churn-predictor"
    port = free_port()
    hook = place.call(
        "admin", "POST", "channels/", kind="webhook", name="deploy", target=f"http://127.0.0.1:{port}/",
        kinds=["transition.applied"],
    )  # fmt: skip
    deploying = place.start("deploy.py", who="deploy-bot", WEBHOOK_SECRET=hook["secret"], PORT=str(port))
    releasing = place.start("release.py", name, who="release-bot")

    place.decide(name, "approve")

    output, errors = releasing.communicate(timeout=120)
    assert releasing.returncode == 0, errors
    assert output.splitlines()[-1].startswith("applied: ")
    assert deploying.stdout is not None
    digest = place.call("alice", "GET", f"models/{name}/versions/1/")["digest"]
    assert deploying.stdout.readline().startswith(f"deployed {name} version 1 ({digest[:12]})")
    deploying.kill()
    [running] = place.call("alice", "GET", f"models/{name}/deployments/")["items"]
    assert (running["name"], running["version"], running["status"]) == ("eu-west", 1, "running")
    [check] = place.call("alice", "GET", f"versions/{name}/1/checks/")["items"]
    assert (check["name"], check["status"], check["reporter"]) == ("integration-tests", "passed", "ci-bot")


def test_a_rejection_ends_the_pipeline_with_1_and_the_reason(place: Place) -> None:
    name = "churn-rejected"
    releasing = place.start("release.py", name, who="release-bot")

    place.decide(name, "reject", comment="Not yet.")

    output, errors = releasing.communicate(timeout=120)
    assert releasing.returncode == 1, errors
    assert output.splitlines()[-1] == "rejected: Not yet."


def test_a_pipeline_that_nobody_answers_ends_with_2(place: Place) -> None:
    name = "churn-unanswered"
    releasing = place.start("release.py", name, who="release-bot", PATIENCE="1")

    output, errors = releasing.communicate(timeout=120)

    assert releasing.returncode == 2, errors
    assert output.splitlines()[-1] == "Nobody has decided in time."
    assert place.pending(name)["verdict"]["waiting_for"] == {"approvals": 1}


def test_a_refusal_ends_the_pipeline_with_its_sentence(place: Place) -> None:
    releasing = place.start("release.py", "fraud-score", who="release-bot", CHECKS_TOKEN="cs_wrong")

    output, errors = releasing.communicate(timeout=120)

    assert releasing.returncode == 1
    assert "The token or password is wrong" in errors, output + errors
