"""What a few words typed into the bar may mean: asked of each room in one statement, the best first.

A name is found by any part of it; a version by its model and number or alias, by the digest of its files or by its run;
a request by its number. Nobody finds what they may not open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Case, F, IntegerField, Q, QuerySet, Value, When
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Substr

from accounts.models import User
from accounts.permissions import can_administer
from approvals.models import Policy, TransitionRequest
from core.addresses import address
from core.clock import from_ms
from core.keyset import key_in
from core.prepared import planning_anew
from registry.models import ModelVersion, RegisteredModel
from tracking.models import Experiment, Lifecycle, Run
from tracking.queries import DESCRIPTION_TAG

MOST_TYPED = 256
MOST_WORDS = 8
SHOWN = 20
SHORTEST_DIGEST = 8  # hexadecimal signs; fewer would be a word as often

_VERSION = re.compile(r"(?P<model>.+?)(?:\s*/\s*|\s+)(?:v|version\s+)?(?P<number>[0-9]{1,9})", re.IGNORECASE)
_ALIAS = re.compile(r"(?P<model>.+?)\s*@\s*(?P<alias>\S+)")
_REQUEST = re.compile(r"(?:#|request\s+#?)?(?P<pk>[0-9]{1,18})", re.IGNORECASE)
_HEXADECIMAL = re.compile(rf"(?:sha256:)?(?P<digits>[0-9a-f]{{{SHORTEST_DIGEST},64}})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Hit:
    """One thing that was found. ``is_exact``: what was typed names it and could name no other of its kind."""

    title: str
    url: str
    says: str = ""
    stage: str = ""
    aliases: tuple[str, ...] = ()
    state: str = ""
    state_label: str = ""
    at: datetime | None = None
    is_exact: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """The hits of one kind; ``all_url`` is the page that lists the rest of them, where there is one."""

    label: str
    icon: str
    hits: list[Hit]
    all_url: str = ""
    has_more: bool = False


@dataclass(frozen=True, slots=True)
class Term:
    """What was typed, read as each of the things that it may name."""

    text: str
    words: tuple[str, ...] = ()
    model: str = ""  # what stands before a number or an alias
    number: int | None = None
    alias: str = ""
    request: int | None = None  # of a number so long that it may begin a digest only where it says so: #12345678
    digits: str = ""  # of a digest or of the id of a run

    @property
    def is_address(self) -> bool:
        return self.number is not None or bool(self.alias) or self.text.startswith("#")

    @classmethod
    def read(cls, typed: str) -> Term:
        text = " ".join(typed.replace("\x00", "").split())[:MOST_TYPED].removeprefix("models:/")
        version, alias = _VERSION.fullmatch(text), _ALIAS.fullmatch(text)
        request, hexadecimal = _REQUEST.fullmatch(text), _HEXADECIMAL.fullmatch(text)
        return cls(
            text=text,
            words=tuple(text.split()[:MOST_WORDS]),
            model=(version or alias or {"model": ""})["model"],
            number=min(int(version["number"]), 2**31 - 1) if version else None,
            alias=alias["alias"] if alias else "",
            request=key_in(request["pk"]) if request and not hexadecimal else None,
            digits=hexadecimal["digits"].lower() if hexadecimal else "",
        )


def find(user: User, typed: str, *, most: int = SHOWN) -> list[Group]:
    """What ``user`` may open, in groups: the one with an exact hit first. At most one statement for each kind."""
    term = Term.read(typed)
    if not term.text:
        return []
    asked = urlencode({"q": term.text})
    with planning_anew():
        groups = [
            _group("Requests", "list-check", _requests(user, term), most),
            _group("Versions", "versions", _versions(user, term, most + 1), most),
            _group("Models", "package", _models(user, term, most + 1), most, f"{address('models')}?{asked}"),
            _group("Runs", "chart-line", _runs(user, term, most + 1), most, f"{address('runs')}?{asked}"),
            _group(
                "Experiments", "folder", _experiments(user, term, most + 1), most, f"{address('experiments')}?{asked}"
            ),
            _group("Policies", "shield-check", _policies(term, most + 1), most, address("policies")),
            _group("People", "users", _people(user, term, most + 1), most, f"{address('people')}?{asked}"),
        ]
    return sorted((group for group in groups if group.hits), key=lambda group: not group.hits[0].is_exact)


def named_by(typed: str, groups: list[Group]) -> Hit | None:
    """Where to go at once: an address (``#118``, ``name 3``, ``name@champion``) leads to what it names, a name or a
    digest only when nothing else was found."""
    hits = [hit for group in groups for hit in group.hits]
    exact = [hit for hit in hits if hit.is_exact]
    return exact[0] if len(exact) == 1 and (len(hits) == 1 or Term.read(typed).is_address) else None


def _group(label: str, icon: str, hits: Iterator[Hit], most: int, all_url: str = "") -> Group:
    found = list(hits)
    return Group(label=label, icon=icon, hits=found[:most], all_url=all_url, has_more=len(found) > most)


# -- One statement each ------------------------------------------------------------------------------------------------


def _models(user: User, term: Term, most: int) -> Iterator[Hit]:
    rows = RegisteredModel.objects.live().visible_to(user).filter(_named("name", term.words), is_prompt=False)
    about = rows.annotate(about=Substr("description", 1, 160))  # a description may have megabytes
    for row in _best("name", term.text, about).values("name", "about", "last_updated_timestamp")[:most]:
        yield Hit(
            title=row["name"],
            url=address("model", row["name"]),
            says=row["about"],
            at=from_ms(row["last_updated_timestamp"]),
            is_exact=row["name"].casefold() == term.text.casefold(),
        )


def _versions(user: User, term: Term, most: int) -> Iterator[Hit]:
    if term.digits:
        wanted = _starts("digest", term.digits) & ~Q(digest="") | _starts("run_id", term.digits[:32]) & ~Q(run_id="")
    elif term.number is not None:
        wanted = Q(version=term.number) & _named("model__name", tuple(term.model.split()))
    elif term.alias:
        wanted = Q(alias_rows__name__ilike=f"{term.alias}%") & _named("model__name", tuple(term.model.split()))
    else:
        return
    live = ModelVersion.objects.live().visible_to(user).filter(wanted, model__deleted_at=None)
    rows = _best("model__name", term.model or term.text, live.select_related("model"), "-version")
    lean = rows.defer("description", "model__description").annotate(about=Substr("description", 1, 160))
    seen = set()
    for row in lean[:most]:
        if row.pk in seen:  # two of its aliases begin so
            continue
        seen.add(row.pk)
        yield Hit(
            title=f"{row.model.name} version {row.version}",
            url=row.get_absolute_url(),
            says=row.about,
            stage=row.current_stage if row.current_stage != "None" else "",
            aliases=tuple(row.aliases),
            at=row.created_at,
            is_exact=_is_this(row, term),
        )


def _is_this(version: ModelVersion, term: Term) -> bool:
    if term.digits:
        return version.digest.startswith(term.digits) or version.run_id == term.digits
    named = version.model.name.casefold() == term.model.casefold()
    return named and (version.version == term.number or term.alias in version.aliases)


def _runs(user: User, term: Term, most: int) -> Iterator[Hit]:
    wanted = _named("run_name", term.words)
    if term.digits:
        wanted |= _starts("run_id", term.digits[:32])
    rows = (
        Run.objects.visible_to(user).filter(wanted, lifecycle_stage=Lifecycle.ACTIVE).order_by("-start_time", "run_id")
    )
    # The ids alone first, which the index of names holds: the rows have all that was logged beside them.
    found = Run.objects.filter(pk__in=rows.values("pk")[:most]).select_related("experiment")
    for run in found.only("run_name", "status", "start_time", "experiment__name").order_by("-start_time", "run_id"):
        yield Hit(
            title=run.run_name or run.run_id,
            url=run.get_absolute_url(),
            says=f"{run.run_id} in {run.experiment.name}",
            state=run.status,
            state_label=run.get_status_display(),
            at=from_ms(run.start_time),
            is_exact=term.digits == run.run_id or term.text == run.run_name,
        )


def _experiments(user: User, term: Term, most: int) -> Iterator[Hit]:
    rows = Experiment.objects.visible_to(user).filter(_named("name", term.words), lifecycle_stage=Lifecycle.ACTIVE)
    about = rows.annotate(about=Substr(KeyTextTransform(DESCRIPTION_TAG, "tags"), 1, 160))
    for row in _best("name", term.text, about).values("id", "name", "about", "last_update_time")[:most]:
        yield Hit(
            title=row["name"],
            url=address("experiment", row["id"]),
            says=row["about"] or "",
            at=from_ms(row["last_update_time"]),
            is_exact=row["name"].casefold() == term.text.casefold(),
        )


def _requests(user: User, term: Term) -> Iterator[Hit]:
    if term.request is None:
        return
    rows = TransitionRequest.objects.visible_to(user).select_related("model", "version", "requester")
    for row in rows.filter(pk=term.request):
        yield Hit(
            title=f"Request {row.pk}: {row.model.name} version {row.version.version} → {row.asks_for}",
            url=row.get_absolute_url(),
            says=f"{row.requester} asked",
            state=row.state,
            state_label=row.get_state_display(),
            at=row.created_at,
            is_exact=True,
        )


def _policies(term: Term, most: int) -> Iterator[Hit]:
    for policy in _best("name", term.text, Policy.objects.filter(_named("name", term.words)))[:most]:
        yield Hit(
            title=policy.name,
            url=policy.get_absolute_url(),
            says="archived" if policy.archived_at else "",
            is_exact=policy.name == term.text,
        )


def _people(user: User, term: Term, most: int) -> Iterator[Hit]:
    """Everybody sees who is here; addresses are for administrators."""
    administers = can_administer(user).allowed
    wanted = _named("username", term.words)
    if administers:
        wanted |= Q(email__ilike=f"{term.text}%")
    for person in _best("username", term.text, User.objects.filter(wanted))[:most]:
        yield Hit(
            title=person.username,
            url=f"{address('people')}?{urlencode({'q': person.username})}",
            says=person.email if administers else "",
            is_exact=person.username.casefold() == term.text.casefold(),
        )


# -- Conditions and order ----------------------------------------------------------------------------------------------


def _named(column: str, words: tuple[str, ...]) -> Q:
    """All the words are somewhere in the name. ``ilike`` finds its way by the index of trigrams, ``icontains`` not."""
    found = Q()
    for word in words:
        found &= Q(**{f"{column}__ilike": f"%{word}%"})
    return found


def _starts(column: str, digits: str) -> Q:
    """As a range, which every index on the column serves; no sign of a digest is beyond f."""
    return Q(**{f"{column}__gte": digits, f"{column}__lt": f"{digits}g"})


def _best(column: str, text: str, rows: QuerySet[Any], *then: str) -> QuerySet[Any]:
    """The name itself, then names that begin so, then the others; of those alike, in the order of the alphabet."""
    nearness = Case(
        When(**{f"{column}__iexact": text}, then=Value(0)),
        When(**{f"{column}__ilike": f"{text}%"}, then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    return rows.order_by(nearness, F(column), *then)
