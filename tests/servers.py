"""Real servers for tests: ``manage.py up`` in a process of its own, on a free port and an empty folder."""

from __future__ import annotations

import atexit
import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from django.conf import settings

START_SECONDS = 60
# Commands of manage.py, read from the input as JSON, in one process: to start one takes two seconds.
EACH_COMMAND = textwrap.dedent(
    """
    import django, io, json, sys
    from django.core.management import call_command
    django.setup()
    said = []
    for command in json.load(sys.stdin):
        call_command(*command, stdout=(output := io.StringIO()))
        said.append(output.getvalue().strip())
    json.dump(said, sys.stdout)
    """
)
# A data folder as `manage.py prepare` leaves it, but for the administrator, whom the first start makes.
MIGRATE = textwrap.dedent(
    """
    import django
    from django.core.management import call_command
    django.setup()
    from config.preparation import make_queue
    call_command("migrate", verbosity=0, skip_checks=True)
    make_queue()
    """
)


class Server:
    """A running ``manage.py up`` and what it says."""

    def __init__(self, data_dir: Path, *arguments: str, port: int | None = None, **environment: str) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data_dir = data_dir
        self._environment = {"DATA_DIR": str(data_dir), "PORT": str(self.port), **environment}
        self.lines: list[str] = []
        self._news: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", *arguments],
            cwd=settings.BASE_DIR,
            env=_inherited() | self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            self._news.put(line)
        self._news.put(None)

    def wait_ready(self) -> float:
        """Seconds from now until it says that it is ready."""
        began = time.monotonic()
        self.wait_for(r"^Ready: ")
        return time.monotonic() - began

    def wait_for(self, pattern: str, within: float = START_SECONDS) -> str:
        """The next line that matches."""
        deadline = time.monotonic() + within
        while True:
            try:
                line = self._news.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"No line like {pattern!r} in {within} s:\n{self.text}") from None
            if line is None:
                raise AssertionError(f"It ended without a line like {pattern!r}:\n{self.text}")
            if re.search(pattern, line):
                return line

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def said(self, pattern: str) -> str:
        """The first group of the first line that matches."""
        found = re.search(pattern, self.text, re.MULTILINE)
        assert found, f"No line like {pattern!r}:\n{self.text}"
        return found[1]

    @property
    def token(self) -> str:
        return self.said(r"^export MLFLOW_TRACKING_TOKEN=(\S+)$")

    def manage(self, *arguments: str) -> str:
        """What the command line of the server's own machine says."""
        return self._run("manage.py", *arguments).strip()

    def manage_each(self, *commands: str) -> list[str]:
        """What it says to each of several, whose words have no spaces."""
        words = [command.split() for command in commands]
        said: list[str] = json.loads(self._run("-c", EACH_COMMAND, text=json.dumps(words)))
        return said

    def _run(self, *arguments: str, text: str = "") -> str:
        environment = _inherited() | self._environment | {"DJANGO_SETTINGS_MODULE": "config.settings"}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=settings.BASE_DIR, env=environment, input=text,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=20)


# What the environment of the tests says about where things lie is not for servers that get a folder of their own.
_NOT_INHERITED = ("DATABASE_URL", "REDIS_URL", "STORAGE_URL", "BASE_URL", "EMAIL_URL", "HOST", "DJANGO_SETTINGS_MODULE")


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}


def migrated(folder: Path) -> Path:
    """The folder, for a server whose start is not what is tested: it lacks nothing but rows. Migrating is most of a
    first start."""
    shutil.copytree(_migrated(), folder)
    return folder


@cache
def _migrated() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="countersign-migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    environment = {"DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "config.settings"}
    subprocess.run(
        [sys.executable, "-c", MIGRATE], cwd=settings.BASE_DIR, env=_inherited() | environment, timeout=150, check=True
    )
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def processes_of(server: Server) -> set[int]:
    """Every living process that descends from the supervisor: its children keep its folder in their environment."""
    return processes_with(f"PORT={server.port}")


def processes_with(assignment: str) -> set[int]:
    """The living processes that have this assignment in their environment (Linux)."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # it has ended, or belongs to somebody else
            continue
        if assignment.encode() in environment:
            found.add(int(folder.name))
    return found


def children_of(pid: int) -> set[int]:
    """The processes that one has made and that still have it as their parent (Linux)."""
    with suppress(FileNotFoundError):
        tasks = Path(f"/proc/{pid}/task").glob("*/children")
        return {int(child) for task in tasks for child in task.read_text().split()}
    return set()


def name_of(pid: int) -> str:
    """What a process is called: a fork of the supervisor has its command line, but a name of its own (Linux)."""
    return Path(f"/proc/{pid}/comm").read_text().strip()


def wait_until_gone(server: Server, within: float = 10) -> set[int]:
    """The processes of the server that are left after a while; empty as soon as none is."""
    deadline = time.monotonic() + within
    while (left := processes_of(server)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
