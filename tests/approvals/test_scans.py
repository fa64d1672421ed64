"""A policy that asks for files without unknown pickles: what waits, who vouches, what is never let through."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from sklearn.linear_model import LogisticRegression

from accounts.models import Team, User
from accounts.services import add_to_team
from approvals import services
from approvals.models import Check, TransitionRequest
from approvals.permissions import can_report_check
from approvals.policy import Node
from approvals.standing import standing_of
from approvals.tasks import reconsider_model
from core.errors import Invalid, NotPermitted
from registry import tasks
from registry.models import ModelVersion, RegisteredModel
from tests.approvals.conftest import PRODUCTION, publish, stage_of
from tests.core.pickles.hostile import by_stack_global, dumped
from tests.factories import make_version

POLICY = """\
name: safe-files
match:
  models: ["churn-*"]
guards: [stage:Production]
requirements:
  - scan: {vouched_by: risk}
"""
MODEL = LogisticRegression().fit(np.arange(6.0).reshape(6, 1), [0, 1] * 3)
GOOD = {"model.pkl": pickle.dumps(MODEL), "model.joblib": dumped(MODEL, compress=3), "MLmodel": b"flavors:\n"}
EVIL = {"model.pkl": by_stack_global(Path("canary"))}
UNKNOWN = {"model.pkl": b"\x80\x04\x8c\x04acme\x8c\x05Churn\x93)\x81."}

Asked = Callable[[dict[str, bytes]], TransitionRequest]


@pytest.fixture
def asked(model: RegisteredModel, mira: User, admin: User, alice: User) -> Asked:
    """Somebody who may move the version asks for Production; alice (risk) may vouch."""
    cache.clear()
    publish(POLICY)

    def ask(files: dict[str, bytes]) -> TransitionRequest:
        version = make_version(model, user=mira, files=files)
        return services.open_request(actor=admin, version=version, target=PRODUCTION)

    return ask


def requirement(review_request: TransitionRequest) -> Node:
    verdict = standing_of(TransitionRequest.objects.with_rows().get(pk=review_request.pk)).verdict
    (node,) = (node for node in verdict.requirements if node.kind == "scan")
    return node


def read_files(review_request: TransitionRequest) -> None:
    tasks.scan_version(review_request.version_id)
    reconsider_model(review_request.model_id)  # what its task does after the commit


def vouch(user: User, version: ModelVersion, status: str = "passed", **more: Any) -> Check:
    looked_at = {"digest": version.digest, "summary": "I read the code that it loads."}
    given = {"name": "scan", "status": status, **looked_at, **more}
    return services.report_check(actor=user, version=version, **given)


def test_a_good_model_goes_to_production_once_its_files_have_been_read(asked: Asked) -> None:
    request = asked(GOOD)
    assert requirement(request).reason == "3 of 3 files are still to be read."
    assert stage_of(request.version) == "None"

    read_files(request)

    assert stage_of(request.version) == "Production"


def test_an_unsafe_model_never_does(asked: Asked, alice: User, model: RegisteredModel) -> None:
    request = asked(EVIL)
    read_files(request)

    vouch(alice, request.version)
    reconsider_model(model.pk)

    assert requirement(request).reason == "model.pkl: It imports os.system, which may run anything."
    assert stage_of(request.version) == "None"


def test_somebody_of_the_team_clears_what_is_not_known(asked: Asked, alice: User, model: RegisteredModel) -> None:
    request = asked(UNKNOWN)
    read_files(request)
    assert requirement(request).reason == (
        "model.pkl: It imports acme.Churn, which is not known here. Somebody of risk must look: alice."
    )
    assert requirement(request).people == (alice.pk,)

    vouch(alice, request.version)
    reconsider_model(model.pk)

    assert stage_of(request.version) == "Production"


def test_files_elsewhere_are_an_error_and_nobody_vouches_for_them(asked: Asked, alice: User) -> None:
    request = asked({})

    assert requirement(request).status == "error"
    with pytest.raises(Invalid, match="lie elsewhere"):
        vouch(alice, request.version)


def test_who_may_not_vouch_is_told_why(
    asked: Asked, risk: Team, mira: User, dkim: User, ci_bot: User, admin: User
) -> None:
    request = asked(UNKNOWN)
    read_files(request)

    answers = {user.username: can_report_check(user, request.version, "scan") for user in (dkim, admin, ci_bot)}

    assert not any(answers.values())
    assert answers["dkim"].reason == (
        "You are in no team that a policy lets vouch for the files of churn-predictor. "
        "Only somebody of risk vouches for its files."
    )
    assert answers["ci-bot"].reason == "A person looks at files: a service account cannot vouch for them."
    add_to_team(actor=None, team=risk, users=[mira, admin])
    with pytest.raises(NotPermitted, match="You registered this version"):
        vouch(mira, request.version)
    vouch(admin, request.version)  # who asked: it is kept, and counts for nothing
    reconsider_model(request.model_id)
    assert requirement(request).status == "waiting"


@pytest.mark.parametrize("wrong", [{"summary": ""}, {"summary": "  "}, {"status": "running"}, {"digest": None}])
def test_whoever_vouches_says_what_they_looked_at(asked: Asked, alice: User, wrong: dict[str, Any]) -> None:
    request = asked(UNKNOWN)

    with pytest.raises(Invalid):
        vouch(alice, request.version, **wrong)


def test_a_vouch_for_other_bytes_counts_for_nothing(asked: Asked, alice: User) -> None:
    request = asked(UNKNOWN)
    read_files(request)

    vouch(alice, request.version, digest="a" * 64)

    assert requirement(request).status == "waiting"


def test_scans_are_read_in_one_statement_and_not_where_none_is_asked_for(asked: Asked) -> None:
    requests = [asked({"model.pkl": pickle.dumps(number)}) for number in range(3)]

    def statements(*found: TransitionRequest) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            for request in found:
                assert not standing_of(request).is_satisfied
        return [query["sql"] for query in captured.captured_queries if "registry_filescan" in query["sql"]]

    rows = list(TransitionRequest.objects.with_rows().filter(pk__in=[request.pk for request in requests]))
    assert len(statements(rows[0])) == 1
    publish(POLICY.replace("scan: {vouched_by: risk}", "description: {min_length: 1}"))
    assert statements(*rows) == []
