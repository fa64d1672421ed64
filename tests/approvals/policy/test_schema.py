"""The schema for editors says what the reader says, as far as a schema can."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from approvals.policy import PolicyError, parse
from approvals.policy.schema import schema
from tests.approvals import conftest
from tests.approvals.policy.cast import HEAD
from tests.approvals.policy.test_document import FULL, ON_LINE
from web.pages.policy_texts import TEMPLATES

DOCS = (Path(__file__).parents[3] / "docs" / "policies.md").read_text()
VALID = {
    "full": FULL,
    "documentation": DOCS.split("```yaml\n")[1].split("```")[0],
    **{f"template: {template.title}": template.text for template in TEMPLATES},
    "tests": conftest.POLICY,
    "as it is written": FULL.replace("tier: critical", "public: yes, level: 010, on: true, n: 1.5"),
    "times": f"{HEAD}requirements: [run: {{commit: clean}}]\n"
    "reviews: {expires_after: 9999d, remind_after: 3d, dismiss_on: []}\n",
    "freezes": f"""{HEAD}requirements: []
freeze:
  - {{from: 2026-12-20T00:00Z, until: 2027-01-04T08:00+01:00, reason: "Year-end"}}
  - {{every: {{from: Fri 16:00, until: "Mon 08:00", zone: Europe/Berlin}}, reason: 2}}
  - {{every: {{from: Wed 00:00, until: Wed 00:01}}, reason: Nightly}}
""".replace("requirements: []", "requirements: [approvals: {count: 1}]"),
    "bypass": f"{HEAD}requirements: [approvals: {{count: 1}}]\nbypass: {{teams: [on-call], people: [alice, 5]}}\n",
    "every way to ask": f"""{HEAD}requirements:
  - signature: {{compatible_with: target}}
  - tags: [owner, 1]
  - run: {{finished: true, datasets: false}}
  - run: {{evaluated_like: production}}
  - metric: {{name: 5, baseline: none, max: -1e-3}}
  - metric: {{name: auc, baseline: target, max_drop: 0, min_rise_percent: 0.1}}
  - approvals: {{count: 100, teams: {{risk: 100}}}}
""",
}
# The reader's words for what no schema can say, or what is gone before a schema is asked.
UNSAYABLE = (
    "no value could be both", "are more than the count", "given twice", "out of range", "invisible character",
    "is given twice", "type tags", "anchors and aliases", "not YAML", "holds one policy", "must be a word",
    "has no place", "put quotes around", "min must be a number",
)  # fmt: skip


def as_editors_see_it(text: str) -> Any:
    """The values of YAML 1.2, which editors read: true and 0.9 are no texts, yes and 010 are."""

    def value(node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode):
            return {str(key.value): value(found) for key, found in node.value}
        if isinstance(node, yaml.SequenceNode):
            return [value(item) for item in node.value]
        plain = node.value if node.style is None else None
        if plain in ("", "~", "null"):
            return None
        if plain in ("true", "false"):
            return plain == "true"
        if plain is not None and re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", plain):
            return int(plain) if re.fullmatch(r"[-+]?[0-9]+", plain) else float(plain)
        return node.value

    return value(yaml.compose(text, Loader=yaml.SafeLoader))


def refuses(text: str) -> bool:
    return not Draft7Validator(schema()).is_valid(as_editors_see_it(text))


def keys_of_the_reader(text: str) -> set[str]:
    """What the reader says may stand where ``zzzzzz`` stands."""
    with pytest.raises(PolicyError) as caught:
        parse(text)
    [told] = [error.message for error in caught.value.errors if "'zzzzzz'" in error.message]
    return set(re.split(", | or ", told.split("it may be ")[1]))


def test_it_is_a_schema() -> None:
    Draft7Validator.check_schema(schema())


@pytest.mark.parametrize("name", VALID)
def test_it_takes_what_the_reader_takes(name: str) -> None:
    parse(VALID[name])

    assert [error.message for error in Draft7Validator(schema()).iter_errors(as_editors_see_it(VALID[name]))] == []


SAYABLE = [
    pytest.param(right, wrong, id=wrong[:40])
    for right, wrong, _, told in ON_LINE
    if not any(words in told for words in UNSAYABLE) and '"14d"' not in wrong  # quotes are gone there
]


@pytest.mark.parametrize(("right", "wrong"), SAYABLE)
def test_it_refuses_what_the_reader_refuses_where_a_schema_can_say_it(right: str, wrong: str) -> None:
    assert refuses(FULL.replace(right, wrong, 1))


def test_a_number_in_quotes_or_in_words_is_refused() -> None:
    assert refuses(FULL.replace("min: 0.90", 'min: "0.9"')) and refuses(FULL.replace("min: 0.90", "min: high"))


def test_every_part_has_the_keys_that_the_reader_knows() -> None:
    parts = schema()["properties"]
    rules = parts["requirements"]["items"]["properties"]
    unknown = {
        (): f"{HEAD}zzzzzz: 1\n",
        ("match",): HEAD.replace("{models", "{zzzzzz: 1, models"),
        ("reviews",): f"{HEAD}reviews: {{zzzzzz: 1}}\n",
        ("requirements",): f"{HEAD}requirements: [zzzzzz: 1]\n",
        **{(kind,): f"{HEAD}requirements: [{kind}: {{zzzzzz: 1}}]\n" for kind in rules if kind != "tags"},
    }

    for where, text in unknown.items():
        shape = schema() if not where else rules.get(where[0]) or parts[where[0]]
        shape = shape["items"] if where == ("requirements",) else shape
        assert keys_of_the_reader(text) == set(shape["properties"]), where
