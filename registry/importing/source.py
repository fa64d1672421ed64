"""What is read of another server, whichever way. Texts and numbers are as that server has them, unchecked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from core.blobs import Readable
from core.errors import CountersignError

DELETED = "Deleted_Internal"  # the stage of a version that is gone and keeps its number


class SourceError(CountersignError):
    """The other server cannot be read; the message says why."""


class NotReadable(SourceError):
    """One thing of it cannot be read, the rest can."""


@dataclass(frozen=True, slots=True)
class TheirExperiment:
    experiment_id: str
    name: str
    lifecycle_stage: str
    creation_time: int
    last_update_time: int
    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class TheirMetric:
    """``value`` is a float, "NaN", or an infinity in words."""

    key: str
    value: Any
    timestamp: int
    step: int
    run_id: str = ""
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


@dataclass(frozen=True, slots=True)
class TheirRun:
    run_id: str
    run_name: str
    user_id: str
    status: str
    start_time: int
    end_time: int | None
    lifecycle_stage: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: list[TheirMetric]
    datasets: list[dict[str, Any]]  # as on the wire: {"dataset": {...}, "tags": {...}}
    inputs: list[str]
    outputs: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class TheirLoggedModel:
    model_id: str
    name: str
    model_type: str
    source_run_id: str
    status: str
    status_message: str
    creation_timestamp: int
    last_updated_timestamp: int
    params: dict[str, str]
    tags: dict[str, str]
    metrics: list[TheirMetric]


@dataclass(frozen=True, slots=True)
class TheirModel:
    name: str
    description: str
    creation_timestamp: int
    last_updated_timestamp: int
    tags: dict[str, str]
    aliases: dict[str, int]


@dataclass(frozen=True, slots=True)
class TheirVersion:
    version: int
    stage: str
    description: str
    user_id: str
    creation_timestamp: int
    last_updated_timestamp: int
    source: str
    location: str  # where its files lie, as a client would be told
    run_id: str
    model_id: str
    run_link: str
    status: str
    status_message: str
    tags: dict[str, str] = field(default_factory=dict)


class Source(Protocol):
    """Everything is read as a stream, some at a time. Raises SourceError."""

    name: str  # for people and events: its address without credentials

    def experiments(self) -> Iterator[TheirExperiment]: ...

    def runs(self, experiment_id: str) -> Iterator[list[TheirRun]]: ...

    def history(self, run_id: str, key: str) -> Iterator[list[TheirMetric]]: ...

    def logged_models(self, experiment_id: str) -> Iterator[list[TheirLoggedModel]]: ...

    def models(self) -> Iterator[TheirModel]: ...

    def versions(self, model: TheirModel) -> Iterator[list[TheirVersion]]: ...

    def files(self, owner: str) -> Iterator[tuple[str, int]]:
        """Path and size of every file of a run or logged model."""

    def open(self, owner: str, path: str) -> AbstractContextManager[Readable]: ...

    def close(self) -> None: ...
