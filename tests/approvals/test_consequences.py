"""What a request says will happen is what happens when it is carried out."""

from __future__ import annotations

import pytest

from accounts.models import User
from approvals import services
from approvals.consequences import Consequences, consequences_of
from approvals.models import TransitionRequest
from approvals.standing import standing_of
from core.clock import now
from notifications.fanout import fan_out
from notifications.models import Channel, Delivery, Event
from registry.gate import Target
from registry.models import ModelVersion, TargetKind
from tests.factories import make_model, make_version
from tests.scenes import ARCHIVED, PRODUCTION, say

CHAMPION = Target(TargetKind.ALIAS, "champion")


@pytest.fixture
def channels(db: None) -> None:
    made = [
        {"name": "all", "kind": "slack"},
        {"name": "other models", "kind": "slack", "models_glob": "fraud-*"},
        {"name": "comments only", "kind": "slack", "kinds": ["comment.created"]},
        {"name": "off", "kind": "slack", "is_active": False},
        {"name": "deleted", "kind": "slack", "deleted_at": now()},
        {"name": "mlflow", "kind": "webhook", "form": "mlflow", "kinds": ["model_version_alias.created"]},
        {
            "name": "databricks",
            "kind": "webhook",
            "form": "databricks",
            "kinds": ["MODEL_VERSION_TRANSITIONED_TO_ARCHIVED"],
        },
    ]
    for number, fields in enumerate(made):
        key = {"key": f"00000000-0000-4000-8000-{number:012d}"} if fields["kind"] == "webhook" else {}
        Channel.objects.create(target="", **fields, **key)


def asked(version: ModelVersion, mira: User, target: Target, **how: bool) -> TransitionRequest:
    return services.open_request(actor=mira, version=version, target=target, comment="", **how)


def told(review_request: TransitionRequest) -> Consequences:
    return consequences_of(review_request, standing_of(review_request))


@pytest.mark.parametrize("archive", [True, False])
def test_who_holds_the_stage_is_archived_or_stays(mira: User, admin: User, channels: None, archive: bool) -> None:
    model = make_model("churn", user=mira)
    make_version(model, stage="Production"), make_version(model, stage="Production")
    review_request = asked(make_version(model, user=mira), mira, PRODUCTION, archive_existing=archive)

    found = told(review_request)
    say(admin, review_request)

    assert found == Consequences(
        holders=(1, 2), archives=archive, alias_from=None, channels=("all", "databricks") if archive else ("all",)
    )
    assert [version.current_stage for version in model.versions.order_by("version")] == (
        ["Archived", "Archived", "Production"] if archive else ["Production"] * 3
    )


@pytest.mark.parametrize("held", [True, False])
def test_an_alias_moves_from_who_has_it(mira: User, channels: None, held: bool) -> None:
    model = make_model("churn", user=mira)
    make_version(model, aliases=["champion"] if held else ())
    review_request = asked(make_version(model, user=mira), mira, CHAMPION)

    assert told(review_request) == Consequences(
        holders=(), archives=False, alias_from=1 if held else None, channels=("all", "mlflow")
    )


def test_of_the_stages_that_anybody_lies_in_nobody_leaves(mira: User) -> None:
    model = make_model("churn", user=mira)
    make_version(model, stage="Archived")
    review_request = asked(make_version(model, user=mira), mira, ARCHIVED)

    assert told(review_request) == Consequences(holders=(), archives=False, alias_from=None, channels=())


def test_the_channels_that_are_named_are_those_that_get_a_message(mira: User, admin: User, channels: None) -> None:
    model = make_model("churn", user=mira)
    make_version(model, stage="Production")
    review_request = asked(make_version(model, user=mira), mira, PRODUCTION)
    found = told(review_request).channels
    Event.objects.update(fanned_out_at=now())

    say(admin, review_request)
    Event.objects.exclude(kind="transition.applied").update(fanned_out_at=now())
    fan_out()

    assert set(Delivery.objects.filter(channel__user=None).values_list("channel__name", flat=True)) == set(found)
