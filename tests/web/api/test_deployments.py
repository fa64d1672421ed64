"""Reporting by the API what runs where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import User
from registry.models import Deployment, ModelVersion
from tests.cast import Api
from tests.factories import make_version

DEPLOYMENTS = "models/churn/deployments/"


@pytest.fixture(autouse=True)
def version(mira: User) -> ModelVersion:
    return make_version("churn", stage="Production", user=mira)


def test_a_pipeline_reports_and_everybody_reads(api: Callable[..., Api], ci_bot: User, sam: User) -> None:
    said = {"version": 1, "status": "running", "link": "https://eu.example.com/"}

    made = api(ci_bot).put(f"{DEPLOYMENTS}eu-west/", said)
    api(ci_bot).put(f"{DEPLOYMENTS}us east 1/", {"version": 1})
    shown = api(sam).get(DEPLOYMENTS).json()["items"]

    assert made.status_code == 200
    assert {key: made.json()[key] for key in said} == said
    assert [(row["name"], row["status"], row["reporter"], row["behind"]) for row in shown] == [
        ("us east 1", "running", "ci-bot", ""),
        ("eu-west", "running", "ci-bot", ""),
    ]


def test_a_deployment_is_deleted(api: Callable[..., Api], ci_bot: User) -> None:
    api(ci_bot).put(f"{DEPLOYMENTS}eu-west/", {"version": 1})

    assert api(ci_bot).delete(f"{DEPLOYMENTS}eu-west/").status_code == 204
    assert api(ci_bot).delete(f"{DEPLOYMENTS}eu-west/").status_code == 404


def test_a_reader_may_not_report(api: Callable[..., Api], sam: User) -> None:
    answer = api(sam).put(f"{DEPLOYMENTS}eu-west/", {"version": 1})

    assert (answer.status_code, Deployment.objects.count()) == (403, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"version": 0}, {"version": "x"}, {"version": 2**40}, {"version": 1, "status": "fine"},
        {"version": 1, "link": "javascript:alert(1)"}, {"version": 1, "state": "running"},
    ],
)  # fmt: skip
def test_what_is_no_report_is_refused(api: Callable[..., Api], ci_bot: User, wrong: dict[str, Any]) -> None:
    assert api(ci_bot).put(f"{DEPLOYMENTS}eu-west/", wrong).status_code == 400 and not Deployment.objects.exists()


def test_a_version_that_is_not_there_runs_nowhere(api: Callable[..., Api], ci_bot: User) -> None:
    assert api(ci_bot).put(f"{DEPLOYMENTS}eu-west/", {"version": 7}).status_code == 404
