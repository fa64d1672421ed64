"""What a message says, whichever way it goes: what happened, why, what is still missing, and where to look."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from notifications.models import Event

LONGEST_REASON = 2000
TITLES = {
    "request.opened": "Review wanted",
    "request.ready": "Ready for another look",
    "request.updated": "Something changed",
    "request.needs_changes": "Changes asked for",
    "request.rejected": "Rejected",
    "request.withdrawn": "Withdrawn",
    "request.superseded": "Closed",
    "request.expired": "Expired",
    "review.approved": "Approved",
    "review.changes_requested": "Changes asked for",
    "review.dismissed": "A verdict no longer counts",
    "request.mentioned": "You were mentioned",
    "reviewer.asked": "Your review is wanted",
    "reviewer.recused": "A reviewer stepped back",
    "reviewer.returned": "A reviewer is back",
    "check.failed": "A check failed",
    "check.recovered": "A check passes again",
    "comment.created": "New comment",
    "comment.mentioned": "You were mentioned",
    "thread.resolved": "A thread is resolved",
    "thread.reopened": "A thread is open again",
    "transition.applied": "Done",
    "channel.tested": "Test",
    "channel.disabled": "Channel switched off",
    "delivery.failed": "Not delivered",
}


@dataclass(frozen=True, slots=True)
class Wording:
    title: str
    sentence: str
    reason: str  # what somebody wrote: quote it, and escape it
    waiting_for: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    url: str
    link: str  # the words of the link


def wording_of(event: Event) -> Wording:
    reason = str(event.data.get("comment") or "").strip()
    sentence = event.summary
    if repeated := _ending(reason):
        sentence = sentence.rstrip(". ").removesuffix(repeated) + "."  # what was written stands below
    return Wording(
        title=TITLES.get(event.kind, "News"),
        sentence=" ".join(sentence.split()),
        reason=_cut(reason, LONGEST_REASON),
        waiting_for=tuple(_cut(str(item), 300) for item in event.data.get("waiting_for") or ())[:20],
        facts=tuple(_facts(event)),
        url=f"{settings.BASE_URL}{event.path}",
        link="Open the request" if event.request_id else "Open in Countersign",
    )


def _ending(reason: str) -> str:
    """How a sentence ends that has the reason within."""
    return f": {reason.rstrip('. ')}" if reason.rstrip(". ") else ""


def _facts(event: Event) -> list[tuple[str, str]]:
    facts = []
    if event.model_name:
        facts.append(("Model", event.model_name))
    if event.version:
        facts.append(("Version", str(event.version)))
    if target := event.data.get("target"):
        facts.append(("Target", target if event.data.get("target_kind") != "alias" else f"@{target}"))
    if requester := event.data.get("requester"):
        facts.append(("Asked by", requester))
    return facts


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
