"""How each kind of requirement is judged: one function from a requirement and the facts to a node.

A missing fact is never met: it is ``waiting`` when somebody can still bring it, else ``error``.
"""

from __future__ import annotations

import math
from fractions import Fraction

from approvals.policy.document import (
    ApprovalsRule,
    Change,
    CheckRule,
    DescriptionRule,
    MetricRule,
    Policy,
    Requirement,
    RunRule,
    ScanRule,
    SignatureRule,
    TagsRule,
)
from approvals.policy.facts import UNREAD, Baseline, CheckStatus, Dataset, Facts, Holder, Metric, RunFact
from approvals.policy.reviews import judge_approvals
from approvals.policy.scans import judge_scan
from approvals.policy.source import exact, listed
from approvals.policy.verdict import Node, Status
from approvals.policy.wording import amount, figure, needed, obligation, tags, title

_MOST_BREAKS = 5  # that a sentence names
_UNREAD = "Which version is in Production was not looked up, so there is nothing to compare with."
# With a baseline of 0 every percentage of it is 0; a demanded gain is then any gain at all, as in mlflow.
_LEAST_GAIN = Fraction(1, 10**10)


def judge(rule: Requirement, policy: Policy, facts: Facts) -> Node:
    """The node of one requirement."""
    if isinstance(rule, ApprovalsRule):
        return judge_approvals(rule, policy, facts)
    if facts.leaving:
        reason = f"The version only gives up {facts.target_words}: its evidence is not asked for."
        return Node(kind=_KINDS[type(rule)], title=title(rule), status=Status.SKIPPED, reason=reason)
    match rule:
        case MetricRule():
            return judge_metric(rule, facts)
        case CheckRule():
            return judge_check(rule, facts)
        case DescriptionRule():
            return judge_description(rule, facts)
        case SignatureRule():
            return judge_signature(rule, facts)
        case TagsRule():
            return judge_tags(rule, facts)
        case RunRule():
            return judge_run(rule, facts)
        case ScanRule():
            return judge_scan(rule, policy, facts)


_KINDS: dict[type[Requirement], str] = {
    MetricRule: "metric",
    CheckRule: "check",
    DescriptionRule: "description",
    SignatureRule: "signature",
    TagsRule: "tags",
    RunRule: "run",
    ScanRule: "scan",
}


def judge_metric(rule: MetricRule, facts: Facts) -> Node:
    """A metric against its pass marks and, where the policy says so, against a version that is there already."""

    def node(status: Status, reason: str, *, value: str = "", clears: bool = True) -> Node:
        return Node(
            kind="metric",
            name=rule.name,
            title=title(rule),
            status=status,
            reason=reason,
            figure=value,
            exact=repr(metric.value) if metric and value != repr(metric.value) else "",
            needed=needed(rule),
            who=_requester(facts) if clears else (),
            people=(facts.requester,) if clears else (),
            missing=1 if status == Status.WAITING else 0,
            awaited=f"the metric {rule.name}" if status == Status.WAITING else "",
        )

    metric = facts.metrics.get(rule.name)
    if metric is None:
        return node(Status.WAITING, f"{rule.name} has not been logged.")
    if rule.dataset and metric.dataset != rule.dataset:
        measured = (
            f"was measured on {metric.dataset}" if metric.dataset else "does not say on which dataset it was measured"
        )
        return node(Status.WAITING, f"{rule.name} {measured}; {rule.dataset} is needed.")
    if not math.isfinite(metric.value):
        value = figure(metric.value)
        return node(Status.UNMET, f"{rule.name} is {value}, which no limit accepts.", value=value)

    limits = [limit.exact for limit in (rule.min, rule.max) if limit is not None]
    value = figure(metric.value, beside=limits)
    broken = _broken_limits(rule, metric)
    compared = ""
    if rule.changes:
        holder = _holder(rule.baseline, facts)
        if holder is UNREAD:
            return node(Status.ERROR, _UNREAD, value=value, clears=False)
        if holder is not None:
            before = holder.metrics.get(rule.name)
            if before is None or not math.isfinite(before.value):
                has = "has no" if before is None else f"has {figure(before.value)} as"
                reason = f"Version {holder.version} {has} {rule.name}, so there is nothing to compare with."
                return node(Status.ERROR, reason, value=value, clears=False)
            if rule.dataset and before.dataset != rule.dataset:
                reason = f"Version {holder.version} has no {rule.name} on {rule.dataset} to compare with."
                return node(Status.ERROR, reason, value=value, clears=False)
            was, moved = exact(before.value), exact(metric.value) - exact(before.value)
            value = figure(metric.value, beside=[*limits, was] if moved else limits)
            broken += [obligation(change) for change in rule.changes if not _allows(change, moved, was)]
            stood = figure(before.value, beside=[exact(metric.value), Fraction(value)]) if moved else value
            compared = f", {_moved(moved, rule)} version {holder.version} ({stood})"
        elif not limits:
            reason = f"Nobody holds {_held(rule.baseline, facts)}, so there is nothing to compare {rule.name} with."
            return node(Status.SKIPPED, reason, value=value, clears=False)
    if broken:
        return node(Status.UNMET, f"{rule.name} is {value}{compared}, but it must {listed(broken)}.", value=value)
    return node(Status.MET, f"{rule.name} is {value}{compared}.", value=value, clears=False)


def _broken_limits(rule: MetricRule, metric: Metric) -> list[str]:
    value = exact(metric.value)
    broken = []
    if rule.min is not None and value < rule.min.exact:
        broken.append(f"be at least {rule.min.text}")
    if rule.max is not None and value > rule.max.exact:
        broken.append(f"be at most {rule.max.text}")
    return broken


def _holder(baseline: str, facts: Facts) -> Baseline | Holder | None:
    if baseline == "target" or (facts.target_kind, facts.target) == ("stage", "Production"):
        return facts.baseline
    return facts.production


def _held(baseline: str, facts: Facts) -> str:
    if baseline == "production":
        return "Production"
    return facts.target_words


def _allows(change: Change, moved: Fraction, before: Fraction) -> bool:
    """The mathematics of ``mlflow.models.MetricThreshold``, on the decimals that people see."""
    distance = moved if change.way == "rise" else -moved
    limit = change.size.exact
    if change.percent:
        limit = limit / 100 * abs(before)
    if change.bound == "max":
        return distance <= limit
    if change.percent and before == 0:
        limit = _LEAST_GAIN
    return distance >= limit


def _moved(moved: Fraction, rule: MetricRule) -> str:
    if moved == 0:
        return "the same as"
    sizes = [change.size.exact for change in rule.changes if not change.percent]
    return f"{figure(abs(moved), beside=sizes)} {'above' if moved > 0 else 'below'}"


def judge_check(rule: CheckRule, facts: Facts) -> Node:
    """A reported result counts from whom the policy names, for the bytes that are asked for; the last one decides."""
    reports = [check for check in facts.checks if check.name == rule.name and check.reporter == rule.reporter]
    current = [check for check in reports if check.digest_matches]
    status, value, link = Status.WAITING, "", ""
    if current:
        check = current[-1]
        value, link = check.figure, check.link
        if check.status == CheckStatus.PASSED:
            status, reason = Status.MET, f"{rule.reporter} reported that {rule.name} passed."
            value = value or "passed"
        elif check.status == CheckStatus.FAILED:
            status, reason = Status.UNMET, f"{rule.reporter} reported that {rule.name} failed."
            value = value or "failed"
        elif check.status in (CheckStatus.QUEUED, CheckStatus.RUNNING):
            reason = f"{rule.name} is {check.status}."
        elif check.status == CheckStatus.ERROR:
            status, reason = Status.ERROR, f"{rule.reporter} could not carry {rule.name} out."
        else:
            status, reason = (
                Status.ERROR,
                f"{rule.reporter} reported a result of {rule.name} that is neither passed nor failed.",
            )
    elif reports:
        reason = f"{rule.reporter} reported {rule.name} on other files than these."
    elif any(check.name == rule.name for check in facts.checks):
        reason = f"{rule.name} was reported, but not by {rule.reporter}."
    else:
        reason = f"{rule.reporter} has not reported {rule.name}."
    waiting = status == Status.WAITING
    return Node(
        kind="check",
        name=rule.name,
        title=title(rule),
        status=status,
        reason=reason,
        figure=value,
        needed="passed",
        who=() if status == Status.MET else (rule.reporter,),
        missing=1 if waiting else 0,
        awaited=f"the check {rule.name}" if waiting else "",
        link=link,
    )


def judge_description(rule: DescriptionRule, facts: Facts) -> Node:
    length = len(facts.description.strip())
    met = length >= rule.min_length
    if met:
        reason = f"The description has {amount(length, 'character')}."
    elif length:
        reason = f"The description has {amount(length, 'character')}; {rule.min_length} are needed."
    else:
        reason = "The version has no description."
    return Node(
        kind="description",
        title=title(rule),
        status=Status.MET if met else Status.WAITING,
        reason=reason,
        figure=amount(length, "character"),
        needed=f"≥ {amount(rule.min_length, 'character')}",
        who=() if met else _requester(facts),
        people=() if met else (facts.requester,),
        missing=0 if met else 1,
        awaited="" if met else "a description" if not length else "a longer description",
    )


def judge_signature(rule: SignatureRule, facts: Facts) -> Node:
    """Whether whoever calls the baseline can go on as they do; where nobody holds it, that there is a signature."""
    holder = _holder(rule.compatible_with, facts)
    if not facts.has_signature:
        return _asked(rule, facts, Status.WAITING, "The version has no signature.", awaited="a model with a signature")
    if holder is UNREAD:
        return _asked(rule, facts, Status.ERROR, _UNREAD)
    if holder is None:
        held = _held(rule.compatible_with, facts)
        return _asked(rule, facts, Status.MET, f"The version has a signature, and nobody holds {held} yet.")
    if not holder.has_signature:
        reason = f"Version {holder.version} has no signature, so there is nothing to compare with."
        return _asked(rule, facts, Status.ERROR, reason)
    if holder.breaks:
        shown = [*holder.breaks[:_MOST_BREAKS], *(["and more"] if len(holder.breaks) > _MOST_BREAKS else [])]
        reason = f"Callers of version {holder.version} may fail: {'; '.join(shown)}."
        return _asked(rule, facts, Status.UNMET, reason)
    return _asked(rule, facts, Status.MET, f"Whoever calls version {holder.version} can call this one.")


def judge_tags(rule: TagsRule, facts: Facts) -> Node:
    missing = [key for key in rule.keys if not facts.tags.get(key, "").strip()]
    value = f"{len(rule.keys) - len(missing)} of {len(rule.keys)}"
    if not missing:
        return _asked(rule, facts, Status.MET, "The version has every tag that is asked for.", value=value)
    lacking = f"the {tags(missing)}"
    return _asked(rule, facts, Status.WAITING, f"The version lacks {lacking}.", value=value, awaited=lacking)


def judge_run(rule: RunRule, facts: Facts) -> Node:
    """The worst of what is asked of the run decides: what is wrong with it comes before what is not known yet."""
    run = facts.run
    if run is None:
        return _asked(rule, facts, Status.WAITING, "No run of this version is known.", awaited="a run of the version")
    found = [answer for ask in (_finished, _committed, _described, _evaluated) if (answer := ask(rule, run, facts))]
    for status in (Status.UNMET, Status.ERROR, Status.WAITING):
        if sentences := [reason for answered, reason in found if answered == status]:
            awaited = "what the run should show" if status == Status.WAITING else ""
            return _asked(rule, facts, status, " ".join(sentences), awaited=awaited)
    return _asked(rule, facts, Status.MET, " ".join(reason for _, reason in found))


_Answer = tuple[Status, str] | None


def _finished(rule: RunRule, run: RunFact, _facts: Facts) -> _Answer:
    if not rule.finished:
        return None
    if run.status == "FINISHED":
        return Status.MET, "The run has finished."
    if run.status in ("FAILED", "KILLED"):
        return Status.UNMET, f"The run has {'failed' if run.status == 'FAILED' else 'been killed'}."
    return Status.WAITING, "The run has not finished." if run.status else "Whether the run has finished is not known."


def _committed(rule: RunRule, run: RunFact, _facts: Facts) -> _Answer:
    if not rule.commit:
        return None
    if not run.commit:
        return Status.WAITING, "The run names no commit."
    if rule.commit == "clean" and run.dirty is None:
        return (
            Status.WAITING,
            "The run does not say by its tag mlflow.source.git.dirty whether its code was committed.",
        )
    if rule.commit == "clean" and run.dirty:
        return Status.UNMET, f"The run's working copy had uncommitted changes on top of {run.commit[:12]}."
    return Status.MET, f"Its code is the commit {run.commit[:12]}."


def _described(rule: RunRule, run: RunFact, _facts: Facts) -> _Answer:
    if not rule.datasets:
        return None
    if not run.datasets:
        return Status.WAITING, "The run names no dataset."
    if unknown := [dataset.name for dataset in run.datasets if not dataset.digest]:
        return Status.WAITING, f"The dataset {unknown[0]} has no digest."
    return Status.MET, f"It names {amount(len(run.datasets), 'dataset')}, each with its digest."


def _evaluated(rule: RunRule, run: RunFact, facts: Facts) -> _Answer:
    if not rule.evaluated_like:
        return None
    holder = _holder(rule.evaluated_like, facts)
    mine = evaluated_on(run.datasets)
    if not mine:
        return Status.WAITING, "The run names no dataset that it was evaluated on."
    if not all(digest for _, digest in mine):
        return Status.WAITING, "A dataset that the run was evaluated on has no digest."
    if not isinstance(holder, Baseline):
        if holder is UNREAD:
            return Status.ERROR, _UNREAD
        return Status.MET, f"Nobody holds {_held(rule.evaluated_like, facts)} yet, so any evaluation will do."
    theirs = evaluated_on(holder.datasets)
    if not theirs:
        reason = (
            f"Version {holder.version} names no dataset that it was evaluated on, so there is nothing to compare with."
        )
        return Status.ERROR, reason
    if not all(digest for _, digest in theirs):
        return Status.ERROR, f"A dataset that version {holder.version} was evaluated on has no digest to compare with."
    if mine != theirs:
        return Status.UNMET, f"It was not evaluated on the same datasets as version {holder.version}."
    return Status.MET, f"It was evaluated on the same datasets as version {holder.version}."


def evaluated_on(datasets: tuple[Dataset, ...]) -> frozenset[tuple[str, str]]:
    """Those that say what they are for, and that it was not training."""
    return frozenset((d.name, d.digest) for d in datasets if d.context.lower() not in ("", "train", "training"))


def _asked(
    rule: SignatureRule | TagsRule | RunRule,
    facts: Facts,
    status: Status,
    reason: str,
    *,
    value: str = "",
    awaited: str = "",
) -> Node:
    """The node of what only the requester can bring."""
    clears = status in (Status.WAITING, Status.UNMET)
    return Node(
        kind=_KINDS[type(rule)],
        title=title(rule),
        status=status,
        reason=reason,
        figure=value,
        who=_requester(facts) if clears else (),
        people=(facts.requester,) if clears else (),
        missing=1 if status == Status.WAITING else 0,
        awaited=awaited,
    )


def _requester(facts: Facts) -> tuple[str, ...]:
    return (facts.requester_name,) if facts.requester_name else ()
