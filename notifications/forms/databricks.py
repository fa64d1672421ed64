"""Databricks' form ("Workspace Model Registry webhooks" in its docs): its names of events, payloads and signature, by a
POST to an address or as the parameters of a job. Where files lie is in none of them."""

from __future__ import annotations

import hashlib
import hmac
import html
import json
from collections.abc import Iterable, Iterator
from typing import Any

from core.clock import to_ms
from core.errors import Invalid
from notifications.forms.base import Form, Message
from notifications.models import Delivery, Event

LONGEST_SECRET = 1000
RUN_JOB = "/api/2.1/jobs/run-now"
# What no webhook of one model can hear of.
REGISTRY_WIDE = frozenset({"REGISTERED_MODEL_CREATED"})
SIMPLE = {
    "registered_model.created": "REGISTERED_MODEL_CREATED",
    "model_version.created": "MODEL_VERSION_CREATED",
    "comment.created": "COMMENT_CREATED",
    "tag.set": "MODEL_VERSION_TAG_SET",
}
# The names of a change that leads to a stage: the general one, and the one for this stage.
MOVED = ("MODEL_VERSION_TRANSITIONED_STAGE", "MODEL_VERSION_TRANSITIONED_TO_{}")
ASKED = ("TRANSITION_REQUEST_CREATED", "TRANSITION_REQUEST_TO_{}_CREATED")
_WITH_A_NAME = ("Staging", "Production", "Archived")  # what leads to None has the general name alone


def _messages(event: Event) -> dict[str, dict[str, Any]]:
    """What is told of an event, by part: one message for each name, and for each version that the change touched."""
    return {f"{fields['event']}/{fields.get('version', '')}": fields for fields in _told(event)}


def _told(event: Event) -> Iterator[dict[str, Any]]:
    data, who = event.data, event.actor.display_name if event.actor else "Countersign"
    if data.get("is_prompt"):
        return  # the registry that this form is of has none
    if event.kind in SIMPLE and (event.kind != "tag.set" or event.version is not None):
        yield _fields(event, SIMPLE[event.kind], event.summary, event.version, **_further(event))
    if data.get("target_kind") != "stage":
        return
    target, origin = data["target"], data["from_stage"]
    if event.kind == "request.opened":
        yield from _of_stage(event, ASKED, f"{who} asks to move", event.version, origin, target)
    if event.kind == "transition.applied":
        if origin != target:
            yield from _of_stage(event, MOVED, f"{who} moved", event.version, origin, target)
        for archived in data.get("archived_versions", ()):
            yield from _of_stage(event, MOVED, f"{who} moved", archived, target, "Archived")


def _further(event: Event) -> dict[str, Any]:
    if event.kind == "comment.created":
        return {"comment": event.data["comment"]}
    if event.kind == "tag.set":
        return {"tags": [{"key": event.data["key"], "value": event.data["value"]}]}
    return {}


def _of_stage(
    event: Event, names: tuple[str, str], what: str, version: int | None, origin: str, target: str
) -> Iterator[dict[str, Any]]:
    text = f"{what} version {version} of {event.model_name} from {origin} to {target}."
    for name in names if target in _WITH_A_NAME else names[:1]:
        yield _fields(event, name.format(target.upper()), text, version, from_stage=origin, to_stage=target)


def _fields(event: Event, name: str, text: str, version: int | None, **further: Any) -> dict[str, Any]:
    fields = {"event": name, "model_name": event.model_name, **further}
    if version is not None:
        fields["version"] = str(version)
    return {**fields, "text": html.escape(text, quote=False)}  # Slack reads it: no name mentions anybody or links


def names_of(event: Event) -> dict[str, str]:
    return {part: fields["event"] for part, fields in _messages(event).items()}


def _example(kind: str, *, version: int | None = 1, summary: str = "", **data: Any) -> Event:
    return Event(kind=kind, model_name="example-model", version=version, summary=summary, data=data)


# Every event there is, with one that a test of it sends.
EXAMPLES: dict[str, tuple[Event, str]] = {
    name: (event, part)
    for event in (
        _example("registered_model.created", version=None, summary="Somebody created the model example-model."),
        _example("model_version.created", summary="Somebody registered version 1 of example-model."),
        *(
            _example(kind, target_kind="stage", target=stage, from_stage="None")
            for kind in ("transition.applied", "request.opened")
            for stage in _WITH_A_NAME
        ),
        _example("comment.created", summary="Somebody commented on version 1 of example-model.", comment="An example."),
        _example("tag.set", summary="Somebody set a tag on version 1 of example-model.", key="example", value="1"),
    )
    for part, name in names_of(event).items()
}


def message(delivery: Delivery, secret: str) -> Message:
    """A delivery of no part is a test: then the fields are the example of the event that it names."""
    event, channel, part = delivery.event, delivery.channel, delivery.part
    if not part:
        event, part = EXAMPLES[event.data.get("example") or channel.kinds[0]]
    assert channel.key is not None
    about = {"webhook_id": channel.key.hex, "event_timestamp": to_ms(delivery.event.created_at)}
    text = json.dumps({**_messages(event)[part], **about})
    if channel.job_id:
        return Message(json.dumps(_run_of_job(channel.job_id, text)).encode(), {}, path=RUN_JOB)
    body = text.encode()
    signed = {"X-Databricks-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()} if secret else {}
    return Message(body, signed)


def _run_of_job(job_id: int, text: str) -> dict[str, Any]:
    """The parameters of every kind of task: each takes its own from a job of several."""
    named = {"event_message": text}
    return {
        "job_id": job_id,
        "notebook_params": named,
        "python_named_params": named,
        "jar_params": [text],
        "python_params": [text],
        "spark_submit_params": [text],
    }


def checked_kinds(kinds: Iterable[str]) -> list[str]:
    chosen = sorted(set(kinds))
    if not chosen:
        raise Invalid("Name at least one event.", field="kinds")
    if unknown := [kind for kind in chosen if kind not in EXAMPLES]:
        raise Invalid(f"There is no event {unknown[0][:64]!r}. There are {', '.join(EXAMPLES)}.", field="kinds")
    return chosen


def check_secret(secret: str) -> None:
    if len(secret) > LONGEST_SECRET:
        raise Invalid(f"The secret has at most {LONGEST_SECRET} characters.", field="secret")


FORM = Form(
    kinds=EXAMPLES.keys, names_of=names_of, message=message, checked_kinds=checked_kinds, check_secret=check_secret
)
