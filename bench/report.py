"""The tables of docs/performance.md, from the results of each size."""

from __future__ import annotations

import json
import math
import os
import platform
import re
from pathlib import Path
from typing import Any

import psycopg

from bench.servers import Database

BEGIN, END = "<!-- figures: make bench -->", "<!-- end of figures -->"
BEGIN_PAGES, END_PAGES = "<!-- pages: make bench PAGES=1 -->", "<!-- end of pages -->"
PAGE_MS, PAGE_BYTES, ASSET_BYTES = 25, 25_000, 150_000
GOALS_AT = 100_000  # versions
# These answer more rows where there is more: 20 models and then 100, 42 versions of a model and then 490.
MORE_ROWS = frozenset({"search models, first 100", "search models, LIKE", "search versions of a model"})
GROWTH = 1.5  # the most that a read of up to 100 rows, or a write, may cost more at the largest size
MIB = 2**20


def machine(postgres: Database) -> str:
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    with psycopg.connect(postgres.url) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    version = str(row[0]).split()[0] if row else "?"
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return (
        f"{os.cpu_count()} cores ({cpu[1].strip() if cpu else platform.machine()}), {memory:.0f} GiB, {system}, "
        f"Python {platform.python_version()}, PostgreSQL {version} with its defaults"
    )


def ratio(row: dict[str, Any]) -> float | None:
    ours, theirs = row["countersign"], row["mlflow"]
    return None if "failure" in ours or "failure" in theirs else theirs["cpu"] / max(ours["cpu"], 1e-6)


def line(row: dict[str, Any], *, versions: int = GOALS_AT) -> str:
    """A row of the table: title, the reference's and our figures, how many times less CPU, and the goal."""
    found = ratio(row)
    times = "-" if found is None else f"{found:.1f}" if found < 100 else f"{found:.0f}"
    goal = f"{row['at_least']:g}" if versions == GOALS_AT else ""
    met = " ✗" if goal and found is not None and found < row["at_least"] else ""
    cells = [row["operation"], *_cells(row["mlflow"]), *_cells(row["countersign"]), times + met, goal]
    return f"| {' | '.join(cells)} |"


def _cells(figures: dict[str, Any]) -> list[str]:
    if "failure" in figures:
        return ["failed", "", "", ""]
    rate = (
        ""
        if figures["rate"] is None
        else f"{figures['rate']:,.3g}"
        if figures["rate"] < 100
        else f"{figures['rate']:,.0f}"
    )
    return [rate, *(_ms(figures[key]) for key in ("p50", "p95", "cpu"))]


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def write(results: Path, page: Path) -> None:
    """Put the tables of every size between the two marks of the page."""
    sizes = sorted(
        (json.loads(path.read_text()) for path in results.glob("[0-9]*.json")), key=lambda found: found["versions"]
    )
    parts = [_size(found) for found in sizes]
    if len(sizes) > 1:
        parts.append(_growth(sizes[0], sizes[-1]))
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text("\n\n".join([before + BEGIN, *parts, END + rest.partition(END)[2]]))


def write_pages(found: dict[str, Any], page: Path) -> None:
    """Put the table of the pages, a pair of columns for each database, between its marks."""
    names = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
    times = [f"{names[each['database']]}: {part}" for each in found["databases"] for part in ("p50", "p95", "CPU")]
    head = [f"| | {' | '.join(times)} | statements | KB | scripts, styles |", f"| --- |{' --: |' * (len(times) + 3)}"]
    rows = [_page_line(rows) for rows in zip(*(each["pages"] for each in found["databases"]), strict=True)]
    quick = "A quick run, for a look only. " if found["quick"] else ""
    busy = " and ".join(f"{each['load']:.1f}" for each in found["databases"])
    facts = (
        f"{quick}{found['databases'][0]['versions']:,} versions of 2,000 models. On {found['machine']}. "
        f"Processes that wanted a core meanwhile (load): {busy}."
    )
    before, _, rest = page.read_text().partition(BEGIN_PAGES)
    parts = [before + BEGIN_PAGES, facts, "\n".join([*head, *rows]), END_PAGES + rest.partition(END_PAGES)[2]]
    page.write_text("\n\n".join(parts))


def _page_line(rows: tuple[dict[str, Any], ...]) -> str:
    times = [cell for row in rows for cell in (_ms(row["p50"]), _bounded(row["p95"], PAGE_MS), _ms(row["cpu"]))]
    first, size = rows[0], max(row["bytes"] for row in rows)
    cells = [first["page"], *times, str(max(row["statements"] for row in rows))]
    return f"| {' | '.join(cells)} | {_kilobytes(size, PAGE_BYTES)} | {_kilobytes(first['assets'], ASSET_BYTES)} |"


def _bounded(milliseconds: float, most: float) -> str:
    return _ms(milliseconds) + " ✗" * (milliseconds > most)


def _kilobytes(size: int, most: int) -> str:
    return f"{size / 1000:.1f}" + " ✗" * (size > most)


def _size(found: dict[str, Any]) -> str:
    ours, theirs, pages = found["countersign"], found["mlflow"], found["pages"]
    head = [
        "| | reference: req/s | p50 | p95 | CPU | Countersign: req/s | p50 | p95 | CPU | times less CPU | goal |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    failures = [
        f"`{row['operation']}`: the reference failed: {row['mlflow']['failure'][:200]}"
        for row in found["operations"]
        if "failure" in row["mlflow"]
    ]
    facts = [
        f"{'A quick run, for a look only. ' if found['quick'] else ''}On {found['machine']}.",
        f"Loaded in {ours['load_seconds']:.0f} s by `manage.py load_dataset` (the reference's tables by COPY: "
        f"{theirs['load_seconds']:.0f} s).",
        "\n".join(
            [
                "| | reference | Countersign |",
                "| --- | --: | --: |",
                f"| first healthy answer, s | {theirs['start_seconds']:.1f} | {ours['start_seconds']:.1f} |",
                f"| memory afterwards, PSS, MiB | {theirs['memory'] / MIB:,.0f} | {ours['memory'] / MIB:,.0f} |",
                f"| database, MB | {theirs['size'] / 1e6:,.0f} | {ours['size'] / 1e6:,.0f} |",
                f"| CPU at rest (not counted below) | {theirs['idle']:.1%} | {ours['idle']:.1%} |",
            ]
        ),
        f"Of all versions in pages of 100, page {pages['number']:,} takes {pages['last']:.1f} ms and page 1 "
        f"{pages['first']:.1f} ms.",
    ]
    title = f"## {found['versions']:,} versions of {found['models']:,} models"
    return "\n\n".join(
        [
            title,
            *facts,
            "\n".join([*head, *(line(row, versions=found["versions"]) for row in found["operations"])]),
            *failures,
        ]
    )


def _growth(small: dict[str, Any], large: dict[str, Any]) -> str:
    """How many times more an operation costs at the largest size than at the smallest."""
    rows = [
        f"## Growth from {small['versions']:,} to {large['versions']:,} versions",
        "\n".join(
            [
                "| | reference: p50 | CPU | Countersign: p50 | CPU |",
                "| --- | --: | --: | --: | --: |",
                *(
                    _grown(one, other)
                    for one, other in zip(small["operations"], large["operations"], strict=True)
                    if "big" not in one["operation"]
                ),
            ]
        ),
    ]
    return "\n\n".join(rows)


def _grown(small: dict[str, Any], large: dict[str, Any]) -> str:
    theirs = [_times(small["mlflow"], large["mlflow"], key) for key in ("p50", "cpu")]
    most = math.inf if small["operation"] in MORE_ROWS else GROWTH
    ours = [_times(small["countersign"], large["countersign"], key, most=most) for key in ("p50", "cpu")]
    return f"| {' | '.join([small['operation'], *theirs, *ours])} |"


def _times(small: dict[str, Any], large: dict[str, Any], key: str, *, most: float = math.inf) -> str:
    if "failure" in small or "failure" in large:
        return "-"
    found = large[key] / max(small[key], 1e-6)
    return f"{found:.1f}{' ✗' if found > most else ''}"
