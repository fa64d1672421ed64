from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.policy import (
    ApprovalsRule,
    CheckRule,
    DescriptionRule,
    Guard,
    Match,
    MetricRule,
    PolicyError,
    Problem,
    Requirement,
    Reviews,
    RunRule,
    SignatureRule,
    TagsRule,
    parse,
    sentences,
)
from tests.approvals.policy.cast import HEAD, policy

FULL = """\
name: production-gate
description: What every model must show before it serves customers.
match:
  models: ["churn-*", "fraud-*"]
  tags: {tier: critical}
guards: [stage:Production, alias:champion]
enforcement: block
requirements:
  - metric: {name: accuracy, min: 0.90}
  - metric: {name: auc, baseline: production, max_drop: 0.005}
  - metric: {name: latency_p95_ms, max: 60, dataset: test}
  - check: {name: integration-tests, from: ci-bot}
  - description: {min_length: 40}
  - approvals: {count: 2, teams: {risk: 1, ml-leads: 1}}
reviews:
  author_may_approve: false
  dismiss_on: [artifacts, evidence]
  threads_resolved: false
on_direct_change: open_request
archive_replaced: false
"""


def problems_of(text: str) -> list[Problem]:
    try:
        parse(text)
    except PolicyError as error:
        return error.errors
    return []


def refusal(text: str) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        parse(text)
    return caught.value


def test_every_part_of_a_policy_is_read() -> None:
    read = parse(FULL)

    assert read.name == "production-gate"
    assert read.description == "What every model must show before it serves customers."
    assert read.match == Match(models=("churn-*", "fraud-*"), tags=(("tier", "critical"),))
    assert read.guards == (Guard("stage", "Production"), Guard("alias", "champion"))
    assert (read.enforcement, read.on_direct_change, read.archive_replaced) == ("block", "open_request", False)
    assert read.reviews == Reviews(author_may_approve=False, dismiss_on=frozenset({"artifacts", "evidence"}))
    accuracy, auc, latency, check, description, approvals = read.requirements
    assert isinstance(accuracy, MetricRule) and accuracy.min is not None
    assert (accuracy.name, accuracy.min.value, accuracy.min.text, accuracy.max) == ("accuracy", 0.9, "0.90", None)
    assert isinstance(auc, MetricRule)
    (change,) = auc.changes
    assert (auc.baseline, change.way, change.bound, change.percent) == ("production", "drop", "max", False)
    assert isinstance(latency, MetricRule) and latency.max is not None
    assert (latency.max.value, latency.dataset) == (60.0, "test")
    assert check == CheckRule("integration-tests", "ci-bot")
    assert description == DescriptionRule(40)
    assert approvals == ApprovalsRule(2, (("risk", 1), ("ml-leads", 1)))
    assert read.teams == ("risk", "ml-leads")
    assert read.tag_keys == {"tier"}


def test_what_is_left_out_is_the_strict_choice() -> None:
    read = policy("approvals: {count: 1}")

    assert read.enforcement == "block" and read.blocks
    assert read.on_direct_change == "refuse"
    assert read.archive_replaced
    assert read.reviews == Reviews(False, frozenset({"artifacts", "evidence", "policy", "baseline"}))


def test_what_is_asked_of_signature_tags_and_run_is_read() -> None:
    asked = ("signature: {compatible_with: production}", "tags: [owner, datasheet]", "run: {commit: clean}")

    assert policy(*asked, "run: {finished: true, datasets: true, evaluated_like: target}").requirements == (
        SignatureRule("production"),
        TagsRule(("owner", "datasheet")),
        RunRule(commit="clean"),
        RunRule(finished=True, datasets=True, evaluated_like="target"),
    )


@pytest.mark.parametrize(("written", "hours"), [("12h", 12), ("14d", 336), ("2w", 336), ("9999d", 239_976)])
def test_a_time_is_read_in_its_unit(written: str, hours: int) -> None:
    read = policy("approvals: {count: 1}", more=f"reviews: {{expires_after: {written}}}\n")

    assert read.reviews.expires_after == timedelta(hours=hours)


def test_a_policy_applies_by_name_and_by_every_tag() -> None:
    read = parse(FULL)

    assert read.applies_to("churn-predictor", {"tier": "critical", "team": "growth"})
    assert not read.applies_to("churn-predictor", {"tier": "low"})
    assert not read.applies_to("churn-predictor", {})
    assert not parse(FULL.replace("tier: critical", "tier: critical, eu: 1")).applies_to(
        "churn-x", {"tier": "critical"}
    )
    assert not read.applies_to("prices", {"tier": "critical"})


def test_guards_name_stages_and_aliases_and_aliases_by_glob() -> None:
    read = parse(FULL.replace("alias:champion", '"alias:prod-*"'))

    assert read.guards_target("stage", "Production")
    assert not read.guards_target("stage", "Staging")
    assert read.guards_target("alias", "prod-eu")
    assert not read.guards_target("alias", "champion")
    assert not read.guards_target("alias", "Production")
    assert [str(guard) for guard in read.guards] == ["stage:Production", "alias:prod-*"]


def test_texts_mean_what_is_written_not_what_yaml_makes_of_them() -> None:
    read = parse(FULL.replace("tier: critical", "public: yes, level: 010, at: 1:30"))

    assert read.match.tags == (("public", "yes"), ("level", "010"), ("at", "1:30"))


@pytest.mark.parametrize(
    ("written", "value"), [("1e-3", 0.001), ("-5", -5.0), ("+2.5", 2.5), ("0", 0.0), ("1E2", 100.0)]
)
def test_numbers_as_people_write_them(written: str, value: float) -> None:
    (rule,) = policy(f"metric: {{name: auc, min: {written}}}").requirements

    assert isinstance(rule, MetricRule) and rule.min is not None and rule.min.value == value


# Line by line: what is wrong, the line it is on, a part of what the author is told.
ON_LINE = [
    ("name: production-gate", "name: [a]", 1, "name must be a text, this is a list"),
    ("name: production-gate", "name:", 1, "name must be a text, this is nothing"),
    ("name: production-gate", "name: ''", 1, "must not be blank"),
    ("name: production-gate", "name: two words", 1, "letters, digits, - and _"),
    ("name: production-gate", f"name: {'x' * 101}", 1, "at most 100 characters"),
    ("name: production-gate", 'name: "a\\u202Eb"', 1, "invisible character U+202E"),
    ("name: production-gate", "nam: production-gate", 1, "unknown key 'nam' in a policy; did you mean name?"),
    ("description: What", "description: {a: b} #", 2, "description must be a text, this is a mapping"),
    ("match:\n", "match: []\nx:\n", 3, "match must be a mapping"),
    ('  models: ["churn-*", "fraud-*"]', "  models: churn-*", 4, "models must be a list, as in"),
    ('  models: ["churn-*", "fraud-*"]', "  models: []", 4, "models must not be empty"),
    ('  models: ["churn-*", "fraud-*"]', "  model: [a]", 4, "did you mean models?"),
    ('["churn-*", "fraud-*"]', f'["{"*a" * 129}"]', 4, "at most 256 characters"),
    ('["churn-*", "fraud-*"]', '["churn-[ab]"]', 4, "knows only * and ?"),
    ('["churn-*", "fraud-*"]', '[" churn-*"]', 4, "must not begin or end with a space"),
    ('["churn-*", "fraud-*"]', f"[{'a, ' * 201}]", 4, "at most 200 entries, this has 201"),
    ("{tier: critical}", "{" + ", ".join(f"k{n}: v" for n in range(201)) + "}", 5, "at most 200 entries"),
    ("{tier: critical}", "{}", 5, "tags must not be empty"),
    ("{tier: critical}", '{tier: "crit*"}', 5, "* means nothing in it"),
    ("{tier: critical}", "{tier: [a]}", 5, "the tag 'tier' must be a text"),
    ("{tier: critical}", "{tier: a, tier: b}", 5, "'tier' is given twice"),
    ("{tier: critical}", "{<<: {tier: a}}", 5, "merge keys"),
    ("stage:Production", "stage:production", 6, "did you mean Production?"),
    ("stage:Production", "stage:None", 6, "cannot be guarded"),
    ("stage:Production", "stage: Production", 6, "without a space after the colon"),
    ("stage:Production", "Production", 6, "a guard is stage:NAME or alias:NAME"),
    ("alias:champion", "alias:a/b", 6, "an alias may hold"),
    ("alias:champion", "stage:Production", 6, "guarded twice"),
    ("[stage:Production, alias:champion]", "[]", 6, "guards must not be empty"),
    ("enforcement: block", "enforcement: blok", 7, "enforcement cannot be 'blok'; did you mean block?"),
    ("enforcement: block", "enforcement: [block]", 7, "enforcement cannot be a list"),
    ("accuracy, min: 0.90", "accuracy, min: high", 9, "min must be a number such as 0.9 or 60, this is 'high'"),
    ("accuracy, min: 0.90", 'accuracy, min: "0.9"', 9, "min must be a number"),
    ("accuracy, min: 0.90", "accuracy, min: .nan", 9, "min must be a number"),
    ("accuracy, min: 0.90", "accuracy, min: .inf", 9, "min must be a number"),
    ("accuracy, min: 0.90", "accuracy, min: 1e999", 9, "out of range"),
    ("accuracy, min: 0.90", "accuracy, min: 1e-999", 9, "out of range"),
    ("accuracy, min: 0.90", f"accuracy, min: {'9' * 50}", 9, "min must be a number"),
    ("accuracy, min: 0.90", "accuracy, min: 010", 9, "min must be a number"),
    ("accuracy, min: 0.90", "accuracy, minimum: 0.9", 9, "unknown key 'minimum' in metric; did you mean min?"),
    ("accuracy, min: 0.90", "accuracy, min: 0.9, max: 0.8", 9, "no value could be both"),
    ("accuracy, min: 0.90", "accuracy", 9, "asks nothing of the metric"),
    ("accuracy, min: 0.90", "accuracy, baseline: production", 9, "a baseline needs a limit beside it"),
    ("accuracy, min: 0.90", "accuracy, max_drop: 0.1", 9, "add baseline: production"),
    ("name: accuracy, min", "min", 9, "metric needs name"),
    ("{name: accuracy, min: 0.90}", "0.9", 9, "metric must be a mapping"),
    ("max_drop: 0.005", "max_drop: -1", 10, "max_drop must be at least 0"),
    ("max_drop: 0.005", "min_rise: 0", 10, "min_rise must be above 0"),
    ("baseline: production", "baseline: staging", 10, "baseline cannot be 'staging'"),
    ("check: {name: integration-tests, from: ci-bot}", "check: {name: integration-tests}", 12, "check needs from"),
    ("check:", "checks:", 12, "unknown requirement 'checks'; did you mean check?"),
    ("min_length: 40", "min_length: 0", 13, "min_length must be from 1 to 5000"),
    ("min_length: 40", "min_length: 1.5", 13, "min_length must be a whole number"),
    ("min_length: 40", "", 13, "description needs min_length"),
    ("count: 2", "count: 0", 14, "count must be from 1 to 100, this is 0"),
    ("count: 2", "count: two", 14, "count must be a whole number, this is 'two'"),
    ("count: 2, teams: {risk: 1, ml-leads: 1}", "teams: {risk: 1}", 14, "approvals needs count"),
    ("risk: 1", "risk: 3", 14, "3 approvals from 'risk' are more than the count of 2"),
    ("{risk: 1, ml-leads: 1}", "{}", 14, "teams must not be empty"),
    ("{risk: 1, ml-leads: 1}", "[risk]", 14, "teams must be a mapping"),
    ("  - description: {min_length: 40}", "  - {}", 13, "exactly one key"),
    ("  - description: {min_length: 40}", "  - description", 13, "a requirement must be a mapping"),
    ("  - description: {min_length: 40}", "  - check: {name: integration-tests, from: ci-bot}", 13, "given twice"),
    ("  - description: {min_length: 40}", "  - signature: {}", 13, "signature needs compatible_with"),
    (
        "  - description: {min_length: 40}",
        "  - signature: {compatible_with: Production}",
        13,
        "did you mean production?",
    ),
    ("  - description: {min_length: 40}", "  - tags: []", 13, "tags must not be empty"),
    ("  - description: {min_length: 40}", "  - tags: owner", 13, "tags must be a list, as in [owner, datasheet]"),
    ("  - description: {min_length: 40}", "  - tags: [owner, owner]", 13, "the tag 'owner' is asked for twice"),
    ("  - description: {min_length: 40}", "  - tags: [{a: b}]", 13, "a tag's key must be a text"),
    ("  - description: {min_length: 40}", "  - run: {}", 13, "this asks nothing of the run"),
    ("  - description: {min_length: 40}", "  - run: {finished: false}", 13, "this asks nothing of the run"),
    ("  - description: {min_length: 40}", "  - run: {finished: yes}", 13, "finished must be true or false"),
    ("  - description: {min_length: 40}", "  - run: {commit: dirty}", 13, "it may be recorded or clean"),
    ("  - description: {min_length: 40}", "  - run: {status: x}", 13, "unknown key 'status' in run"),
    ("author_may_approve: false", "author_may_approve: no", 16, "must be true or false, this is 'no'"),
    ("[artifacts, evidence]", "[artefacts]", 17, "did you mean artifacts?"),
    ("threads_resolved: false", "threads_resolved: no", 18, "threads_resolved must be true or false, this is 'no'"),
    *(
        ("threads_resolved: false", f"expires_after: {time}", 18, "expires_after must be a time such as 12h, 14d or 2w")
        for time in ("14", "0d", "2 w", "1.5d", '"14d"', "[14d]", "99999d", "1y")
    ),
    (
        "on_direct_change: open_request",
        "on_direct_change: deny",
        19,
        "it may be refuse, open_request or allow_if_satisfied",
    ),
    ("archive_replaced: false", "archive_replaced: 1", 20, "archive_replaced must be true or false"),
    ("archive_replaced: false", "name: again", 20, "'name' is given twice, first on line 1"),
    ("archive_replaced: false", "archive_replaced: !!bool true", 20, "type tags are not allowed"),
    ("archive_replaced: false", "archive_replaced: !x true", 20, "type tags are not allowed"),
    ("archive_replaced: false", "archive_replaced: &a true", 20, "anchors and aliases are not allowed"),
    ("archive_replaced: false", "archive_replaced: *a", 20, "anchors and aliases are not allowed"),
    ("archive_replaced: false", "archive_replaced: [", 21, "this is not YAML"),
    ("archive_replaced: false", "archive_replaced: @x", 20, "this is not YAML"),
    ("archive_replaced: false", "---\nname: second", 20, "a text holds one policy"),
    ("archive_replaced: false", "? [a]\n: b", 20, "a key of a policy must be a word"),
    ("archive_replaced: false", "x: \x07", 20, "the character U+0007 has no place in a policy"),
    ('["churn-*", "fraud-*"]', "[*]", 4, 'put quotes around a name that begins with * or &, as in "*-prod"'),
    ('["churn-*", "fraud-*"]', "[*-prod]", 4, "put quotes around a name that begins with *"),
]


@pytest.mark.parametrize(("right", "wrong", "line", "told"), ON_LINE, ids=[wrong[:40] for _, wrong, _, _ in ON_LINE])
def test_every_error_names_its_line(right: str, wrong: str, line: int, told: str) -> None:
    assert right in FULL

    error = refusal(FULL.replace(right, wrong, 1))

    assert [problem for problem in error.errors if problem.line == line and told in problem.message], str(error)
    assert f"Line {line}: " in str(error)


@pytest.mark.parametrize(
    ("bypass", "told"),
    [
        ("{}", "bypass must not be empty"),
        ("[alice]", "bypass must be a mapping"),
        ("{teams: []}", "teams must not be empty"),
        ("{people: alice}", "people must be a list"),
        ("{people: [alice, alice]}", "'alice' is named twice"),
        ("{persons: [alice]}", "it may be teams or people"),
    ],
)
def test_a_bypass_that_names_nobody_is_refused_with_its_line(bypass: str, told: str) -> None:
    error = refusal(f"{HEAD}requirements: [approvals: {{count: 1}}]\nbypass: {bypass}\n")

    assert error.line == 5 and told in error.message


def test_who_may_bypass_is_read_and_told() -> None:
    read = policy("approvals: {count: 1}", more="bypass: {teams: [on-call], people: [alice]}\n")

    assert read.bypass.names("alice", ()) and read.bypass.names("sam", {"on-call"}) and not read.bypass.names("sam", ())
    assert not policy("approvals: {count: 1}").bypass.names("alice", {"on-call"})
    assert any("bypassed by alice or anybody in the team on-call" in line for line in sentences(read))


@pytest.mark.parametrize("left_out", ["name", "match", "guards", "requirements"])
def test_a_policy_without_an_essential_part_is_refused(left_out: str) -> None:
    text = "\n".join(
        line for line in (HEAD + "requirements: [approvals: {count: 1}]").split("\n") if not line.startswith(left_out)
    )

    assert [problem.message for problem in refusal(text).errors] == [f"a policy needs {left_out}"]


@pytest.mark.parametrize("text", ["", "   \n", "# only a comment", "---\n", "- a", "just words", "null"])
def test_a_text_that_is_no_mapping_is_refused(text: str) -> None:
    assert refusal(text).line >= 1


def test_all_problems_are_told_at_once_in_the_order_of_their_lines() -> None:
    error = refusal(
        FULL.replace("min: 0.90", "min: x")
        .replace("count: 2", "count: 0")
        .replace("enforcement: block", "enforcement: b")
    )

    assert [problem.line for problem in error.errors] == [7, 9, 14]
    assert (error.line, error.message) == (error.errors[0].line, error.errors[0].message)
    assert str(error).count("\n") == 2


def test_a_problem_in_one_requirement_is_not_told_twice() -> None:
    error = refusal(f"{HEAD}requirements:\n  - approvals: {{}}\n  - approvals: {{}}\n")

    assert [problem.message for problem in error.errors] == ["approvals needs count"] * 2


def test_the_column_is_told_too() -> None:
    error = refusal(FULL.replace("min: 0.90", "min: x"))

    assert (error.line, error.column) == (9, 35)


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)
BOMBS = {
    "billion laughs": LAUGHS,
    "open lists": "[" * 60_000,
    "open mappings": "{a: " * 15_000,
    "nested block lists": "- " * 30_000,
    "nested keys": "\n".join(" " * n + "a:" for n in range(340)),
    "complex keys": "? " * 30_000,
    "many unknown keys": "\n".join(f"k{n}: 1" for n in range(6_000)),
    "one long unknown key": "k" * 60_000 + ": 1",
    "many patterns": HEAD.replace('["*"]', f"[{','.join(['a'] * 30_000)}]"),
    "a long quoted text": 'name: "' + "\\u0061" * 10_000 + '"',
    "many digits": f"{HEAD}requirements: [metric: {{name: a, min: {'9' * 60_000}}}]",
    "a huge exponent": f"{HEAD}requirements: [metric: {{name: a, min: 1e-999999999}}]",
    "a long comment": "#" * 65_000,
    "blank lines": "\n" * 65_000,
    "too long": "#" * 65_537,
    "too long in bytes": "# " + "é" * 40_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_hostile_text_is_refused_quickly(name: str) -> None:
    started = time.perf_counter()

    refusal(BOMBS[name])

    assert time.perf_counter() - started < 5


def test_python_tags_build_nothing() -> None:
    error = refusal("!!python/object/apply:os.system ['exit 1']")

    assert "type tags are not allowed" in error.message


def test_a_text_with_too_many_problems_tells_the_first_fifty() -> None:
    error = refusal(HEAD + "requirements:\n" + "  - x: 1\n" * 200)

    assert len(error.errors) == 50


def test_messages_show_no_raw_control_characters() -> None:
    error = refusal('"a\\u202Eb\\nc": 1')

    assert "\u202e" not in str(error)
    assert "'a\\u202eb\\nc'" in error.errors[-1].message


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    assert all(problem.line >= 1 and problem.column >= 1 and problem.message for problem in problems_of(text))


@given(st.integers(0, len(FULL)), st.integers(0, len(FULL)), st.text("{}[]:,-*&!|>'\"#? \n\tax0", max_size=3))
def test_any_damage_to_a_policy_is_read_or_refused_with_a_line(one: int, other: int, put: str) -> None:
    start, end = sorted((one, other))
    damaged = FULL[:start] + put + FULL[end:]

    assert all(problem.line >= 1 and problem.column >= 1 and problem.message for problem in problems_of(damaged))


def test_the_example_of_the_documentation_is_a_policy() -> None:
    text = (Path(__file__).parents[3] / "docs" / "policies.md").read_text()
    example = text.split("```yaml\n")[1].split("```")[0]

    assert {type(rule) for rule in parse(example).requirements} == set(get_args(Requirement))
