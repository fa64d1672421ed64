from __future__ import annotations

from typing import get_args

import pytest

from approvals.policy import Requirement, parse, sentences
from approvals.policy.reading import RULES
from tests.approvals.policy.cast import HEAD, policy
from tests.approvals.policy.test_document import FULL


def test_a_policy_reads_as_plain_sentences() -> None:
    assert sentences(parse(FULL)) == [
        "Applies to models named churn-* or fraud-* whose tag tier is critical.",
        "Guards the stage Production and the alias champion.",
        "Nothing gets there until every requirement is met.",
        "accuracy must be at least 0.90.",
        "auc must not fall by more than 0.005 against the version in Production.",
        "latency_p95_ms must be at most 60, measured on test.",
        "The check integration-tests must pass, as reported by ci-bot.",
        "The version's description must have at least 40 characters.",
        "2 approvals: at least one from risk and one from ml-leads.",
        "Nobody approves a version that they asked for, registered or trained.",
        "An approval no longer counts once any of these changes: "
        "the files or the metrics, parameters or tags of the run.",
        "A direct move is refused, and opens a request instead.",
        "The version that is replaced in a stage stays there unless the request says to archive it.",
    ]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('["*"]', '["*"]', "Applies to every model."),
        ('["*"]', '["a-*", "*"]', "Applies to every model."),
        ('["*"]', "[churn]", "Applies to the model churn."),
        ('["*"]', "[churn, fraud]", "Applies to the models churn and fraud."),
        ("[stage:Production]", '[stage:Staging, "alias:*"]', "Guards the stage Staging and every alias."),
        ("[stage:Production]", '["alias:prod-?"]', "Guards the aliases prod-?."),
        ("name: gate", "name: gate\nenforcement: warn", "It only warns: a change goes through and leaves an event"),
        (
            "name: gate",
            "name: gate\nenforcement: shadow",
            "It is on trial: it is evaluated, and stops or warns nobody.",
        ),
        ("name: gate", "name: gate\nreviews: {author_may_approve: true}", "Whoever asked for, registered or trained"),
        (
            "name: gate",
            "name: gate\nreviews: {expires_after: 2w}",
            "A request that is not decided within 14 days expires.",
        ),
        (
            "name: gate",
            "name: gate\nreviews: {expires_after: 36h}",
            "A request that is not decided within 36 hours expires.",
        ),
        (
            "name: gate",
            "name: gate\nreviews: {threads_resolved: true}",
            "Every thread of comments on the request, or on its version, must be resolved.",
        ),
        ("name: gate", "name: gate\nreviews: {dismiss_on: []}", "An approval stays, whatever changes after it."),
        ("name: gate", "name: gate\non_direct_change: allow_if_satisfied", "A direct move goes through when every"),
    ],
)
def test_every_choice_has_its_sentence(old: str, new: str, sentence: str) -> None:
    text = f"{HEAD}requirements: [approvals: {{count: 1}}]\n".replace(old, new)

    assert [line for line in sentences(parse(text)) if line.startswith(sentence)]


@pytest.mark.parametrize(
    ("requirement", "sentence"),
    [
        ("approvals: {count: 1}", "1 approval."),
        ("approvals: {count: 2, teams: {risk: 2}}", "2 approvals from risk."),
        ("approvals: {count: 3, teams: {risk: 2}}", "3 approvals: at least two from risk."),
        (
            "signature: {compatible_with: production}",
            "The signature must let callers of the version in Production go on as they do.",
        ),
        ("tags: [owner]", "The version must have the tag owner."),
        ("tags: [owner, datasheet]", "The version must have the tags owner and datasheet."),
        (
            "run: {finished: true, commit: clean, datasets: true, evaluated_like: target}",
            "The version's run must be one that is finished, from a clean commit, on datasets with digests "
            "and evaluated on the datasets of the current holder.",
        ),
        ("metric: {name: f1, min: 0.5, max: 0.9}", "f1 must be at least 0.5 and be at most 0.9."),
        ("metric: {name: f1, baseline: target, max_drop: 0}", "f1 must not fall against the version that it replaces."),
        (
            "metric: {name: f1, baseline: production, min_rise_percent: 5}",
            "f1 must rise by at least 5 % against the version in Production.",
        ),
    ],
)
def test_every_requirement_has_its_sentence(requirement: str, sentence: str) -> None:
    assert sentence in sentences(policy(requirement))


def test_every_kind_of_requirement_is_read_worded_and_judged() -> None:
    """A new rule needs a reader, a sentence, and a judgement: the tables of facts show that these are there."""
    assert len(RULES) == len(get_args(Requirement))
