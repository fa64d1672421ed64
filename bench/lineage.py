"""python -m bench.lineage [NODES]: what laying out the picture of a lineage takes, in CPU time of this process."""

from __future__ import annotations

import sys
from statistics import median
from time import process_time

from core.layered import Edge, Shape, drawn

ROUNDS = 20
WIDE = Shape(width=152, height=44, gap=12, channel=28)  # as the page has it


def graph(nodes: int) -> tuple[list[str], list[Edge]]:
    """A version with as many datasets, holders before and after it, targets and deployments as there is room for."""
    names, edges = ["version", "run", "logged"], [("run", "logged"), ("logged", "version")]
    for number in range((nodes - 3) // 5):
        names += [f"{kind} {number}" for kind in ("dataset", "before", "after", "target", "deployment")]
        edges += [
            (f"dataset {number}", "run"),
            (f"before {number}", "version"),
            ("version", f"after {number}"),
            (f"after {number}", f"target {number}"),
            ("version", f"target {number}"),
            ("version", f"deployment {number}"),
        ]
    return names, edges


def main() -> None:
    names, edges = graph(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
    taken = []
    for _ in range(ROUNDS):
        begun = process_time()
        drawn(names, edges, WIDE)
        taken.append((process_time() - begun) * 1000)
    print(f"{len(names)} nodes, {len(edges)} edges: {median(taken):.0f} ms of CPU, at the worst {max(taken):.0f} ms")


if __name__ == "__main__":
    main()
