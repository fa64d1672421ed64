"""What a credential gives its holder beyond what its holder was given."""

from __future__ import annotations

import base64

import pytest
from django.test import Client

from accounts.models import Level, User
from approvals import services
from approvals.models import Review, TransitionRequest
from approvals.services.decisions import reconsider
from core.errors import NotPermitted
from registry.models import ModelVersion
from tests.approvals.conftest import approve
from tests.cast import named_by, person, token_of
from tests.factories import make_version
from tests.scenes import PRODUCTION

pytestmark = pytest.mark.django_db

ONE_APPROVAL = (
    "name: gate\nmatch: {models: ['*']}\nguards: [stage:Production]\nrequirements: [{approvals: {count: 1}}]\n"
)
PASSWORD = {"password1": "a long enough passphrase", "password2": "a long enough passphrase"}


@pytest.fixture
def asked(mira: User) -> TransitionRequest:
    services.publish_policy(actor=None, text=ONE_APPROVAL)
    version = make_version("churn", user=mira)
    return services.open_request(actor=mira, version=version, target=PRODUCTION)


@pytest.mark.parametrize("owned", [True, False])
def test_a_service_account_approves_nothing(asked: TransitionRequest, admin: User, owned: bool) -> None:
    """Its token lies where the requester's pipeline reads it."""
    bot = person("bot", level=Level.MANAGE, is_service=True, owner=admin if owned else None)

    with pytest.raises(NotPermitted, match="Reviews are for people"):
        approve(bot, asked)

    assert not Review.objects.exists()
    assert ModelVersion.objects.get().current_stage == "None"


def test_an_approval_of_a_service_account_from_earlier_does_not_count(asked: TransitionRequest) -> None:
    bot = person("bot", level=Level.MANAGE, is_service=True)
    Review.objects.create(
        request=asked,
        reviewer=bot,
        person=bot,
        decision=Review.Decision.APPROVE,
        seen_digest=asked.digest,
        seen_evidence=asked.evidence.digest,
        seen_policy_revisions=asked.policy_revisions,
        seen_baseline_id=asked.baseline_id,
    )

    assert reconsider(asked).state == TransitionRequest.State.OPEN
    assert ModelVersion.objects.get().current_stage == "None"


def test_a_token_sets_no_password(mira: User) -> None:
    """Whoever finds a token that ends tomorrow would keep the account for good."""
    client = Client(headers={"authorization": f"Bearer {token_of(mira)[1]}"})

    for path in ("/account/password/set/", "/account/password/"):
        assert client.get(path).status_code == 403
        assert client.post(path, PASSWORD).status_code == 403

    mira.refresh_from_db()
    assert not mira.has_usable_password()


def test_a_service_account_gets_no_password(ci_bot: User) -> None:
    client = Client()
    client.force_login(ci_bot)

    assert client.post("/account/password/set/", PASSWORD).status_code == 403

    ci_bot.refresh_from_db()
    assert not ci_bot.has_usable_password()


def test_a_person_signed_in_sets_one(mira: User) -> None:
    client = Client()
    client.force_login(mira)

    assert client.post("/account/password/set/", PASSWORD).status_code == 302

    mira.refresh_from_db()
    assert mira.check_password(PASSWORD["password1"])


def test_guesses_of_one_password_count_together_however_the_name_is_written(mira: User) -> None:
    """The sign-in takes a name in any letter case, and the address."""
    mira.set_password("the right password")
    mira.save()
    names = ["mira", "MIRA", "Mira", "mIra", "miRa", "mirA", "MIra", "mira@example.com", "MIRA@example.com", "MirA"]

    for name in names:
        assert Client().get("/api/v1/me/", headers=_basic(name, "wrong")).status_code == 401

    for name in ("mira", "MiRA", "Mira@Example.com"):
        answer = Client().get("/api/v1/me/", headers=_basic(name, "the right password"))
        assert answer.status_code == 401 and b"Too many" in answer.content, name
    assert named_by(token_of(mira)[1]) is not None


def _basic(name: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}
