"""What the tests of the pages start from: a guarded model whose version 2 mira has asked to promote."""

from __future__ import annotations

import pytest

from accounts.models import User
from approvals.models import TransitionRequest
from registry.models import ModelVersion
from tests.scenes import ask, churn_predictor


@pytest.fixture
def version(mira: User) -> ModelVersion:
    return churn_predictor(mira)


@pytest.fixture
def asked(version: ModelVersion, mira: User, alice: User, dkim: User) -> TransitionRequest:
    return ask(version, mira)
