"""The production form, as `make run-production` starts it: processes on PostgreSQL, Redis and a store of files."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings

from tests.buckets import running_bucket
from tests.clients.test_tutorial import run
from tests.receivers import wait_until
from tests.servers import (
    Server,
    children_of,
    free_port,
    name_of,
    processes_of,
    processes_with,
    wait_until_gone,
)

pytestmark = [pytest.mark.slow, pytest.mark.postgres]

DATABASE_URL = os.environ.get("DATABASE_URL", "")
REDIS_URL = os.environ.get("REDIS_URL", "")
# A process of Countersign whose own processes get nothing done before it has died, as if they were forked that moment.
FORKS_LATE = textwrap.dedent(
    """
    import os, runpy, sys, time
    parent = os.getpid()
    def outlive_the_parent():
        while os.getppid() == parent:
            time.sleep(0.01)
    os.register_at_fork(after_in_child=outlive_the_parent)
    from config.processes import PROCESSES
    process = PROCESSES[sys.argv[1]]()
    sys.argv = [process.module, *process.arguments]
    runpy.run_module(process.module, run_name="__main__", alter_sys=True)
    """
)


@pytest.fixture(scope="module")
def postgres() -> Iterator[psycopg.Connection]:
    if not DATABASE_URL or not REDIS_URL:
        pytest.skip("needs DATABASE_URL and REDIS_URL")
    with psycopg.connect(address_of("postgres"), autocommit=True) as connection:
        yield connection


def address_of(database: str) -> str:
    return urlsplit(DATABASE_URL)._replace(path=f"/{database}").geturl()


@contextmanager
def made(postgres: psycopg.Connection, template: str = "template1") -> Iterator[str]:
    """The name of a database that goes afterwards."""
    name = f"countersign_{uuid.uuid4().hex[:12]}"
    postgres.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield name
    finally:
        postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_database(postgres: psycopg.Connection) -> Iterator[str]:
    with made(postgres) as name:
        yield address_of(name)


@pytest.fixture(scope="module")
def template(postgres: psycopg.Connection) -> Iterator[str]:
    """The name of a migrated database."""
    with made(postgres) as name:
        environment = {**os.environ, "DATABASE_URL": address_of(name), "SECRET_KEY": "k" * 50}
        migrate = [sys.executable, "manage.py", "migrate", "-v", "0", "--skip-checks"]
        subprocess.run(migrate, cwd=settings.BASE_DIR, env=environment, timeout=120, check=True)
        yield name


@pytest.fixture
def database(postgres: psycopg.Connection, template: str) -> Iterator[str]:
    """The address of a database of this test, migrated and without rows."""
    with made(postgres, template) as name:
        yield address_of(name)


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


class Alone:
    """One process with those that it makes, as compose starts it: without a supervisor."""

    def __init__(self, data_dir: Path, name: str, *command: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, *(command or ("manage.py", "start")), name],
            cwd=settings.BASE_DIR,
            env={
                **os.environ, "DATA_DIR": str(data_dir), "PORT": str(self.port), "SECRET_KEY": "k" * 50,
                "STORAGE_URL": f"file://{data_dir}/files", "DJANGO_SETTINGS_MODULE": "config.settings",
            },
        )  # fmt: skip

    @property
    def left(self) -> set[int]:
        return processes_with(f"DATA_DIR={self.data_dir}")

    def kill(self) -> None:
        """The process, and nothing that it has made."""
        self.process.kill()
        self.process.wait(timeout=10)


@pytest.fixture
def start_alone(tmp_path: Path) -> Iterator[Callable[..., Alone]]:
    if not DATABASE_URL or not REDIS_URL:
        pytest.skip("needs DATABASE_URL and REDIS_URL")
    started: list[Alone] = []

    def start_alone(name: str, *command: str) -> Alone:
        started.append(Alone(tmp_path / str(len(started)), name, *command))
        return started[-1]

    yield start_alone
    for alone in started:
        alone.kill()
        for pid in alone.left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


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


@pytest.mark.parametrize(("name", "its_processes"), [("web", 1), ("worker", 1), ("worker", 2)])
def test_a_supervisor_killed_while_it_starts_leaves_no_process(
    start: Callable[..., Server], name: str, its_processes: int
) -> None:
    server = start()
    while sum(len(children_of(pid)) for pid in children_of(server.process.pid) if name_of(pid) == name) < its_processes:
        assert server.process.poll() is None, server.text
        time.sleep(0.001)

    server.stop(signal.SIGKILL)

    assert not wait_until_gone(server)


@pytest.mark.parametrize("name", ["web", "worker"])
def test_a_process_forked_as_its_parent_is_killed_is_not_left(start_alone: Callable[..., Alone], name: str) -> None:
    alone = start_alone(name, "-c", FORKS_LATE)
    wait_until(lambda: len(children_of(alone.process.pid)) == 2, f"{name} forking its processes")

    alone.kill()

    wait_until(lambda: not alone.left, f"the end of the processes of {name}", within=10)


def test_a_killed_worker_leaves_no_process(start_alone: Callable[..., Alone]) -> None:
    alone = start_alone("worker")
    wait_until(lambda: len(children_of(alone.process.pid)) == 2, "the worker forking its processes")
    time.sleep(1)  # by now they wait for work

    alone.kill()

    wait_until(lambda: not alone.left, "the end of the processes of the worker", within=10)


def test_a_killed_web_server_leaves_no_process_that_waits_for_a_client(start_alone: Callable[..., Alone]) -> None:
    alone = start_alone("web")
    wait_until(lambda: len(children_of(alone.process.pid)) == 2, "gunicorn forking its workers")
    with socket.create_connection(("127.0.0.1", alone.port), timeout=20) as client:
        client.sendall(
            b"POST /sign-in/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\nCookie: csrftoken=%s\r\n\r\n" % (b"c" * 32)
        )
        assert client.recv(1000).startswith(b"HTTP/1.1 100")  # a thread reads, and nothing comes

        alone.kill()

        wait_until(lambda: not alone.left, "the end of gunicorn's workers", within=10)


def test_two_machines_that_start_at_once_migrate_once_and_make_one_administrator(
    start: Callable[..., Server], empty_database: str
) -> None:
    servers = [start(DATABASE_URL=empty_database), start(DATABASE_URL=empty_database)]

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
