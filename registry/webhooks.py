"""Webhooks of Databricks' form, of one model or of the whole registry: who may have them, and which.

What a webhook is and what goes through it belongs to ``notifications``, which knows no models.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.db import transaction
from django.db.models import Q

from accounts.models import User
from core.answers import Answer, require
from core.errors import Conflict, Invalid, NotFound
from notifications import services as channels
from notifications.delivery import Outcome
from notifications.models import Channel, ChannelQuerySet
from registry.models import RegisteredModel
from registry.permissions import can_manage_webhooks, can_read
from registry.services._rows import lock_model

MOST_OF_A_MODEL = 100


def channels_visible_to(user: User) -> ChannelQuerySet:
    """Shared channels, without those of models that ``user`` may not read."""
    readable = RegisteredModel.objects.live().visible_to(user).values("pk")
    return Channel.objects.shared().filter(Q(model_id=None) | Q(model_id__in=readable))


def webhooks_managed_by(user: User, *, model: RegisteredModel | None = None) -> ChannelQuerySet:
    """Of one model, else of all that ``user`` manages; those of the whole registry are for administrators."""
    webhooks = Channel.objects.webhooks(Channel.Form.DATABRICKS)
    if model is not None:
        require(can_manage_webhooks(user, model))
        return webhooks.filter(model_id=model.pk)
    managed = Q(model_id__in=RegisteredModel.objects.live().managed_by(user).values("pk"))
    return webhooks.filter(managed | Q(model_id=None) if can_manage_webhooks(user, None).allowed else managed)


def get_webhook(user: User, webhook_id: str) -> Channel:
    """Raises NotFound, also where the model may not be read, and NotPermitted where it is not theirs to manage."""
    try:
        rows = Channel.objects.webhooks(Channel.Form.DATABRICKS).filter(key=uuid.UUID(webhook_id))
    except ValueError:
        rows = Channel.objects.none()
    channel = rows.first()
    if channel is None:
        raise _no_webhook(webhook_id)
    require(_may(user, channel))
    return channel


@transaction.atomic
def create_webhook(*, actor: User, model: RegisteredModel | None, **fields: Any) -> Channel:
    """``fields`` as for ``create_channel``. With the model locked: its deletion finds the webhook, or this no model."""
    may = can_manage_webhooks(actor, model)
    require(may)
    model_id = lock_model(model).pk if model else None
    if model_id and Channel.objects.shared().filter(model_id=model_id).count() >= MOST_OF_A_MODEL:
        raise Conflict(f"A model has at most {MOST_OF_A_MODEL} webhooks. Delete one first.")
    return channels.create_channel(
        actor=actor,
        kind=Channel.Kind.WEBHOOK,
        form=Channel.Form.DATABRICKS,
        name=f"registry-webhook-{uuid.uuid4().hex[:8]}",  # it has none where it comes from
        model_id=model_id,
        may=may,
        **fields,
    )


def update_webhook(*, actor: User, channel: Channel, **changes: Any) -> Channel:
    """``changes`` as for ``update_channel``."""
    return channels.update_channel(actor=actor, channel=channel, may=_may(actor, channel), **changes)


def delete_webhook(*, actor: User, channel: Channel) -> None:
    channels.delete_channel(actor=actor, channel=channel, may=_may(actor, channel))


def try_webhook(*, actor: User, channel: Channel, example: str = "") -> Outcome:
    """Send an example now, and wait for the answer. Nothing is sent by one that is disabled."""
    may = _may(actor, channel)
    require(may)
    if not (channel.is_active or channel.is_in_test_mode):
        raise Invalid("This webhook is disabled: set its status to ACTIVE or TEST_MODE first.", field="status")
    return channels.try_webhook(actor=actor, channel=channel, example=example, may=may)


def _may(user: User, channel: Channel) -> Answer:
    if channel.model_id is None:
        return can_manage_webhooks(user, None)
    model = RegisteredModel.objects.live().filter(pk=channel.model_id).first()
    if model is None or not can_read(user, model).allowed:
        raise _no_webhook(channel.key.hex if channel.key else "")
    return can_manage_webhooks(user, model)


def _no_webhook(webhook_id: str) -> NotFound:
    return NotFound(f"There is no webhook {webhook_id[:64]!r}, or it is not for you to see.")
