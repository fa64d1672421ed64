"""The graph that a lineage is: its nodes, what each is to the version in the middle, and the edges between them."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

THIS = "this"


class Kind(enum.StrEnum):
    DATASET = "dataset"
    COMMIT = "commit"
    RUN = "run"
    LOGGED_MODEL = "logged_model"
    VERSION = "version"
    STAGE = "stage"
    ALIAS = "alias"
    DEPLOYMENT = "deployment"


class Look(enum.StrEnum):
    PLAIN = ""
    THIS = "this"
    ASKED = "asked"
    PAST = "past"
    MISSING = "missing"
    BAD = "bad"
    MORE = "more"


@dataclass(frozen=True, slots=True)
class Node:
    """``role`` is what it is to the version, in words; ``ref`` is what its page is found by: the id of a run, the
    number of a version of the model or (name, number) of another (0 is the model itself), a target, an address."""

    key: str
    kind: Kind
    role: str
    text: str
    note: str = ""
    look: Look = Look.PLAIN
    ref: str | int | tuple[str, int] = ""


@dataclass(slots=True)
class Graph:
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)

    def add(self, node: Node, *, to: str = "", of: str = "") -> Node:
        """With an edge that leads to or comes from a node that is there, or will be."""
        self.nodes[node.key] = node
        if to or of:
            self.edges.append((of, node.key) if of else (node.key, to))
        return node

    def add_some(
        self, nodes: Sequence[Node], most: int, *, to: str = "", of: str = "", uncounted: bool = False
    ) -> None:
        """The first of them, and one that stands for the others. ``uncounted``: there are still more than these."""
        shown = nodes if len(nodes) <= most else nodes[: most - 1]
        for node in shown:
            self.add(node, to=to, of=of)
        if left := len(nodes) - len(shown):
            first = nodes[0]
            text = f"{left}{'+' if uncounted else ''} more"
            self.add(Node(f"more {first.role}", first.kind, f"{first.role}:", text, look=Look.MORE), to=to, of=of)
