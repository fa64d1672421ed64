"""manage.py up as a person meets it: real processes, a real port, a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings

from tests.servers import Server, free_port, migrated, name_of, processes_of, wait_until_gone

pytestmark = [pytest.mark.slow, pytest.mark.embedded]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(**environment: str) -> Server:
        servers.append(Server(tmp_path / "data", **environment))
        return servers[-1]

    yield start
    for server in servers:
        server.stop(signal.SIGKILL)
        wait_until_gone(server)


def get(url: str, **headers: str) -> int:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as response:
        return response.status


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_first_start_tells_how_to_sign_in_and_how_to_point_a_client_here(start: Callable[..., Server]) -> None:
    server = start()

    server.wait_ready()

    assert get(f"{server.url}/health/ready") == 200
    assert server.said(r"^(http://\S+/sign-in/link/\S+/)$").startswith(server.url)
    assert server.said(r"^export MLFLOW_TRACKING_URI=(\S+)$") == server.url
    search = f"{server.url}/api/2.0/mlflow/registered-models/search"
    assert get(search, Authorization=f"Bearer {server.token}") == 200


def test_second_start_is_ready_within_five_seconds_and_keeps_no_secret(start: Callable[..., Server]) -> None:
    first = start()
    first.wait_ready()
    first.stop()

    for _ in range(3):  # the promise is for a machine that does nothing else, and other tests run beside this one
        second = start()
        seconds = second.wait_ready()
        second.stop()
        if seconds < 5:
            break

    assert seconds < 5
    assert "MLFLOW_TRACKING_TOKEN" not in second.text
    assert "manage.py sign_in_link NAME" in second.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_leaves_no_process_and_frees_the_port(start: Callable[..., Server], number: signal.Signals) -> None:
    server = start()
    server.wait_ready()
    assert len(processes_of(server)) >= 4  # supervisor, gunicorn and its worker, celery

    assert server.stop(number) == 0

    assert not wait_until_gone(server, within=0)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0


def test_a_killed_supervisor_leaves_no_process(start: Callable[..., Server]) -> None:
    server = start()
    server.wait_ready()

    server.stop(signal.SIGKILL)

    assert not wait_until_gone(server)


def test_a_killed_worker_is_started_again(start: Callable[..., Server]) -> None:
    server = start()
    server.wait_ready()
    worker = next(pid for pid in processes_of(server) if name_of(pid) == "worker")

    os.kill(worker, signal.SIGKILL)

    server.wait_for(r"worker was ended by SIGKILL: starting it again")


def test_the_embedded_queue_is_made_before_two_processes_use_it(tmp_path: Path) -> None:
    folder = migrated(tmp_path / "data")
    shutil.rmtree(folder / "queue")

    assert manage("prepare", DATA_DIR=str(folder)).returncode == 0

    assert json.loads((folder / "queue" / "control" / "celery.exchange").read_text()) == [["celery", "", "celery"]]


def test_a_port_in_use_is_told_in_one_sentence(start: Callable[..., Server]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        server = start(port=port)
        status = server.process.wait(timeout=30)

    assert status == 1
    assert (
        server.text == f"CommandError: 127.0.0.1:{port} cannot be used: Address already in use. "
        f"Choose another: make run PORT={port + 1}"
    )


def test_two_servers_do_not_share_a_folder(start: Callable[..., Server]) -> None:
    first = start()
    first.wait_ready()

    second = start()
    status = second.process.wait(timeout=30)

    assert status == 1
    assert "Countersign already runs on" in second.text


def test_production_names_the_services_it_lacks(tmp_path: Path) -> None:
    answer = manage("up", "--production", DATA_DIR=str(tmp_path), PORT=str(free_port()))

    assert answer.returncode == 1
    assert answer.stderr == (
        "CommandError: DATABASE_URL and REDIS_URL and STORAGE_URL must be set for production; "
        "docs/settings.md says how.\n"
    )
