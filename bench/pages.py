"""How long the server takes for each page with 100,000 versions of 2,000 models, 20,000 of them of one, on PostgreSQL
and on SQLite, how many statements it asks and how many bytes it sends. In-process: the web server is not in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.servers import ROOT, Database

VERSIONS, TURNS = 100_000, 60


def measure_pages(postgres: str, *, quick: bool) -> list[dict[str, Any]]:
    """The figures of each database, PostgreSQL first."""
    versions, turns = (5_000, 20) if quick else (VERSIONS, TURNS)
    found = []
    for server in (Database(postgres, "bench_pages"), None):
        with tempfile.TemporaryDirectory(prefix="countersign-bench-") as folder:
            if server:
                server.create()
            try:
                found.append({"versions": versions, **_measured(server, Path(folder), versions, turns)})
            finally:
                if server:
                    server.drop()
    return found


def _measured(server: Database | None, folder: Path, versions: int, turns: int) -> dict[str, Any]:
    file = folder / "pages.json"
    _manage(server, folder, "migrate", "--verbosity=0")
    _do(server, folder, f"fill({versions})")
    if server:
        server.settle()
    _do(server, folder, f"measure({turns}, {str(file)!r})")
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def _do(server: Database | None, folder: Path, call: str) -> None:
    _manage(server, folder, "shell", "--no-imports", "-c", f"from bench import browsing; browsing.{call}")


def _manage(server: Database | None, folder: Path, *arguments: str) -> None:
    environment = {"DATA_DIR": str(folder), "SECRET_KEY": "for the benchmark alone, and long enough to be taken"}
    others = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    address = {"DATABASE_URL": server.url} if server else {}
    environment = {**others, **environment, **address}
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment, check=True)
