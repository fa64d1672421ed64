"""Versions beside one another, through our own API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from registry.models import RegisteredModel
from tests.cast import Api
from tests.factories import make_model, make_run, make_version

COMPARE, LINES = "models/churn/compare/", "models/churn/compare/lines/"


@pytest.fixture
def model(mira: User) -> RegisteredModel:
    model = make_model("churn", user=mira)
    for auc, depth, numpy in ((0.5, "3", "1.0"), (0.75, "4", "2.0")):
        run = make_run(user=mira, metrics={"auc": auc}, params={"depth": depth, "kind": "tree"}, tags={"team": "risk"})
        files = {"requirements.txt": f"numpy=={numpy}\n".encode(), "model.skops": b"the same"}
        make_version(model, user=mira, run=run, files=files, tags={"rated": depth}, aliases=[f"a{depth}"])
    return model


def parts(answer: dict[str, Any]) -> dict[str, dict[str, list[Any]]]:
    return {part["kind"]: {row["name"]: row["values"] for row in part["rows"]} for part in answer["parts"]}


def test_versions_are_set_beside_one_another_in_the_order_asked(
    api: Callable[..., Api], model: RegisteredModel, sam: User
) -> None:
    answer = api(sam).get(COMPARE, version=[2, 1]).json()

    assert [(version["version"], version["aliases"]) for version in answer["versions"]] == [(2, ["a4"]), (1, ["a3"])]
    found = parts(answer)
    assert found["metrics"] == {"auc": [0.75, 0.5]} and answer["parts"][0]["rows"][0]["changes"] == [0.0, -0.25]
    assert found["params"] == {"depth": ["4", "3"], "kind": ["tree", "tree"]}
    assert found["packages"] == {"numpy": ["2.0", "1.0"]}
    assert (found["tags"], found["version_tags"]) == ({"team": ["risk", "risk"]}, {"rated": ["4", "3"]})
    assert set(found["files"]) == {"requirements.txt", "model.skops"} and answer["problems"] == []


def test_only_what_differs_and_one_part_alone_are_told_when_asked(
    api: Callable[..., Api], model: RegisteredModel, sam: User
) -> None:
    asked = api(sam)

    differing = asked.get(COMPARE, version=[1, 2], only_differences="true").json()
    alone = asked.get(COMPARE, version=[1, 2], part="params", containing="ki", start=0).json()

    assert parts(differing)["params"] == {"depth": ["3", "4"]} and "tags" not in parts(differing)
    assert parts(alone) == {"params": {"kind": ["tree", "tree"]}}


def test_a_long_part_is_told_in_pieces(api: Callable[..., Api], model: RegisteredModel, sam: User) -> None:
    for value in (1.0, 2.0):
        make_version(model, metrics={f"m{number:03d}": value for number in range(302)})

    whole = api(sam).get(COMPARE, version=[3, 4]).json()["parts"][0]
    rest = api(sam).get(COMPARE, version=[3, 4], part="metrics", start=300).json()["parts"][0]

    assert (whole["left_out"], len(whole["rows"])) == (2, 300)
    assert (rest["left_out"], [row["name"] for row in rest["rows"]]) == (0, ["m300", "m301"])


def test_metrics_without_a_figure_and_beyond_all_figures_are_json(
    api: Callable[..., Api], model: RegisteredModel, sam: User
) -> None:
    for auc in (1.7e308, -1.7e308):
        make_version(model, metrics={"auc": auc})
    run = make_run()
    run.metrics = {"auc": {"value": "NaN", "timestamp": 1, "step": 0}}
    run.save()
    make_version(model, run=run)

    [row] = api(sam).get(COMPARE, version=[3, 4, 5], part="metrics").json()["parts"][0]["rows"]

    assert (row["values"], row["changes"]) == ([1.7e308, -1.7e308, "NaN"], [0.0, None, None])


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({}, "two to 5 versions"),
        ({"version": [1]}, "two to 5 versions"),
        ({"version": [1, 1]}, "two to 5 versions"),
        ({"version": [1, 2, 3, 4, 5, 6]}, "two to 5 versions"),
        ({"version": ["1", "two"]}, "valid integer"),
        ({"version": ["1", "9" * 5000]}, ""),
        ({"version": [1, 0]}, "greater than or equal to 1"),
        ({"version": [1, 2], "part": "passwords"}, "not a valid choice"),
        ({"version": [1, 2], "start": 5}, "It needs a part"),
        ({"version": [1, 2], "versions": 3}, "no such field"),
    ],
)
def test_bad_input_is_refused_with_a_sentence(
    query: dict[str, Any], sentence: str, api: Callable[..., Api], model: RegisteredModel, sam: User
) -> None:
    answer = api(sam).get(COMPARE, **query)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")
    assert sentence in answer.json()["error"]["message"]


def test_what_one_may_not_see_is_not_there(
    api: Callable[..., Api], model: RegisteredModel, eve: User, mira: User, settings: Settings
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    for path, more in ((COMPARE, {}), (LINES, {"path": "requirements.txt"})):
        assert api(eve).get(path, version=[1, 2], **more).status_code == 404
        assert api(mira, models="fraud-*").get(path, version=[1, 2], **more).status_code == 404
        assert api(mira, read_only=True).get(path, version=[1, 2], **more).status_code == 200
        assert "no version 9" in api(mira).get(path, version=[1, 9], **more).json()["error"]["message"]


def test_five_cost_as_many_statements_as_two(
    api: Callable[..., Api], model: RegisteredModel, sam: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        make_version(model)
    asked = api(sam)

    with django_assert_max_num_queries(6):
        assert asked.get(COMPARE, version=[1, 2, 3, 4, 5]).status_code == 200


def test_lines_of_a_file_are_told_as_diff_writes_them(
    api: Callable[..., Api], model: RegisteredModel, sam: User
) -> None:
    assert api(sam).get(LINES, version=[1, 2], path="requirements.txt").json() == {
        "path": "requirements.txt",
        "unified": "@@ -1,1 +1,1 @@\n-numpy==1.0\n+numpy==2.0\n",
        "notes": [],
        "problem": "",
    }
    assert "the same bytes" in api(sam).get(LINES, version=[1, 2], path="model.skops").json()["problem"]


@pytest.mark.parametrize(
    "query", [{"version": [1, 2]}, {"version": [1, 1], "path": "a"}, {"version": [1, 2, 3], "path": "a"}, {"path": "a"}]
)
def test_lines_of_other_than_two_versions_and_a_path_are_refused(
    query: dict[str, Any], api: Callable[..., Api], model: RegisteredModel, sam: User
) -> None:
    answer = api(sam).get(LINES, **query)

    assert (answer.status_code, bool(answer.json()["error"]["message"])) == (400, True)
