"""The table of a model's versions: which columns, order, filters and page the address asks for, and what is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from django.http import QueryDict

from core.keys import MAX_KEY
from registry.models import ModelVersion, RegisteredModel, Stage
from registry.version_order import Filters, Order, Page, Position, page_of
from web.pages.addresses import column, fields_in, with_fields

PAGE_SIZE = 25
SHOWN_COLUMNS = 3
MOST_COLUMNS = 8
MOST_CHOICES = 60
MOST_ALIASES = 200
_FILTERS = {"stage": "stage", "alias": "alias", "text": "q", "by": "by"}  # fields, and what the address calls them


def _part(kept: QueryDict, **fields: str) -> str:
    """The address of another part of the list."""
    return with_fields(kept, **{"before": "", "after": "", **fields})


def metric_named(text: str) -> str:
    """A name that a metric may have; empty for any other."""
    return text if len(text) <= MAX_KEY else ""


def table_of(model: RegisteredModel, asked: QueryDict, policy_metrics: Iterable[str]) -> dict[str, Any]:
    """The context of the table. Its columns are those that were asked for; else what policies ask for and what most of
    these versions have."""
    order, filters = Order.read(asked.get("sort", "-version")), _filters(asked)
    page = page_of(
        model,
        filters,
        order,
        before=Position.read(asked.get("before", "")),
        after=Position.read(asked.get("after", "")),
        limit=PAGE_SIZE,
    )
    known = _known(page.versions)
    common = [name for name, _ in sorted(known.items(), key=lambda item: (-item[1], item[0]))]
    chosen = list(dict.fromkeys(filter(None, map(metric_named, asked.getlist("column")))))
    names = chosen[:MOST_COLUMNS] or list(dict.fromkeys([*policy_metrics, *common]))[:SHOWN_COLUMNS]
    if order.metric and order.metric not in names:
        names = [*names[: MOST_COLUMNS - 1], order.metric]
    choices = list(dict.fromkeys([*names, *policy_metrics, *common]))
    kept = _kept(asked, order, filters, chosen[:MOST_COLUMNS])
    return {
        "versions": _rows(page, names),
        "columns": [column(name, name, order, kept) for name in names],
        "by_version": column("Version", "version", order, kept),
        "by_created": column("Registered", "created", order, kept),
        "choices": [(name, name in names) for name in choices[:MOST_CHOICES]],
        "most_columns": MOST_COLUMNS if len(chosen) > MOST_COLUMNS else 0,
        "before": page.before,
        "older_url": _part(kept, before=str(page.before)),
        "newer_url": _part(kept, after=str(page.after)) if page.after else "",
        "first_url": _part(kept),
        "is_first_page": not (kept.get("before") or kept.get("after")),
        "kept_beside_table": [(name, value) for name, value in fields_in(kept) if name in ("metric", "until", "sort")],
        "kept": kept,
        "filters": filters,
        "is_filtered": filters != Filters(),
        "sorted_by": order.metric,
        "common_metrics": common,
        "stages": Stage.values,
        "aliases": sorted(model.aliases)[:MOST_ALIASES],
    }


def _kept(asked: QueryDict, order: Order, filters: Filters, columns: list[str]) -> QueryDict:
    """What the address holds that means something: the links of the page repeat it and nothing else."""
    kept = QueryDict(mutable=True)
    for name in ("metric", "until"):
        if text := metric_named(asked.get(name, "")):
            kept[name] = text
    for field, name in _FILTERS.items():
        if text := getattr(filters, field):
            kept[name] = text
    if columns:
        kept.setlist("column", columns)
    if order != Order():
        kept["sort"] = str(order)
    for name in ("before", "after"):
        if position := Position.read(asked.get(name, "")):
            kept[name] = str(position)
            break
    return kept


def _filters(asked: QueryDict) -> Filters:
    return Filters(**{field: asked.get(name, "").strip()[:256] for field, name in _FILTERS.items()})


def _metrics(version: ModelVersion) -> dict[str, Any]:
    return version.known or {}  # type: ignore[attr-defined]


def _known(versions: Sequence[ModelVersion]) -> Counter[str]:
    """How many of these have each metric."""
    return Counter(name for version in versions for name in _metrics(version))


def _rows(page: Page, names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"version": version, "cells": [_metrics(version).get(name, {}).get("value") for name in names]}
        for version in page.versions
    ]
