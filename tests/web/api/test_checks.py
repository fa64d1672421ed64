"""Reporting checks by the API."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accounts.models import User
from approvals.models import Check
from registry.models import ModelVersion
from tests.cast import Api
from tests.factories import make_version

CHECKS = "models/churn/versions/1/checks/"


@pytest.fixture(autouse=True)
def version(mira: User) -> ModelVersion:
    return make_version("churn", user=mira)


def test_a_pipeline_reports_and_everybody_reads(
    api: Callable[..., Api], ci_bot: User, sam: User, version: ModelVersion
) -> None:
    said = {"name": "tests", "status": "failed", "figure": "211 of 212", "link": "https://ci.example/7"}

    made = api(ci_bot).post(CHECKS, said)
    api(ci_bot).post(CHECKS, {"name": "tests", "status": "passed"})
    shown = api(sam).get(CHECKS).json()["items"]

    assert made.status_code == 201
    assert {key: made.json()[key] for key in said} == said
    assert made.json()["digest"] == version.digest and not made.json()["is_stale"]
    assert [(row["status"], row["is_current"], row["reporter"]) for row in shown] == [
        ("passed", True, "ci-bot"),
        ("failed", False, "ci-bot"),
    ]


def test_a_reader_may_not_report(api: Callable[..., Api], sam: User) -> None:
    answer = api(sam).post(CHECKS, {"name": "tests", "status": "passed"})

    assert (answer.status_code, Check.objects.count()) == (403, 0)


@pytest.mark.parametrize(
    "wrong", [{}, {"name": "t"}, {"status": "passed"}, {"name": "t", "status": "fine"}, {"name": "t", "state": "x"}]
)
def test_what_is_no_report_is_refused(api: Callable[..., Api], ci_bot: User, wrong: dict[str, str]) -> None:
    assert api(ci_bot).post(CHECKS, wrong).status_code == 400 and not Check.objects.exists()


def test_the_shorter_path_is_the_same_place_and_stands_in_the_reference_once(
    api: Callable[..., Api], ci_bot: User, sam: User, version: ModelVersion
) -> None:
    made = api(ci_bot).post("versions/churn/1/checks/", {"name": "tests", "status": "passed"})

    assert made.status_code == 201
    assert [row["id"] for row in api(sam).get("versions/churn/1/checks/").json()["items"]] == [made.json()["id"]]
    assert api(sam).get(CHECKS).json() == api(sam).get("versions/churn/1/checks/").json()
    paths = api(sam).get("schema/", format="json").json()["paths"]
    assert [path for path in paths if path.endswith("/checks/")] == ["/api/v1/models/{name}/versions/{number}/checks/"]
