"""The other tracking server, the one that EXTERNAL_TRACKING_URI names: asking it for runs and logged models.

What it answers was written by strangers: it is measured, cut and checked here, and nothing of it is followed. No
database and no evidence: registry/readings.py makes that of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import orjson
from django.conf import settings

from core import outbound
from core.errors import CountersignError

SECONDS = 20.0  # for one answer that a task waits for
SECONDS_IN_A_REQUEST = 5.0  # for one that somebody waits for
MAX_ANSWER = 8 * 1024 * 1024
NOT_CONFIGURED = "No other tracking server is known: the operator can name one in EXTERNAL_TRACKING_URI."
LOGGED_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
_LARGEST = 1.7976931348623157e308  # what infinity is stored as
_INFINITIES = {"Infinity": _LARGEST, "-Infinity": -_LARGEST}
_ABSENT = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"})

Read = TypeVar("Read")


class Unread(CountersignError):
    """It could not be read; the message says why. ``is_final``: asking again changes nothing by itself."""

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


@dataclass(frozen=True, slots=True)
class OutsideRun:
    """``facts`` are the parts of a version's evidence that come from its run."""

    artifact_uri: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OutsideModel:
    artifact_uri: str
    source_run_id: str
    params: dict[str, str]


def is_configured() -> bool:
    return bool(settings.EXTERNAL_TRACKING_URI)


def read_run(run_id: str, *, seconds: float = SECONDS) -> OutsideRun:
    """The run with its last metrics. Raises Unread."""
    text = _ask(f"/api/2.0/mlflow/runs/get?run_id={quote(run_id, safe='')}", f"the run {run_id}", seconds=seconds)
    run = _understood(text, _run)
    if run.facts["run"]["run_id"] != run_id:
        raise Unread(f"{settings.EXTERNAL_TRACKING_URI} answers with another run than {run_id}.")
    return run


def read_logged_model(model_id: str, *, seconds: float = SECONDS) -> OutsideModel:
    """Raises Unread."""
    path = f"/api/2.0/mlflow/logged-models/{quote(model_id, safe='')}"
    return _understood(_ask(path, f"the logged model {model_id}", seconds=seconds), _logged_model)


def read_mlmodel(location: str, *, most: int) -> bytes:
    """The MLmodel file, of at most so many bytes, below an ``mlflow-artifacts:/`` location, by that server's artifact
    proxy. Raises Unread."""
    path = f"{location.removeprefix('mlflow-artifacts:').strip('/')}/MLmodel"
    address = f"/api/2.0/mlflow-artifacts/artifacts/{quote(path)}"
    return _ask(address, "the MLmodel file", seconds=SECONDS, most=most).encode()


def _ask(address: str, what: str, *, seconds: float, most: int = MAX_ANSWER) -> str:
    headers = {"Accept": "*/*"}
    if settings.EXTERNAL_TRACKING_AUTHORIZATION:
        headers["Authorization"] = settings.EXTERNAL_TRACKING_AUTHORIZATION
    server = settings.EXTERNAL_TRACKING_URI
    try:
        answer = outbound.get(f"{server}{address}", headers=headers, seconds=seconds, most=most)
    except outbound.TooMuch as error:
        raise Unread(f"{error.message} So much is not read for {what}.", is_final=True) from error
    except outbound.Unreachable as error:
        raise Unread(error.message) from error
    if answer.status == 200:
        return answer.text
    if 300 <= answer.status < 400:
        raise Unread(
            f"{server} answers with a redirect ({answer.status}), which is not followed: EXTERNAL_TRACKING_URI must be "
            "the final address."
        )
    if answer.status in (401, 403):
        raise Unread(
            f"{server} does not let Countersign read {what} ({answer.status}): the operator should look at "
            "EXTERNAL_TRACKING_TOKEN."
        )
    if answer.status == 404 and _error_code(answer.text) in _ABSENT:
        raise Unread(f"{server} has not got {what}.", is_final=True)
    raise Unread(f"{server} answers {answer.status} when asked for {what}.")


def _error_code(text: str) -> str:
    try:
        answer = orjson.loads(text)
    except orjson.JSONDecodeError:
        return ""
    return str(answer.get("error_code", "")) if isinstance(answer, dict) else ""


def _understood(text: str, read: Callable[[dict[str, Any]], Read]) -> Read:
    """What ``read`` makes of an answer; Unread when it is not what an MLflow server says."""
    try:
        return read(orjson.loads(text))
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise Unread(
            f"{settings.EXTERNAL_TRACKING_URI} answers with something that no tracking server says."
        ) from error


# -- What it says ------------------------------------------------------------------------------------------------------
# Each of these raises AttributeError, KeyError, TypeError or ValueError for what has another form.


def _run(answer: dict[str, Any]) -> OutsideRun:
    info, data = answer["run"]["info"], answer["run"].get("data") or {}
    tags = _pairs(data.get("tags"), most=8000)
    inputs = (answer["run"].get("inputs") or {}).get("dataset_inputs") or []
    facts = {
        "run": {
            "run_id": _text(info["run_id"], 32),
            "run_name": _text(info.get("run_name") or tags.get("mlflow.runName", ""), 250),
            "experiment_id": _text(str(info.get("experiment_id", "")), 32),
            "user_id": _text(info.get("user_id") or tags.get("mlflow.user", ""), 256),
            "status": _text(info.get("status", ""), 20),
        },
        "params": _pairs(data.get("params"), most=6000),
        "metrics": dict(sorted(_metric(entry) for entry in data.get("metrics") or [])),
        "tags": tags,
        "datasets": sorted((_dataset(entry) for entry in inputs), key=lambda d: (d["name"], d["digest"])),
    }
    return OutsideRun(artifact_uri=_text(info.get("artifact_uri", ""), 1000), facts=facts)


def _logged_model(answer: dict[str, Any]) -> OutsideModel:
    info, data = answer["model"]["info"], answer["model"].get("data") or {}
    return OutsideModel(
        artifact_uri=_text(info["artifact_uri"], 1000),
        source_run_id=_text(info.get("source_run_id") or "", 32),
        params=_pairs(data.get("params"), most=6000),
    )


def _text(value: Any, most: int) -> str:
    """Text that the database holds, cut to its length."""
    if not isinstance(value, str):
        raise TypeError
    return value.replace("\x00", "")[:most]


def _pairs(entries: Iterable[dict[str, Any]] | None, *, most: int) -> dict[str, str]:
    """``[{"key", "value"}]`` as a mapping, by key."""
    pairs = {_text(entry["key"], 250): _text(entry.get("value", ""), most) for entry in entries or ()}
    return dict(sorted(pairs.items()))


def _metric(entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    value = entry.get("value", 0.0)
    kept: dict[str, Any] = {"value": _number(value), "step": int(entry.get("step") or 0)}
    if entry.get("dataset_name"):
        kept["dataset"] = _text(entry["dataset_name"], 500)
    return _text(entry["key"], 250), kept


def _number(value: Any) -> float | str:
    """As our own runs keep it: "NaN" as text, infinity as the largest number."""
    if value in _INFINITIES:
        return _INFINITIES[value]
    number = float(value)
    if math.isnan(number):
        return "NaN"
    return max(-_LARGEST, min(_LARGEST, number))


def _dataset(entry: dict[str, Any]) -> dict[str, str]:
    dataset = entry["dataset"]
    return {
        "name": _text(dataset["name"], 500),
        "digest": _text(dataset.get("digest", ""), 36),
        "context": _pairs(entry.get("tags"), most=500).get("mlflow.data.context", ""),
        "source_type": _text(dataset.get("source_type", ""), 100),
    }
