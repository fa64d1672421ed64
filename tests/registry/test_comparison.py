"""What breaks those who call the version before, as mlflow enforces a signature."""

from __future__ import annotations

import json
from typing import Any

import pytest

from registry.comparison import breaks, compare, has_signature


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
    assert breaks(BEFORE, signature(inputs, outputs)) == found
    assert compare(BEFORE, signature(inputs, outputs)).breaks == found


@pytest.mark.parametrize(
    ("before", "after", "breaking"),
    [
        ("integer", "long", False), ("integer", "double", False), ("float", "double", False),
        ("long", "integer", True), ("long", "double", True), ("double", "float", True), ("long", "string", True),
    ],
)  # fmt: skip
def test_an_input_takes_narrower_numbers(before: str, after: str, breaking: bool) -> None:
    assert bool(breaks(signature([column("x", before)], []), signature([column("x", after)], []))) is breaking


def test_an_input_that_becomes_required_breaks() -> None:
    optional = signature([column("x", required=False)], [])

    assert breaks(optional, signature([column("x")], [])) == ("the input x was optional and is required",)
    assert breaks(signature([column("x")], []), optional) == ()


def test_tensors_are_compared_by_type_and_shape() -> None:
    before = signature([tensor([-1, 3])], [tensor([-1, 1])])

    assert breaks(before, before) == ()
    assert breaks(before, signature([tensor([-1, 4])], [tensor([-1, 1])])) == (
        "the input #0 was tensor float32 [-1, 3] and is tensor float32 [-1, 4]",
    )


@pytest.mark.parametrize("nothing", [{}, {"signature": None}, signature([], []), {"signature": {"inputs": "not json"}}])
def test_without_two_signatures_nothing_can_be_compared(nothing: dict[str, Any]) -> None:
    assert breaks(nothing, BEFORE) == breaks(BEFORE, nothing) == ()
    assert (has_signature(BEFORE), has_signature(nothing)) == (True, False)
