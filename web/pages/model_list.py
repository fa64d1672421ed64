"""The list of models: its filters, its order, its pages, and what stands beside each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.http import QueryDict

from accounts.models import User
from approvals.models import TransitionRequest
from core.errors import Invalid
from core.json_values import TextAt
from core.keyset import Key, after, token_of
from core.prepared import Many, Prepared, planned_anew, together
from registry.models import LatestVersion, ModelVersion, RegisteredModel, Stage
from registry.version_order import Order
from web.pages.addresses import column, with_fields

PAGE_SIZE = 25
STAGES = (Stage.PRODUCTION, Stage.STAGING)
TEXTS = ("q", "stage", "owner", "tag")
MARKS = ("open", "mine")
CHANGED, NAME = "changed", "name"
DEFAULT = Order(CHANGED)
_OF_A_ROW = ("name", "description", "last_version", "last_updated_timestamp", "user__username")


def _holders(models: list[int]) -> QuerySet[LatestVersion]:
    rows = LatestVersion.objects.filter(model__in=models, stage__in=STAGES).select_related("version")
    return rows.only("model_id", "stage", "version__version")


def _pending(models: list[int]) -> QuerySet[TransitionRequest, Any]:
    rows = TransitionRequest.objects.pending().filter(model__in=models).order_by().values("model_id")
    return rows.annotate(number=Count("id")).values_list("model_id", "number")


_HOLDERS, _PENDING = Prepared(_holders, Many(int)), Prepared(_pending, Many(int))


def list_of(user: User, asked: QueryDict) -> dict[str, Any]:
    order = Order.read(asked.get("sort", "")) if asked.get("sort", "").removeprefix("-") in (CHANGED, NAME) else DEFAULT
    kept = _kept(asked, order)
    filters = {name: kept.get(name, "") for name in (*TEXTS, *MARKS)}
    found, next_token, is_first = _page(_fitting(user, filters), order, asked.get("page", ""))
    is_filtered = any(filters.values())
    return {
        "filters": filters,
        "search": filters["q"],
        "stages": STAGES,
        "models": _rows(found),
        "by_name": column("Model", NAME, order, kept, descends_first=False),
        "by_change": column("Last change", CHANGED, order, kept),
        "kept": kept,
        "next_token": next_token,
        "next_url": with_fields(kept, page=next_token),
        "first_url": with_fields(kept),
        "is_first_page": is_first,
        "is_filtered": is_filtered,
        "is_empty_registry": not is_filtered and is_first and not found,
    }


def _kept(asked: QueryDict, order: Order) -> QueryDict:
    """What the address holds that means something."""
    kept = QueryDict(mutable=True)
    for name in TEXTS:
        if text := asked.get(name, "").strip()[:256]:
            kept[name] = text
    for name in MARKS:
        if asked.get(name):
            kept[name] = "1"
    if order != DEFAULT:
        kept["sort"] = str(order)
    return kept


def _fitting(user: User, filters: dict[str, str]) -> QuerySet[RegisteredModel]:
    rows = RegisteredModel.objects.live().visible_to(user).filter(is_prompt=False)
    if text := filters["q"]:
        rows = rows.filter(Q(name__icontains=text) | Q(description__icontains=text))
    if filters["stage"] in STAGES:
        rows = rows.filter(latest__stage=filters["stage"])
    if filters["owner"]:
        rows = rows.filter(user__username=filters["owner"])
    if filters["mine"]:
        rows = rows.filter(user=user)
    key, _, value = filters["tag"].partition("=")
    if key and value:
        rows = rows.alias(tag=TextAt("tags", key.strip())).filter(tag=value.strip())
    elif key:
        rows = rows.filter(tags__has_key=key.strip())
    if filters["open"]:
        rows = rows.filter(Exists(TransitionRequest.objects.pending().filter(model=OuterRef("pk"))))
    return rows


def _page(rows: QuerySet[RegisteredModel], order: Order, token: str) -> tuple[list[RegisteredModel], str, bool]:
    """Keyset pages, so that page 100 costs what page 1 does. Whoever comes with a token of another list begins at the
    top."""
    name = Key("name", str, order.descending and order.by == NAME)
    keys = [name] if order.by == NAME else [Key("last_updated_timestamp", int, order.descending), name]
    is_first = not token
    if token:
        try:
            rows = rows.filter(after(keys, token))
        except Invalid:
            is_first = True
    lean = rows.select_related("user").only(*_OF_A_ROW)
    found = planned_anew(lean.order_by(*(key.order for key in keys))[: PAGE_SIZE + 1])
    more, found = len(found) > PAGE_SIZE, found[:PAGE_SIZE]
    return found, token_of(keys, found[-1]) if more else "", is_first


def _rows(models: Sequence[RegisteredModel]) -> list[dict[str, Any]]:
    """Each model with its holders and the number of its open requests: two statements for all of them."""
    holders: dict[int, dict[str, ModelVersion]] = {}
    latest, counts = together(_HOLDERS.of(keys := [model.pk for model in models]), _PENDING.of(keys))
    for row in latest:
        holders.setdefault(row.model_id, {})[row.stage] = row.version
    pending = dict(counts)
    return [
        {
            "model": model,
            "production": holders.get(model.pk, {}).get(Stage.PRODUCTION),
            "staging": holders.get(model.pk, {}).get(Stage.STAGING),
            "open_requests": pending.get(model.pk, 0),
        }
        for model in models
    ]
