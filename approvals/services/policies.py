"""Publishing policies: the page, the API and the command line write the same text through here."""

from __future__ import annotations

from dataclasses import asdict

from django.db import transaction

from accounts.models import User
from approvals.events import PolicyArchived, PolicyPublished
from approvals.models import Policy, PolicyRevision
from approvals.permissions import can_publish_policies
from approvals.policy import Policy as ReadPolicy
from approvals.policy import PolicyError, parse, parse_published
from core import jobs
from core.answers import require
from core.clock import now
from core.errors import Conflict, Invalid
from notifications.events import record

LONGEST_TEXT = 65_536
RECONSIDER = "approvals.tasks.reconsider_pending"


class UnreadablePolicy(Invalid):
    """A text that is no policy; ``problems`` names every fault with its line and column."""

    def __init__(self, error: PolicyError) -> None:
        super().__init__(str(error), field="text")
        self.problems = [asdict(problem) for problem in error.errors]


def checked_policy(text: str, *, published: str = "") -> ReadPolicy:
    """The policy that a text states; UnreadablePolicy with the lines at fault when it is none. ``published``: a text
    whose reading is at hand."""
    if len(text) > LONGEST_TEXT:
        raise Invalid(f"A policy has at most {LONGEST_TEXT} characters, this one has {len(text)}.", field="text")
    try:
        return parse_published(text) if text == published else parse(text)
    except PolicyError as error:
        raise UnreadablePolicy(error) from error


@transaction.atomic
def publish_policy(*, actor: User | None, text: str) -> PolicyRevision:
    """Put a text in force under the name it gives itself; the same text again changes nothing. ``actor`` None is the
    command line.

    Pending requests are judged by it from the next look on; a task dismisses the approvals given under the older one.
    """
    if actor is not None:
        require(can_publish_policies(actor))
    text = text.replace("\r\n", "\n")  # what a browser's text area sends
    read = checked_policy(text)
    Policy.objects.get_or_create(name=read.name)
    policy = Policy.objects.select_for_update(of=("self",)).select_related("current").get(name=read.name)
    current = policy.current
    if current and current.text == text and policy.archived_at is None:
        return current

    last = policy.revisions.first()
    revision = PolicyRevision.objects.create(
        policy=policy, number=last.number + 1 if last else 1, text=text, author=actor
    )
    policy.current = revision
    policy.archived_at = None
    policy.save(update_fields=["current", "archived_at"])
    record(
        PolicyPublished(policy=policy.name, revision=revision.number, guards=tuple(map(str, read.guards))), actor=actor
    )
    jobs.after_commit(RECONSIDER)
    return revision


@transaction.atomic
def archive_policy(*, actor: User | None, policy: Policy) -> Policy:
    """Take a policy out of force; its revisions stay, and publishing its text again brings it back."""
    if actor is not None:
        require(can_publish_policies(actor))
    locked = Policy.objects.select_for_update().get(pk=policy.pk)
    if locked.archived_at is not None:
        raise Conflict(f"The policy {locked.name} is out of force already.")

    locked.archived_at = now()
    locked.save(update_fields=["archived_at"])
    record(PolicyArchived(policy=locked.name), actor=actor)
    jobs.after_commit(RECONSIDER)
    return locked
