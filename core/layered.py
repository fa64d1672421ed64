"""A layered drawing of a graph without cycles: where each box lies, and the line of each edge. Pure and deterministic.

Boxes of one size stand in layers, one after another along the drawing, so that every edge leads forwards. An edge that
passes a layer gets a place in it, between the boxes, so that no line runs behind a box. The usual steps (Sugiyama):
layers by the longest path, order within a layer by barycentres, places within a layer as near to the neighbours as
order and gaps allow, and curves through them.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

SWEEPS = 4  # there and back; more finds hardly fewer crossings
Edge = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Shape:
    """Of every box; ``gap`` is between boxes of a layer, ``channel`` between layers, ``lane`` the room of a passing
    line. With ``down`` the layers follow one another downwards, else to the right."""

    width: int
    height: int
    gap: int
    channel: int
    lane: int = 8
    down: bool = False


@dataclass(frozen=True, slots=True)
class Drawing:
    """``places`` are the upper left corners, ``paths`` the lines as SVG writes them."""

    places: dict[str, tuple[int, int]]
    paths: dict[Edge, str]
    width: int
    height: int


@dataclass(slots=True)
class _Layers:
    """``rows``: what stands in each layer, by order, boxes and passing lines alike, as numbers below ``boxes`` and from
    it; ``after`` and ``before``: the neighbours of each in the next layer and in the one before."""

    boxes: int
    rows: list[list[int]]
    after: list[list[int]]
    before: list[list[int]]
    lines: dict[Edge, list[int]]


def drawn(names: Sequence[str], edges: Sequence[Edge], shape: Shape) -> Drawing:
    """``edges`` lead from name to name. Raises ValueError where they lead in a circle."""
    if not names:
        return Drawing({}, {}, 0, 0)
    layers = _layered(names, list(dict.fromkeys(edges)))
    _order(layers)
    across, depth = _across(layers, shape)
    thick, long = (shape.height, shape.width) if shape.down else (shape.width, shape.height)
    along = [0] * len(across)
    for layer, row in enumerate(layers.rows):
        for node in row:
            along[node] = layer * (thick + shape.channel)
    places = {name: _turned(along[number], across[number] - long // 2, shape.down) for number, name in enumerate(names)}
    paths = {
        edge: _path([(along[node], across[node]) for node in line], thick, shape.down)
        for edge, line in layers.lines.items()
    }
    length = len(layers.rows) * (thick + shape.channel) - shape.channel
    return Drawing(places, paths, *_turned(length, depth, shape.down))


def _layered(names: Sequence[str], edges: Sequence[Edge]) -> _Layers:
    number = {name: index for index, name in enumerate(names)}
    after: list[list[int]] = [[] for _ in names]
    before: list[list[int]] = [[] for _ in names]
    for start, end in edges:
        after[number[start]].append(number[end])
        before[number[end]].append(number[start])
    layer = _longest_paths(after, before)
    rows: list[list[int]] = [[] for _ in range(max(layer) + 1)]
    for node, at in enumerate(layer):
        rows[at].append(node)
    found = _Layers(len(names), rows, [[] for _ in names], [[] for _ in names], {})
    for edge in edges:
        first, last = number[edge[0]], number[edge[1]]
        found.lines[edge] = _thread(found, first, last, range(layer[first] + 1, layer[last]))
    return found


def _longest_paths(after: list[list[int]], before: list[list[int]]) -> list[int]:
    """The layer of each: as late as what follows allows, so that what begins a chain stands beside it."""
    layer, missing = [0] * len(after), [len(found) for found in before]
    ready = [node for node, count in enumerate(missing) if not count]
    for node in ready:
        for following in after[node]:
            layer[following] = max(layer[following], layer[node] + 1)
            missing[following] -= 1
            if not missing[following]:
                ready.append(following)
    if len(ready) < len(after):
        raise ValueError("These edges lead in a circle.")
    for node in reversed(ready):
        if after[node]:
            layer[node] = min(layer[following] for following in after[node]) - 1
    return layer


def _thread(layers: _Layers, start: int, end: int, passed: range) -> list[int]:
    """The edge as a line from box to box, with a place in each layer that it passes."""
    line = [start]
    for at in passed:
        line.append(len(layers.after))
        layers.rows[at].append(line[-1])
        layers.after.append([])
        layers.before.append([])
    line.append(end)
    for left, right in pairwise(line):
        layers.after[left].append(right)
        layers.before[right].append(left)
    return line


def _order(layers: _Layers) -> None:
    """Each row by the middle of its neighbours, there and back; the order with the fewest crossings stays."""
    best, fewest = layers.rows, _crossings(layers.rows, layers.after)
    rows = best
    for sweep in range(2 * SWEEPS):
        if not fewest:
            break
        forwards = sweep % 2 == 0
        rows = _swept(rows, layers.before) if forwards else _swept(rows[::-1], layers.after)[::-1]
        if (crossings := _crossings(rows, layers.after)) < fewest:
            best, fewest = rows, crossings
    layers.rows = best


def _swept(rows: list[list[int]], neighbours: list[list[int]]) -> list[list[int]]:
    place = {node: index for index, node in enumerate(rows[0])}
    found = [rows[0]]
    for row in rows[1:]:
        middle = {
            node: sum(place[other] for other in neighbours[node]) / len(neighbours[node]) if neighbours[node] else index
            for index, node in enumerate(row)
        }
        found.append(sorted(row, key=middle.__getitem__))
        place = {node: index for index, node in enumerate(found[-1])}
    return found


def _crossings(rows: list[list[int]], after: list[list[int]]) -> int:
    """How often two edges cross between neighbouring rows."""
    count = 0
    for row, following in pairwise(rows):
        place = {node: index for index, node in enumerate(following)}
        seen: list[int] = []
        for node in row:
            ends = sorted(place[other] for other in after[node])
            count += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return count


def _across(layers: _Layers, shape: Shape) -> tuple[list[int], int]:
    """Where the middle of each lies across the layers, and how far all of them reach."""
    long = shape.width if shape.down else shape.height
    half = [long / 2 if node < layers.boxes else shape.lane / 2 for node in range(len(layers.after))]
    steps: list[list[float]] = []
    place = [0.0] * len(half)
    for row in layers.rows:
        reached: list[float] = []
        for node in row:
            apart = half[row[len(reached) - 1]] + shape.gap + half[node] if reached else 0.0
            reached.append(reached[-1] + apart if reached else 0.0)
        steps.append(reached)
        for node, at in zip(row, reached, strict=True):
            place[node] = at - reached[-1] / 2
    there = list(zip(layers.rows, steps, strict=True))
    for sweep in range(2 * SWEEPS):
        towards = layers.before if sweep % 2 == 0 else layers.after
        for row, reached in there if sweep % 2 == 0 else there[::-1]:
            wished = [
                sum(place[other] for other in towards[node]) / len(towards[node]) if towards[node] else place[node]
                for node in row
            ]
            settled = _rising([wish - step for wish, step in zip(wished, reached, strict=True)])
            for node, start, step in zip(row, settled, reached, strict=True):
                place[node] = start + step
    top = min(middle - size for middle, size in zip(place, half, strict=True))
    middles = [round(middle - top) for middle in place]
    return middles, max(middle + round(size) for middle, size in zip(middles, half, strict=True))


def _rising(wished: Sequence[float]) -> list[float]:
    """The rising numbers nearest to those wished for: where they fall, neighbours meet at their mean."""
    pools: list[tuple[float, int]] = []
    for wish in wished:
        mean, size = wish, 1
        while pools and pools[-1][0] >= mean:
            other, count = pools.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        pools.append((mean, size))
    return [mean for mean, size in pools for _ in range(size)]


def _path(points: Sequence[tuple[int, int]], thick: int, down: bool) -> str:
    """From the end of the first box to the beginning of the last: straight across each layer, curved between them."""
    here, level = points[0][0] + thick, points[0][1]
    parts = ["M" + _written(here, level, down)]
    for index, (start, middle) in enumerate(points[1:], start=1):
        bend = (here + start) // 2
        if middle == level:
            parts.append("L" + _written(start, middle, down))
        else:
            parts.append(
                f"C{_written(bend, level, down)} {_written(bend, middle, down)} {_written(start, middle, down)}"
            )
        here, level = start + thick, middle
        if index < len(points) - 1:
            parts.append("L" + _written(here, middle, down))
    return "".join(parts)


def _written(along: int, across: int, down: bool) -> str:
    return f"{across} {along}" if down else f"{along} {across}"


def _turned(along: int, across: int, down: bool) -> tuple[int, int]:
    return (across, along) if down else (along, across)
