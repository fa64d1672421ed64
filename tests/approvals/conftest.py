"""What the tests of the approvals room start from: a guarded model with a holder and a candidate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from accounts.models import User
from approvals import services
from approvals.models import Review, TransitionRequest
from approvals.standing import standing_of
from config.celery import app
from notifications.models import Event
from registry.gate import Target
from registry.models import ModelVersion, RegisteredModel, TargetKind
from tests.factories import make_model, make_version

PRODUCTION = Target(TargetKind.STAGE, "Production")
STAGING = Target(TargetKind.STAGE, "Staging")
ARCHIVED = Target(TargetKind.STAGE, "Archived")
CHAMPION = Target(TargetKind.ALIAS, "champion")

POLICY = """\
name: production-gate
description: What every model must show before it serves customers.
match:
  models: ["churn-*"]
guards: [stage:Production, alias:champion]
requirements:
  - metric: {name: accuracy, min: 0.90}
  - metric: {name: f1, min: 0.80}
  - approvals: {count: 2, teams: {risk: 1, ml-leads: 1}}
"""


def publish(text: str = POLICY, **changes: str) -> None:
    """Put a policy in force from the command line; ``changes`` replace the line that starts with that key."""
    for key, value in changes.items():
        text = "\n".join(
            [line for line in text.splitlines() if not line.startswith(f"{key}:")] + [f"{key}: {value}", ""]
        )
    services.publish_policy(actor=None, text=text)


def approve(user: User, review_request: TransitionRequest, **more: str) -> TransitionRequest:
    return judge(user, review_request, Review.Decision.APPROVE, **more)


def judge(user: User, review_request: TransitionRequest, decision: str, **more: str) -> TransitionRequest:
    """Say ``decision`` about what the request's page shows now."""
    seen = more.pop("seen", None) or look_at(review_request)
    return services.submit_review(actor=user, review_request=review_request, decision=decision, seen=seen, **more)


def look_at(review_request: TransitionRequest) -> str:
    return standing_of(TransitionRequest.objects.with_rows().get(pk=review_request.pk)).seen


def stage_of(version: ModelVersion) -> str:
    return ModelVersion.objects.get(pk=version.pk).current_stage


@pytest.fixture
def model(db: None, mira: User) -> RegisteredModel:
    return make_model("churn-predictor", user=mira)


@pytest.fixture
def holder(model: RegisteredModel, mira: User) -> ModelVersion:
    return make_version(model, stage="Production", user=mira, metrics={"accuracy": 0.91, "f1": 0.85})


@pytest.fixture
def version(model: RegisteredModel, holder: ModelVersion, mira: User) -> ModelVersion:
    return make_version(model, user=mira, metrics={"accuracy": 0.95, "f1": 0.90})


@pytest.fixture
def guarded(version: ModelVersion) -> ModelVersion:
    """A candidate whose metrics are good enough, on a model with a policy in force."""
    publish()
    return version


@pytest.fixture
def asked(guarded: ModelVersion, mira: User, alice: User, dkim: User) -> TransitionRequest:
    """mira has asked for Production; alice and dkim can clear it."""
    return services.open_request(actor=mira, version=guarded, target=PRODUCTION)


@pytest.fixture
def events(db: None) -> Callable[[], list[str]]:
    return lambda: list(Event.objects.order_by("id").values_list("kind", flat=True))


@pytest.fixture
def worker(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Callable[..., Any]
) -> Callable[[], AbstractContextManager[list[str]]]:
    """Commits, and lets a worker do what was sent to it for requests. Gives the names of these tasks."""

    @contextmanager
    def commit() -> Iterator[list[str]]:
        sent: list[str] = []

        def send_task(name: str, args: tuple[Any, ...], **_: Any) -> None:
            if name.startswith("approvals."):
                sent.append(name)
                app.tasks[name](*args)

        monkeypatch.setattr(app, "send_task", send_task)
        with django_capture_on_commit_callbacks(execute=True):
            yield sent

    return commit
