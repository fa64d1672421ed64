"""Policies through our own API."""

from __future__ import annotations

from collections.abc import Callable

from accounts.models import User
from approvals.models import Policy
from approvals.services import publish_policy
from tests.cast import Api

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


def test_a_policy_goes_out_of_force(api: Callable[..., Api], admin: User, sam: User) -> None:
    publish_policy(actor=None, text=POLICY)

    assert api(sam).post("policies/production-gate/archive/").status_code == 403
    assert api(admin).post("policies/production-gate/archive/").json()["archived_at"]
    assert api(sam).get("policies/", in_force="true").json()["items"] == []
    assert api(sam).get("policies/no-such/").status_code == 404
