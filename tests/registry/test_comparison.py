"""What breaks those who call the version before, as mlflow enforces a signature."""

from __future__ import annotations

import json
from typing import Any

import pytest

from registry.comparison import breaking_changes, compare, differing, has_signature


def signature(inputs: list[Any], outputs: list[Any]) -> dict[str, Any]:
    return {"signature": {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs), "params": None}}


def column(name: str, kind: str = "double", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def tensor(shape: list[int], dtype: str = "float32") -> dict[str, Any]:
    return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}


BEFORE = signature([column("age", "long"), column("plan", "string")], [column("score")])


@pytest.mark.parametrize(
    ("inputs", "outputs", "found"),
    [
        ([column("age", "long"), column("plan", "string")], [column("score")], ()),
        ([column("age", "long")], [column("score")], ()),
        (
            [column("age", "long"), column("plan", "string"), column("city", "string")],
            [column("score")],
            ("the input city is new and required",),
        ),
        (
            [column("age", "long"), column("plan", "string"), column("city", "string", required=False)],
            [column("score")],
            (),
        ),
        (
            [column("age", "string"), column("plan", "string")],
            [column("score")],
            ("the input age was long and is string",),
        ),
        ([column("age", "long"), column("plan", "string")], [column("class", "long")], ("the output score is gone",)),
        (
            [column("age", "long"), column("plan", "string")],
            [column("score", "float")],
            ("the output score was double and is float",),
        ),
        ([column("age", "long"), column("plan", "string")], [column("score"), column("why", "string")], ()),
    ],
)
def test_what_breaks_callers(inputs: list[Any], outputs: list[Any], found: tuple[str, ...]) -> None:
    assert breaking_changes(BEFORE, signature(inputs, outputs)) == found
    assert compare(BEFORE, signature(inputs, outputs)).breaks == found


@pytest.mark.parametrize(
    ("before", "after", "breaking"),
    [
        ("integer", "long", False), ("integer", "double", False), ("float", "double", False),
        ("long", "integer", True), ("long", "double", True), ("double", "float", True), ("long", "string", True),
    ],
)  # fmt: skip
def test_an_input_takes_narrower_numbers(before: str, after: str, breaking: bool) -> None:
    assert bool(breaking_changes(signature([column("x", before)], []), signature([column("x", after)], []))) is breaking


def test_an_input_that_becomes_required_breaking_changes() -> None:
    optional = signature([column("x", required=False)], [])

    assert breaking_changes(optional, signature([column("x")], [])) == ("the input x was optional and is required",)
    assert breaking_changes(signature([column("x")], []), optional) == ()


def test_what_is_inside_of_lists_and_objects_counts() -> None:
    def holding(kind: str) -> dict[str, Any]:
        return signature([column("history", "array", items={"type": kind})], [])

    assert breaking_changes(holding("double"), holding("double")) == ()
    assert len(breaking_changes(holding("double"), holding("string"))) == 1


def test_what_is_no_longer_declared_is_gone_and_what_is_newly_asked_for_is_new() -> None:
    assert breaking_changes(BEFORE, signature([column("age", "long")], [])) == ("the output score is gone",)
    assert breaking_changes(signature([], [column("score")]), signature([column("x")], [column("score")])) == (
        "the input x is new and required",
    )


def test_a_tensor_of_any_length_takes_one_of_a_certain_length() -> None:
    assert breaking_changes(signature([tensor([-1, 3])], []), signature([tensor([-1, -1])], [])) == ()
    assert len(breaking_changes(signature([tensor([-1, -1])], []), signature([tensor([-1, 3])], []))) == 1
    assert len(breaking_changes(signature([tensor([-1, 3])], []), signature([tensor([-1, 3, 1])], []))) == 1


def test_tensors_are_compared_by_type_and_shape() -> None:
    before = signature([tensor([-1, 3])], [tensor([-1, 1])])

    assert breaking_changes(before, before) == ()
    assert breaking_changes(before, signature([tensor([-1, 4])], [tensor([-1, 1])])) == (
        "the input #0 was tensor float32 [-1, 3] and is tensor float32 [-1, 4]",
    )


@pytest.mark.parametrize("nothing", [{}, {"signature": None}, signature([], []), {"signature": {"inputs": "not json"}}])
def test_without_two_signatures_nothing_can_be_compared(nothing: dict[str, Any]) -> None:
    assert breaking_changes(nothing, BEFORE) == breaking_changes(BEFORE, nothing) == ()
    assert (has_signature(BEFORE), has_signature(nothing)) == (True, False)


def test_how_many_values_differ() -> None:
    assert differing({"a": "1", "b": "1", "c": "1"}, {"b": "1", "c": "2", "d": "1"}) == 3
