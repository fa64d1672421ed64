"""What happens to requests, reviews, comments and policies, in the words that people and receivers get."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from django.urls import reverse

from approvals.models import Comment, TransitionRequest
from approvals.policy import listed, moment
from core.announcements import Announcement
from core.clock import now
from registry.events import about_version
from registry.models import TargetKind


def about(review_request: TransitionRequest) -> dict[str, Any]:
    """The fields that every announcement about this request starts from."""
    return {
        **about_version(review_request.version),
        "request_id": review_request.pk,
        "target_kind": review_request.target_kind,
        "target": review_request.target,
        "from_stage": review_request.from_stage,
        "requester": review_request.requester.username,
    }


def about_comment(comment: Comment) -> dict[str, Any]:
    """The fields that every announcement about this comment starts from."""
    return {
        **about_version(comment.version),
        "request_id": comment.request_id,
        "comment_id": comment.pk,
        "thread_id": comment.parent_id or comment.pk,
    }


@dataclass(frozen=True, kw_only=True)
class RequestAnnouncement(Announcement):
    target_kind: str
    target: str
    from_stage: str
    requester: str
    comment: str = ""

    @property
    def where(self) -> str:
        return self.target if self.target_kind == TargetKind.STAGE else f"@{self.target}"

    @property
    def what(self) -> str:
        return f"version {self.version} of {self.model_name}"

    @property
    def path(self) -> str:
        return reverse("request", args=[self.request_id])

    def data(self) -> dict[str, Any]:
        return {
            "target_kind": self.target_kind,
            "target": self.target,
            "from_stage": self.from_stage,
            "requester": self.requester,
            "comment": self.comment,
        }


@dataclass(frozen=True, kw_only=True)
class RequestOpened(RequestAnnouncement):
    kind: ClassVar[str] = "request.opened"

    waiting_for: tuple[str, ...] = ()

    def summary(self, actor: str) -> str:
        return f"{actor} asks to move {self.what} to {self.where}."

    def data(self) -> dict[str, Any]:
        return super().data() | {"waiting_for": list(self.waiting_for)}


@dataclass(frozen=True, kw_only=True)
class RequestUpdated(RequestAnnouncement):
    """What the request is judged on has moved; ``before`` and ``after`` are the pins."""

    kind: ClassVar[str] = "request.updated"

    moved: tuple[str, ...]
    before: dict[str, Any]
    after: dict[str, Any]

    def summary(self, actor: str) -> str:
        return f"Request {self.request_id} ({self.what} to {self.where}) is judged anew: {'; '.join(self.moved)}."

    def data(self) -> dict[str, Any]:
        return super().data() | {"moved": list(self.moved), "before": self.before, "after": self.after}


@dataclass(frozen=True, kw_only=True)
class RequestNeedsChanges(RequestAnnouncement):
    kind: ClassVar[str] = "request.needs_changes"

    def summary(self, actor: str) -> str:
        asked = f"{actor} asked for changes before {self.what} goes to {self.where}"
        return f"{asked}: request {self.request_id} waits for {self.requester}."


@dataclass(frozen=True, kw_only=True)
class RequestRescheduled(RequestAnnouncement):
    kind: ClassVar[str] = "request.rescheduled"

    not_before: datetime | None

    def summary(self, actor: str) -> str:
        at = f"not before {moment(self.not_before, beside=now())}" if self.not_before else "as soon as all is met"
        return f"{actor} wants request {self.request_id} ({self.what} to {self.where}) carried out {at}."

    def data(self) -> dict[str, Any]:
        return super().data() | {"not_before": self.not_before.isoformat() if self.not_before else None}


@dataclass(frozen=True, kw_only=True)
class RequestReady(RequestAnnouncement):
    kind: ClassVar[str] = "request.ready"

    def summary(self, actor: str) -> str:
        return f"{actor} says that {self.what} is ready to be looked at again for {self.where}."


@dataclass(frozen=True, kw_only=True)
class RequestRejected(RequestAnnouncement):
    kind: ClassVar[str] = "request.rejected"

    def summary(self, actor: str) -> str:
        return f"{actor} rejected the request to move {self.what} to {self.where}: {self.comment}"


@dataclass(frozen=True, kw_only=True)
class RequestWithdrawn(RequestAnnouncement):
    kind: ClassVar[str] = "request.withdrawn"

    def summary(self, actor: str) -> str:
        return f"{actor} withdrew the request to move {self.what} to {self.where}."


@dataclass(frozen=True, kw_only=True)
class RequestExpired(RequestAnnouncement):
    kind: ClassVar[str] = "request.expired"

    def summary(self, actor: str) -> str:
        return f"The request to move {self.what} to {self.where} has expired: {self.comment}"


@dataclass(frozen=True, kw_only=True)
class RequestOverdue(RequestAnnouncement):
    """It still waits for those who are told."""

    kind: ClassVar[str] = "request.overdue"

    waiting_for: tuple[str, ...]

    def summary(self, actor: str) -> str:
        return f"Request {self.request_id} to move {self.what} to {self.where} still waits for you."

    def data(self) -> dict[str, Any]:
        return super().data() | {"waiting_for": list(self.waiting_for)}


@dataclass(frozen=True, kw_only=True)
class RequestSuperseded(RequestAnnouncement):
    kind: ClassVar[str] = "request.superseded"

    def summary(self, actor: str) -> str:
        return f"Request {self.request_id} to move {self.what} to {self.where} is closed: {self.comment}"


@dataclass(frozen=True, kw_only=True)
class ReviewApproved(RequestAnnouncement):
    kind: ClassVar[str] = "review.approved"

    teams: tuple[str, ...] = ()

    def summary(self, actor: str) -> str:
        return f"{actor} approved {self.what} for {self.where}."

    def data(self) -> dict[str, Any]:
        return super().data() | {"teams": list(self.teams)}


@dataclass(frozen=True, kw_only=True)
class ReviewChangesRequested(RequestAnnouncement):
    kind: ClassVar[str] = "review.changes_requested"

    def summary(self, actor: str) -> str:
        return f"{actor} asked for changes before {self.what} goes to {self.where}: {self.comment}"


@dataclass(frozen=True, kw_only=True)
class ReviewDismissed(RequestAnnouncement):
    """A verdict no longer counts; ``comment`` is why."""

    kind: ClassVar[str] = "review.dismissed"

    reviewer: str

    def summary(self, actor: str) -> str:
        return f"The verdict of {self.reviewer} on {self.what} for {self.where} no longer counts: {self.comment}."

    def data(self) -> dict[str, Any]:
        return super().data() | {"reviewer": self.reviewer}


@dataclass(frozen=True, kw_only=True)
class RequestMentioned(RequestAnnouncement):
    """Somebody is named in what was written with a request or a verdict; ``names`` are people or teams."""

    kind: ClassVar[str] = "request.mentioned"

    names: tuple[str, ...]

    def summary(self, actor: str) -> str:
        return f"{actor} mentioned {listed(self.names)} about {self.what} for {self.where}: {self.comment}"

    def data(self) -> dict[str, Any]:
        return super().data() | {"names": list(self.names)}


@dataclass(frozen=True, kw_only=True)
class ReviewerAsked(RequestAnnouncement):
    kind: ClassVar[str] = "reviewer.asked"

    reviewer: str

    def summary(self, actor: str) -> str:
        return f"{actor} asked {self.reviewer} to review {self.what} for {self.where}."

    def data(self) -> dict[str, Any]:
        return super().data() | {"reviewer": self.reviewer}


@dataclass(frozen=True, kw_only=True)
class ReviewerReleased(ReviewerAsked):
    """They are asked no longer."""

    kind: ClassVar[str] = "reviewer.released"

    def summary(self, actor: str) -> str:
        return f"{actor} no longer asks {self.reviewer} to review {self.what} for {self.where}."


@dataclass(frozen=True, kw_only=True)
class ReviewerRecused(RequestAnnouncement):
    """Somebody takes no part in the review; ``comment`` is why, if they said so."""

    kind: ClassVar[str] = "reviewer.recused"

    def summary(self, actor: str) -> str:
        why = f": {self.comment}" if self.comment else "."
        return f"{actor} stepped back from the review of {self.what} for {self.where}{why}"


@dataclass(frozen=True, kw_only=True)
class ReviewerReturned(RequestAnnouncement):
    kind: ClassVar[str] = "reviewer.returned"

    def summary(self, actor: str) -> str:
        return f"{actor} takes part again in the review of {self.what} for {self.where}."


@dataclass(frozen=True, kw_only=True)
class TransitionBypassed(RequestAnnouncement):
    """A request is carried out although not all was met; ``comment`` is why. ``transition.applied`` follows."""

    kind: ClassVar[str] = "transition.bypassed"

    unmet: tuple[str, ...]
    policies: tuple[str, ...]

    def summary(self, actor: str) -> str:
        return f"{actor} bypassed {listed(self.policies)} to move {self.what} to {self.where}: {self.comment}"

    def data(self) -> dict[str, Any]:
        return super().data() | {"unmet": list(self.unmet), "policies": list(self.policies)}


@dataclass(frozen=True, kw_only=True)
class TransitionApplied(RequestAnnouncement):
    """A request was carried out: what pipelines deploy on."""

    kind: ClassVar[str] = "transition.applied"

    digest: str = ""
    source: str = ""
    run_id: str = ""
    previous_version: int | None = None
    archived_versions: tuple[int, ...] = ()
    approved_by: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    bypassed: bool = False

    def summary(self, actor: str) -> str:
        approved = f", approved by {listed(self.approved_by)}" if self.approved_by else ""
        approved = f", by a bypass of {listed(self.policies)}" if self.bypassed else approved
        sentence = f"Version {self.version} of {self.model_name} is now {self.where}{approved}."
        if not self.archived_versions:
            return sentence
        numbers = listed(map(str, self.archived_versions))
        return f"{sentence} It replaces version {numbers}, now archived."

    def data(self) -> dict[str, Any]:
        return super().data() | {
            "digest": self.digest,
            "source": self.source,
            "run_id": self.run_id,
            "previous_version": self.previous_version,
            "archived_versions": list(self.archived_versions),
            "approved_by": list(self.approved_by),
            "policies": list(self.policies),
            "bypassed": self.bypassed,
        }


@dataclass(frozen=True, kw_only=True)
class TransitionRolledBack(RequestAnnouncement):
    """Comes after ``transition.applied`` where a version holds again what it held before by a request."""

    kind: ClassVar[str] = "transition.rolled_back"

    previous_version: int | None
    returns_to: int

    def summary(self, actor: str) -> str:
        away = f" from version {self.previous_version}" if self.previous_version else ""
        return f"{actor} took {self.where} of {self.model_name} back{away} to version {self.version}."

    def data(self) -> dict[str, Any]:
        return super().data() | {"previous_version": self.previous_version, "returns_to": self.returns_to}


@dataclass(frozen=True, kw_only=True)
class PolicyWarned(Announcement):
    """A direct change went through although a policy with ``enforcement: warn`` was not satisfied."""

    kind: ClassVar[str] = "policy.warned"

    policy: str
    change: str
    unmet: tuple[str, ...]

    def summary(self, actor: str) -> str:
        return (
            f"{actor} changed {self.change} past the policy {self.policy}, which only warns: {'; '.join(self.unmet)}."
        )

    @property
    def path(self) -> str:
        return (
            reverse("version", args=[self.model_name, self.version])
            if self.version
            else reverse("model", args=[self.model_name])
        )

    def data(self) -> dict[str, Any]:
        return {"policy": self.policy, "unmet": list(self.unmet)}


@dataclass(frozen=True, kw_only=True)
class CommentAnnouncement(Announcement):
    """``thread_id``: the comment that its thread begins with."""

    comment_id: int
    thread_id: int

    @property
    def where(self) -> str:
        return f"version {self.version} of {self.model_name}"

    @property
    def path(self) -> str:
        if self.request_id:
            page = reverse("request", args=[self.request_id])
        else:
            page = reverse("version", args=[self.model_name, self.version])
        return f"{page}#comment-{self.comment_id}"

    def data(self) -> dict[str, Any]:
        return {"comment_id": self.comment_id, "thread_id": self.thread_id}


@dataclass(frozen=True, kw_only=True)
class CommentCreated(CommentAnnouncement):
    kind: ClassVar[str] = "comment.created"

    text: str

    def summary(self, actor: str) -> str:
        return f"{actor} commented on {self.where}."

    def data(self) -> dict[str, Any]:
        return super().data() | {"comment": self.text}


@dataclass(frozen=True, kw_only=True)
class CommentMentioned(CommentCreated):
    """``names`` of people and teams, as they were written."""

    kind: ClassVar[str] = "comment.mentioned"

    names: tuple[str, ...]

    def summary(self, actor: str) -> str:
        return f"{actor} mentioned {listed(self.names)} in a comment on {self.where}."

    def data(self) -> dict[str, Any]:
        return super().data() | {"mentioned": list(self.names)}


@dataclass(frozen=True, kw_only=True)
class CommentEdited(CommentCreated):
    kind: ClassVar[str] = "comment.edited"

    def summary(self, actor: str) -> str:
        return f"{actor} edited a comment on {self.where}."


@dataclass(frozen=True, kw_only=True)
class CommentDeleted(CommentAnnouncement):
    """Without the text. The events before it keep what they said: the record is only ever added to."""

    kind: ClassVar[str] = "comment.deleted"

    def summary(self, actor: str) -> str:
        return f"{actor} deleted a comment on {self.where}."


@dataclass(frozen=True, kw_only=True)
class ThreadResolved(CommentAnnouncement):
    kind: ClassVar[str] = "thread.resolved"

    def summary(self, actor: str) -> str:
        return f"{actor} resolved a thread about {self.where}."


@dataclass(frozen=True, kw_only=True)
class ThreadReopened(CommentAnnouncement):
    kind: ClassVar[str] = "thread.reopened"

    def summary(self, actor: str) -> str:
        return f"{actor} reopened a thread about {self.where}."


@dataclass(frozen=True, kw_only=True)
class CheckAnnouncement(Announcement):
    check: str
    status: str
    figure: str
    link: str
    digest: str

    @property
    def what(self) -> str:
        return f"{self.check} on version {self.version} of {self.model_name}"

    @property
    def path(self) -> str:
        return f"{reverse('version', args=[self.model_name, self.version])}#checks"

    def data(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "status": self.status,
            "figure": self.figure,
            "link": self.link,
            "digest": self.digest,
        }


@dataclass(frozen=True, kw_only=True)
class CheckReported(CheckAnnouncement):
    kind: ClassVar[str] = "check.reported"

    def summary(self, actor: str) -> str:
        return f"{actor} reported {self.what}: {self.status}{f' ({self.figure})' if self.figure else ''}."


@dataclass(frozen=True, kw_only=True)
class CheckFailed(CheckReported):
    """It passed before, or was not reported."""

    kind: ClassVar[str] = "check.failed"


@dataclass(frozen=True, kw_only=True)
class CheckRecovered(CheckReported):
    """It passes again."""

    kind: ClassVar[str] = "check.recovered"


@dataclass(frozen=True, kw_only=True)
class PolicyPublished(Announcement):
    kind: ClassVar[str] = "policy.published"

    policy: str
    revision: int
    guards: tuple[str, ...] = field(default=())

    def summary(self, actor: str) -> str:
        return f"{actor} published revision {self.revision} of the policy {self.policy}."

    @property
    def path(self) -> str:
        return reverse("policy", args=[self.policy])

    def data(self) -> dict[str, Any]:
        return {"policy": self.policy, "revision": self.revision, "guards": list(self.guards)}


@dataclass(frozen=True, kw_only=True)
class PolicyArchived(Announcement):
    kind: ClassVar[str] = "policy.archived"

    policy: str

    def summary(self, actor: str) -> str:
        return f"{actor} took the policy {self.policy} out of force."

    @property
    def path(self) -> str:
        return reverse("policy", args=[self.policy])

    def data(self) -> dict[str, Any]:
        return {"policy": self.policy}
