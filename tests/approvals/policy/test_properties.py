"""What must hold for any policy and any facts."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from approvals.policy import (
    Baseline,
    CheckFact,
    Facts,
    Metric,
    Policy,
    ReviewFact,
    ReviewVerdict,
    RunFact,
    ScanFact,
    Status,
    combine,
    evaluate,
)
from tests.approvals.policy.cast import MEMBERS, MIRA, NAMES, TEAMS, evaluated_on, facts, policy

NUMBERS = st.sampled_from([0.0, 0.5, 0.9, 0.95, 1.0, float("nan"), float("inf"), -float("inf")])
METRICS = st.dictionaries(st.sampled_from(["auc", "f1"]), NUMBERS.map(Metric))
RULES = [
    "metric: {name: auc, min: 0.9}",
    "metric: {name: f1, max: 0.9}",
    "metric: {name: auc, baseline: target, max_drop: 0.04}",
    "metric: {name: f1, baseline: production, min_rise_percent: 1}",
    "check: {name: tests, from: ci-bot}",
    "description: {min_length: 3}",
    "signature: {compatible_with: target}",
    "tags: [owner]",
    "run: {finished: true, commit: clean, datasets: true, evaluated_like: target}",
    "scan: clean",
    "scan: {vouched_by: risk}",
    "approvals: {count: 1}",
    "approvals: {count: 2, teams: {risk: 1, ml-leads: 1}}",
    "approvals: {count: 3, teams: {risk: 2}}",
]
POLICIES = st.builds(
    lambda rules, may, threads, enforcement: policy(
        *rules,
        more=f"reviews: {{author_may_approve: {str(may).lower()}, threads_resolved: {str(threads).lower()}}}\n"
        f"enforcement: {enforcement}\n",
    ),
    st.lists(st.sampled_from(RULES), min_size=1, unique=True),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["block", "warn", "shadow"]),
)
PEOPLE = st.sampled_from(sorted(NAMES))
REVIEWS = st.builds(
    lambda person, verdict, counts: ReviewFact(
        person, NAMES[person], verdict, frozenset(TEAMS.get(person, ())), counts
    ),
    PEOPLE,
    st.sampled_from(list(ReviewVerdict)),
    st.booleans(),
)
CHECKS = st.builds(
    CheckFact,
    st.sampled_from(["tests", "scan"]),
    st.sampled_from(["ci-bot", "mira"]),
    st.sampled_from(["passed", "failed", "running", "odd"]),
    st.booleans(),
    person=st.none() | PEOPLE,
)
FINDINGS = st.sampled_from([(), ("model.pkl: It breaks off.",)])
SCANS = st.none() | st.builds(ScanFact, st.integers(1, 3), st.integers(0, 1), FINDINGS, FINDINGS)
BREAKS = st.sampled_from([(), ("the output score is gone",)])
DATASETS = st.sampled_from([(), evaluated_on("test"), evaluated_on("test", digest=""), evaluated_on("other")])
STATUSES = st.sampled_from(["", "RUNNING", "FINISHED", "FAILED", "KILLED"])
FACTS = st.builds(
    lambda values, before, reviews, authors, checks, text, leaving, members, signature, owner, run, threads, scan: (
        facts(
            metrics=values,
            baseline=before,
            has_signature=signature,
            tags={"owner": owner},
            run=run,
            reviews=tuple(reviews),
            authors=frozenset(authors),
            checks=tuple(checks),
            description=text,
            leaving=leaving,
            team_members=members,
            open_threads=threads,
            scan=scan,
            thread_resolvers={MIRA: "mira"},
        )
    ),
    METRICS,
    st.none() | st.builds(Baseline, st.just(2), METRICS, st.booleans(), BREAKS, DATASETS),
    st.lists(REVIEWS, max_size=6),
    st.sets(PEOPLE, max_size=2),
    st.lists(CHECKS, max_size=3),
    st.sampled_from(["", "ab", "abc"]),
    st.booleans(),
    st.sampled_from([{}, MEMBERS, {"risk": {}, "ml-leads": {}}]),
    st.booleans(),
    st.sampled_from(["", "mira"]),
    st.none() | st.builds(RunFact, STATUSES, st.sampled_from(["", "abc"]), st.none() | st.booleans(), DATASETS),
    st.none() | st.integers(0, 3),
    SCANS,
)


@given(POLICIES, FACTS, st.randoms())
def test_the_order_of_requirements_never_matters(read: Policy, known: Facts, chance: random.Random) -> None:
    shuffled = list(read.requirements)
    chance.shuffle(shuffled)

    one, other = evaluate(read, known), evaluate(replace(read, requirements=tuple(shuffled)), known)

    assert (one.satisfied, one.all_met, one.counts) == (other.satisfied, other.all_met, other.counts)
    assert one.waiting_for == other.waiting_for
    assert set(one.requirements) == set(other.requirements)


@given(POLICIES, FACTS, PEOPLE)
def test_an_approval_of_somebody_who_may_never_unmeets_anything(read: Policy, known: Facts, person: int) -> None:
    approval = ReviewFact(person, NAMES[person], ReviewVerdict.APPROVE, frozenset(TEAMS.get(person, ())))

    before = evaluate(read, known)
    after = evaluate(read, replace(known, reviews=(*known.reviews, approval)))

    met_after = {node.title for node in after.requirements if node.passes}
    assert all(node.title in met_after for node in before.requirements if node.passes)
    assert after.satisfied or not before.satisfied


@given(POLICIES, FACTS)
def test_missing_evidence_is_never_met(read: Policy, known: Facts) -> None:
    bare = replace(
        known, metrics={}, checks=(), description="", reviews=(), leaving=False, has_signature=False, tags={}, run=None,
        open_threads=None, scan=None,
    )  # fmt: skip

    verdict = evaluate(read, bare)

    assert not any(node.status in (Status.MET, Status.SKIPPED) for node in verdict.requirements)
    assert not verdict.all_met
    assert verdict.satisfied is not read.blocks


@given(POLICIES, FACTS)
def test_nobodys_word_makes_files_safe_that_are_not_or_read_that_are_not_yet(read: Policy, known: Facts) -> None:
    for scan in (ScanFact(2, unsafe=("model.pkl: It imports os.system.",)), ScanFact(2, pending=1)):
        verdict = evaluate(read, replace(known, scan=scan, leaving=False))

        assert not any(node.status == Status.MET for node in verdict.requirements if node.kind == "scan")


@given(POLICIES, FACTS)
def test_an_open_thread_stops_what_waits_for_threads_and_nothing_else(read: Policy, known: Facts) -> None:
    settled, opened = (evaluate(read, replace(known, open_threads=number)) for number in (0, 1))

    if read.reviews.threads_resolved:
        assert opened.satisfied is not read.blocks
        assert [node for node in settled.requirements if node.kind != "threads"] == [
            node for node in opened.requirements if node.kind != "threads"
        ]
    else:
        assert opened == settled


@given(POLICIES, FACTS)
def test_a_metric_that_is_no_number_is_never_met(read: Policy, known: Facts) -> None:
    broken = replace(known, metrics={"auc": Metric(float("nan")), "f1": Metric(float("nan"))}, leaving=False)

    verdict = evaluate(read, broken)

    assert all(node.status == Status.UNMET for node in verdict.requirements if node.kind == "metric")


@given(POLICIES, FACTS)
def test_nobody_who_may_not_approve_is_named_as_who_can(read: Policy, known: Facts) -> None:
    verdict = evaluate(read, replace(known, reviews=()))

    authors = set() if read.reviews.author_may_approve else known.authors | {known.requester}
    for node in verdict.requirements:
        if node.kind == "approvals":
            assert not authors & set(node.people)


@given(POLICIES, FACTS)
def test_a_verdict_agrees_with_itself(read: Policy, known: Facts) -> None:
    verdict = evaluate(read, known)
    met, total = verdict.counts

    assert verdict == evaluate(read, known)
    assert 0 <= met <= total
    assert verdict.all_met is all(node.passes for node in verdict.requirements)
    assert verdict.satisfied is (not verdict.open)
    assert not verdict.waiting_for or verdict.open
    assert verdict.sentence.endswith(".") and ";;" not in verdict.sentence and ".." not in verdict.sentence
    assert all(node.reason.endswith(".") for node in verdict.requirements)
    assert all(node.passes or node.blocking is read.blocks for node in verdict.requirements)


@given(st.lists(st.tuples(POLICIES, FACTS), max_size=3))
def test_several_policies_hold_exactly_when_each_does(cases: list[tuple[Policy, Facts]]) -> None:
    verdicts = [evaluate(read, known) for read, known in cases]

    together, reversed_ = combine(verdicts), combine(verdicts[::-1])

    assert together.satisfied is all(verdict.satisfied for verdict in verdicts)
    assert together.all_met is all(verdict.all_met for verdict in verdicts)
    assert (together.satisfied, together.counts, together.waiting_for) == (
        reversed_.satisfied,
        reversed_.counts,
        reversed_.waiting_for,
    )
