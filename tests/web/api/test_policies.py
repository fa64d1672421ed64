"""Policies through our own API."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from accounts.models import User
from approvals.models import Policy
from approvals.services import open_request, publish_policy
from tests.cast import Api
from tests.factories import make_version
from tests.scenes import PRODUCTION

POLICY = """\
name: production-gate
match:
  models: ["churn-*"]
guards: [stage:Production]
requirements:
  - metric: {name: accuracy, min: 0.90}
"""
WRONG = POLICY.replace("min: 0.90", "minimum: 0.90")


def test_an_administrator_publishes_and_everybody_reads(api: Callable[..., Api], admin: User, sam: User) -> None:
    published = api(admin).post("policies/", {"text": POLICY})
    again = api(admin).post("policies/", {"text": POLICY.replace("0.90", "0.95")})

    shown = api(sam).get("policies/production-gate/").json()
    assert (published.status_code, again.status_code) == (201, 201)
    assert [(r["number"], r["author"]) for r in shown["revisions"]] == [(2, "admin"), (1, "admin")]
    assert "0.95" in shown["text"]
    assert "accuracy must be at least 0.95." in shown["reading"]
    assert [p["name"] for p in api(sam).get("policies/").json()["items"]] == ["production-gate"]


def test_nobody_else_publishes(api: Callable[..., Api], mira: User) -> None:
    assert api(mira).post("policies/", {"text": POLICY}).status_code == 403
    assert not Policy.objects.exists()


def test_a_text_that_is_none_is_refused_with_its_lines(api: Callable[..., Api], admin: User) -> None:
    error = api(admin).post("policies/", {"text": WRONG}).json()["error"]

    assert (error["code"], error["field"]) == ("invalid", "text")
    assert {problem["line"] for problem in error["details"]["problems"]} == {6}
    assert not Policy.objects.exists()


def test_a_check_publishes_nothing(api: Callable[..., Api], sam: User) -> None:
    client = api(sam, read_only=True)

    right = client.post("policies/check/", {"text": POLICY}).json()
    wrong = client.post("policies/check/", {"text": WRONG}).json()

    assert (right["valid"], right["name"], right["problems"]) == (True, "production-gate", [])
    assert (wrong["valid"], {problem["line"] for problem in wrong["problems"]}) == (False, {6})
    assert not Policy.objects.exists()
    assert client.post("policies/check/", {}).status_code == 400


def test_a_draft_is_tried_on_a_version_and_on_what_is_open(
    api: Callable[..., Api], admin: User, sam: User, mira: User
) -> None:
    publish_policy(actor=admin, text=POLICY)
    version = make_version("churn-predictor", user=mira, metrics={"accuracy": 0.85})
    asked = open_request(actor=mira, version=version, target=PRODUCTION)
    draft = {"text": POLICY.replace("0.90", "0.80")}
    client = api(admin, read_only=True)

    about = (
        api(sam, read_only=True).post("policies/simulate/", {**draft, "model": "churn-predictor", "version": 1}).json()
    )
    alone = client.post("policies/simulate/", draft).json()
    elsewhere = client.post(
        "policies/simulate/", {**draft, "model": "churn-predictor", "version": 1, "target": "@champion"}
    ).json()

    assert about["verdict"]["tree"]["children"][0]["status"] == "met"
    [changed] = alone["requests"]
    assert (alone["verdict"], changed["request"], changed["target"]) == (None, asked.pk, "Production")
    assert "must be at least 0.90" in changed["before"] and changed["before"] != changed["after"]
    assert elsewhere["verdict"]["tree"]["children"] == []
    assert Policy.objects.get().revisions.count() == 1


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"model": "churn"}, 400),
        ({"version": 1}, 400),
        ({"target": "Production"}, 400),
        ({"model": "churn", "version": 1}, 404),
        ({"text": WRONG, "model": "churn", "version": 1}, 400),
    ],
)
def test_a_draft_that_cannot_be_tried_is_refused(
    api: Callable[..., Api], sam: User, more: dict[str, object], status: int
) -> None:
    assert api(sam).post("policies/simulate/", {"text": POLICY, **more}).status_code == status


def test_what_is_open_and_what_was_is_for_those_who_publish(api: Callable[..., Api], sam: User) -> None:
    for call in ("simulate", "replay"):
        assert api(sam).post(f"policies/{call}/", {"text": POLICY}).status_code == 403


def test_a_draft_is_replayed(api: Callable[..., Api], admin: User) -> None:
    client = api(admin, read_only=True)

    nothing = {"moves": 0, "stopped": [], "unmade": 0, "satisfied": [], "is_cut": False}
    assert client.post("policies/replay/", {"text": POLICY, "most": 10_000}).json() == nothing
    assert client.post("policies/replay/", {"text": POLICY, "most": 10_001}).status_code == 400
    assert client.post("policies/replay/", {"text": WRONG}).status_code == 400


def test_a_policy_goes_out_of_force(api: Callable[..., Api], admin: User, sam: User) -> None:
    publish_policy(actor=None, text=POLICY)

    assert api(sam).post("policies/production-gate/archive/").status_code == 403
    assert api(admin).post("policies/production-gate/archive/").json()["archived_at"]
    assert api(sam).get("policies/", in_force="true").json()["items"] == []
    assert api(sam).get("policies/no-such/").status_code == 404


def test_a_check_tells_what_the_text_would_change(api: Callable[..., Api], sam: User) -> None:
    new = api(sam).post("policies/check/", {"text": POLICY}).json()
    publish_policy(actor=None, text=POLICY)

    changed = api(sam).post("policies/check/", {"text": POLICY.replace("0.90", "0.95")}).json()["difference"]

    assert new["difference"] is None
    assert (changed["revision"], changed["gone"]) == (1, ["accuracy must be at least 0.90."])
    assert changed["added"] == ["accuracy must be at least 0.95."]
    assert changed["text"].startswith("@@ -3,4 +3,4 @@\n models:".replace(" models", "   models"))
    assert "\n-  - metric: {name: accuracy, min: 0.90}\n+  - metric: {name: accuracy, min: 0.95}\n" in changed["text"]


def test_editors_get_the_language_as_a_schema(api: Callable[..., Api], sam: User) -> None:
    answer = api(sam, read_only=True).get("policies/schema/")

    assert (answer.status_code, answer["Content-Type"]) == (200, "application/schema+json")
    assert set(json.loads(answer.content)["required"]) == {"name", "match", "guards", "requirements"}
