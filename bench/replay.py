"""python -m bench.replay [--decisions N] [--open M]: how long a draft of a policy takes against decided and open
requests on PostgreSQL, and how much memory."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile

from bench.servers import ROOT, Database


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=10_000)
    parser.add_argument("--open", type=int, default=1_000)
    parser.add_argument("--postgres", default=os.environ.get("BENCH_POSTGRES", "postgresql://postgres@127.0.0.1:5432"))
    options = parser.parse_args()
    database = Database(options.postgres, "bench_replay")
    database.create()
    try:
        with tempfile.TemporaryDirectory(prefix="countersign-bench-") as folder:
            _manage(database, folder, "migrate", "--verbosity=0")
            _do(database, folder, f"fill({options.decisions}, {options.open})")
            database.settle()
            for what in ("the newest 1,000 decisions", "all decisions", "all open requests"):
                _do(database, folder, f"measure({what!r})")
    finally:
        database.drop()


def _do(database: Database, folder: str, call: str) -> None:
    _manage(database, folder, "shell", "--no-imports", "-c", f"from bench import decisions; decisions.{call}")


def _manage(database: Database, folder: str, *arguments: str) -> None:
    environment = {
        "DATABASE_URL": database.url,
        "DATA_DIR": folder,
        "SECRET_KEY": "for the benchmark alone, and long enough to be taken",
    }
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env={**os.environ, **environment}, check=True)


if __name__ == "__main__":
    main()
