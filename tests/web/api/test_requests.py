"""Asking, judging and waiting through our own API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import User
from approvals import services
from approvals.models import TransitionRequest
from registry.gate import Target
from registry.models import ModelVersion, TargetKind
from tests.cast import Api
from tests.factories import make_model, make_version

PRODUCTION = Target(TargetKind.STAGE, "Production")
POLICY = """\
name: production-gate
match:
  models: ["churn-*"]
guards: [stage:Production]
requirements:
  - metric: {name: accuracy, min: 0.90}
  - approvals: {count: 2, teams: {risk: 1, ml-leads: 1}}
"""


@pytest.fixture
def version(mira: User, alice: User, dkim: User) -> ModelVersion:
    """A guarded candidate beside the version in Production."""
    model = make_model("churn-predictor", user=mira)
    make_version(model, stage="Production", user=mira, metrics={"accuracy": 0.91})
    services.publish_policy(actor=None, text=POLICY)
    return make_version(model, user=mira, metrics={"accuracy": 0.95})


@pytest.fixture
def asked(version: ModelVersion, mira: User) -> TransitionRequest:
    return services.open_request(actor=mira, version=version, target=PRODUCTION, comment="Better on all counts.")


def say(api: Api, pk: int, decision: str, comment: str = "", **more: Any) -> Any:
    seen = more.pop("seen", None) or api.get(f"requests/{pk}/").json()["seen"]
    return api.post(f"requests/{pk}/reviews/", {"decision": decision, "comment": comment, "seen": seen}, **more)


def test_a_request_is_opened_approved_and_applied(
    version: ModelVersion, api: Callable[..., Api], mira: User, alice: User, dkim: User
) -> None:
    wish = {"model": "churn-predictor", "version": version.version, "target": "Production"}
    opened = api(mira).post("requests/", wish)
    pk = opened.json()["id"]
    first = say(api(alice), pk, "approve", "Risk is fine with it.")
    last = say(api(dkim), pk, "approve")

    assert (opened.status_code, first.status_code, last.status_code) == (201, 201, 201)
    assert opened.json()["verdict"]["waiting_for"] == {"approvals": 2}
    assert first.json()["state"] == "open"
    assert last.json()["state"] == "applied"
    assert last.json()["seen"] is None
    assert ModelVersion.objects.get(pk=version.pk).current_stage == "Production"
