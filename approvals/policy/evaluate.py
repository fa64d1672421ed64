"""The one function that decides: a policy and the facts in, an explained verdict out. It reads nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from approvals.policy.document import ApprovalsRule, Policy
from approvals.policy.facts import Facts
from approvals.policy.moments import judge_freeze
from approvals.policy.reviews import judge_objections, judge_threads
from approvals.policy.rules import judge
from approvals.policy.verdict import Node, Status, Verdict, worst
from approvals.policy.wording import amount


def evaluate(policy: Policy, facts: Facts) -> Verdict:
    """Judge one version for one target by one policy."""
    nodes = [judge(rule, policy, facts) for rule in policy.requirements]
    if not any(isinstance(rule, ApprovalsRule) for rule in policy.requirements):
        objection = judge_objections(facts)
        nodes += [objection] if objection else []
    if policy.reviews.threads_resolved:
        nodes.append(judge_threads(facts))
    freeze = judge_freeze(policy, facts)
    nodes += [freeze] if freeze else []
    if not policy.blocks:
        nodes = [replace(node, blocking=False) for node in nodes]
    children = tuple(nodes)
    status = worst(children)
    met, total = (
        sum(node.status == Status.MET for node in children),
        sum(node.status != Status.SKIPPED and not node.is_moment for node in children),
    )
    root = Node(
        kind="policy",
        name=policy.name,
        title=policy.name,
        status=status,
        reason=f"{met} of {amount(total, 'requirement')} met.",
        figure=f"{met} of {total}",
        children=children,
        blocking=policy.blocks,
        enforcement=policy.enforcement,
    )
    return Verdict(root)


def unreadable(name: str, problem: str) -> Verdict:
    """The verdict of a policy whose text cannot be read: it blocks, and says where the text is wrong."""
    root = Node(
        kind="policy",
        name=name,
        title=name,
        status=Status.ERROR,
        reason=f"The policy {name} cannot be read: {problem.rstrip('.')}.",
        enforcement="block",
    )
    return Verdict(root)


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """Several policies over one target: all of them must hold. None at all holds."""
    policies = tuple(policy for verdict in verdicts for policy in verdict.policies)
    if len(policies) == 1:
        return Verdict(policies[0])
    blocking = tuple(policy for policy in policies if policy.blocking)
    ruling = [policy for policy in blocking if not policy.is_moment]
    failing = [policy for policy in ruling if not policy.passes]
    root = Node(
        kind="all",
        title="all policies",
        status=worst(blocking) if blocking else Status.MET,
        reason=f"{len(ruling) - len(failing)} of {len(ruling)} policies hold."
        if blocking
        else "No policy blocks this.",
        children=policies,
        blocking=bool(blocking),
    )
    return Verdict(root)
