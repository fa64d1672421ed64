"""What goes back over Databricks' part of the protocol: requests, activities, comments, webhooks,
and levels as it names them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from accounts.models import Level, User
from approvals.models import Comment, Review, TransitionRequest
from approvals.permissions import can_review, can_rewrite, can_withdraw
from approvals.standing import Standing, standings_of
from core.clock import to_ms
from notifications.delivery import Outcome
from notifications.models import Channel, Event
from notifications.queries import address_of
from registry.models import ModelVersion, RegisteredModel, TargetKind
from registry.permissions import level_of
from web.mlflow.messages import Message, model_version, registered_model

ACTIVITIES = {
    "review.approved": "APPROVED_REQUEST",
    "request.rejected": "REJECTED_REQUEST",
    "request.withdrawn": "CANCELLED_REQUEST",
}


def databricks_model(model: RegisteredModel, latest: Iterable[ModelVersion], user: User) -> Message:
    """``id`` is what grants are asked for by; the level is that of ``user``."""
    message = {
        **registered_model(model, latest),
        "id": str(model.pk),
        "permission_level": permission_level(user, model),
    }
    return {**message, "user_id": model.user.username} if model.user else message


def databricks_version(version: ModelVersion, user: User) -> Message:
    return {
        **model_version(version, version.model),
        "permission_level": permission_level(user, version.model),
        "open_requests": open_requests(user, version),
        "email_subscription_status": "DEFAULT",
    }


def permission_level(user: User, model: RegisteredModel) -> str:
    return level_name(level_of(user, model))


def level_name(level: Level) -> str:
    return f"CAN_{level.name}"


def open_requests(user: User, version: ModelVersion) -> list[Message]:
    """Requests for aliases are left out: Databricks has stages only."""
    pending = TransitionRequest.objects.pending().filter(version=version, target_kind=TargetKind.STAGE)
    return transition_requests(user, list(pending.with_rows().order_by("pk")))


def transition_requests(user: User, requests: Sequence[TransitionRequest]) -> list[Message]:
    """Each with what ``user`` may do about it; in as many statements as for one."""
    return [
        _transition_request(item, _actions(user, item, standing))
        for item, standing in zip(requests, standings_of(requests), strict=True)
    ]


def _transition_request(item: TransitionRequest, actions: list[str]) -> Message:
    message: Message = {
        "creation_timestamp": to_ms(item.created_at),
        "user_id": item.requester.username,
        "activity_type": "REQUESTED_TRANSITION",
        "to_stage": item.target,
        "available_actions": actions,
    }
    return {**message, "comment": item.comment} if item.comment else message


def _actions(user: User, item: TransitionRequest, standing: Standing) -> list[str]:
    may = {
        "CANCEL": can_withdraw(user, item),
        "APPROVE": can_review(user, item, Review.Decision.APPROVE, standing),
        "REJECT": can_review(user, item, Review.Decision.REJECT, standing),
    }
    return [f"{action}_TRANSITION_REQUEST" for action, answer in may.items() if answer]


def activity(event: Event, *, from_stage: str) -> Message:
    """A decision, with the stage that the version was in before it."""
    message: Message = {
        "id": event.key.hex,
        "activity_type": ACTIVITIES[event.kind],
        "user_id": event.actor.username if event.actor else "",
        "creation_timestamp": to_ms(event.created_at),
        "last_updated_timestamp": to_ms(event.created_at),
        "from_stage": from_stage,
        "to_stage": event.data["target"],
    }
    return {**message, "comment": event.data["comment"]} if event.data["comment"] else message


def comment_message(comment: Comment, user: User) -> Message:
    return {
        "id": str(comment.pk),
        "comment": comment.text,
        "user_id": comment.author.username,
        "creation_timestamp": to_ms(comment.created_at),
        "last_updated_timestamp": to_ms(comment.edited_at or comment.created_at),
        "available_actions": ["EDIT_COMMENT", "DELETE_COMMENT"] if can_rewrite(user, comment) else [],
    }


def registry_webhook(channel: Channel, model_name: str) -> Message:
    """The address is shown, what signs and what authorises never."""
    assert channel.key is not None
    switched_off = "TEST_MODE" if channel.is_in_test_mode else "DISABLED"
    message: Message = {
        "id": channel.key.hex,
        "events": channel.kinds,
        "status": "ACTIVE" if channel.is_active else switched_off,
        "creation_timestamp": to_ms(channel.created_at),
        "last_updated_timestamp": to_ms(channel.updated_at),
    }
    if channel.job_id:
        message["job_spec"] = {"job_id": str(channel.job_id), "workspace_url": address_of(channel)}
    else:
        message["http_url_spec"] = {"url": address_of(channel), "enable_ssl_verification": True}
    if model_name:
        message["model_name"] = model_name
    if channel.description:
        message["description"] = channel.description
    return message


def registry_webhook_test(outcome: Outcome) -> Message:
    status: Message = {} if outcome.status_code is None else {"status_code": outcome.status_code}
    return {**status, "body": outcome.answer}
