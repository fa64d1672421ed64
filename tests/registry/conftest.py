"""The registry alone: the gate writes down what it is asked, and lets everything through unless a test closes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pytest_django import Settings

from accounts.models import Level, User
from core.prepared import LookUp
from registry import gate
from registry.gate import Change, ChangeKind, GateRefused
from registry.models import ModelVersion
from tests.cast import person


@dataclass
class Gate:
    asked: list[Change] = field(default_factory=list)
    is_closed: bool = False

    def check(self, change: Change) -> None:
        self.asked.append(change)
        if self.is_closed:
            raise GateRefused("The gate is closed.")

    def questions(self, kind: ChangeKind, version: ModelVersion) -> tuple[LookUp[Any], ...]:
        return ()


THE_GATE = Gate()


@pytest.fixture(autouse=True)
def the_gate(settings: Settings) -> Iterator[Gate]:
    settings.CHANGE_GATE = "tests.registry.conftest.THE_GATE"
    gate._answerer.cache_clear()
    THE_GATE.asked.clear()
    THE_GATE.is_closed = False
    yield THE_GATE
    gate._answerer.cache_clear()


@pytest.fixture
def reader(db: None) -> User:
    return person("reader")


@pytest.fixture
def editor(db: None) -> User:
    return person("editor", level=Level.EDIT)


@pytest.fixture
def stager(db: None) -> User:
    return person("stager", level=Level.MANAGE_STAGING_VERSIONS)


@pytest.fixture
def mover(db: None) -> User:
    return person("mover", level=Level.MANAGE_PRODUCTION_VERSIONS)


@pytest.fixture
def manager(db: None) -> User:
    return person("manager", level=Level.MANAGE)
