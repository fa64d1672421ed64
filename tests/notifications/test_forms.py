"""What a webhook's messages look like, held against MLflow's own code and the formula of Standard Webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.test import override_settings
from mlflow.webhooks.delivery import _generate_hmac_signature
from mlflow.webhooks.types import EVENT_TO_PAYLOAD_CLASS

from accounts.models import User
from core.clock import now
from core.errors import Invalid
from notifications.events import known_kinds
from notifications.forms import FORMS, mlflow, standard
from notifications.forms.base import Message, signature
from notifications.models import Channel, Delivery, Event
from registry import services
from registry.models import ModelVersion
from tests.factories import make_model, make_version
from tests.notifications.conftest import happened, webhook

pytestmark = pytest.mark.django_db
PROMPT = {"mlflow.prompt.is_prompt": "true", "_mlflow_prompt_type": "text"}
DOCS = Path(settings.BASE_DIR, "docs", "events.md").read_text()
URL = "https://deploy.example.com/hook"


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel("2026-10-05 12:00:00.5", tick=False) as traveller:
        yield traveller


def message(event: Event, channel: Channel, secret: str = "", part: str = "") -> Message:
    return FORMS[channel.form].message(Delivery(event=event, channel=channel, part=part), secret)


# -- MLflow's ----------------------------------------------------------------------------------------------------------


def theirs(event: Event) -> dict[str, Any] | None:
    """What MLflow's receivers get of it; None where it has no word."""
    if not mlflow.names_of(event):
        return None
    body: dict[str, Any] = json.loads(message(event, webhook(URL, form="mlflow")).body)
    assert body.pop("timestamp") == event.created_at.isoformat()
    return {**body.pop("data"), "event": f"{body.pop('entity')}.{body.pop('action')}", **body}


class House:
    """A model and a prompt, each with a version that has a tag."""

    def __init__(self, admin: User) -> None:
        self.by = admin
        model, prompt = make_model("churn", user=admin), make_model("greeting", user=admin, tags=PROMPT)
        self.version = make_version(model, user=admin, aliases=["old"], tags={"a": "b"})
        self.prompt = make_version(prompt, user=admin, aliases=["old"], tags={"a": "b"})


Change = Callable[[User, ModelVersion], object]
ABOUT_A_VERSION: dict[str, tuple[Change, dict[str, Any]]] = {
    "_tag.set": (
        lambda by, v: services.set_version_tag(actor=by, version=v, key="tier", value="x" * 5000),
        {"version": "1", "key": "tier", "value": "x" * 5000},
    ),
    "_tag.deleted": (
        lambda by, v: services.delete_version_tag(actor=by, version=v, key="a"),
        {"version": "1", "key": "a"},
    ),
    "_alias.created": (
        lambda by, v: services.set_alias(actor=by, version=v, alias="live"),
        {"alias": "live", "version": "1"},
    ),
    "_alias.deleted": (lambda by, v: services.delete_alias(actor=by, model=v.model, alias="old"), {"alias": "old"}),
}


@pytest.mark.parametrize("event", ABOUT_A_VERSION)
def test_a_change_of_a_version_is_told_as_mlflow_tells_it(event: str, admin: User) -> None:
    house, (change, data) = House(admin), ABOUT_A_VERSION[event]
    prompt_event = f"prompt{event}" if "alias" in event else f"prompt_version{event}"

    change(admin, house.version)
    assert theirs(Event.objects.latest("id")) == {"event": f"model_version{event}", "name": "churn", **data}
    change(admin, house.prompt)
    assert theirs(Event.objects.latest("id")) == {"event": prompt_event, "name": "greeting", **data}


def test_tags_of_a_prompt_are_told_and_those_of_a_model_are_not(admin: User) -> None:
    house = House(admin)
    for model in (house.version.model, house.prompt.model):
        services.set_model_tag(actor=admin, model=model, key="tier", value="1")
        services.delete_model_tag(actor=admin, model=model, key="tier")

    assert [theirs(event) for event in Event.objects.order_by("id") if event.kind.startswith("tag.")] == [
        None,
        None,
        {"event": "prompt_tag.set", "name": "greeting", "key": "tier", "value": "1"},
        {"event": "prompt_tag.deleted", "name": "greeting", "key": "tier"},
    ]


def test_a_new_model_and_its_version_are_told_with_all_that_was_given(admin: User) -> None:
    model = services.create_model(actor=admin, name="churn", description="Who leaves.", tags={"tier": "1"})
    assert theirs(Event.objects.latest("id")) == {
        "event": "registered_model.created",
        "name": "churn",
        "tags": {"tier": "1"},
        "description": "Who leaves.",
    }

    services.create_version(
        actor=admin, model=model, source="s3://b/m", run_id="f" * 32, description="First.", tags={"a": "b"}
    )
    assert theirs(Event.objects.latest("id")) == {
        "event": "model_version.created",
        "name": "churn",
        "version": "1",
        "source": "s3://b/m",
        "run_id": "f" * 32,
        "tags": {"a": "b"},
        "description": "First.",
    }


def test_what_was_not_given_is_empty_as_in_mlflow(admin: User) -> None:
    model = services.create_model(actor=admin, name="churn")
    of_model = theirs(Event.objects.latest("id"))
    services.create_version(actor=admin, model=model, source="s3://b/m")
    of_version = theirs(Event.objects.latest("id"))

    assert of_model and (of_model["description"], of_model["tags"]) == ("", {})
    assert of_version and (of_version["description"], of_version["run_id"], of_version["tags"]) == (None, None, {})


def test_a_new_prompt_is_told_with_its_template_and_without_mlflows_own_tags(admin: User) -> None:
    prompt = services.create_model(actor=admin, name="greeting", tags={**PROMPT, "tone": "kind"})
    assert theirs(Event.objects.latest("id")) == {
        "event": "prompt.created",
        "name": "greeting",
        "tags": {"tone": "kind"},
        "description": "",
    }

    tags = {**PROMPT, "mlflow.prompt.text": "Hello {{name}}!", "by": "mira"}
    services.create_version(actor=admin, model=prompt, source="dummy-source", tags=tags)
    assert theirs(Event.objects.latest("id")) == {
        "event": "prompt_version.created",
        "name": "greeting",
        "version": "1",
        "template": "Hello {{name}}!",
        "tags": {"by": "mira"},
        "description": None,
    }


def test_what_mlflow_has_no_event_for_is_not_told(admin: User) -> None:
    version = House(admin).version
    services.move_to_stage(actor=admin, version=version, stage="Production")
    services.update_version(actor=admin, version=version, description="New.")
    services.update_model(actor=admin, model=version.model, description="New.")
    services.rename_model(actor=admin, model=version.model, new_name="leavers")
    services.delete_model(actor=admin, model=version.model)

    assert Event.objects.count() >= 5
    assert [theirs(event) for event in Event.objects.all()] == [None] * Event.objects.count()


def test_the_body_is_written_as_mlflow_writes_it() -> None:
    event = happened("alias.moved", alias="über", is_prompt=False)

    assert message(event, webhook(URL, form="mlflow")).body == (
        b'{"entity": "model_version_alias", "action": "created", "timestamp": "2026-10-05T12:00:00.500000+00:00", '
        b'"data": {"name": "churn-predictor", "alias": "\\u00fcber", "version": "3"}}'
    )


def test_the_examples_are_those_of_mlflow() -> None:
    known = {f"{entity}.{action}": kind.example() for (entity, action), kind in EVENT_TO_PAYLOAD_CLASS.items()}

    assert known == mlflow.EXAMPLES
    assert {name: list(fields) for name, fields in known.items()} == {n: list(f) for n, f in mlflow.EXAMPLES.items()}


def test_a_test_sends_the_example_it_names_or_the_first_of_the_webhook() -> None:
    channel = webhook(URL, form="mlflow", kinds=["prompt_tag.set", "model_version.created"])

    first = json.loads(message(happened("channel.tested", channel="deploy"), channel).body)
    named = json.loads(message(happened("channel.tested", example="budget_policy.exceeded"), channel).body)

    assert (first["entity"], first["action"], first["data"]) == ("prompt_tag", "set", mlflow.EXAMPLES["prompt_tag.set"])
    assert (named["entity"], named["action"]) == ("budget_policy", "exceeded")


@pytest.mark.parametrize("name", [name for name in mlflow.EXAMPLES if not name.startswith("budget")])
def test_every_event_of_mlflow_can_happen_here(name: str) -> None:
    assert name in {name for names in mlflow.NAMES.values() for name in names}


def test_a_secret_signs_as_mlflow_signs() -> None:
    channel = webhook(URL, form="mlflow")
    sent = message(happened("alias.moved", alias="live"), channel, secret="gehe1m ✓")

    delivery_id, timestamp = sent.headers["X-MLflow-Delivery-Id"], sent.headers["X-MLflow-Timestamp"]
    expected = _generate_hmac_signature("gehe1m ✓", delivery_id, timestamp, sent.body.decode())
    assert sent.headers["X-MLflow-Signature"] == expected
    assert timestamp == str(int(now().timestamp()))
    unsigned = message(happened("alias.moved", alias="live"), channel)
    assert set(unsigned.headers) == {"X-MLflow-Delivery-Id", "X-MLflow-Timestamp"}


def test_a_delivery_keeps_its_id_and_body_and_two_webhooks_have_two(clock: time_machine.Traveller) -> None:
    event, channel, other = (
        happened("alias.moved", alias="live"),
        webhook(URL, form="mlflow"),
        webhook(URL, form="mlflow"),
    )
    first = message(event, channel)

    clock.shift(300)
    again, beside = message(event, channel), message(event, other)

    assert again.body == first.body
    assert again.headers["X-MLflow-Delivery-Id"] == first.headers["X-MLflow-Delivery-Id"]
    assert beside.headers["X-MLflow-Delivery-Id"] != first.headers["X-MLflow-Delivery-Id"]
    assert int(again.headers["X-MLflow-Timestamp"]) == int(first.headers["X-MLflow-Timestamp"]) + 300


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ([], "must be a non-empty list"),
        (["model_version.created", "model_version.created"], "given twice"),
        (
            ["model_version.updated"],
            "Invalid action 'updated' for entity 'model_version'. Valid actions are: ['created']",
        ),
        (["transition.applied"], "no event 'transition.applied'"),
        ([""], "no event ''"),
    ],
)
def test_a_webhook_of_mlflow_names_events_of_mlflow_alone(kinds: list[str], said: str) -> None:
    with pytest.raises(Invalid) as refused:
        mlflow.checked_kinds(kinds)

    assert said in refused.value.message and refused.value.field == "kinds"


def test_events_are_in_the_order_of_mlflow() -> None:
    given = ["prompt.created", "model_version_tag.set", "model_version.created"]

    assert mlflow.checked_kinds(given) == sorted(given)


# -- Our own -----------------------------------------------------------------------------------------------------------


@override_settings(BASE_URL="https://models.example.com")
def test_our_own_form_says_all_that_the_api_says_of_an_event(admin: User) -> None:
    event = happened("transition.applied", target="Production", digest="d1")
    Event.objects.filter(pk=event.pk).update(actor=admin)
    event.refresh_from_db()

    assert json.loads(message(event, webhook(URL), standard.new_secret()).body) == {
        "type": "transition.applied",
        "timestamp": event.created_at.isoformat(),
        "key": str(event.key),
        "actor": "admin",
        "model": "churn-predictor",
        "version": 3,
        "request": 7,
        "summary": event.summary,
        "url": "https://models.example.com/requests/7/",
        "data": {"target": "Production", "digest": "d1"},
    }


def test_our_own_form_signs_as_standard_webhooks_says() -> None:
    event, secret = happened(), standard.new_secret()
    sent = message(event, webhook(URL), secret)

    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join([sent.headers["webhook-id"].encode(), sent.headers["webhook-timestamp"].encode(), sent.body])
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert sent.headers["webhook-signature"] == f"v1,{expected}"
    assert sent.headers["webhook-id"] == str(event.key)


def test_the_example_of_the_specification_has_its_signature() -> None:
    """Of the libraries of Standard Webhooks; the timestamp is the test's."""
    key, body = b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'

    made = signature(
        base64.b64decode(key), message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp="1614265330", body=body
    )

    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_new_secret_is_one_that_is_taken() -> None:
    made = {standard.new_secret() for _ in range(5)}

    assert len(made) == 5
    for secret in made:
        standard.check_secret(secret)


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "hunter2hunter2hunter2hunter2hunter2", "whsec_" + "A" * 31, f"whsec_{'eHh4' * 7}eA==",
     f"whsec_{'eHh4' * 22}", "whsec_" + "ä" * 40, "whsec_" + "-_" * 20],
)  # fmt: skip
def test_a_secret_that_no_library_reads_is_refused(secret: str) -> None:
    with pytest.raises(Invalid) as refused:
        standard.check_secret(secret)

    assert refused.value.field == "secret"
    assert not secret or secret not in refused.value.message or secret == "whsec_"


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_without_end_is_refused_by_every_form(form: str) -> None:
    with pytest.raises(Invalid):
        FORMS[form].check_secret("whsec_" + "A" * 1100)


def test_our_own_form_has_a_word_for_everything() -> None:
    assert all(standard.FORM.names_of(Event(kind=kind)) == {"": kind} for kind in known_kinds())


# -- docs/events.md ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "verify", "id_header", "time_header"),
    [
        ("standard", "is_from_countersign", "webhook-id", "webhook-timestamp"),
        ("mlflow", "is_from_mlflow", "x-mlflow-delivery-id", "x-mlflow-timestamp"),
    ],
)
def test_the_code_in_the_docs_verifies_a_message_and_no_other(
    form: str, verify: str, id_header: str, time_header: str, clock: time_machine.Traveller
) -> None:
    known: dict[str, Any] = {}
    for code in re.findall(r"^```python\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL):
        if f"def {verify}" in code:
            exec(code, known)
    is_genuine, secret = known[verify], standard.new_secret()
    sent = message(happened("alias.moved", alias="live"), webhook(URL, form=form), secret)
    headers = {name.lower(): value for name, value in sent.headers.items()}

    assert is_genuine(headers, sent.body, secret)
    assert not is_genuine(headers, sent.body + b" ", secret)
    assert not is_genuine(headers, sent.body, standard.new_secret())
    assert not is_genuine({**headers, id_header: headers[id_header] + "0"}, sent.body, secret)
    assert not is_genuine({**headers, time_header: str(int(headers[time_header]) + 1)}, sent.body, secret)
    clock.shift(301)
    assert not is_genuine(headers, sent.body, secret)
