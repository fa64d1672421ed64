"""Databricks' form, through a real receiver: what it calls our changes, what it says of them, and how it signs."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk.service.ml import RegistryWebhookEvent
from django.conf import settings

from accounts.models import User
from approvals import services as approvals
from core.clock import to_ms
from core.crypto import decrypt, encrypt
from core.errors import Invalid
from notifications import services
from notifications.fanout import fan_out
from notifications.forms import databricks
from notifications.models import Channel, Delivery, Event
from notifications.tasks import drain
from registry import services as registry
from registry.gate import Target
from registry.models import TargetKind
from tests.factories import make_model, make_version
from tests.notifications.conftest import happened, webhook
from tests.receivers import Receiver

pytestmark = pytest.mark.django_db
ALL = list(databricks.EXAMPLES)


def listening(receiver: Receiver, **fields: Any) -> Channel:
    return webhook(receiver.url, form="databricks", **{"kinds": ALL, **fields})


def told(receiver: Receiver) -> dict[str, dict[str, Any]]:
    """What arrived, by event and version, without what every message has."""
    drain()
    posts = {f"{post.pop('event')} {post.get('version', '')}".strip(): post for post in receiver.posts}
    assert len(posts) == len(receiver.calls)
    for post in posts.values():
        assert type(post.pop("event_timestamp")) is int
        assert post.pop("webhook_id") == Channel.objects.get(kind="webhook").key.hex  # type: ignore[union-attr]
    return posts


def test_it_has_the_events_of_the_stock_client() -> None:
    assert set(ALL) == {event.value for event in RegistryWebhookEvent}


def test_models_versions_and_tags_are_told_without_where_their_files_lie(receiver: Receiver, admin: User) -> None:
    listening(receiver)
    model = registry.create_model(actor=admin, name="fraud", tags={"a": "b"})
    version = registry.create_version(actor=admin, model=model, source="s3://bucket/model")
    registry.set_version_tag(actor=admin, version=version, key="auc", value="0.91")
    registry.set_model_tag(actor=admin, model=model, key="team", value="risk")
    registry.set_alias(actor=admin, version=version, alias="champion")

    assert told(receiver) == {
        "REGISTERED_MODEL_CREATED": {"model_name": "fraud", "text": "admin created the model fraud."},
        "MODEL_VERSION_CREATED 1": {
            "model_name": "fraud", "version": "1", "text": "admin registered version 1 of fraud.",
        },
        "MODEL_VERSION_TAG_SET 1": {
            "model_name": "fraud", "version": "1", "tags": [{"key": "auc", "value": "0.91"}],
            "text": "admin set the tag auc = 0.91 on version 1 of fraud.",
        },
    }  # fmt: skip
    assert not any(b"bucket" in call.body for call in receiver.calls)


def test_a_move_has_a_general_and_a_special_name_and_so_has_what_it_archives(receiver: Receiver, admin: User) -> None:
    listening(receiver)
    make_version("fraud", stage="Production")
    version = make_version("fraud", stage="Staging")
    registry.move_to_stage(actor=admin, version=version, stage="Production", archive_existing=True)  # type: ignore[arg-type]

    moved = {
        "model_name": "fraud", "version": "2", "from_stage": "Staging", "to_stage": "Production",
        "text": "admin moved version 2 of fraud from Staging to Production.",
    }  # fmt: skip
    archived = {
        "model_name": "fraud", "version": "1", "from_stage": "Production", "to_stage": "Archived",
        "text": "admin moved version 1 of fraud from Production to Archived.",
    }  # fmt: skip
    assert told(receiver) == {
        "MODEL_VERSION_TRANSITIONED_STAGE 2": moved,
        "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION 2": moved,
        "MODEL_VERSION_TRANSITIONED_STAGE 1": archived,
        "MODEL_VERSION_TRANSITIONED_TO_ARCHIVED 1": archived,
    }


def test_a_request_a_comment_and_the_transition_that_comes_of_it_are_told(
    receiver: Receiver, mira: User, admin: User
) -> None:
    listening(receiver)
    version = make_version("fraud")
    asked = approvals.open_request(actor=mira, version=version, target=Target(TargetKind.STAGE, "Staging"))
    approvals.open_request(actor=mira, version=version, target=Target(TargetKind.ALIAS, "live"))
    approvals.add_comment(actor=admin, version=version, text="AUC fell <!channel>", review_request=asked)
    registry.move_to_stage(actor=admin, version=version, stage="None")  # type: ignore[arg-type]
    posts = told(receiver)

    request = {
        "model_name": "fraud", "version": "1", "from_stage": "None", "to_stage": "Staging",
        "text": "mira asks to move version 1 of fraud from None to Staging.",
    }  # fmt: skip
    comment = {
        "model_name": "fraud", "version": "1", "comment": "AUC fell <!channel>",
        "text": "admin commented on version 1 of fraud.",
    }  # fmt: skip
    assert posts == {
        "TRANSITION_REQUEST_CREATED 1": request,
        "TRANSITION_REQUEST_TO_STAGING_CREATED 1": request,
        "COMMENT_CREATED 1": comment,
    }


def test_an_applied_request_is_told_as_a_move_by_who_applied_it(receiver: Receiver, admin: User) -> None:
    listening(receiver, kinds=["MODEL_VERSION_TRANSITIONED_TO_PRODUCTION", "MODEL_VERSION_TRANSITIONED_TO_ARCHIVED"])
    happened(
        "transition.applied", model_name="fraud", target_kind="stage", target="Production", from_stage="Staging",
        archived_versions=[1, 2],
    )  # fmt: skip
    Event.objects.update(actor=admin)

    posts = told(receiver)

    assert posts["MODEL_VERSION_TRANSITIONED_TO_PRODUCTION 3"]["text"] == (
        "admin moved version 3 of fraud from Staging to Production."
    )
    assert set(posts) == {
        "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION 3",
        "MODEL_VERSION_TRANSITIONED_TO_ARCHIVED 1",
        "MODEL_VERSION_TRANSITIONED_TO_ARCHIVED 2",
    }


def test_a_way_back_to_none_has_the_general_name_alone(receiver: Receiver, admin: User) -> None:
    listening(receiver)
    registry.move_to_stage(actor=admin, version=make_version("fraud", stage="Staging"), stage="None")  # type: ignore[arg-type]

    assert set(told(receiver)) == {"MODEL_VERSION_TRANSITIONED_STAGE 1"}


def test_a_webhook_hears_what_it_names_and_nothing_of_prompts(receiver: Receiver, admin: User) -> None:
    listening(receiver, kinds=["MODEL_VERSION_CREATED"])
    for tags in ({"mlflow.prompt.is_prompt": "true"}, {}):
        model = make_model(tags=tags)
        version = registry.create_version(actor=admin, model=model, source="s3://bucket/model")
        registry.set_version_tag(actor=admin, version=version, key="a", value="b")

    assert [post["model_name"] for post in told(receiver).values()] == [model.name]


def test_no_message_is_made_twice(receiver: Receiver) -> None:
    listening(receiver)
    happened("transition.applied", target_kind="stage", target="Staging", from_stage="None", archived_versions=[1])
    fan_out()
    Event.objects.update(fanned_out_at=None)  # as if the worker had been killed before it noted this
    fan_out()

    assert Delivery.objects.count() == 4


def test_no_name_mentions_or_links_anything_where_it_is_posted_to_a_chat(receiver: Receiver) -> None:
    listening(receiver)
    happened("model_version.created", model_name="<!channel>", summary="mira registered <!channel> & more.")

    (post,) = told(receiver).values()

    assert (post["text"], post["model_name"]) == ("mira registered &lt;!channel&gt; &amp; more.", "<!channel>")


@pytest.mark.parametrize("secret", ["geheim ✓", ""])
def test_the_bytes_are_signed_as_they_go_out(secret: str, receiver: Receiver) -> None:
    listening(receiver, secret=secret, authorization=encrypt("Bearer abc  d=="))
    event = happened("model_version.created", summary="Ümläut")

    drain()

    (call,) = receiver.calls
    signed = hmac.new(secret.encode(), call.body, hashlib.sha256).hexdigest()
    assert call.headers.get("x-databricks-signature") == (signed if secret else None)
    assert call.headers["authorization"] == "Bearer abc  d=="
    assert json.loads(call.body)["event_timestamp"] == to_ms(event.created_at)


def test_the_code_in_the_docs_verifies_a_message_and_no_other(receiver: Receiver) -> None:
    known: dict[str, Any] = {}
    docs = Path(settings.BASE_DIR, "docs", "events.md").read_text()
    for code in re.findall(r"^```python\n(.*?)^```", docs, re.MULTILINE | re.DOTALL):
        if "def is_from_databricks_form" in code:
            exec(code, known)
    is_genuine = known["is_from_databricks_form"]
    listening(receiver, secret="geheim ✓")
    happened("model_version.created")
    drain()
    (call,) = receiver.calls

    assert is_genuine(call.headers, call.body, "geheim ✓")
    assert not is_genuine(call.headers, call.body + b" ", "geheim ✓")
    assert not is_genuine(call.headers, call.body, "geheim")


def test_a_job_gets_the_event_in_the_parameters_of_every_kind_of_task(receiver: Receiver) -> None:
    listening(receiver, job_id=42, authorization=encrypt("Bearer token"))
    happened("comment.created", comment="Good.", summary="mira commented.")

    drain()

    (call,), (post,) = receiver.calls, receiver.posts
    assert call.path.endswith("/api/2.1/jobs/run-now") and call.headers["authorization"] == "Bearer token"
    assert post["job_id"] == 42
    message = post["notebook_params"]["event_message"]
    assert json.loads(message)["comment"] == "Good."
    assert post == {
        "job_id": 42,
        "notebook_params": {"event_message": message},
        "python_named_params": {"event_message": message},
        "jar_params": [message],
        "python_params": [message],
        "spark_submit_params": [message],
    }


@pytest.mark.parametrize("kind", ALL)
def test_a_test_sends_an_example_that_looks_like_what_happens(kind: str, receiver: Receiver, admin: User) -> None:
    channel = listening(receiver, kinds=["COMMENT_CREATED"])

    outcome = services.try_webhook(actor=admin, channel=channel, example=kind)

    (post,) = receiver.posts
    assert (outcome.status_code, post["event"], post["model_name"]) == (200, kind, "example-model")
    assert post["webhook_id"] == channel.key.hex  # type: ignore[union-attr]
    assert ("version" in post) == (kind != "REGISTERED_MODEL_CREATED")
    assert ("to_stage" in post) == ("TRANSITION" in kind)


def test_what_the_receiver_repeats_of_its_secrets_is_not_kept(receiver: Receiver, admin: User) -> None:
    channel = listening(receiver, secret="geheim", authorization=encrypt("Bearer hunter2"))
    receiver.said = "You said Bearer hunter2, that is hunter2, and geheim."

    assert services.try_webhook(actor=admin, channel=channel).answer == "You said …, that is …, and …."


def test_in_test_mode_nothing_but_a_test_goes_through(receiver: Receiver, admin: User) -> None:
    channel = listening(receiver)
    services.update_channel(actor=admin, channel=channel, is_in_test_mode=True)
    happened("model_version.created")
    drain()
    assert receiver.calls == []

    services.try_webhook(actor=admin, channel=channel)
    assert len(receiver.calls) == 1

    services.update_channel(actor=admin, channel=channel, is_active=True)
    kept = Channel.objects.get(kind="webhook")
    assert (kept.is_active, kept.is_in_test_mode) == (True, False)
    kinds = list(Event.objects.filter(kind__startswith="channel.").order_by("id").values_list("kind", flat=True))
    assert kinds == ["channel.disabled", "channel.tested", "channel.enabled"]


@pytest.mark.parametrize("authorization", ["Bearer\r\nX: y", "ä", "x" * 2001])
def test_a_header_that_none_can_be_is_refused(authorization: str, admin: User, receiver: Receiver) -> None:
    with pytest.raises(Invalid) as refused:
        services.update_channel(actor=admin, channel=listening(receiver), authorization=authorization)

    assert refused.value.field == "authorization"


def test_the_header_of_one_server_is_never_sent_to_another(admin: User, receiver: Receiver) -> None:
    """Else whoever may change the address would learn what somebody else has entered."""
    channel = listening(receiver, authorization=encrypt("Bearer abc"))

    with pytest.raises(Invalid, match="another server"):
        services.update_channel(actor=admin, channel=channel, target="https://intruder.example.com/")
    services.update_channel(actor=admin, channel=channel, target=receiver.url + "/2")
    assert decrypt(Channel.objects.get(kind="webhook").authorization) == "Bearer abc"
    services.update_channel(actor=admin, channel=channel, target="https://other.example.com/", authorization="")

    assert Channel.objects.get(kind="webhook").authorization == ""


@pytest.mark.parametrize("kinds", [[], ["COMMENT_WRITTEN"], ["comment.created"]])
def test_it_names_events_of_databricks_alone(kinds: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        databricks.checked_kinds(kinds)

    assert refused.value.field == "kinds"
