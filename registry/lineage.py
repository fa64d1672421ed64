"""Where a version comes from and where it goes, as a graph without cycles: what it was made from leads to the version,
the version to what it holds or held, to who held that after it, and to where it runs.

``brief`` asks nothing of the database and ``whole`` five statements at most, or six where a run names other models,
whatever the size: of many of a kind the nearest are shown, and a node that says how many more there are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.db.models import Q, QuerySet

from accounts.models import User
from core.prepared import Many, Prepared
from registry.evidence import is_dirty, known_of
from registry.gate import Target
from registry.lineage_graph import THIS, Graph, Kind, Look, Node
from registry.lineage_inputs import Known, Named, as_known, as_named, look_up, named_in
from registry.models import HELD_STAGES, Deployment, ModelVersion, Stage, StageHolding, TargetKind
from registry.queries import deployments_of
from tracking.models import Lifecycle, Run
from tracking.queries import PARENT_TAG

FEW, MANY = 3, 58  # of a kind: in a small picture, and in one with room for about 300
FEW_INPUTS, MOST_INPUTS = 2, 12  # models that a run names
DEEP = 500  # holdings of others that are looked through, before this version's and after
_OF_OTHERS = ("version__version", "version__deleted_at", "target_kind", "target", "since", "until")
_RUNS = Prepared(
    lambda ids: Run.objects.filter(pk__in=ids).only("run_name", "lifecycle_stage", "inputs", "outputs"), Many(str)
)
_HOLDINGS = Prepared(
    lambda version: StageHolding.objects.filter(version=version).order_by("-target_kind", "target", "since", "id")[
        :DEEP
    ],
    int,
)
_COPY = re.compile(r"models:/([^/]+)/([0-9]{1,9})")  # as registry.sources writes it


def brief(
    version: ModelVersion,
    evidence: dict[str, Any],
    *,
    asked: Target | None = None,
    replaces: ModelVersion | None = None,
    deployments: Sequence[Deployment] = (),
) -> Graph:
    """What is at hand where a version is shown or ``asked`` for; with who ``replaces`` would lose it."""
    graph = Graph()
    graph.add(_this(version))
    if not _is_of_no_run(graph, version):
        _made_from(graph, evidence, _run_of_evidence(version, evidence), FEW)
        named = _others_named(version, named_in(evidence), made=())
        graph.add_some([as_named(each) for each in named], FEW_INPUTS, to="run")
    if asked:
        graph.add(Node("asked", _kind(asked), "Asked for", str(asked), look=Look.ASKED, ref=str(asked)), of=THIS)
    else:
        graph.add_some(_targets(version), FEW, of=THIS)
    if asked and replaces and replaces.pk != version.pk:
        number = replaces.version
        graph.add(Node("replaced", Kind.VERSION, "Replaces", f"version {number}", ref=number), to="asked")
    graph.add_some([_deployment(row) for row in deployments], FEW, of=THIS)
    return graph


def whole(user: User, version: ModelVersion) -> Graph:
    """All that is known, as far as ``user`` may see it."""
    evidence = known_of(version)
    parent = evidence.get("tags", {}).get(PARENT_TAG, "") if version.run_id else ""
    runs = _runs(user, {version.run_id, parent} - {""})
    run, origins = runs.get(version.run_id), _origins(version)
    made = [entry.get("model_id") for entry in run.outputs if isinstance(entry, dict)] if run else []
    named = named_in(evidence, run.inputs.get("models", []) if run else []) if version.run_id else []
    named = _others_named(version, named, made)
    known = look_up(user, version, [*origins, *named])
    graph = Graph()
    graph.add(_this(version))
    for each in origins:
        graph.add(_origin(each, known), to=THIS)
    if not _is_of_no_run(graph, version, to="origin" if origins else THIS):
        _made_from(graph, evidence, _run(version, evidence, run), MANY, to="origin" if origins else THIS)
        graph.add_some([as_known(each, known) for each in named], MOST_INPUTS, to="run")
        if parent and parent != version.run_id:
            graph.add(_parent(parent, runs.get(parent)), to="run")
    _held_by_it_and_by_others(graph, version)
    rows = deployments_of(version, most=MANY + 1)
    graph.add_some([_deployment(row) for row in rows], MANY, of=THIS, uncounted=len(rows) > MANY)
    return graph


def _this(version: ModelVersion) -> Node:
    number, name = version.version, version.model.name
    note = "archived" if version.current_stage == Stage.ARCHIVED else name
    return Node(THIS, Kind.VERSION, name, f"version {number}", note, Look.THIS, number)


# -- What it was made from ---------------------------------------------------------------------------------------------


def _is_of_no_run(graph: Graph, version: ModelVersion, to: str = THIS) -> bool:
    if not version.run_id:
        graph.add(Node("run", Kind.RUN, "Missing:", "no run", "nothing says how it was made", Look.MISSING), to=to)
    return not version.run_id


def _made_from(graph: Graph, evidence: dict[str, Any], run: Node, most: int, to: str = THIS) -> None:
    graph.add(run, to=to)
    if not evidence.get("run"):
        return  # what nobody has read lists neither data nor code
    contexts: dict[str, list[str]] = {}
    for dataset in evidence.get("datasets", []):
        contexts.setdefault(dataset["name"], []).append(dataset.get("context") or "")
    datasets = [
        Node(f"dataset {name}", Kind.DATASET, "Dataset", name, ", ".join(sorted(set(used) - {""})))
        for name, used in contexts.items()
    ]
    missing = Node("no dataset", Kind.DATASET, "Missing:", "no dataset", "the run names none", Look.MISSING)
    graph.add_some(datasets or [missing], most, to=run.key)
    commit = evidence.get("commit", "")
    if not commit:
        missing = Node("commit", Kind.COMMIT, "Missing:", "no commit", "the run names none", Look.MISSING)
        graph.add(missing, to=run.key)
        return
    note = "with changes" if is_dirty(evidence.get("tags", {})) else ""
    graph.add(Node("commit", Kind.COMMIT, "Commit", f"git {commit[:7]}", note), to=run.key)


def _run_of_evidence(version: ModelVersion, evidence: dict[str, Any]) -> Node:
    run = evidence.get("run")
    if run:
        name = run.get("run_name") or run["run_id"]
        return Node("run", Kind.RUN, "Run", name, ref=version.run_id)
    return Node("run", Kind.RUN, "Run, unknown here,", version.run_id, "not known here", Look.MISSING)


def _run(version: ModelVersion, evidence: dict[str, Any], row: Run | None) -> Node:
    known, origin = evidence.get("run") or {}, evidence.get("origin")
    if row is None and not known:
        return _run_of_evidence(version, evidence)
    name = (row.run_name if row else known.get("run_name")) or version.run_id
    if row and row.lifecycle_stage == Lifecycle.ACTIVE:
        return Node("run", Kind.RUN, "Run", name, ref=version.run_id)
    note = "deleted" if row else f"on {origin['server']}" if origin else "no longer here"
    return Node("run", Kind.RUN, "Run", name, note, Look.MISSING, version.run_id if row else "")


def _runs(user: User, ids: set[str]) -> dict[str, Run]:
    return {run.run_id: run for run in _RUNS.all(ids)} if user.is_active else {}  # as visible_to says


def _parent(run_id: str, row: Run | None) -> Node:
    if row is None:
        return Node("parent", Kind.RUN, "Parent run", run_id, "not known here", Look.MISSING)
    is_deleted = row.lifecycle_stage == Lifecycle.DELETED
    look, note = (Look.MISSING, "parent, deleted") if is_deleted else (Look.PLAIN, "parent")
    return Node("parent", Kind.RUN, "Parent run", row.run_name or run_id, note, look, run_id)


def copied_from(version: ModelVersion) -> tuple[str, int] | None:
    """Name and number of the version that this one was registered from."""
    found = _COPY.fullmatch(version.source)
    return (found[1], int(found[2])) if found else None


def _origins(version: ModelVersion) -> list[Named]:
    """The version of another model that it is a copy of, else the logged model that it was registered from."""
    if copied := copied_from(version):
        return [Named(name=copied[0], number=copied[1])]
    return [Named(logged=version.logged_model_id)] if version.logged_model_id else []


def _origin(origin: Named, known: Known) -> Node:
    if not origin.logged:
        if (copied := (origin.name, origin.number)) in known.numbered:
            return Node("origin", Kind.VERSION, "Copied from", origin.text, "copied from", ref=copied)
        return Node("origin", Kind.VERSION, "Copied from", "a model you may not see", "or that is gone", Look.MISSING)
    row = known.logged.get(origin.logged)
    if row is None:
        return Node("origin", Kind.LOGGED_MODEL, "Logged model", origin.logged, "not known here", Look.MISSING)
    look, note = (Look.MISSING, "deleted") if row.deleted_at else (Look.PLAIN, "")
    return Node("origin", Kind.LOGGED_MODEL, "Logged model", row.name, note, look)


def _others_named(version: ModelVersion, named: Sequence[Named], made: Sequence[object]) -> list[Named]:
    """Without the version itself and what it comes from, and without the models that its run ``made`` and looked at."""
    own = {*made, version.logged_model_id, (version.model.name, version.version), copied_from(version)}
    return [each for each in named if (each.logged or (each.name, each.number)) not in own]


# -- What it holds, and who held it before and after -------------------------------------------------------------------


def _kind(target: Target) -> Kind:
    return Kind.STAGE if target.kind == TargetKind.STAGE else Kind.ALIAS


def _target(target: Target, role: str, note: str = "", look: Look = Look.PLAIN) -> Node:
    return Node(f"target {target}", _kind(target), role, str(target), note, look, str(target))


def _targets(version: ModelVersion) -> list[Node]:
    """Its stage and its aliases, as its own row says them."""
    stages = [stage for stage in HELD_STAGES if stage == version.current_stage]
    held = [Target(TargetKind.STAGE, stage) for stage in stages]
    return [
        _target(target, "Holds") for target in held + [Target(TargetKind.ALIAS, alias) for alias in version.aliases]
    ]


@dataclass(slots=True)
class _Other:
    """A version that held what this one did."""

    number: int
    is_deleted: bool
    targets: dict[Target, None] = field(default_factory=dict)
    holds: set[Target] = field(default_factory=set)

    def node(self, role: str) -> Node:
        key, targets = f"version {self.number}", ", ".join(map(str, self.targets))
        if self.is_deleted:  # it has no page any more
            return Node(key, Kind.VERSION, role, key, f"{targets}, deleted", Look.MISSING)
        return Node(key, Kind.VERSION, role, key, targets, ref=self.number)


def _held_by_it_and_by_others(graph: Graph, version: ModelVersion) -> None:
    last: dict[Target, StageHolding] = {}
    for row in _HOLDINGS.all(version.pk):
        last[_of(row)] = row
    shown = {node.key: node for node in _targets(version)}
    shown |= {node.key: node for node in (_last_held(target, row) for target, row in last.items())}
    graph.add_some(list(shown.values()), MANY, of=THIS)
    if not last:
        return
    earlier, later = _others(version, last)
    for number in later.found:  # who came before it and again after it stands after it, else there would be a circle
        earlier.found.pop(number, None)
    _add_others(graph, earlier, "Before it", to=THIS)
    _add_others(graph, later, "After it", of=THIS)


def _last_held(target: Target, row: StageHolding) -> Node:
    if row.until is None:
        return _target(target, "Holds", f"since {_day(row.since)}")
    return _target(target, "Held", f"until {_day(row.until)}", Look.PAST)


@dataclass(slots=True)
class _Others:
    """By number, the nearest first; ``rows`` is how many holdings of theirs were looked through."""

    found: dict[int, _Other] = field(default_factory=dict)
    rows: int = 0

    def add(self, row: StageHolding) -> None:
        number = row.version.version
        other = self.found.setdefault(number, _Other(number, row.version.deleted_at is not None))
        other.targets[_of(row)] = None
        if row.until is None:
            other.holds.add(_of(row))
        self.rows += 1


def _others(version: ModelVersion, last: dict[Target, StageHolding]) -> tuple[_Others, _Others]:
    """Those before it and those after it, in one statement."""
    held = [value for row in last.values() for value in (row.target_kind, row.target, row.since)]
    earlier, later = _Others(), _Others()
    passed = []
    for row in _nearest(len(last)).all(version.model_id, version.pk, *held):
        if row.since > last[_of(row)].since:
            later.add(row)
        else:
            passed.append(row)
    for row in reversed(passed):
        earlier.add(row)
    return earlier, later


@lru_cache(maxsize=8)
def _nearest(targets: int) -> Prepared[StageHolding]:
    """Of a model and a version: holdings by others of so many targets, each a kind, a name, and since when the version
    held it. The statement differs with their number."""

    def nearest(model: int, version: int, *held: Any) -> QuerySet[StageHolding]:
        of_others = StageHolding.objects.filter(model=model).exclude(version=version)
        before, after = Q(), Q()
        for kind, name, since in zip(held[::3], held[1::3], held[2::3], strict=True):
            before |= Q(target_kind=kind, target=name, since__lt=since)
            after |= Q(target_kind=kind, target=name, since__gt=since)
        near = Q(pk__in=of_others.filter(before).order_by("-since", "-id").values("pk")[:DEEP])
        near |= Q(pk__in=of_others.filter(after).order_by("since", "id").values("pk")[:DEEP])
        return of_others.filter(near).select_related("version").only(*_OF_OTHERS).order_by("since", "id")

    return Prepared(nearest, int, int, *(str, str, datetime) * targets)


def _of(row: StageHolding) -> Target:
    return Target(TargetKind(row.target_kind), row.target)


def _add_others(graph: Graph, others: _Others, role: str, **edge: str) -> None:
    nodes = [other.node(role) for other in others.found.values()]
    graph.add_some(nodes, MANY, uncounted=others.rows == DEEP, **edge)
    for other in others.found.values():
        for key in [f"target {target}" for target in other.holds]:
            if f"version {other.number}" in graph.nodes and key in graph.nodes:
                _hold(graph, other.number, key)


def _hold(graph: Graph, number: int, key: str) -> None:
    """Another version holds the target now: what this one held and lost is reached through that."""
    graph.edges.append((f"version {number}", key))
    target = graph.nodes[key]
    if target.look == Look.PAST:
        graph.nodes[key] = replace(target, note=f"version {number} now", look=Look.PLAIN)
        if (THIS, f"version {number}") in graph.edges:
            graph.edges.remove((THIS, key))


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%b %Y}"


# -- Where it runs -----------------------------------------------------------------------------------------------------


def _deployment(row: Deployment) -> Node:
    is_bad = bool(row.is_behind) or row.status == Deployment.Status.FAILED
    note = row.is_behind or row.get_status_display().lower()
    key, look = f"deployment {row.name}", Look.BAD if is_bad else Look.PLAIN
    return Node(key, Kind.DEPLOYMENT, "Deployment", row.name, note, look, row.link)
