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
from tests.servers import Server, free_port

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.embedded, pytest.mark.timeout(300)]

DOCS = Path(settings.BASE_DIR) / "docs"
NAME = "churn-predictor"


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

    def pending(self) -> dict[str, Any]:
        def opened() -> list[Any]:
            return self.call("admin", "GET", "requests/?state=open")["items"]

        wait_until(lambda: bool(opened()), "the request", within=120)
        return self.call("admin", "GET", f"requests/{opened()[0]['id']}/")

    def decide(self, decision: str) -> None:
        asked = self.pending()
        if decision != "approve":
            self.call(
                "alice",
                "POST",
                f"requests/{asked['id']}/reviews/",
                decision=decision,
                comment="Not yet.",
                seen=asked["seen"],
            )
            return
        self.call("alice", "POST", f"requests/{asked['id']}/reviews/", decision=decision, seen=asked["seen"])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    server = Server(tmp_path / "data", OUTBOUND_ALLOW="127.0.0.1")
    try:
        server.wait_ready()
        here = Place(server, {"admin": server.token})
        server.manage("create_user", "mira")
        server.manage("create_user", "dana")
        server.manage("create_user", "alice")
        server.manage("create_user", "release-bot", "--service", "--owner", "mira")
        server.manage("create_user", "ci-bot", "--service", "--owner", "dana")
        server.manage("create_user", "deploy-bot", "--service", "--owner", "dana")
        server.manage("grant", "EDIT", "churn-*", "--user", "release-bot")
        server.manage("grant", "EDIT", "churn-*", "--user", "deploy-bot")
        server.manage("team", "risk", "--add", "alice")
        for name in ("alice", "release-bot", "deploy-bot", "ci-bot"):
            here.tokens[name] = server.manage("create_token", name)
        here.call("admin", "POST", "policies/", text=gate())
        yield here
    finally:
        server.stop()


def test_what_is_approved_is_deployed_and_the_pipeline_ends_well(place: Place) -> None:
    port = free_port()
    hook = place.call(
        "admin", "POST", "channels/", kind="webhook", name="deploy", target=f"http://127.0.0.1:{port}/",
        kinds=["transition.applied"],
    )  # fmt: skip
    deploying = place.start("deploy.py", who="deploy-bot", WEBHOOK_SECRET=hook["secret"], PORT=str(port))
    releasing = place.start("release.py", NAME, who="release-bot")

    place.decide("approve")

    output, errors = releasing.communicate(timeout=120)
    assert releasing.returncode == 0, errors
    assert output.splitlines()[-1].startswith("applied: ")
    assert deploying.stdout is not None
    digest = place.call("alice", "GET", f"models/{NAME}/versions/1/")["digest"]
    assert deploying.stdout.readline().startswith(f"deployed {NAME} version 1 ({digest[:12]})")
    deploying.kill()
    [running] = place.call("alice", "GET", f"models/{NAME}/deployments/")["items"]
    assert (running["name"], running["version"], running["status"]) == ("eu-west", 1, "running")
    [check] = place.call("alice", "GET", f"versions/{NAME}/1/checks/")["items"]
    assert (check["name"], check["status"], check["reporter"]) == ("integration-tests", "passed", "ci-bot")


def test_a_rejection_ends_the_pipeline_with_1_and_the_reason(place: Place) -> None:
    releasing = place.start("release.py", NAME, who="release-bot")

    place.decide("reject")

    output, errors = releasing.communicate(timeout=120)
    assert releasing.returncode == 1, errors
    assert output.splitlines()[-1] == "rejected: Not yet."


def test_a_pipeline_that_nobody_answers_ends_with_2(place: Place) -> None:
    releasing = place.start("release.py", NAME, who="release-bot", PATIENCE="1")

    output, errors = releasing.communicate(timeout=120)

    assert releasing.returncode == 2, errors
    assert output.splitlines()[-1] == "Nobody has decided in time."
    assert place.pending()["verdict"]["waiting_for"] == {"approvals": 1}


def test_a_refusal_ends_the_pipeline_with_its_sentence(place: Place) -> None:
    releasing = place.start("release.py", "fraud-score", who="release-bot", CHECKS_TOKEN="cs_wrong")

    output, errors = releasing.communicate(timeout=120)

    assert releasing.returncode == 1
    assert "The token or password is wrong" in errors, output + errors
