"""The models that a run names as what it worked from: its logged inputs, and addresses (``models:/base/4``) in its tags
and parameters. What is not there, or not for who asks, stays as it was named."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q

from accounts.models import User
from registry.lineage_graph import Kind, Look, Node
from registry.models import Alias, LatestVersion, ModelVersion
from tracking.models import LoggedModel

WORKED_FROM = "Worked from"
MOST_LOOKED_UP = 60
_LONGEST = 300  # characters of an address; a name has 256
_ADDRESS = re.compile(
    r"models:/(?:(?P<logged>m-[0-9a-f]{32})(?:/.*)?"
    r"|(?P<name>[^/]+)/(?:0*(?P<number>[1-9][0-9]{0,8})|(?P<stage>Staging|Production|Archived))"
    r"|(?P<named>[^/@]+)@(?P<alias>[^/@]+))",
    re.IGNORECASE | re.ASCII,  # else a dotless i is an i
)


@dataclass(frozen=True, slots=True)
class Named:
    """A logged model, or a version by its number, stage or alias; ``by`` is the key of the tag or parameter."""

    by: str = ""
    logged: str = ""
    name: str = ""
    number: int = 0
    stage: str = ""
    alias: str = ""

    @property
    def text(self) -> str:
        if self.logged or self.alias:
            return self.logged or f"{self.name}@{self.alias}"
        return f"{self.name} {self.stage or f'version {self.number}'}"

    @property
    def key(self) -> str:
        return f"input {self.text}"

    def node(self, note: str = "", look: Look = Look.PLAIN, ref: str | tuple[str, int] = "", text: str = "") -> Node:
        kind = Kind.LOGGED_MODEL if self.logged else Kind.VERSION
        return Node(self.key, kind, WORKED_FROM, text or self.text, note or self.by, look, ref)


@dataclass(slots=True)
class Known:
    """What of the models that were asked for is there, and ``user`` may see."""

    logged: dict[str, LoggedModel] = field(default_factory=dict)
    numbered: set[tuple[str, int]] = field(default_factory=set)
    held: dict[tuple[str, str], int] = field(default_factory=dict)  # by name and @alias or stage


def named_in(evidence: Mapping[str, Any], inputs: Iterable[object] = ()) -> list[Named]:
    """Each once, logged inputs first."""
    found = [Named(by="a logged input", logged=key) for key in inputs if isinstance(key, str)]
    texts = itertools.chain.from_iterable(evidence.get(part, {}).items() for part in ("tags", "params"))
    found += [named for key, text in texts if (named := _read(key, text))]
    once: dict[str, Named] = {}
    for named in found:
        once.setdefault(named.key, named)
    return list(once.values())


def _read(key: str, text: object) -> Named | None:
    if not isinstance(text, str) or text[:8].lower() != "models:/" or len(text) > _LONGEST:
        return None
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return None
    return Named(
        by=key,
        logged=(found["logged"] or "").lower(),
        name=found["name"] or found["named"] or "",
        number=int(found["number"] or 0),
        stage=(found["stage"] or "").capitalize(),
        alias=found["alias"] or "",
    )


def as_named(named: Named) -> Node:
    """Without asking whether it is there: a number leads to the version, a stage or alias to the model."""
    return named.node(ref=(named.name, named.number) if named.name else "")


def look_up(user: User, version: ModelVersion, named: Iterable[Named]) -> Known:
    """In two statements at most. A model that took a name after ``version`` was made is another one."""
    asked, known = list(named)[:MOST_LOOKED_UP], Known()
    if logged := {each.logged for each in asked if each.logged}:
        rows = LoggedModel.objects.filter(pk__in=logged)
        known.logged = {row.model_id: row for row in rows.only("name", "deleted_at", "source_run_id")}
    wanted = Q()
    for each in (each for each in asked if each.name):
        wanted |= _condition(each, version)
    if not wanted:
        return known
    live = ModelVersion.objects.live().visible_to(user).filter(wanted, model__deleted_at=None).select_related("model")
    for row in live.only("version", "current_stage", "creation_timestamp", "model__name", "model__aliases"):
        if row.creation_timestamp <= version.creation_timestamp:
            known.numbered.add((row.model.name, row.version))
        known.held |= {(row.model.name, f"@{alias}"): row.version for alias in row.aliases}
        place = (row.model.name, row.current_stage)
        known.held[place] = max(row.version, known.held.get(place, 0))
    return known


def _condition(named: Named, version: ModelVersion) -> Q:
    if named.alias:
        return Q(pk__in=Alias.objects.filter(model__name=named.name, name=named.alias).values("version"))
    if named.stage:
        latest = LatestVersion.objects.filter(model__name=named.name, stage=named.stage)
        return Q(pk__in=latest.values("version"))
    return Q(model__name=named.name, version=named.number, creation_timestamp__lte=version.creation_timestamp)


def as_known(named: Named, known: Known) -> Node:
    if named.logged:
        row = known.logged.get(named.logged)
        if row is None:
            return named.node("not known here", Look.MISSING)
        if row.deleted_at:
            return named.node("deleted", Look.MISSING, text=row.name)
        return named.node(ref=row.source_run_id, text=row.name)
    if named.number:
        if (named.name, named.number) in known.numbered:
            return named.node(ref=(named.name, named.number))
        return named.node("gone, or not for you", Look.MISSING)
    number = known.held.get((named.name, named.stage or f"@{named.alias}"))
    if number is None:
        return named.node("nothing to be seen there", Look.MISSING)
    return named.node(f"version {number} now", ref=(named.name, number))
