"""The story a newcomer lives through, once on each broker: register, ask, be told, approve in the browser, applied."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.receivers import Mailbox, Receiver, wait_until
from tests.servers import Server, free_port, migrated, name_of, processes_of

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.embedded, pytest.mark.timeout(420)]

REDIS = "redis://127.0.0.1:6379/9"
POLICY = """\
name: production-gate
match: {models: ["churn-*"]}
guards: [stage:Production]
requirements:
  - metric: {name: accuracy, min: 0.90}
  - metric: {name: f1, min: 0.88}
  - approvals: {count: 2, teams: {risk: 1, ml-leads: 1}}
"""
REGISTER = textwrap.dedent(
    """
    import mlflow, numpy as np
    from sklearn.linear_model import LogisticRegression
    x = np.random.RandomState(0).rand(40, 2); y = (x.sum(axis=1) > 1).astype(int)
    for accuracy in (0.93, 0.95):
        with mlflow.start_run():
            mlflow.log_metrics({"accuracy": accuracy, "f1": 0.9})
            mlflow.sklearn.log_model(LogisticRegression().fit(x, y), name="model",
                                     registered_model_name="churn-predictor", pip_requirements=["scikit-learn"])
    """
)
MOVE = textwrap.dedent(
    """
    import sys, mlflow
    mlflow.MlflowClient().transition_model_version_stage(
        "churn-predictor", sys.argv[1], "Production", archive_existing_versions=True)
    """
)


def redis_answers() -> bool:
    return subprocess.run(["redis-cli", "-u", REDIS, "ping"], capture_output=True, check=False).stdout == b"PONG\n"


class House:
    """A running Countersign with its mailbox and its Slack, and the hands of an operator."""

    def __init__(self, data_dir: Path, mail_port: int, **environment: str) -> None:
        self.data_dir, self.mail_port = data_dir, mail_port
        self.environment = {
            "EMAIL_URL": f"smtp://127.0.0.1:{mail_port}", "OUTBOUND_ALLOW": "127.0.0.1", **environment,
        }  # fmt: skip
        self.server = Server(migrated(data_dir), **self.environment)
        self.server.wait_ready()
        self.token = self.server.token

    def restart(self) -> None:
        self.server.stop()
        self.server = Server(self.data_dir, port=self.server.port, **self.environment)
        self.server.wait_ready()

    def client(self, script: str, *arguments: str, token: str) -> subprocess.CompletedProcess[str]:
        """Run a script with the stock mlflow client."""
        surroundings = {
            **os.environ, "MLFLOW_TRACKING_URI": self.server.url, "MLFLOW_TRACKING_TOKEN": token,
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, "-c", script, *arguments], cwd=self.data_dir, env=surroundings,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def people(self) -> None:
        policy = self.data_dir / "policy.yaml"
        policy.write_text(POLICY)
        self.server.manage_each(
            *(f"create_user {name} --email {name}@example.com" for name in ("mira", "alice", "dkim")),
            "team risk --add alice",
            "team ml-leads --add dkim",
            f"policies apply {policy}",
        )

    def stage(self, version: int) -> str:
        answer = requests.get(
            f"{self.server.url}/api/2.0/mlflow/model-versions/get",
            params={"name": "churn-predictor", "version": version},
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=10,
        )
        return answer.json()["model_version"]["current_stage"]


@pytest.fixture(params=["embedded", "redis"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    environment = {}
    if request.param == "redis":
        if not redis_answers():
            pytest.skip("no Redis answers on 127.0.0.1:6379")
        subprocess.run(["redis-cli", "-u", REDIS, "flushdb"], check=True, capture_output=True)
        environment["REDIS_URL"] = REDIS
    found = House(tmp_path / "data", free_port(), **environment)
    yield found
    found.server.stop()


def sign_in(house: House, browser: Browser, name: str) -> Page:
    """A person's own browser, signed in by the link that the command line prints."""
    page = browser.new_context().new_page()
    page.goto(house.server.manage("sign_in_link", name).splitlines()[-1])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Reviews")).to_be_visible()
    return page


def test_a_version_goes_live_by_two_approvals_and_everybody_hears_of_it(house: House, browser: Browser) -> None:
    with ExitStack() as stack:
        mailbox = stack.enter_context(Mailbox(house.mail_port))
        slack = stack.enter_context(Receiver())
        house.people()
        mira_token = house.server.manage("create_token", "mira").splitlines()[-1]
        registered = house.client(REGISTER, token=mira_token)
        assert registered.returncode == 0, registered.stderr
        admin = sign_in(house, browser, "admin")
        admin.goto(f"{house.server.url}/channels/")
        admin.get_by_label("Kind").select_option("slack")
        admin.get_by_label("Name", exact=True).fill("#ml-releases")
        admin.get_by_label("Address").fill(slack.url)
        admin.get_by_role("button", name="Add", exact=True).click()
        expect(admin.get_by_text("#ml-releases").first).to_be_visible()

        # The direct way is closed, also for the administrator, and says why and where to ask.
        refused = house.client(MOVE, "2", token=house.token)
        assert refused.returncode != 0
        assert "PERMISSION_DENIED" in refused.stderr
        assert "2 approvals" in refused.stderr
        assert f"{house.server.url}/models/churn-predictor/versions/2/request/" in refused.stderr
        assert house.stage(2) == "None"

        # mira asks in the browser; alice and dkim are told.
        mira = sign_in(house, browser, "mira")
        mira.goto(f"{house.server.url}/models/churn-predictor/versions/2/")
        mira.get_by_role("link", name="Request a transition").click()
        mira.get_by_label("Production").check()
        mira.get_by_label("Why").fill("Retrained on October data.")
        mira.get_by_role("button", name="Open the request").click()
        expect(mira.get_by_role("heading", name="Promote version 2")).to_be_visible()
        request_url = mira.url
        wait_until(lambda: bool(mailbox.of("alice@") and mailbox.of("dkim@")), "mail to both reviewers")
        assert not mailbox.of("mira@"), "nobody is told of their own act"

        # alice approves through the REST API, on what she saw.
        number = request_url.rstrip("/").rsplit("/", 1)[1]
        alice = {"Authorization": f"Bearer {house.server.manage('create_token', 'alice').splitlines()[-1]}"}
        api = f"{house.server.url}/api/v1/requests/{number}/"
        seen = requests.get(api, headers=alice, timeout=10).json()["seen"]
        body = {"decision": "approve", "comment": "Fairness is inside tolerance.", "seen": seen}
        said = requests.post(f"{api}reviews/", json=body, headers=alice, timeout=10)
        assert said.status_code == 201, said.text
        assert house.stage(2) == "None"

        # dkim finds it in the inbox and presses the last needed button.
        dkim = sign_in(house, browser, "dkim")
        dkim.get_by_role("link", name="churn-predictor version 2").click()
        late = dkim.context.new_page()
        late.goto(request_url)
        dkim.get_by_role("button", name="Approve and promote").click()
        expect(dkim.get_by_text("Applied", exact=True).first).to_be_visible()
        assert house.stage(2) == "Production"

        # A second press, from a page that was still open, does nothing and says so.
        late.get_by_role("button", name="Approve and promote").click()
        expect(late.get_by_text("was already applied by dkim")).to_be_visible()

        # The requester's page shows it, mail and Slack say it.
        mira.reload()
        expect(mira.get_by_text("Applied", exact=True).first).to_be_visible()
        wait_until(lambda: any("is now Production" in str(m["Subject"]) for m in mailbox.of("mira@")), "mail to mira")
        wait_until(lambda: any("is now Production" in post["text"] for post in slack.posts), "a message in Slack")
        assert any("asks to move" in post["text"] for post in slack.posts)


def signal_worker(house: House, number: signal.Signals) -> None:
    workers = [pid for pid in processes_of(house.server) if name_of(pid) == "worker"]
    assert workers, house.server.text
    for pid in workers:
        os.kill(pid, number)


def halt_worker(house: House) -> None:
    """It takes nothing any more, as if it were busy with something long; but not while it writes, for then it would
    hold the lock of the database."""
    for _ in range(100):
        signal_worker(house, signal.SIGSTOP)
        with closing(sqlite3.connect(house.data_dir / "countersign.sqlite3", timeout=1)) as database:
            try:
                database.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError:
                signal_worker(house, signal.SIGCONT)
    raise AssertionError(f"The worker writes all the time:\n{house.server.text}")


def test_mails_that_waited_arrive_after_the_worker_was_killed(house: House, browser: Browser) -> None:
    house.people()
    mira_token = house.server.manage("create_token", "mira").splitlines()[-1]
    assert house.client(REGISTER, token=mira_token).returncode == 0
    halt_worker(house)
    asking = {"Authorization": f"Bearer {mira_token}"}
    for version in (1, 2):
        body = {"model": "churn-predictor", "version": version, "target": "Production", "comment": f"Version {version}"}
        answer = requests.post(f"{house.server.url}/api/v1/requests/", json=body, headers=asking, timeout=10)
        assert answer.status_code == 201, answer.text

    signal_worker(house, signal.SIGKILL)
    with Mailbox(house.mail_port) as mailbox:
        house.restart()
        wait_until(lambda: len(mailbox.of("alice@")) >= 2 and len(mailbox.of("dkim@")) >= 2, "every mail", within=60)

    for name in ("alice", "dkim"):
        events = [message["X-Countersign-Event"] for message in mailbox.of(f"{name}@")]
        assert len(set(events)) == 2
