"""python -m bench [--versions N] [--quick]: Countersign and mlflow server, alternating, on one PostgreSQL.
python -m bench --pages [--quick]: Countersign's pages alone.

The figures of each size, and of the pages, are kept in bench/results/ and written into docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import dataset, measure, report
from bench.operations import operations
from bench.pages import measure_pages
from bench.paging import deep_pages
from bench.servers import ROOT, Countersign, Database, Reference, Server
from tests.servers import free_port

RESULTS = ROOT / "bench" / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="fewer requests: to see whether it works")
    parser.add_argument("--postgres", default=os.environ.get("BENCH_POSTGRES", "postgresql://postgres@127.0.0.1:5432"))
    parser.add_argument("--redis", default=os.environ.get("BENCH_REDIS", "redis://127.0.0.1:6379/9"))
    parser.add_argument("--pages", action="store_true", help="the pages alone")
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    if options.pages:
        found = {"quick": options.quick, "databases": measure_pages(options.postgres, quick=options.quick)}
        found["machine"] = report.machine(Database(options.postgres, "postgres"))
        (RESULTS / "pages.json").write_text(json.dumps(found, indent=1))
        report.write_pages(found, ROOT / "docs" / "performance.md")
        return
    with tempfile.TemporaryDirectory(prefix="countersign-bench-") as folder:
        found = run(Path(folder), options)
    (RESULTS / f"{options.versions}.json").write_text(json.dumps(found, indent=1))
    report.write(RESULTS, ROOT / "docs" / "performance.md")


def run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    size = dataset.Size.of(options.versions)
    data = folder / "data.jsonl"
    dataset.write(size, data)
    ours = Countersign(options.postgres, folder, free_port(), redis=options.redis)
    theirs = Reference(options.postgres, folder, free_port())
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    found: dict[str, Any] = {"versions": size.versions, "models": size.models, "quick": options.quick}
    try:
        for server in (ours, theirs):
            found[server.name] = _load(server, data)
        os.environ["MLFLOW_TRACKING_TOKEN"] = ours.token  # of the stock client; the reference does not look at it
        with ExitStack() as stack:
            for server in (ours, theirs):
                found[server.name]["start_seconds"] = stack.enter_context(server.running())
            for server in (ours, theirs):
                server.rest(3 if options.quick else 10)
                found[server.name]["idle"] = server.idle
            effort = measure.effort_of(quick=options.quick)
            found["operations"] = []
            for operation in operations(size):
                row = measure.measure(operation, (ours, theirs), effort)
                found["operations"].append(row)
                print(report.line(row, versions=size.versions), flush=True)
            found["pages"] = deep_pages(ours, size)
            for server in (ours, theirs):
                found[server.name]["memory"] = server.memory()
    finally:
        for server in (ours, theirs):
            server.database.drop()
    found["machine"] = report.machine(Database(options.postgres, "postgres"))
    return found


def _load(server: Server, data: Path) -> dict[str, Any]:
    seconds = server.load(data)
    server.database.settle()
    print(f"{server.name}: loaded in {seconds:.0f} s, {server.database.size() / 1e6:.0f} MB", flush=True)
    return {"load_seconds": seconds, "size": server.database.size()}


if __name__ == "__main__":
    main()
