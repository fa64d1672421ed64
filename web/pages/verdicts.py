"""Where a request stands, for its page: as of now while it is open, as it was decided once it is closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from approvals.models import PolicyRevision, TransitionRequest
from approvals.policy import Node, Status, Verdict
from approvals.policy.wording import amount
from approvals.standing import Standing

MOST_IN_PILL = 44  # characters that fit a phone in one line


@dataclass(frozen=True, slots=True)
class Group:
    """The requirements of one policy; without a name they are the house's own, or a moment to wait for (``kind``)."""

    kind: str
    name: str
    revision: int | None
    enforcement: str
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """While a request is open, the verdict as of now; once closed, the one that the decision was made on."""

    verdict: Verdict
    sentence: str
    groups: tuple[Group, ...]

    def metric(self, name: str) -> Node | None:
        """What is asked of a metric: the first that is not met, where several policies ask."""
        nodes = [node for node in self.verdict.requirements if node.kind == "metric" and node.name == name]
        return min(nodes, key=lambda node: node.passes, default=None)


def shown_of(review_request: TransitionRequest, standing: Standing) -> Shown:
    if review_request.is_pending or not review_request.verdict:
        verdict = standing.verdict
        sentence = verdict.sentence
        revisions = {rule.name: rule.revision.number for rule in standing.rules}
    else:
        verdict = Verdict(_node(review_request.verdict["tree"]))
        sentence = review_request.verdict["sentence"]
        pinned = PolicyRevision.objects.filter(pk__in=review_request.policy_revisions)
        revisions = dict(pinned.values_list("policy__name", "number"))
    policies = sorted(verdict.policies, key=lambda node: (not node.blocking, node.is_moment))
    groups = [
        Group(node.kind, node.name, revisions.get(node.name), node.enforcement, _open_first(node.children or (node,)))
        for node in policies
    ]
    return Shown(verdict, sentence, tuple(groups))


def _open_first(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """What is refused, what is awaited, what is met: each in the order of the policy."""
    return tuple(sorted(nodes, key=lambda node: (node.passes, node.status == Status.WAITING)))


def _node(recorded: dict[str, Any]) -> Node:
    """A node as it was written into the request."""
    plain = {key: recorded[key] for key in ("kind", "name", "title", "reason", "figure", "needed", "link")}
    return Node(
        **plain,
        status=Status(recorded["status"]),
        who=tuple(recorded["who"]),
        exact=recorded.get("exact", ""),
        blocking=recorded["blocking"],
        missing=recorded["missing"],
        enforcement=recorded["enforcement"],
        children=tuple(_node(child) for child in recorded["children"]),
    )


def state_label(review_request: TransitionRequest, verdict: Verdict) -> str:
    """ "Waiting for 1 approval" says more than "Open"; where that is all, it says from whom."""
    if review_request.state == TransitionRequest.State.OPEN and verdict.waits_for_time:
        return "Ready, and waiting for its time"
    missing = verdict.waiting_for.get("approvals", 0)
    if (
        review_request.state == TransitionRequest.State.OPEN
        and missing
        and all(n.kind == "approvals" or n.is_moment for n in verdict.open)
    ):
        label, sentence = f"Waiting for {amount(missing, 'approval')}", verdict.sentence.removesuffix(".")
        return sentence if sentence.startswith(label) and len(sentence) <= MOST_IN_PILL else label
    return review_request.get_state_display()
