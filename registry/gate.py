"""The gate's question: every write of the registry asks it, and the settings name who answers.

The registry knows no policies. ``settings.CHANGE_GATE`` is the dotted path of a ``Gate``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from accounts.models import User
from core.errors import NotPermitted
from core.prepared import LookUp
from registry.models import ModelVersion, RegisteredModel, TargetKind


class ChangeKind(enum.StrEnum):
    """Every kind of registry write. A new write needs a new kind, or one of these."""

    CREATE_MODEL = "create_model"
    UPDATE_MODEL = "update_model"
    RENAME_MODEL = "rename_model"
    DELETE_MODEL = "delete_model"
    SET_MODEL_TAG = "set_model_tag"
    DELETE_MODEL_TAG = "delete_model_tag"
    CREATE_VERSION = "create_version"
    UPDATE_VERSION = "update_version"
    DELETE_VERSION = "delete_version"
    READ_RUN = "read_run"
    SET_VERSION_TAG = "set_version_tag"
    DELETE_VERSION_TAG = "delete_version_tag"
    MOVE_STAGE = "move_stage"
    SET_ALIAS = "set_alias"
    DELETE_ALIAS = "delete_alias"
    CHANGE_GRANTS = "change_grants"
    REPORT_DEPLOYMENT = "report_deployment"
    DELETE_DEPLOYMENT = "delete_deployment"


@dataclass(frozen=True, slots=True)
class Target:
    kind: TargetKind
    name: str

    def __str__(self) -> str:
        return self.name if self.kind == TargetKind.STAGE else f"@{self.name}"


@dataclass(frozen=True, slots=True)
class Permit:
    """Names the approved request that a change carries out. Only the room that answers the gate makes one."""

    request_id: int
    bypass: str = ""  # why it may be carried out although not all is met; who may say so is asked of the actor


@dataclass(frozen=True, slots=True)
class Change:
    """One intended write, before it happens.

    ``entering`` and ``leaving`` are the targets that the version would gain or give up; ``replaces`` the versions that
    would lose ``entering`` to it. ``key`` is the tag's key, ``new_name`` the name after a rename; ``answers`` are
    those to ``questions``, where they were asked.
    """

    kind: ChangeKind
    actor: User
    model: RegisteredModel
    version: ModelVersion | None = None
    entering: Target | None = None
    leaving: tuple[Target, ...] = ()
    replaces: tuple[ModelVersion, ...] = ()
    key: str = ""
    new_name: str = ""
    permit: Permit | None = None
    answers: tuple[list[Any], ...] = ()


class GateRefused(NotPermitted):
    """A guarded change without a satisfied request.

    ``unmet`` lists the requirements as sentences, ``ask_url`` is where to request or review. ``open_request`` asks the
    door to open a request for ``change`` after the rollback (policy: ``on_direct_change: open_request``).
    """

    change: Change | None = None  # what was refused; set by ``enforce``

    def __init__(self, message: str, *, unmet: tuple[str, ...] = (), ask_url: str = "", open_request: bool = False):
        super().__init__(message)
        self.unmet = unmet
        self.ask_url = ask_url
        self.open_request = open_request


class Gate(Protocol):
    """Who answers. Both are called inside the transaction of the change."""

    def check(self, change: Change) -> None:
        """Return when the change may happen, raise GateRefused when not. The model row is locked."""

    def questions(self, kind: ChangeKind, version: ModelVersion) -> tuple[LookUp[Any], ...]:
        """What ``check`` looks up for any change of this kind to this version: asked in the message of the lock, the
        rows are in ``change.answers``."""


@cache
def _answerer() -> Gate:
    return import_string(settings.CHANGE_GATE)


def questions(kind: ChangeKind, version: ModelVersion) -> tuple[LookUp[Any], ...]:
    """What to ask along with the lock of a version that is about to change."""
    return _answerer().questions(kind, version)


def enforce(change: Change) -> None:
    """Return when the change may happen, raise GateRefused when not."""
    try:
        _answerer().check(change)
    except GateRefused as refusal:
        refusal.change = change
        raise
