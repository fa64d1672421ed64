"""Sequences of half-right calls over the whole table of endpoints: none is a 500, whatever came before it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.models import ModelVersion
from registry.services import set_alias
from tests.factories import make_logged_model, make_run
from tests.web.mlflow import test_hostile_databricks as databricks
from tests.web.mlflow.conftest import Door
from tests.web.mlflow.test_hostile_input import FIELDS, VALUES
from tests.web.mlflow.test_hostile_tracking import CALLS, MODEL, RUN
from tracking.models import LoggedModel

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SEARCHES = ("registered-models/search", "model-versions/search", "experiments/search", "runs/search",
            "logged-models/search")  # fmt: skip
METHOD_OF = {path: method for path, (method, _) in (CALLS | databricks.CALLS).items()}
TABLE: dict[str, dict[str, Any]] = FIELDS | {path: body for path, (_, body) in (CALLS | databricks.CALLS).items()}
models = databricks.world  # a fixture
WORDS = [
    "name", "tags", "tag", "params", "metrics", "attributes", "attribute", "dataset", "run_id", "source_path", "status",
    "version_number", "aliases", "creation_time", "last_updated_timestamp", "start_time", "run_name", "artifact_uri",
    ".", "=", "!=", "<", "<=", ">", ">=", "LIKE", "ILIKE", "IN", "NOT IN", "AND", "OR", "IS NULL", "IS NOT NULL",
    "(", ")", ",", "ASC", "DESC", "'", '"', "`", "'churn'", '"1"', "`a b`", "'%'", "'_\\%'", "('1', '2')", "1", "-1.5",
    "99999999999999999999", "1e999", "NaN", "''", "mlflow.prompt.is_prompt", "'true'", ";", "--", "\\", "\u0130", "🦊",
]  # fmt: skip

grammar = st.lists(st.sampled_from(WORDS), max_size=14).flatmap(
    lambda words: st.sampled_from(["", " "]).map(lambda between: between.join(words))
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | grammar
anything = st.recursive(
    st.sampled_from(VALUES) | scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, str, dict[str, Any]]:
    """A method, a path, and what it takes with some of it left out, replaced, or taken from other calls."""
    path = draw(st.sampled_from(sorted(TABLE)))
    body = dict(TABLE[path])
    for field in draw(st.lists(st.sampled_from(sorted(body) or ["name"]), max_size=3)):
        if draw(st.booleans()):
            body.pop(field, None)
        else:
            body[field] = draw(anything)
    body |= draw(st.dictionaries(st.text(max_size=12), anything, max_size=1))
    method = METHOD_OF[path] if path in METHOD_OF and draw(st.booleans()) else draw(st.sampled_from(METHODS))
    return method, path.replace("<str:model_id>", MODEL).replace("<path:key>", "k"), body


@pytest.fixture
def world(door: Door, models: ModelVersion) -> None:
    """What the calls of the table name."""
    set_alias(actor=door.user, version=models, alias="champion")
    made = make_logged_model(make_run(user=door.user, run_id=RUN, metrics={"a": 0.5}, params={"b": "1"}))
    LoggedModel.objects.filter(pk=made.pk).update(model_id=MODEL)


def answered(door: Door, method: str, path: str, body: dict[str, Any]) -> None:
    if method == "GET":
        texts = {key: value if isinstance(value, str | int) else json.dumps(value) for key, value in body.items()}
        query = {key.encode(errors="replace"): str(value).encode(errors="replace") for key, value in texts.items()}
        answer = door.send(method, path, query=query)  # type: ignore[arg-type]
    else:
        answer = door.send(method, path, body)
    text = answer.content.decode()
    shown = (method, path, repr(body)[:500], answer.status_code, text[:300])
    assert answer.status_code < 500, shown
    assert answer.status_code not in (408, 429), shown
    content = json.loads(text)
    assert isinstance(content, dict), shown
    assert answer.status_code == 200 or {"error_code", "message"} <= set(content), shown


# The world is put back after each example, so that the fixtures may serve all of them.
fuzzed = settings(
    deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@settings(fuzzed, max_examples=200)
@given(sequence=st.lists(calls(), min_size=1, max_size=5))
def test_no_sequence_of_calls_is_a_crash(
    door: Door, world: None, sequence: list[tuple[str, str, dict[str, Any]]]
) -> None:
    with transaction.atomic():
        for method, path, body in sequence:
            answered(door, method, path, body)
        transaction.set_rollback(True)


@settings(fuzzed, max_examples=300)
@given(
    path=st.sampled_from(SEARCHES),
    filter_string=grammar,
    order=st.lists(grammar, max_size=3),
    token=st.text(max_size=30),
)
def test_no_search_is_a_crash(
    door: Door, world: None, path: str, filter_string: str, order: list[str], token: str
) -> None:
    order_by = [{"field_name": name} for name in order] if path.startswith("logged") else order
    answered(door, "POST", path, {**TABLE[path], "filter": filter_string, "order_by": order_by, "page_token": ""})
    answered(door, "POST", path, {**TABLE[path], "filter": "", "page_token": token})
