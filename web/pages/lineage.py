"""/models/NAME/versions/N/lineage/: where a version comes from and where it goes, as a picture and as a list. The small
picture of the pages of versions and requests is drawn here too (templates/components/lineage.html)."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from core.addresses import address
from core.layered import Drawing, Shape, drawn
from registry.lineage import whole
from registry.lineage_graph import THIS, Graph, Kind, Look, Node
from registry.lineage_inputs import WORKED_FROM
from registry.models import ModelVersion
from registry.queries import get_known_version
from web.signed_in import SignedInRequest

SMALL = Shape(width=102, height=26, gap=6, channel=22, lane=6, down=True)
WIDE = Shape(width=152, height=44, gap=12, channel=28)
FITS, FITS_WIDE = 14, 15  # characters of a label, wide ones counting for more
KINDS = {  # what each is called in the legend, and its icon
    Kind.DATASET: ("Dataset", "database"),
    Kind.COMMIT: ("Commit", "git-commit"),
    Kind.RUN: ("Run", "chart-line"),
    Kind.LOGGED_MODEL: ("Logged model", "package"),
    Kind.VERSION: ("Version", "versions"),
    Kind.STAGE: ("Stage", "circle-check"),
    Kind.ALIAS: ("Alias", "at"),
    Kind.DEPLOYMENT: ("Deployment", "rocket"),
}


@dataclass(frozen=True, slots=True)
class Box:
    node: Node
    url: str
    x: int
    y: int
    fits: int

    @property
    def icon(self) -> str:
        return KINDS[self.node.kind][1]

    @property
    def label(self) -> str:
        return shortened(self.node.text, self.fits)

    @property
    def note(self) -> str:
        return shortened(self.node.note, self.fits + 4)

    @property
    def says(self) -> str:
        """For a screen reader and on hover: what it is, the whole text, and what is to be said of it."""
        note = "" if self.node.look == Look.THIS or not self.node.note else f", {self.node.note}"
        return f"{self.node.role} {self.node.text}{note}"


@dataclass(frozen=True, slots=True)
class Step:
    """A box on the way outwards from the version, with the lines that lead to it from what was drawn before it. Each
    step opens a group; ``closes`` are those that end after it, so a group holds all that lies beyond its box."""

    box: Box
    paths: tuple[str, ...]
    is_last: bool
    closes: range

    @property
    def ends(self) -> range:
        """The groups around its own that end with it."""
        return self.closes[1:]


@dataclass(frozen=True, slots=True)
class Picture:
    steps: list[Step]
    width: int
    height: int
    is_small: bool
    kinds: list[tuple[Kind, str, str]]


@require_safe
def lineage(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    version = get_known_version(request.user, name, number)
    context = {"version": version, "model": version.model, "picture": picture_of(whole(request.user, version), version)}
    return render(request, "versions/lineage.html", context)


def picture_of(graph: Graph, version: ModelVersion, shape: Shape = WIDE) -> Picture:
    drawing = drawn(list(graph.nodes), graph.edges, shape)
    kinds = {node.kind for node in graph.nodes.values()}
    return Picture(
        _steps(graph, drawing, version, FITS if shape is SMALL else FITS_WIDE),
        drawing.width,
        drawing.height,
        shape is SMALL,
        [(kind, *KINDS[kind]) for kind in KINDS if kind in kinds],
    )


def _steps(graph: Graph, drawing: Drawing, version: ModelVersion, fits: int) -> list[Step]:
    """Every box once, in the order of a walk that begins at the version."""
    beside: dict[str, list[tuple[str, tuple[str, str]]]] = {key: [] for key in graph.nodes}
    for edge in drawing.paths:
        beside[edge[0]].append((edge[1], edge))
        beside[edge[1]].append((edge[0], edge))
    beyond: dict[str, list[str]] = {THIS: []}  # the shortest way to each from the version, as a tree
    waiting = [THIS]
    for key in waiting:
        for other, _ in beside[key]:
            if other not in beyond:
                beyond[key].append(other)
                beyond[other] = []
                waiting.append(other)
    steps: list[Step] = []
    seen: set[str] = set()
    walk = [(THIS, 1)]
    while walk:
        key, ends = walk.pop()
        seen.add(key)
        paths = tuple(drawing.paths[edge] for other, edge in beside[key] if other in seen)
        node, (x, y) = graph.nodes[key], drawing.places[key]
        inner = beyond[key]
        steps.append(Step(Box(node, url_of(node, version), x, y, fits), paths, not inner, range(0 if inner else ends)))
        walk += [(other, ends + 1 if other is inner[-1] else 1) for other in reversed(inner)]
    return steps


def url_of(node: Node, version: ModelVersion) -> str:
    """Where more is said of it: its own page, or the facts on the page of the version."""
    name, ref = version.model.name, node.ref
    if node.kind == Kind.VERSION and isinstance(ref, tuple):
        return address("version", *ref) if ref[1] else address("model", ref[0])
    if node.kind == Kind.VERSION and isinstance(ref, int):
        return address("version", name, ref)
    if node.kind in (Kind.RUN, Kind.LOGGED_MODEL) and ref:
        return address("run", str(ref))
    if node.role == WORKED_FROM:  # it is not here: what the run says of it is
        return f"{version.get_absolute_url()}?tab=tags#known"
    if node.kind in (Kind.VERSION, Kind.STAGE, Kind.ALIAS):
        query = "" if not ref or ref == "Archived" else "?" + urlencode({"target": ref})
        return address("history", name) + query
    if node.kind == Kind.DEPLOYMENT:
        return str(ref) or address("model_deployments", name)
    return version.get_absolute_url() + "#identity"


def shortened(text: str, fits: int = FITS) -> str:
    """The beginning that fits into a box, and an ellipsis; a picture cannot shorten text by itself."""
    ends: list[float] = []  # after each character, the width so far
    for character in text[: fits + 1]:
        ends.append((ends[-1] if ends else 0) + _width(character))
    if not ends or (ends[-1] <= fits and len(ends) == len(text)):
        return text
    return text[: sum(end < fits for end in ends)] + "…"


def _width(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 2
    return 1.4 if character.isupper() or character in "mw@%&<>=+~#" else 1
