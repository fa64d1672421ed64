"""/api/2.0/mlflow/registry-webhooks/…: webhooks of Databricks' form, of one model or of the whole registry."""

from __future__ import annotations

from typing import Any

from core.answers import require
from core.errors import Invalid
from core.search import decode_page_token, encode_page_token
from notifications.forms import databricks
from notifications.models import Channel
from registry import webhooks
from registry.models import RegisteredModel
from registry.permissions import can_manage_webhooks
from registry.queries import get_model, names_of
from web.mlflow.databricks_messages import registry_webhook, registry_webhook_test
from web.mlflow.endpoint import endpoint
from web.mlflow.messages import Message
from web.mlflow.params import Params
from web.signed_in import SignedInRequest

MAX_RESULTS = 1000
ACTIVE, TEST_MODE, DISABLED = STATUSES = ("ACTIVE", "TEST_MODE", "DISABLED")
_NO_WORKSPACE = "Countersign is no Databricks workspace: job_spec.workspace_url must say which one runs the job."
_UNVERIFIED = (
    "Countersign sends to no receiver whose certificate it cannot verify: leave enable_ssl_verification true. A "
    "receiver in the own network may have an http address, where the operator lists its host in OUTBOUND_ALLOW."
)


@endpoint("POST")
def create(request: SignedInRequest, params: Params) -> dict[str, Any]:
    model = _model(request, params)
    require(can_manage_webhooks(request.user, model))
    channel = webhooks.create_webhook(
        actor=request.user,
        model=model,
        kinds=_events(params),
        description=params.string("description"),
        **_status(params.choice("status", STATUSES, default=ACTIVE)),
        **_receiver(params, is_new=True),
    )
    return {"webhook": registry_webhook(channel, model.name if model else "")}


@endpoint("GET")
def list_all(request: SignedInRequest, params: Params) -> dict[str, Any]:
    """The newest first; those that the caller manages."""
    limit = params.page_size(most=MAX_RESULTS, default=MAX_RESULTS)
    rows = webhooks.webhooks_managed_by(request.user, model=_model(request, params))
    if params.has("events"):
        rows = rows.naming(_events(params))
    if token := params.string("page_token"):
        rows = rows.filter(pk__lt=_position(token))
    found = list(rows.order_by("-pk")[: limit + 1])
    answer: dict[str, Any] = {"webhooks": _shown(found[:limit])}
    if len(found) > limit:
        answer["next_page_token"] = encode_page_token([found[limit - 1].pk])
    return answer


@endpoint("PATCH")
def update(request: SignedInRequest, params: Params) -> dict[str, Any]:
    """What is absent stays, secrets included."""
    channel = _find(request, params)
    status = params.choice("status", STATUSES)
    channel = webhooks.update_webhook(
        actor=request.user,
        channel=channel,
        kinds=_events(params) if params.has("events") else None,
        description=params.string("description") if params.has("description") else None,
        **(_status(status) if status else {}),
        **_receiver(params, is_new=False, was_job=bool(channel.job_id)),
    )
    return {"webhook": _shown([channel])[0]}


@endpoint("DELETE")
def delete(request: SignedInRequest, params: Params) -> dict[str, Any]:
    webhooks.delete_webhook(actor=request.user, channel=_find(request, params))
    return {}


@endpoint("POST")
def test(request: SignedInRequest, params: Params) -> dict[str, Any]:
    """Sends now and answers what the receiver said; of one that cannot be reached, why."""
    channel = _find(request, params)
    outcome = webhooks.try_webhook(actor=request.user, channel=channel, example=params.string("event"))
    return registry_webhook_test(outcome)


def _model(request: SignedInRequest, params: Params) -> RegisteredModel | None:
    name = params.string("model_name")
    return get_model(request.user, name) if name else None


def _shown(channels: list[Channel]) -> list[Message]:
    names = names_of(channel.model_id for channel in channels if channel.model_id)
    return [registry_webhook(channel, names.get(channel.model_id or 0, "")) for channel in channels]


def _find(request: SignedInRequest, params: Params) -> Channel:
    return webhooks.get_webhook(request.user, params.string("id", required=True))


def _events(params: Params) -> list[str]:
    return databricks.checked_kinds(params.strings("events"))


def _status(status: str) -> dict[str, bool]:
    return {"is_active": status == ACTIVE, "is_in_test_mode": status == TEST_MODE}


def _position(token: str) -> int:
    match decode_page_token(token):
        case [position] if type(position) is int and 0 <= position < 2**63:
            return position
    raise Invalid("Invalid page token: it is not one of this list.", field="page_token")


def _receiver(params: Params, *, is_new: bool, was_job: bool = False) -> dict[str, Any]:
    """Where it sends to, as the fields of a channel. A new kind of receiver inherits no secret of the old one."""
    given = [field for field in ("http_url_spec", "job_spec") if params.has(field)]
    if len(given) > 1 or (is_new and not given):
        raise Invalid("Send exactly one of http_url_spec and job_spec.", field="http_url_spec")
    if given == ["http_url_spec"]:
        return _http(params.object("http_url_spec"), is_new=is_new or was_job)
    if given == ["job_spec"]:
        return _job(params.object("job_spec"), is_new=is_new or not was_job)
    return {}


def _http(spec: Params, *, is_new: bool) -> dict[str, Any]:
    if not spec.boolean("enable_ssl_verification", default=True, spelled=True):
        raise Invalid(_UNVERIFIED, field="enable_ssl_verification")
    fields: dict[str, Any] = {"job_id": 0}
    for field, column in (("url", "target"), ("secret", "secret"), ("authorization", "authorization")):
        if is_new or spec.has(field):
            fields[column] = spec.string(field, required=field == "url")
    return fields


def _job(spec: Params, *, is_new: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {"secret": ""} if is_new else {}
    if is_new or spec.has("job_id"):
        fields["job_id"] = spec.integer("job_id", required=True, low=1)
    if is_new or spec.has("workspace_url"):
        if not spec.string("workspace_url"):
            raise Invalid(_NO_WORKSPACE, field="workspace_url")
        fields["target"] = spec.string("workspace_url").rstrip("/")
    if is_new or spec.has("access_token"):
        fields["authorization"] = f"Bearer {spec.string('access_token', required=True)}"
    return fields
