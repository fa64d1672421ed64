"""Which policies are in force, and which of them have a say in a change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from approvals.models import Policy, PolicyRevision
from approvals.policy import ApprovalsRule, CheckRule, MetricRule, PolicyError, parse_published
from approvals.policy import Policy as ReadPolicy
from core.prepared import Prepared
from registry.gate import Target
from registry.models import HELD_STAGES, RegisteredModel, TargetKind

IN_FORCE = Prepared(lambda: Policy.objects.in_force())


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy in force. ``read`` is None when its text cannot be read: then it may guard anything, so it blocks.

    ``leaving`` is what the version gives up, when that is the only reason why the policy has a say: its review
    requirements count then, and nothing else.
    """

    revision: PolicyRevision
    name: str
    read: ReadPolicy | None
    problem: str = ""
    leaving: Target | None = None

    def applies_to(self, name: str, tags: Mapping[str, str]) -> bool:
        return self.read is None or self.read.applies_to(name, tags)

    @property
    def blocks(self) -> bool:
        return self.read is None or self.read.blocks

    @property
    def teams(self) -> tuple[str, ...]:
        return self.read.teams if self.read else ()

    @property
    def checks(self) -> tuple[CheckRule, ...]:
        return self.read.checks if self.read else ()

    @property
    def reported(self) -> frozenset[str]:
        return self.read.reported if self.read else frozenset()

    @property
    def bypassers(self) -> frozenset[str]:
        """The teams that may bypass it."""
        return frozenset(self.read.bypass.teams) if self.read else frozenset()

    @property
    def vouchers(self) -> tuple[str, ...]:
        return self.read.vouchers if self.read else ()

    @property
    def approvals(self) -> tuple[ApprovalsRule, ...]:
        """What it asks of reviewers; empty when machines alone decide."""
        return tuple(
            asked for asked in (self.read.requirements if self.read else ()) if isinstance(asked, ApprovalsRule)
        )

    @property
    def metrics(self) -> tuple[MetricRule, ...]:
        return tuple(asked for asked in (self.read.requirements if self.read else ()) if isinstance(asked, MetricRule))

    @property
    def waits_for_threads(self) -> bool:
        return self.read is not None and self.read.reviews.threads_resolved

    def guards(self, target: Target) -> bool:
        if self.read is None:
            return target.kind == TargetKind.ALIAS or target.name in HELD_STAGES
        return self.read.guards_target(target.kind, target.name)


@dataclass(frozen=True, slots=True)
class Rulebook:
    """All policies in force, read in one statement."""

    rules: tuple[Rule, ...]

    @classmethod
    def load(cls) -> Rulebook:
        return cls.of(IN_FORCE.all())

    @classmethod
    def of(cls, policies: Iterable[Policy]) -> Rulebook:
        return cls(tuple(_rule(policy) for policy in policies))

    @property
    def tag_keys(self) -> frozenset[str]:
        """The tag keys that decide which policy applies, and are guarded for that reason."""
        return frozenset(key for rule in self.rules if rule.read for key in rule.read.tag_keys)

    @property
    def unreadable(self) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.read is None)

    def over(self, name: str, tags: Mapping[str, str]) -> tuple[Rule, ...]:
        """The policies that apply to a model of this name with these tags."""
        return tuple(rule for rule in self.rules if rule.applies_to(name, tags))

    def about(self, model: RegisteredModel, *, entering: Target | None, leaving: Iterable[Target]) -> tuple[Rule, ...]:
        """The policies with a say in a version of ``model`` gaining ``entering`` and giving up ``leaving``."""
        left = tuple(leaving)
        chosen = []
        for rule in self.over(model.name, model.tags):
            if entering is not None and rule.guards(entering):
                chosen.append(rule)
            elif guarded := next((target for target in left if rule.guards(target)), None):
                chosen.append(replace(rule, leaving=guarded))
        return tuple(chosen)


def _rule(policy: Policy) -> Rule:
    assert policy.current is not None  # in_force() asks for it
    read, problem = _read(policy.current.text)
    return Rule(revision=policy.current, name=policy.name, read=read, problem=problem)


def _read(text: str) -> tuple[ReadPolicy | None, str]:
    try:
        return parse_published(text), ""
    except PolicyError as error:
        return None, str(error)
