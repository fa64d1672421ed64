"""What a page of another site can make somebody's browser send."""

from __future__ import annotations

import base64

import pytest
from django.test import Client

from accounts.models import Token, User
from approvals import services
from approvals.models import Policy
from tests.cast import token_of

pytestmark = pytest.mark.django_db

GATE = "name: gate\nmatch: {models: ['*']}\nguards: [stage:Production]\nrequirements: [{approvals: {count: 1}}]\n"
FORM = "application/x-www-form-urlencoded"


def basic(user: User) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user.username}:{token_of(user)[1]}".encode()).decode()}


@pytest.fixture
def policy(db: None) -> Policy:
    return services.publish_policy(actor=None, text=GATE).policy


@pytest.mark.parametrize("sign", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}])
@pytest.mark.parametrize("path", ["/policies/gate/archive/", "/api/v1/policies/gate/archive/"])
@pytest.mark.parametrize("content_type", [FORM, "text/plain", "multipart/form-data; boundary=x"])
def test_a_basic_password_that_a_browser_remembers_does_not_sign_forms(
    admin: User, policy: Policy, sign: dict[str, str], path: str, content_type: str
) -> None:
    """Browsers send it along with every form of any other site, like a cookie, and without SameSite."""
    browser = Client(enforce_csrf_checks=True, headers={**basic(admin), **sign})

    answer = browser.post(path, data=b"", content_type=content_type)

    assert answer.status_code == 403, answer.content
    policy.refresh_from_db()
    assert policy.archived_at is None


def test_a_browser_that_remembers_a_password_makes_no_token_for_another_site(admin: User) -> None:
    browser = Client(enforce_csrf_checks=True, headers={**basic(admin), "origin": "https://evil.example"})
    before = Token.objects.count()

    answer = browser.post("/account/tokens/", data=b"name=x", content_type=FORM)

    assert (answer.status_code, Token.objects.count()) == (403, before)


def test_clients_need_no_csrf_token(admin: User, policy: Policy) -> None:
    client = Client(enforce_csrf_checks=True, headers=basic(admin))
    assert client.post("/api/v1/policies/gate/archive/", content_type="application/json").status_code == 200

    script = Client(enforce_csrf_checks=True, headers={"authorization": f"Bearer {token_of(admin)[1]}"})
    answer = script.post(
        "/api/2.0/mlflow/registered-models/create",
        {"name": "m"},
        content_type="application/json",
        headers={"origin": "http://testserver"},
    )
    assert answer.status_code == 200
