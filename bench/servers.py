"""The two servers on one PostgreSQL, filled with the same data: how they start, and what they cost."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2
AT_REST = 0.02  # of a core
TICK = os.sysconf("SC_CLK_TCK")


class Database:
    """A database of its own on the PostgreSQL server at ``server``; dropped at the end unless it is to be kept."""

    def __init__(self, server: str, name: str) -> None:
        self.name, self._server = name, urlsplit(server)._replace(path="/postgres").geturl()
        self.url = urlsplit(server)._replace(path=f"/{name}").geturl()

    def create(self) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {self.name}")

    def drop(self) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")

    def size(self) -> int:
        """Bytes on the disk."""
        return int(self._one("SELECT pg_database_size(%s)", self.name))

    def settle(self) -> None:
        """Vacuum and write everything out now, so that neither happens while something is measured."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")

    def backends(self) -> list[int]:
        """The processes of PostgreSQL that serve this database now."""
        with psycopg.connect(self._server, autocommit=True) as connection:
            rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE datname = %s", [self.name])
            return [row[0] for row in rows.fetchall()]

    def _one(self, query: str, *values: object) -> int:
        with psycopg.connect(self._server, autocommit=True) as connection:
            row = connection.execute(query, values).fetchone()
            assert row is not None
            return int(row[0])


class Server(ABC):
    """A server under measurement. All of its processes carry ``BENCH_SERVER`` in their environment."""

    name: str
    token = ""
    idle = 0.0

    def __init__(self, postgres: str, folder: Path, port: int) -> None:
        self.folder, self.port, self.url = folder / self.name, port, f"http://127.0.0.1:{port}"
        self.folder.mkdir(parents=True)
        self.database = Database(postgres, f"bench_{self.name}")
        self.database.create()
        self._taken: dict[int, float] = {}

    @abstractmethod
    def command(self) -> tuple[list[str], dict[str, str]]:
        """What starts it, and what it needs in its environment."""

    @abstractmethod
    def load(self, data: Path) -> float:
        """Put the lines of ``data`` into its empty database; how many seconds the writing took."""

    @contextmanager
    def running(self) -> Iterator[float]:
        """Yields the seconds from the start to the first healthy answer."""
        command, environment = self.command()
        mark = {"BENCH_SERVER": f"{self.name}-{self.port}"}
        began = time.monotonic()
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **environment, **mark},
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            yield self._until_healthy(process, began)
        finally:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
            for pid in self.processes():  # the reference leaves some behind
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()

    def _until_healthy(self, process: subprocess.Popen[bytes], began: float) -> float:
        while time.monotonic() - began < 120:
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=2).close()
                return time.monotonic() - began
            except (urllib.error.URLError, OSError):
                if process.poll() is not None:
                    break
                time.sleep(0.02)
        raise RuntimeError(f"{self.name} did not start:\n{(self.folder / 'log').read_text()[-3000:]}")

    def processes(self) -> list[int]:
        mark, found = f"BENCH_SERVER={self.name}-{self.port}".encode(), []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:  # it has ended, or belongs to somebody else
                continue
        return found

    def cpu(self) -> float:
        """Seconds of user and system time that its processes and those of PostgreSQL for it have taken; what has ended
        meanwhile counts as it was last seen."""
        for pid in (*self.processes(), *self.database.backends()):
            self._taken[pid] = max(self._taken.get(pid, 0.0), cpu_of(pid))
        return sum(self._taken.values())

    def rest(self, seconds: float) -> None:
        """Wait until it has started whole, the processes in its background too, and see what it takes while nobody asks
        it anything: ``idle``, in seconds of CPU per second."""
        for _ in range(20):
            before = self.cpu()
            time.sleep(seconds)
            self.idle = (self.cpu() - before) / seconds
            if self.idle < AT_REST:
                return
        raise RuntimeError(f"{self.name} does not come to rest: it takes {self.idle:.0%} of a core.")

    def memory(self) -> int:
        """Bytes that its processes hold, what they share counted once (PSS)."""
        texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.processes()]
        return sum(
            int(found[1]) * 1024 for text in texts if (found := re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE))
        )


def cpu_of(pid: int) -> float:
    """0 for a process that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICK


class Countersign(Server):
    """``manage.py up --production``: token authentication, the gate, actors and events are on, as always."""

    name = "countersign"

    def __init__(self, postgres: str, folder: Path, port: int, *, redis: str) -> None:
        super().__init__(postgres, folder, port)
        self._environment = {
            "DATABASE_URL": self.database.url,
            "REDIS_URL": redis,
            "STORAGE_URL": f"file://{self.folder}/files",
            "SECRET_KEY": "for the benchmark alone, and long enough to be taken",
            "DATA_DIR": str(self.folder),
            "PORT": str(self.port),
            "BASE_URL": self.url,
            "WEB_WORKERS": str(WORKERS),
            "REQUESTS_PER_SECOND": "0",
        }

    def command(self) -> tuple[list[str], dict[str, str]]:
        return [sys.executable, "manage.py", "up", "--production"], self._environment

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **self._environment}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr[-3000:]}")
        return done.stdout

    def load(self, data: Path) -> float:
        with self.running():  # makes the tables and an administrator
            pass
        log = (self.folder / "log").read_text()
        found = re.search(r"^export MLFLOW_TRACKING_TOKEN=(\S+)$", log, re.MULTILINE)
        if found is None:
            raise RuntimeError(f"Countersign told no token:\n{log[-3000:]}")
        self.token = found[1]
        told = re.search(r"in ([\d.]+) s", self.manage("load_dataset", str(data)))
        assert told is not None
        return float(told[1])


class Reference(Server):
    """``mlflow server`` with its defaults, but for the number of workers, and without its consumers of jobs: their
    polling takes most of a core at rest and has nothing to do with a registry."""

    name = "mlflow"
    _bin = ROOT / ".venv-reference" / "bin" / "mlflow"

    @property
    def _store(self) -> str:
        """By psycopg2: with the driver that SQLAlchemy 2.1 would choose, its transitions fail."""
        return self.database.url.replace("postgresql://", "postgresql+psycopg2://")

    def command(self) -> tuple[list[str], dict[str, str]]:
        arguments = ["server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", str(WORKERS)]
        stores = ["--backend-store-uri", self._store, "--artifacts-destination", str(self.folder / "artifacts")]
        return [str(self._bin), *arguments, *stores], {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }

    def load(self, data: Path) -> float:
        """By COPY into its own tables, as it writes them itself."""
        subprocess.run([self._bin, "db", "upgrade", self._store], capture_output=True, check=True)
        began = time.monotonic()
        with psycopg.connect(self.database.url) as connection:
            for table, columns, rows in (
                ("registered_models", "name, creation_time, last_updated_time, description", _models),
                ("registered_model_tags", "name, key, value", _model_tags),
                ("registered_model_aliases", "name, alias, version", _aliases),
                ("model_versions", "name, version, creation_time, last_updated_time, description, current_stage, "
                 "source, storage_location, run_id, status", _versions),
                ("model_version_tags", "name, version, key, value", _version_tags),
            ):  # fmt: skip
                with (
                    data.open("rb") as lines,
                    connection.cursor() as cursor,
                    cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy,
                ):
                    for row in rows(map(json.loads, lines)):
                        copy.write_row(row)
        return time.monotonic() - began


Line = dict[str, Any]
Lines = Iterator[Line]
Rows = Iterator[tuple[Any, ...]]


def _with_name(lines: Lines) -> Iterator[tuple[str, Line]]:
    """The lines of versions, each with the name of its model."""
    name = ""
    for line in lines:
        if "model" in line:
            name = str(line["model"])
        else:
            yield name, line


def _models(lines: Lines) -> Rows:
    for line in lines:
        if "model" in line:
            yield line["model"], line["creation_timestamp"], line["last_updated_timestamp"], line["description"]


def _model_tags(lines: Lines) -> Rows:
    for line in lines:
        if "model" in line:
            yield from ((line["model"], key, value) for key, value in line["tags"].items())


def _aliases(lines: Lines) -> Rows:
    for line in lines:
        if "model" in line:
            yield from ((line["model"], alias, number) for alias, number in line["aliases"].items())


def _versions(lines: Lines) -> Rows:
    for name, line in _with_name(lines):
        yield (
            name, line["version"], line["creation_timestamp"], line["last_updated_timestamp"], line["description"],
            line["stage"], line["source"], line["source"], line["run_id"], "READY",
        )  # fmt: skip


def _version_tags(lines: Lines) -> Rows:
    for name, line in _with_name(lines):
        yield from ((name, line["version"], key, value) for key, value in line["tags"].items())
