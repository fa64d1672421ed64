"""Several versions beside one another: a row for each thing that is known of any of them. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.comparison import EvidenceData, datasets_of, described_columns, files_of, number

MOST_ROWS = 300  # of one part; more are counted and not shown


@dataclass(frozen=True, slots=True)
class Row:
    """``cells``: one for each version, None where it has none; ``changes``: of numbers, how far from the first."""

    name: str
    cells: tuple[Any, ...]
    changes: tuple[float | None, ...] = ()

    @property
    def differs(self) -> bool:
        return len(set(map(repr, self.cells))) > 1


@dataclass(frozen=True, slots=True)
class Part:
    """``kind`` is metrics, params, inputs, outputs, packages, data, code, tags (of the run), version_tags or
    files; ``left_out`` rows follow."""

    kind: str
    rows: tuple[Row, ...]
    left_out: int = 0

    @property
    def differing(self) -> int:
        return sum(row.differs for row in self.rows)


def side_by_side(
    known: Sequence[EvidenceData],
    *,
    only_differences: bool = False,
    kind: str = "",
    containing: str = "",
    start: int = 0,
) -> list[Part]:
    """What is known of each version, by part: what differs first, and no part of which nothing is known. With ``kind``
    that part alone, its rows whose name holds ``containing``, from the row ``start`` on."""
    chosen = {kind: _READ[kind]} if kind in _READ else _READ
    parts = []
    for name, read in chosen.items():
        rows = _rows([read(evidence) for evidence in known], only_differences, containing.lower())
        shown = rows[start : start + MOST_ROWS]
        parts.append(Part(name, tuple(shown), max(0, len(rows) - start - len(shown))))
    return [part for part in parts if part.rows]


def _rows(columns: list[Mapping[str, Any]], only_differences: bool, containing: str) -> list[Row]:
    names = sorted({name for column in columns for name in column if containing in name.lower()})
    rows = [_row(name, tuple(column.get(name) for column in columns)) for name in names]
    return sorted((row for row in rows if row.differs or not only_differences), key=lambda row: not row.differs)


def _row(name: str, cells: tuple[Any, ...]) -> Row:
    first = cells[0]
    if not any(isinstance(cell, float) for cell in cells):
        return Row(name, cells)
    is_measured = isinstance(first, float)
    return Row(name, cells, tuple(_apart(first, cell) if is_measured else None for cell in cells))


def _apart(first: float, cell: Any) -> float | None:
    """None where there is no figure, and where two are further apart than any figure says."""
    apart = cell - first if isinstance(cell, float) else math.inf
    return apart if math.isfinite(apart) else None


def _metrics(evidence: EvidenceData) -> dict[str, Any]:
    found = {}
    for name, entry in evidence.get("metrics", {}).items():
        value = number(entry)
        found[name] = entry["value"] if value is None else float(value)
    return found


def _code(evidence: EvidenceData) -> dict[str, Any]:
    run = evidence.get("run") or {}
    named = {
        "commit": evidence.get("commit"),
        "run": run.get("run_name"),
        "flavors": ", ".join(evidence.get("flavors", [])),
    }
    return {name: value for name, value in named.items() if value}


def _files(evidence: EvidenceData) -> dict[str, Any]:
    return {path: sha256[:12] for path, (_size, sha256) in files_of(evidence).items()}


_READ: dict[str, Callable[[EvidenceData], Mapping[str, Any]]] = {
    "metrics": _metrics,
    "params": lambda evidence: evidence.get("params", {}),
    "inputs": lambda evidence: described_columns(evidence, "inputs"),
    "outputs": lambda evidence: described_columns(evidence, "outputs"),
    "packages": lambda evidence: evidence.get("packages", {}),  # for who has read them: they are no evidence
    "data": datasets_of,
    "code": _code,
    "tags": lambda evidence: evidence.get("tags", {}),
    "version_tags": lambda evidence: evidence.get("version_tags", {}),  # of the row, as its packages
    "files": _files,
}
KINDS = tuple(_READ)
