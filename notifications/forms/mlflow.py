"""MLflow's form, as of 3.18 (mlflow/webhooks/delivery.py, types.py): its names of events, payloads and headers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Any

from core.clock import now
from core.errors import Invalid
from notifications.forms.base import Form, Message, signature
from notifications.models import Delivery, Event

LONGEST_SECRET = 1000
# How MLflow marks prompts and keeps their text: of the tags of a prompt, its receivers get the others.
TEMPLATE_TAG = "mlflow.prompt.text"
PROMPT_TAGS = frozenset({TEMPLATE_TAG, "mlflow.prompt.is_prompt", "_mlflow_prompt_type"})

_TAGS = {"example_key": "example_value"}
_MODEL, _PROMPT = {"name": "example_model"}, {"name": "example_prompt"}
_KEY, _VALUE = {"key": "example_key"}, {"value": "example_value"}
_ALIAS, _VERSION = {"alias": "example_alias"}, {"version": "1"}
# Every event there is, with the data that a test of it sends. Clients fail to read a webhook with any other.
EXAMPLES: dict[str, dict[str, Any]] = {
    "registered_model.created": {**_MODEL, "tags": _TAGS, "description": "An example registered model"},
    "model_version.created": {
        **_MODEL, **_VERSION, "source": "models:/123", "run_id": "abcd1234abcd5678", "tags": _TAGS,
        "description": "An example model version",
    },
    "model_version_tag.set": {**_MODEL, **_VERSION, **_KEY, **_VALUE},
    "model_version_tag.deleted": {**_MODEL, **_VERSION, **_KEY},
    "model_version_alias.created": {**_MODEL, **_ALIAS, **_VERSION},
    "model_version_alias.deleted": {**_MODEL, **_ALIAS},
    "prompt.created": {**_PROMPT, "tags": _TAGS, "description": "An example prompt"},
    "prompt_version.created": {
        **_PROMPT, **_VERSION, "template": "Hello {{name}}!", "tags": _TAGS,
        "description": "An example prompt version",
    },
    "prompt_tag.set": {**_PROMPT, **_KEY, **_VALUE},
    "prompt_tag.deleted": {**_PROMPT, **_KEY},
    "prompt_version_tag.set": {**_PROMPT, **_VERSION, **_KEY, **_VALUE},
    "prompt_version_tag.deleted": {**_PROMPT, **_VERSION, **_KEY},
    "prompt_alias.created": {**_PROMPT, **_ALIAS, **_VERSION},
    "prompt_alias.deleted": {**_PROMPT, **_ALIAS},
    # May be subscribed to, as in MLflow; budgets belong to its gateway, so that it never happens here.
    "budget_policy.exceeded": {
        "budget_policy_id": "bp-abc123", "budget_unit": "USD", "budget_amount": 100.0, "current_spend": 105.5,
        "duration_unit": "MONTHS", "duration_value": 1, "target_scope": "ENDPOINT", "workspace": "default",
        "target_value": "ep-abc123", "window_start": 1704067200000,
    },
}  # fmt: skip

# By our kind, and whether it is about a version: MLflow's name for a model, and for a prompt. None: it has no word.
NAMES: dict[tuple[str, bool], tuple[str | None, str]] = {
    ("registered_model.created", False): ("registered_model.created", "prompt.created"),
    ("model_version.created", True): ("model_version.created", "prompt_version.created"),
    ("tag.set", False): (None, "prompt_tag.set"),
    ("tag.set", True): ("model_version_tag.set", "prompt_version_tag.set"),
    ("tag.deleted", False): (None, "prompt_tag.deleted"),
    ("tag.deleted", True): ("model_version_tag.deleted", "prompt_version_tag.deleted"),
    ("alias.moved", True): ("model_version_alias.created", "prompt_alias.created"),
    ("alias.deleted", False): ("model_version_alias.deleted", "prompt_alias.deleted"),
}


def names_of(event: Event) -> dict[str, str]:
    of_model, of_prompt = NAMES.get((event.kind, event.version is not None), (None, None))
    name = of_prompt if event.data.get("is_prompt") else of_model
    return {"": name} if name else {}


def message(delivery: Delivery, secret: str) -> Message:
    """What MLflow has no word for is a test: then the data is the example of the event that it names."""
    event, channel = delivery.event, delivery.channel
    name = names_of(event).get("")
    if name is None:
        name = event.data.get("example") or channel.kinds[0]
        data = EXAMPLES[name]
    else:
        data = _data(event, name)
    entity, _, action = name.partition(".")
    body = json.dumps(
        {"entity": entity, "action": action, "timestamp": event.created_at.isoformat(), "data": data}
    ).encode()
    message_id, timestamp = str(uuid.uuid5(event.key, str(channel.key))), str(int(now().timestamp()))
    headers = {"X-MLflow-Delivery-Id": message_id, "X-MLflow-Timestamp": timestamp}
    if secret:
        key = secret.encode()
        headers["X-MLflow-Signature"] = signature(key, message_id=message_id, timestamp=timestamp, body=body)
    return Message(body, headers)


def _data(event: Event, name: str) -> dict[str, Any]:
    """The fields that MLflow sends with this event, in its order."""
    tags, is_prompt = event.data.get("tags", {}), event.data.get("is_prompt")
    known = {
        **event.data,
        "name": event.model_name,
        "version": str(event.version),
        "tags": {key: value for key, value in tags.items() if not (is_prompt and key in PROMPT_TAGS)},
        "template": tags.get(TEMPLATE_TAG),
        "run_id": event.data.get("run_id") or None,
        "description": event.data.get("description") or (None if event.version else ""),
    }
    return {field: known[field] for field in EXAMPLES[name]}


def checked_kinds(kinds: Iterable[str]) -> list[str]:
    """Sorted, as MLflow answers them."""
    chosen = sorted(kinds)
    if not chosen:
        raise Invalid("Webhook events must be a non-empty list of WebhookEvent objects: [].", field="kinds")
    if unknown := [kind for kind in chosen if kind not in EXAMPLES]:
        raise Invalid(_unknown(unknown[0]), field="kinds")
    if twice := [kind for kind in chosen if chosen.count(kind) > 1]:
        raise Invalid(f"The event {twice[0]} is given twice.", field="kinds")
    return chosen


def _unknown(kind: str) -> str:
    entity, _, action = kind.partition(".")
    if actions := sorted(known.partition(".")[2] for known in EXAMPLES if known.startswith(f"{entity}.")):
        return f"Invalid action '{action[:64]}' for entity '{entity}'. Valid actions are: {actions}"
    return f"MLflow has no event {kind[:64]!r}. It has {', '.join(EXAMPLES)}."


def check_secret(secret: str) -> None:
    if len(secret) > LONGEST_SECRET:
        raise Invalid(f"The secret has at most {LONGEST_SECRET} characters.", field="secret")


FORM = Form(
    kinds=EXAMPLES.keys, names_of=names_of, message=message, checked_kinds=checked_kinds, check_secret=check_secret
)
