"""A pytest plugin for MLflow's own tests: their fixtures that start a server of theirs lead to a running Countersign.

It runs in an environment that holds the released mlflow client and nothing of ours; the server is a process of our own
environment (tests/conformance/served.py). ``python -m tests.conformance`` calls pytest with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from mlflow import MlflowClient
from one_root import SERVICE, OneRoot

REPOSITORY = Path(__file__).resolve().parents[3]
PATIENCE = 60  # seconds
outcomes = pytest.StashKey[dict]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("countersign")
    group.addoption("--countersign-python", help="the Python of Countersign's environment")
    group.addoption("--not-applicable", help="TOML: reason = [names of tests that are not run]")
    group.addoption("--only-not-applicable", action="store_true", help="run those instead: which of them pass?")
    group.addoption("--outcomes", help="a JSON file to write: passed, failed, not_applicable")


# -- The server ------------------------------------------------------------------------------------------------------


class Countersign:
    """The process that serves, and what it said of itself."""

    def __init__(self, python: str, folder: Path) -> None:
        own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NETRC")}
        self._process = subprocess.Popen(
            [python, "-m", "tests.conformance.served", folder],
            cwd=REPOSITORY, env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        said = self._answer()
        self.url, self.token, self.files = said["url"], said["token"], Path(said["files"])

    def reset(self) -> None:
        """Back to the rows of the first start."""
        self._process.stdin.write("reset\n")
        self._process.stdin.flush()
        self._answer()

    def stop(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def _answer(self) -> dict[str, str]:
        line = self._process.stdout.readline()
        assert line, "Countersign has ended; its words are above."
        return json.loads(line)


@pytest.fixture(scope="session")
def countersign(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Countersign]:
    """Their tests send many requests without the client, so the token comes from a netrc file: requests reads it."""
    folder = tmp_path_factory.mktemp("countersign")
    server = Countersign(request.config.getoption("countersign_python"), folder)
    netrc = folder / "netrc"
    netrc.write_text(
        "".join(f"machine {host} login token password {server.token}\n" for host in ("127.0.0.1", "localhost"))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NETRC", str(netrc))
        patch.setenv("MLFLOW_TRACKING_TOKEN", server.token)
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # a 500 of ours is to fail at once
        yield server
    server.stop()


# -- Their fixtures --------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh_client(countersign: Countersign) -> MlflowClient:
    countersign.reset()
    return MlflowClient(countersign.url)


@pytest.fixture(scope="module")
def fresh_server(countersign: Countersign) -> str:
    countersign.reset()
    return countersign.url


@pytest.fixture
def one_store() -> str:
    """Theirs is tested on files and on a database, ours has one store."""
    return "sqlalchemy"


@pytest.fixture(scope="module")
def server_of_artifacts(
    countersign: Countersign, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SimpleNamespace]:
    countersign.reset()
    root = OneRoot(countersign.url, tmp_path_factory.mktemp("destination"))
    exists, read = os.path.exists, request.module.read_file

    def exists_on_the_server(path: str) -> bool:
        root.fetch(path)
        return exists(path)

    def read_from_the_server(path: str) -> str:
        root.fetch(path)
        return read(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request.module, "requests", root)
        patch.setattr(request.module, "MlflowClient", lambda uri=countersign.url: root.client(uri))
        patch.setattr(request.module, "read_file", read_from_the_server)
        patch.setattr(os.path, "exists", exists_on_the_server)
        yield SimpleNamespace(
            backend_store_uri=countersign.url,
            default_artifact_root=countersign.url + SERVICE,
            artifacts_destination=str(root.folder),
            url=countersign.url,
        )


REPLACED = {
    "tests.tracking.test_model_registry": {"client": fresh_client},
    "tests.tracking.test_rest_tracking": {"mlflow_client": fresh_client, "store_type": one_store},
    "tests.tracking.test_mlflow_artifacts": {"artifacts_server": server_of_artifacts},
    "tests.tracking.test_client_webhooks": {"client": fresh_client},
    "tests.webhooks.test_e2e": {"mlflow_server": fresh_server},
}


def be_patient(module: ModuleType) -> None:
    """Their suite of webhooks gives its receiver 10 s to start, and each delivery 5: not enough on a busy machine."""
    wait = module.AppClient.wait_for_logs

    def wait_for_logs(self: object, expected_count: int, timeout: float = PATIENCE) -> list[object]:
        return wait(self, expected_count, timeout=max(timeout, PATIENCE))

    module.AppClient.wait_for_logs = wait_for_logs
    module.wait_until_ready = partial(module.wait_until_ready, max_attempts=PATIENCE)


def pytest_collectstart(collector: pytest.Collector) -> None:
    if isinstance(collector, pytest.Module):
        if collector.obj.__name__ == "tests.webhooks.test_e2e":
            be_patient(collector.obj)
        for name, fixture in REPLACED.get(collector.obj.__name__, {}).items():
            assert hasattr(collector.obj, name), f"{collector.obj.__name__} has no fixture {name} any more"
            setattr(collector.obj, name, fixture)


# -- What is run, and what came of it --------------------------------------------------------------------------------


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is listed: a test by its name with its parameters, or all of a test by its bare name."""
    reasons = _reasons(Path(config.getoption("not_applicable")))
    found = {name for item in items for name in (item.name, item.originalname)}
    if unknown := sorted(set(reasons) - found):
        raise pytest.UsageError(f"Listed as not applicable, but not there: {', '.join(unknown)}")
    out = {item: reason for item in items if (reason := reasons.get(item.name) or reasons.get(item.originalname))}
    chosen = [item for item in items if (item in out) == config.getoption("only_not_applicable")]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen
    config.stash[outcomes] = {"passed": [], "failed": [], "not_applicable": {}}
    for item, reason in out.items():
        config.stash[outcomes]["not_applicable"].setdefault(reason, []).append(item.name)


def _reasons(path: Path) -> dict[str, str]:
    """The reason by the test's name."""
    return {name: reason for reason, names in tomllib.loads(path.read_text()).items() for name in names}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A skip of theirs is counted as failed: what does not apply is to be listed."""
    report = yield
    found = item.config.stash[outcomes]
    if not report.passed and item.name not in found["failed"]:
        found["failed"].append(item.name)
    if report.when == "teardown" and item.name not in found["failed"]:
        found["passed"].append(item.name)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    found = session.config.stash.get(outcomes, {})
    Path(session.config.getoption("outcomes")).write_text(json.dumps(found))
