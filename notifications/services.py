"""Channels and deliveries: administrators make and change channels; whoever was told may ask to be told again.

Webhooks of one model are for who manages it too, which the room of the models knows: it answers by ``may``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from urllib.parse import urlsplit

from django.db import transaction

from accounts.models import User
from accounts.permissions import is_administrator, is_unlimited
from core import jobs
from core.answers import YES, Answer, require
from core.clock import now
from core.crypto import encrypt
from core.errors import Conflict, Invalid, NotFound
from notifications.delivery import Outcome, send_once
from notifications.events import (
    DRAIN,
    ChannelCreated,
    ChannelDeleted,
    ChannelDisabled,
    ChannelEnabled,
    ChannelTested,
    ChannelUpdated,
    DeliverySentAgain,
    checked_kinds,
    record,
)
from notifications.forms import FORMS, databricks
from notifications.models import Channel, Delivery, Event
from notifications.queries import address_of
from notifications.transports import CHECK_TARGET

LONGEST_TARGET = 2000
LONGEST_DESCRIPTION = 1000
LONGEST_AUTHORIZATION = 2000


def can_manage_channels(user: User) -> Answer:
    return is_administrator(user, "Only an administrator manages channels.")


def _require(actor: User, model_id: int | None, may: Answer | None) -> None:
    """``may`` answers for a channel of one model alone."""
    require(may if may is not None and model_id is not None else can_manage_channels(actor))


def can_send_again(user: User, delivery: Delivery) -> Answer:
    """Administrators, and people for what was sent to themselves."""
    if (
        is_unlimited(user)
        and delivery.channel.user_id is not None
        and delivery.channel.user_id == user.pk
        and user.is_active
    ):
        return YES
    return can_manage_channels(user)


def create_channel(
    *,
    actor: User,
    kind: str,
    name: str,
    target: str,
    models_glob: str = "*",
    kinds: Iterable[str] = (),
    form: str = "",
    description: str = "",
    secret: str = "",
    authorization: str = "",
    job_id: int = 0,
    is_active: bool = True,
    is_in_test_mode: bool = False,
    model_id: int | None = None,
    may: Answer | None = None,
) -> Channel:
    """A shared channel; its address and its secrets are kept encrypted. A webhook has our own form unless ``form``
    names another."""
    _require(actor, model_id, may)
    if kind not in Channel.Kind.values:
        raise Invalid(f"A channel is one of {', '.join(Channel.Kind.values)}.", field="kind")
    form = _checked_form(kind, form)
    channel = Channel(
        kind=kind,
        form=form,
        key=uuid.uuid4() if form else None,
        name=_checked_name(name),
        description=_checked_description(description),
        target=_checked_target(kind, target),
        secret=_checked_secret(form, secret),
        authorization=_checked_authorization(form, authorization),
        job_id=job_id,
        model_id=model_id,
        models_glob=_checked_glob(models_glob),
        kinds=_checked_kinds(form, kinds, model_id),
        is_active=is_active and not is_in_test_mode,
        is_in_test_mode=is_in_test_mode,
    )
    channel.updated_at = channel.active_since = channel.created_at
    with transaction.atomic():
        channel.save(force_insert=True)
        record(ChannelCreated(channel=channel.name, transport=channel.get_kind_display()), actor=actor)
    return channel


def update_channel(
    *,
    actor: User,
    channel: Channel,
    name: str | None = None,
    description: str | None = None,
    target: str | None = None,
    secret: str | None = None,
    authorization: str | None = None,
    job_id: int | None = None,
    models_glob: str | None = None,
    kinds: Iterable[str] | None = None,
    is_active: bool | None = None,
    is_in_test_mode: bool = False,
    may: Answer | None = None,
) -> Channel:
    """Change what is given. A new address is as secret as the old one; what an old secret signed stays as it is."""
    _require(actor, channel.model_id, may)
    changes: dict[str, object] = {}
    if name is not None:
        changes["name"] = _checked_name(name)
    if description is not None:
        changes["description"] = _checked_description(description)
    if target is not None:
        changes["target"] = _checked_target(channel.kind, target)
    if secret is not None:
        changes["secret"] = _checked_secret(channel.form, secret)
    if authorization is not None:
        changes["authorization"] = _checked_authorization(channel.form, authorization)
    if job_id is not None:
        changes["job_id"] = job_id
    if models_glob is not None:
        changes["models_glob"] = _checked_glob(models_glob)
    if kinds is not None:
        changes["kinds"] = _checked_kinds(channel.form, kinds, channel.model_id)
    with transaction.atomic():
        locked = _shared(channel)
        if target is not None and authorization is None:
            _check_same_server(locked, target)
        changed = tuple(field for field, value in changes.items() if getattr(locked, field) != value)
        if changed:
            for field in changed:
                setattr(locked, field, changes[field])
            locked.updated_at = now()
            locked.save(update_fields=[*changed, "updated_at"])
            record(ChannelUpdated(channel=locked.name, changed=changed), actor=actor)
        if is_active is not None or is_in_test_mode:
            _switch(actor, locked, is_active=bool(is_active), is_in_test_mode=is_in_test_mode)
    return locked


@transaction.atomic
def set_channel_active(*, actor: User, channel: Channel, is_active: bool) -> None:
    """Switch it off, or on again; nothing happens when it is so already."""
    require(can_manage_channels(actor))
    _switch(actor, _shared(channel), is_active=is_active)


def _switch(actor: User, locked: Channel, *, is_active: bool, is_in_test_mode: bool = False) -> None:
    was_active = locked.is_active
    if (was_active, locked.is_in_test_mode) == (is_active, is_in_test_mode):
        return
    locked.is_active, locked.is_in_test_mode = is_active, is_in_test_mode
    locked.disabled_reason, locked.updated_at = "", now()
    if is_active:
        locked.active_since = locked.updated_at
    locked.save(update_fields=["is_active", "active_since", "is_in_test_mode", "disabled_reason", "updated_at"])
    if was_active == is_active:
        record(ChannelUpdated(channel=locked.name, changed=("is_in_test_mode",)), actor=actor)
        return
    record((ChannelEnabled if is_active else ChannelDisabled)(channel=locked.name), actor=actor)


@transaction.atomic
def delete_channel(*, actor: User, channel: Channel, may: Answer | None = None) -> None:
    """Hide it and erase its address and its secrets. Its deliveries stay; those that still wait are given up."""
    _require(actor, channel.model_id, may)
    _end(actor, [_shared(channel)])


@transaction.atomic
def end_channels_of_model(*, actor: User, model_id: int) -> None:
    """Delete the channels of a model that is deleted; whoever deletes it has been asked for the right."""
    _end(actor, list(Channel.objects.shared().filter(model_id=model_id)))


def _end(actor: User, channels: list[Channel]) -> None:
    erased = {"target": "", "secret": "", "authorization": ""}
    if channels:
        rows = Channel.objects.filter(pk__in=[channel.pk for channel in channels])
        rows.update(deleted_at=now(), is_active=False, is_in_test_mode=False, **erased)
    for channel in channels:
        record(ChannelDeleted(channel=channel.name, transport=channel.get_kind_display()), actor=actor)


@transaction.atomic
def test_channel(*, actor: User, channel: Channel) -> Delivery:
    """Send a test message now, as a delivery like any other, so that its answer is kept."""
    require(can_manage_channels(actor))
    locked = _shared(channel)
    if not locked.is_active:
        raise Conflict("The channel is switched off: switch it on first.")
    row = record(ChannelTested(channel=locked.name), actor=actor)
    jobs.wake_after_commit(DRAIN)
    return Delivery.objects.create(event=Event.objects.get(key=row.key), channel=locked)


def try_webhook(*, actor: User, channel: Channel, example: str = "", may: Answer | None = None) -> Outcome:
    """Send a webhook of MLflow's or Databricks' form an example of ``example``, or of the first of its events, and wait
    for the answer for a few seconds; also while it is switched off. Kept among its deliveries."""
    _require(actor, channel.model_id, may)
    (example,) = FORMS[channel.form].checked_kinds([example or channel.kinds[0]])
    with transaction.atomic():
        locked = _shared(channel)
        row = record(ChannelTested(channel=locked.name, example=example), actor=actor)
    return send_once(Event.objects.get(key=row.key), locked)


@transaction.atomic
def send_again(*, actor: User, delivery: Delivery) -> None:
    """Put a delivery that failed or was sent back into the queue, with the same event key."""
    require(can_send_again(actor, delivery))
    channel = Channel.objects.get(pk=delivery.channel_id)
    if channel.deleted_at:
        raise Conflict("The channel was deleted.")
    if not channel.is_active:
        raise Conflict("The channel is switched off: switch it on first.")
    again = Delivery.objects.filter(pk=delivery.pk, state__in=[Delivery.State.FAILED, Delivery.State.SENT])
    if not again.update(state=Delivery.State.PENDING, attempts=0, next_attempt_at=now(), lease=None, lease_until=None):
        raise Conflict("This delivery is on its way already.")
    record(DeliverySentAgain(channel=delivery.channel.name, event_key=str(delivery.event.key)), actor=actor)
    jobs.wake_after_commit(DRAIN)


def _shared(channel: Channel) -> Channel:
    """The present row of a shared channel, locked; the mailbox of a person is not for others to change."""
    locked = Channel.objects.select_for_update().get(pk=channel.pk)
    if locked.user_id is not None:
        raise Conflict("This is somebody's own mailbox, not a shared channel.")
    if locked.deleted_at:
        raise NotFound("There is no such channel.")
    return locked


def _checked_form(kind: str, form: str) -> str:
    if kind != Channel.Kind.WEBHOOK:
        if form:
            raise Invalid("Only a webhook has a form.", field="form")
        return ""
    if form not in ("", *FORMS):
        raise Invalid(f"The form of a webhook is one of {', '.join(FORMS)}.", field="form")
    return form or Channel.Form.STANDARD


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise Invalid("Give the channel a name of 1 to 100 characters.", field="name")
    return name


def _checked_description(description: str) -> str:
    if len(description) > LONGEST_DESCRIPTION or "\x00" in description:
        raise Invalid(f"The description is a text of at most {LONGEST_DESCRIPTION} characters.", field="description")
    return description


def _checked_target(kind: str, target: str) -> str:
    target = target.strip()
    if not target or len(target) > LONGEST_TARGET:
        raise Invalid(f"The address has 1 to {LONGEST_TARGET} characters.", field="target")
    CHECK_TARGET[kind](target)
    return encrypt(target)


def _checked_secret(form: str, secret: str) -> str:
    if form:
        FORMS[form].check_secret(secret)
    elif secret:
        raise Invalid("Only a webhook has a secret.", field="secret")
    return encrypt(secret) if secret else ""


def _checked_authorization(form: str, authorization: str) -> str:
    if authorization and not form:
        raise Invalid("Only a webhook sends an Authorization header.", field="authorization")
    if len(authorization) > LONGEST_AUTHORIZATION or not (authorization.isascii() and authorization.isprintable()):
        said = f"The Authorization header has at most {LONGEST_AUTHORIZATION} characters, printable ASCII alone."
        raise Invalid(said, field="authorization")
    return encrypt(authorization) if authorization else ""


def _check_same_server(channel: Channel, target: str) -> None:
    """Whoever may change the address is not thereby told the header that somebody else has entered."""
    if channel.authorization and _server(target) != _server(address_of(channel)):
        raise Invalid(
            "The Authorization header or access token was entered for another server: give it anew along with this "
            "address.",
            field="authorization",
        )


def _server(address: str) -> tuple[str, ...]:
    return tuple(urlsplit(address.strip().lower())[:2])


def _checked_glob(models_glob: str) -> str:
    if not models_glob or len(models_glob) > 256 or not models_glob.isprintable():
        raise Invalid("The pattern of model names has 1 to 256 characters; * is all.", field="models_glob")
    return models_glob


def _checked_kinds(form: str, kinds: Iterable[str], model_id: int | None) -> list[str]:
    chosen = FORMS[form].checked_kinds(kinds) if form else checked_kinds(kinds)
    if model_id is not None and (never := sorted(databricks.REGISTRY_WIDE.intersection(chosen))):
        raise Invalid(f"{never[0]} is for webhooks of the whole registry: leave out the model's name.", field="kinds")
    return chosen
