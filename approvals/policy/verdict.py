"""The answer of a policy: a tree whose every node says whether it is met, why, and who can clear it.

The same tree is the checklist of the page, the JSON of the API, the text of a refusal and the output of a dry run.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from approvals.policy.source import listed
from approvals.policy.wording import amount, people


class Status(enum.StrEnum):
    MET = "met"
    UNMET = "unmet"  # looked at, and not good enough
    WAITING = "waiting"  # something is still to come
    ERROR = "error"  # cannot be decided before somebody repairs something
    SKIPPED = "skipped"  # does not apply here; stops nothing


# The status of a whole is that of its worst part.
_WORST_FIRST = (Status.UNMET, Status.ERROR, Status.WAITING, Status.MET, Status.SKIPPED)
_PASSING = (Status.MET, Status.SKIPPED)
_MOMENTS = ("schedule", "freeze")
_MOST_AWAITED = 3  # that a sentence names


@dataclass(frozen=True, slots=True)
class Node:
    """``kind`` is all, policy, metric, check, description, signature, tags, run, scan, approvals, objections, threads,
    team, review, schedule or freeze.

    ``who`` can clear it, by name; ``people`` are their ids. ``missing`` counts what is still to come.
    ``blocking`` is False where nothing depends on it: parts of an explanation, and policies that warn or are on trial.
    """

    kind: str
    title: str
    status: Status
    reason: str
    figure: str = ""
    exact: str = ""  # what the figure is rounded from
    needed: str = ""
    who: tuple[str, ...] = ()
    children: tuple[Node, ...] = ()
    blocking: bool = True
    name: str = ""  # of the metric, the check, the team or the policy
    people: tuple[int, ...] = ()
    missing: int = 0
    awaited: str = ""  # completes "Waiting for …"
    link: str = ""
    enforcement: str = ""  # of a policy

    @property
    def passes(self) -> bool:
        return self.status in _PASSING

    @property
    def is_moment(self) -> bool:
        """Whether it waits for nothing but time: then it is no requirement that anybody meets."""
        return self.kind in _MOMENTS

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name,
            "title": self.title,
            "status": str(self.status),
            "reason": self.reason,
            "figure": self.figure,
            **({"exact": self.exact} if self.exact else {}),
            "needed": self.needed,
            "who": list(self.who),
            "link": self.link,
            "blocking": self.blocking,
            "missing": self.missing,
            "enforcement": self.enforcement,
            "children": [child.to_json() for child in self.children],
        }


def worst(nodes: tuple[Node, ...]) -> Status:
    found = {node.status for node in nodes}
    return next((status for status in _WORST_FIRST if status in found), Status.SKIPPED)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``root`` is a policy's node, or a node over those of several policies."""

    root: Node

    @property
    def policies(self) -> tuple[Node, ...]:
        return self.root.children if self.root.kind == "all" else (self.root,)

    @property
    def requirements(self) -> tuple[Node, ...]:
        """One node for each requirement of each policy."""
        return tuple(self._requirements())

    def _requirements(self) -> Iterator[Node]:
        for policy in self.policies:
            # A policy that could not be read has no requirements: it is the open point itself.
            yield from policy.children or (policy,)

    @property
    def satisfied(self) -> bool:
        """Whether the change may happen: whatever blocks is met. Nobody but this decides."""
        return all(policy.passes for policy in self.policies if policy.blocking)

    @property
    def all_met(self) -> bool:
        """Whether also the policies are met that only warn or are on trial."""
        return all(policy.passes for policy in self.policies)

    @property
    def open(self) -> tuple[Node, ...]:
        """The blocking requirements that are not met."""
        return tuple(node for node in self.requirements if node.blocking and not node.passes)

    @property
    def counts(self) -> tuple[int, int]:
        """How many requirements are met, of how many: those that block, or all when none does. Skipped ones and
        moments are out."""
        nodes = [node for node in self.requirements if node.status != Status.SKIPPED and not node.is_moment]
        nodes = [node for node in nodes if node.blocking] or nodes
        return sum(node.passes for node in nodes), len(nodes)

    @property
    def waits_for_time(self) -> bool:
        """Whether all is met, and only a moment has to come."""
        return bool(self.open) and all(node.is_moment for node in self.open)

    @property
    def waiting_for(self) -> dict[str, int]:
        """What is still to come, by kind: ``{"approvals": 1}``."""
        found: Counter[str] = Counter()
        for node in self.open:
            if node.missing and node.kind == "approvals":
                # The same approval serves every policy.
                found[node.kind] = max(found[node.kind], node.missing)
            elif node.missing:
                found[node.kind] += node.missing
        return dict(sorted(found.items()))

    @property
    def people(self) -> tuple[int, ...]:
        """Everybody who can clear a part of what is open."""
        return tuple(dict.fromkeys(person for node in self.open for person in node.people))

    @property
    def unmet_sentences(self) -> tuple[str, ...]:
        """Each open requirement with the reason, for the text of a refusal."""
        return tuple(_with_reason(node) for node in self.open)

    @property
    def sentence(self) -> str:
        """Where it stands, in one sentence."""
        if self.satisfied:
            return self._satisfied_sentence()
        troubles = [node for node in self.open if node.status in (Status.UNMET, Status.ERROR)]
        # Who says no comes first, then what the figures say.
        troubles.sort(key=lambda node: node.kind not in ("approvals", "objections"))
        parts = [node.reason.rstrip(".") for node in troubles[:2]]
        if len(troubles) > 2:
            more = len(troubles) - 2
            parts.append(f"{amount(more, 'more requirement')} {'is' if more == 1 else 'are'} not met")
        if waiting := self._awaited():
            parts.append(f"{'waiting' if parts else 'Waiting'} for {listed(waiting)}")
        parts = parts or [self._satisfied_sentence().rstrip(".")]
        moments = dict.fromkeys(node.reason.rstrip(".") for node in self.open if node.is_moment)
        parts += [f"{reason[0].lower()}{reason[1:]}" for reason in moments]
        return f"{'; '.join(parts)}."

    def _awaited(self) -> list[str]:
        """What is waited for; of more than a sentence can hold, the approvals and the first of the rest."""
        nodes = [node for node in self.open if node.awaited]
        awaited = list(dict.fromkeys(node.awaited for node in nodes))
        if len(awaited) <= _MOST_AWAITED:
            return awaited
        nodes.sort(key=lambda node: node.kind != "approvals")
        told = list(dict.fromkeys(node.awaited for node in nodes))[: _MOST_AWAITED - 1]
        return [*told, f"{len(awaited) - len(told)} more requirements"]

    def _satisfied_sentence(self) -> str:
        met, total = self.counts
        if not any(policy.blocking for policy in self.policies):
            return "Nothing stands in the way." if self.all_met else "Nothing stands in the way, though not all is met."
        if total == 0:
            return "Nothing is asked for here."
        if total == 1:
            return "The one requirement is met."
        return f"All {met} requirements are met."

    def to_json(self) -> dict[str, Any]:
        met, total = self.counts
        return {
            "satisfied": self.satisfied,
            "all_met": self.all_met,
            "sentence": self.sentence,
            "counts": {"met": met, "total": total},
            "waiting_for": self.waiting_for,
            "tree": self.root.to_json(),
        }


def _with_reason(node: Node) -> str:
    who = f" Can be cleared by {people(node.who)}." if any(name not in node.reason for name in node.who) else ""
    return f"{node.title}: {node.reason}{who}"
