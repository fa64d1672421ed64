"""/api/2.0/mlflow/webhooks…: the webhooks of MLflow's form. Clients fail to read any with another kind of event."""

from __future__ import annotations

import re
import uuid
from typing import Any
from urllib.parse import urlsplit

from core.answers import require
from core.errors import Invalid, NotFound
from core.search import decode_page_token, encode_page_token
from notifications import services
from notifications.models import Channel
from web.mlflow.endpoint import by_method, endpoint
from web.mlflow.messages import Message, webhook, webhook_test
from web.mlflow.params import Params, missing
from web.signed_in import SignedInRequest

MAX_RESULTS, DEFAULT_RESULTS = 1000, 100
# In the order of their numbers in MLflow's webhooks.proto, which clients may send in place of the names.
ENTITIES = (
    "REGISTERED_MODEL", "MODEL_VERSION", "MODEL_VERSION_TAG", "MODEL_VERSION_ALIAS", "PROMPT", "PROMPT_VERSION",
    "PROMPT_TAG", "PROMPT_VERSION_TAG", "PROMPT_ALIAS", "BUDGET_POLICY",
)  # fmt: skip
ACTIONS = ("CREATED", "UPDATED", "DELETED", "SET", "EXCEEDED")
STATUSES = ("ACTIVE", "DISABLED")
_NAME = re.compile(r"(?=.{1,63}$)[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE | re.ASCII)


@endpoint("POST")
def create(request: SignedInRequest, params: Params) -> dict[str, Any]:
    require(services.can_manage_channels(request.user))
    channel = services.create_channel(
        actor=request.user,
        kind=Channel.Kind.WEBHOOK,
        form=Channel.Form.MLFLOW,
        name=_checked_name(params.string("name", required=True)),
        target=_checked_url(params.string("url", required=True)),
        kinds=_events(params, required=True),
        description=params.string("description"),
        secret=params.string("secret"),
        is_active=params.choice("status", STATUSES, default="ACTIVE") == "ACTIVE",
    )
    return _answer(channel)


@endpoint("GET")
def search(request: SignedInRequest, params: Params) -> dict[str, Any]:
    """The newest first."""
    require(services.can_manage_channels(request.user))
    limit = params.integer("max_results", default=0) or DEFAULT_RESULTS
    if not 1 <= limit <= MAX_RESULTS:
        raise Invalid(f"max_results must be between 1 and {MAX_RESULTS}.", field="max_results")
    rows = Channel.objects.webhooks(Channel.Form.MLFLOW).order_by("-pk")
    if token := params.string("page_token"):
        rows = rows.filter(pk__lt=_position(token))
    found = list(rows[: limit + 1])
    answer: dict[str, Any] = {}
    if found:
        answer["webhooks"] = [webhook(channel) for channel in found[:limit]]
    if len(found) > limit:
        answer["next_page_token"] = encode_page_token([found[limit - 1].pk])
    return answer


@endpoint("GET")
def get(request: SignedInRequest, params: Params, webhook_id: str) -> dict[str, Any]:
    return _answer(_find(request, webhook_id))


@endpoint("PATCH")
def update(request: SignedInRequest, params: Params, webhook_id: str) -> dict[str, Any]:
    """What is absent stays, and so does what is empty, but for the description and the secret: those go."""
    channel = _find(request, webhook_id)
    name, url, status = params.string("name"), params.string("url"), params.choice("status", STATUSES)
    channel = services.update_channel(
        actor=request.user,
        channel=channel,
        name=_checked_name(name) if name else None,
        target=_checked_url(url) if url else None,
        kinds=_events(params) or None,
        description=params.string("description") if params.has("description") else None,
        secret=params.string("secret") if params.has("secret") else None,
        is_active=status == "ACTIVE" if status else None,
    )
    return _answer(channel)


@endpoint("DELETE")
def delete(request: SignedInRequest, params: Params, webhook_id: str) -> dict[str, Any]:
    services.delete_channel(actor=request.user, channel=_find(request, webhook_id))
    return {}


@endpoint("POST")
def test(request: SignedInRequest, params: Params, webhook_id: str) -> dict[str, Any]:
    channel = _find(request, webhook_id)
    example = _event(params.object("event")) if params.has("event") else ""
    return {"result": webhook_test(services.try_webhook(actor=request.user, channel=channel, example=example))}


many = by_method(GET=search, POST=create)
one = by_method(GET=get, PATCH=update, DELETE=delete)


def _answer(channel: Channel) -> Message:
    return {"webhook": webhook(channel)}


def _find(request: SignedInRequest, webhook_id: str) -> Channel:
    require(services.can_manage_channels(request.user))
    try:
        found = Channel.objects.webhooks(Channel.Form.MLFLOW).filter(key=uuid.UUID(webhook_id)).first()
    except ValueError:
        found = None
    if found is None:
        raise NotFound(f"Webhook with ID {webhook_id[:100]} not found.")
    return found


def _position(token: str) -> int:
    match decode_page_token(token):
        case [position] if type(position) is int and 0 <= position < 2**63:
            return position
    raise Invalid("Invalid page token: it is not one of this list.", field="page_token")


def _events(params: Params, *, required: bool = False) -> list[str]:
    if required and not params.has("events"):
        raise missing(params.name("events"))
    return [_event(event) for event in params.objects("events")]


def _event(params: Params) -> str:
    """As the form names it: model_version.created."""
    entity, action = params.choice("entity", ENTITIES), params.choice("action", ACTIONS)
    for field, value in (("entity", entity), ("action", action)):
        if not value:
            raise missing(params.name(field))
    return f"{entity}.{action}".lower()


# -- As mlflow/utils/validation.py says it -----------------------------------------------------------------------------


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"Webhook name {name[:100]!r} is invalid. It must start and end with a letter or digit, be less than 63 "
            "characters long, and contain only letters, digits, dots (.), underscores (_), and hyphens (-).",
            field="name",
        )
    return name


def _checked_url(url: str) -> str:
    if not url.strip():
        raise Invalid(f"Webhook URL cannot be empty or just whitespace: {url[:100]!r}", field="url")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise Invalid(f"Invalid webhook URL {url[:500]!r}: {error}", field="url") from error
    if parts.scheme not in ("https", "http"):
        raise Invalid(f"Invalid webhook URL scheme: {parts.scheme[:60]!r}. Allowed schemes are: https.", field="url")
    if not parts.hostname:
        raise Invalid(f"Webhook URL must include a hostname: {url[:500]!r}", field="url")
    return url
