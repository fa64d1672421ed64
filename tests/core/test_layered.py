"""Layered drawings: whatever the graph, nothing overlaps, every edge leads forwards, and the same is drawn the same."""

from __future__ import annotations

import re
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.layered import Drawing, Edge, Shape, drawn

RIGHT = Shape(width=100, height=30, gap=10, channel=40)
DOWN = Shape(width=100, height=30, gap=10, channel=40, down=True)
Graph = tuple[list[str], list[Edge]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Without cycles: an edge leads from an earlier name to a later one; then the names are shuffled."""
    names = [f"n{number}" for number in range(draw(st.integers(1, 25)))]
    pairs = list(combinations(names, 2))
    edges = draw(st.lists(st.sampled_from(pairs), max_size=40)) if pairs else []
    return draw(st.permutations(names)), edges


def lines(drawing: Drawing) -> dict[Edge, list[tuple[int, int]]]:
    """The points of each path, bends left out."""
    return {edge: [_end(part) for part in re.findall("[MLC][^MLC]+", path)] for edge, path in drawing.paths.items()}


def _end(part: str) -> tuple[int, int]:
    x, y = part[1:].split()[-2:]
    return int(x), int(y)


@given(graphs(), st.sampled_from([RIGHT, DOWN]))
def test_no_two_boxes_overlap_and_all_lie_within(graph: Graph, shape: Shape) -> None:
    drawing = drawn(*graph, shape)

    assert set(drawing.places) == set(graph[0])
    for (x, y), (other_x, other_y) in combinations(drawing.places.values(), 2):
        assert abs(x - other_x) >= shape.width or abs(y - other_y) >= shape.height
    assert all(0 <= x <= drawing.width - shape.width for x, _ in drawing.places.values())
    assert all(0 <= y <= drawing.height - shape.height for _, y in drawing.places.values())


@given(graphs())
def test_every_edge_leads_to_the_right_from_box_to_box(graph: Graph) -> None:
    drawing = drawn(*graph, RIGHT)

    assert set(drawing.paths) == set(graph[1])
    for (start, end), line in lines(drawing).items():
        assert line[0] == (drawing.places[start][0] + 100, drawing.places[start][1] + 15)
        assert line[-1] == (drawing.places[end][0], drawing.places[end][1] + 15)
        assert all(left < right for (left, _), (right, _) in pairwise(line))


@given(graphs())
def test_no_line_runs_behind_a_box(graph: Graph) -> None:
    """A line is level wherever boxes are: it passes between them."""
    drawing = drawn(*graph, RIGHT)

    for line in lines(drawing).values():
        for (left, y), (right, other_y) in pairwise(line):
            passed = [(x, top) for x, top in drawing.places.values() if left < x + 100 and x < right]
            assert not passed or y == other_y
            assert all(y <= top or y >= top + 30 for _, top in passed)


@given(graphs())
def test_downwards_is_the_same_turned(graph: Graph) -> None:
    square = Shape(width=30, height=30, gap=10, channel=40)
    right, down = drawn(*graph, square), drawn(*graph, Shape(30, 30, 10, 40, down=True))

    assert {name: (y, x) for name, (x, y) in right.places.items()} == down.places
    assert (right.width, right.height) == (down.height, down.width)


@given(graphs())
def test_the_same_graph_is_drawn_the_same(graph: Graph) -> None:
    assert drawn(*graph, RIGHT) == drawn(*graph, RIGHT)


def test_a_circle_is_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        drawn(["a", "b", "c"], [("a", "b"), ("b", "c"), ("c", "b")], RIGHT)


def test_nothing_takes_no_room() -> None:
    assert drawn([], [], RIGHT) == Drawing({}, {}, 0, 0)


def test_an_edge_named_twice_is_drawn_once() -> None:
    assert len(drawn(["a", "b"], [("a", "b"), ("a", "b")], RIGHT).paths) == 1


def test_crossings_that_need_not_be_are_undone() -> None:
    edges = [("a", "x"), ("b", "y"), ("c", "z")]

    places = drawn(["a", "b", "c", "z", "y", "x"], edges, RIGHT).places

    assert all(places[start][1] == places[end][1] for start, end in edges)


def test_what_begins_a_chain_stands_beside_it() -> None:
    """A dataset beside the run that used it, not at the far left."""
    places = drawn(["parent", "run", "model", "version", "before"], [
        ("parent", "run"), ("run", "model"), ("model", "version"), ("before", "version"),
    ], RIGHT).places  # fmt: skip

    assert places["before"][0] == places["model"][0]


def test_a_node_stands_in_the_middle_of_what_leads_to_it() -> None:
    places = drawn(["a", "b", "c", "run"], [("a", "run"), ("b", "run"), ("c", "run")], RIGHT).places

    assert places["run"][1] == places["b"][1]
