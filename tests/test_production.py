"""The production form, as `make run-production` starts it: processes on PostgreSQL, Redis and a store of files."""

from __future__ import annotations

import os
import signal
import sys
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.buckets import running_bucket
from tests.clients.test_tutorial import run
from tests.servers import Server, name_of, processes_of, wait_until_gone

pytestmark = [pytest.mark.slow, pytest.mark.postgres]

DATABASE_URL = os.environ.get("DATABASE_URL", "")
REDIS_URL = os.environ.get("REDIS_URL", "")


@pytest.fixture
def database() -> Iterator[str]:
    """The address of an empty database of this test."""
    if not DATABASE_URL or not REDIS_URL:
        pytest.skip("needs DATABASE_URL and REDIS_URL")
    name = f"countersign_{uuid.uuid4().hex[:12]}"
    server = urlsplit(DATABASE_URL)._replace(path="/postgres").geturl()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield urlsplit(DATABASE_URL)._replace(path=f"/{name}").geturl()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def start(tmp_path: Path, database: str) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(**changes: str) -> Server:
        folder = tmp_path / str(len(servers))  # two machines share the services, not a folder
        environment = {
            "DATABASE_URL": database,
            "REDIS_URL": REDIS_URL,
            "STORAGE_URL": f"file://{tmp_path}/files",
            "SECRET_KEY": "k" * 50,
            **changes,
        }
        servers.append(Server(folder, "--production", **environment))
        return servers[-1]

    yield start
    for server in servers:
        server.stop(signal.SIGKILL)
        wait_until_gone(server)


def test_it_starts_answers_and_leaves_no_process(start: Callable[..., Server]) -> None:
    server = start()

    server.wait_ready()

    with urllib.request.urlopen(f"{server.url}/health/ready", timeout=10) as response:
        assert response.status == 200
    assert {name_of(pid) for pid in processes_of(server)} >= {"web", "worker", "beat"}
    assert server.stop() == 0
    assert not wait_until_gone(server, within=0)


def test_a_killed_supervisor_leaves_no_process(start: Callable[..., Server]) -> None:
    server = start()
    server.wait_ready()

    server.stop(signal.SIGKILL)

    assert not wait_until_gone(server)


def test_two_machines_that_start_at_once_migrate_once_and_make_one_administrator(start: Callable[..., Server]) -> None:
    servers = [start(), start()]

    with ThreadPoolExecutor() as pool:
        list(pool.map(Server.wait_ready, servers))

    assert sum("First start" in server.text for server in servers) == 1


def test_the_stock_client_runs_the_tutorial_with_files_in_s3(start: Callable[..., Server], tmp_path: Path) -> None:
    with running_bucket() as bucket:
        server = start(STORAGE_URL=bucket.url)
        server.wait_ready()

        done = run("tutorial.py", Path(sys.executable), server, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("OK")
