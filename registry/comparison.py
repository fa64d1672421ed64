"""What differs between two pieces of evidence: metrics, parameters, signature, data, code, files. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

EvidenceData = dict[str, Any]
Schema = dict[str, Any]  # one column, as the signature states it
Judge = Callable[[str, Schema | None, Schema | None], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Changed:
    """One name with its value before and after; None where it is absent."""

    name: str
    before: Any
    after: Any

    @property
    def kind(self) -> str:
        """added, removed, changed or same."""
        if self.before == self.after:
            return "same"
        return "added" if self.before is None else "removed" if self.after is None else "changed"


@dataclass(frozen=True, slots=True)
class Column:
    """A column that the signature lost (``-``) or gained (``+``); a changed type is one of each."""

    sign: str
    name: str
    type: str


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """A column of the inputs or outputs with its type before and after, None where it is absent. ``breaks`` is what
    makes callers of the version before fail, ``allows`` why a change does not; both are clauses, or empty."""

    part: str
    name: str
    before: str | None
    after: str | None
    breaks: str
    allows: str

    @property
    def differs(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class Comparison:
    metrics: tuple[Changed, ...]
    params_changed: tuple[Changed, ...]
    params_unchanged: int
    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    breaks: tuple[str, ...]  # what makes callers of the version before fail, as clauses
    commit_before: str
    commit_after: str
    new_datasets: tuple[str, ...]
    same_datasets: tuple[str, ...]


def compare(before: EvidenceData | None, after: EvidenceData) -> Comparison:
    """``before`` None: nobody holds the target, so everything is new and nothing breaks."""
    old = before or {}
    inputs = _columns(old, after, "inputs")
    outputs = _columns(old, after, "outputs")
    return Comparison(
        metrics=_metrics(old, after),
        params_changed=tuple(c for c in pairs(old.get("params", {}), after.get("params", {})) if c.before != c.after),
        params_unchanged=sum(1 for c in pairs(old.get("params", {}), after.get("params", {})) if c.before == c.after),
        inputs=inputs,
        outputs=outputs,
        breaks=breaking_changes(old, after),
        commit_before=old.get("commit", ""),
        commit_after=after.get("commit", ""),
        new_datasets=_datasets(old, after, shared=False),
        same_datasets=_datasets(old, after, shared=True),
    )


def has_signature(evidence: EvidenceData) -> bool:
    return bool(read_columns(evidence, "inputs") or read_columns(evidence, "outputs"))


def breaking_changes(before: EvidenceData, after: EvidenceData) -> tuple[str, ...]:
    """What makes a caller of the version before fail, as clauses; () where one of them has no signature to compare."""
    changes = (*columns_changed(before, after, "inputs"), *columns_changed(before, after, "outputs"))
    return tuple(change.breaks for change in changes if change.breaks)


def columns_changed(before: EvidenceData, after: EvidenceData, part: str) -> tuple[ColumnChange, ...]:
    """Every column of the ``inputs`` or ``outputs`` of either version, as ``mlflow.pyfunc`` enforces a schema: what no
    input names is ignored, an optional one may be missing, and a number is taken for a wider one
    (mlflow/models/utils.py, ``_enforce_mlflow_datatype``).

    Without two signatures there is nothing to judge: then no column breaks or is said to be compatible.
    """
    old, new = _by_name(before, part), _by_name(after, part)
    judge = _input if part == "inputs" else _output
    is_judged = has_signature(before) and has_signature(after)
    return tuple(
        _column_change(part, name, old.get(name), new.get(name), judge if is_judged else None)
        for name in dict.fromkeys((*new, *old))
    )


def _column_change(part: str, name: str, had: Schema | None, has: Schema | None, judge: Judge | None) -> ColumnChange:
    breaks, allows = judge(name, had, has) if judge else ("", "")
    said = [_type(column) + ("" if _is_required(column) else ", optional") if column else None for column in (had, has)]
    return ColumnChange(part, name, said[0], said[1], breaks, allows)


def _input(name: str, had: Schema | None, has: Schema | None) -> tuple[str, str]:
    """(what breaks callers, what lets them be)."""
    if has is None:
        return "", "callers that still send it are not refused"
    if had is None:
        return (f"the input {name} is new and required", "") if _is_required(has) else ("", "it may be left out")
    if not _takes(has, had):
        return f"the input {name} was {_type(had)} and is {_type(has)}", ""
    if _is_required(has) and not _is_required(had):
        return f"the input {name} was optional and is required", ""
    return "", f"it takes {_type(had)} too" if _type(has) != _type(had) else ""


def _output(name: str, had: Schema | None, has: Schema | None) -> tuple[str, str]:
    if has is None:
        return f"the output {name} is gone", ""
    if had is None:
        return "", "callers may ignore it"
    if _type(had) != _type(has):
        return f"the output {name} was {_type(had)} and is {_type(has)}", ""
    return "", ""


_WIDENINGS = frozenset({("integer", "long"), ("integer", "double"), ("float", "double")})


def _takes(column: dict[str, Any], given: dict[str, Any]) -> bool:
    """Whether an input takes what was an input of the type ``given``. In a tensor's shape -1 is any length."""
    if _type(given) == _type(column) or (_type(given), _type(column)) in _WIDENINGS:
        return True
    new, old = column.get("tensor-spec"), given.get("tensor-spec")
    if not (isinstance(new, dict) and isinstance(old, dict)) or new.get("dtype") != old.get("dtype"):
        return False
    wanted, has = new.get("shape"), old.get("shape")
    if not (isinstance(wanted, list) and isinstance(has, list)) or len(wanted) != len(has):
        return False
    return all(most in (-1, length) for most, length in zip(wanted, has, strict=True))


def _by_name(evidence: EvidenceData, part: str) -> dict[str, dict[str, Any]]:
    """A column without a name is known by its place."""
    return {str(c.get("name", f"#{i}")): c for i, c in enumerate(read_columns(evidence, part))}


def _is_required(column: dict[str, Any]) -> bool:
    return column.get("required") is not False and column.get("optional") is not True


def pairs(before: dict[str, Any], after: dict[str, Any]) -> list[Changed]:
    """Each name that either has, in their order."""
    return [Changed(name, before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys())]


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> int:
    """How many names are in one only, or have another value there."""
    return sum(before.get(name) != after.get(name) for name in before.keys() | after.keys())


def number(entry: dict[str, Any] | None) -> float | None:
    """The value of a metric's entry as a number; NaN and absence are None."""
    value = (entry or {}).get("value")
    return value if isinstance(value, int | float) else None


def _metrics(before: EvidenceData, after: EvidenceData) -> tuple[Changed, ...]:
    found = pairs(before.get("metrics", {}), after.get("metrics", {}))
    return tuple(Changed(pair.name, number(pair.before), number(pair.after)) for pair in found)


def read_columns(evidence: EvidenceData, part: str) -> list[dict[str, Any]]:
    """The columns of an MLmodel signature's ``inputs`` or ``outputs``; [] when there is none or it cannot be read."""
    try:
        columns = json.loads((evidence.get("signature") or {}).get(part) or "[]")
    except (ValueError, RecursionError):
        return []
    return [column for column in columns if isinstance(column, dict)] if isinstance(columns, list) else []


def _columns(before: EvidenceData, after: EvidenceData, part: str) -> tuple[Column, ...]:
    old, new = described_columns(before, part), described_columns(after, part)
    if not old or not new:
        return ()
    gained = [Column("+", name, kind) for name, kind in new.items() if old.get(name) != kind]
    lost = [Column("-", name, kind) for name, kind in old.items() if new.get(name) != kind]
    return tuple(gained + lost)


def described_columns(evidence: EvidenceData, part: str) -> dict[str, str]:
    """The columns of a signature's ``inputs`` or ``outputs``, each with its type in words."""
    return {name: _type(column) for name, column in _by_name(evidence, part).items()}


def _type(column: dict[str, Any]) -> str:
    if column.get("type") == "tensor" and isinstance(spec := column.get("tensor-spec"), dict):
        return f"tensor {spec.get('dtype')} {spec.get('shape')}"
    inside = [f"{key} {json.dumps(column[key], sort_keys=True)}" for key in ("items", "properties") if key in column]
    return " of ".join([str(column.get("type", "?")), *inside])


def datasets_of(evidence: EvidenceData) -> dict[str, str]:
    """By name and what it was used for, the digest of each."""
    return {
        f"{dataset['name']} ({dataset['context']})" if dataset.get("context") else dataset["name"]: dataset["digest"]
        for dataset in evidence.get("datasets", [])
    }


def files_of(evidence: EvidenceData) -> dict[str, tuple[int, str]]:
    """By path, the size and SHA-256 of each."""
    return {path: (size, sha256) for path, size, sha256 in evidence.get("files", [])}


def _datasets(before: EvidenceData, after: EvidenceData, *, shared: bool) -> tuple[str, ...]:
    known = {(d["name"], d["digest"]) for d in before.get("datasets", [])}
    return tuple(d["name"] for d in after.get("datasets", []) if ((d["name"], d["digest"]) in known) == shared)
