"""The address of a page with some of what it asks for otherwise: another order, another part of a list."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import QueryDict

from registry.version_order import Order


def with_fields(asked: QueryDict, **fields: object) -> str:
    """With these fields in the place of what was asked; without those that are empty."""
    query = asked.copy()
    for name, value in fields.items():
        query[name] = str(value)
        if not value:
            del query[name]
    return f"?{query.urlencode()}"


def fields_in(asked: QueryDict) -> list[tuple[str, str]]:
    """For the hidden fields of a form."""
    return [(name, text) for name, texts in asked.lists() for text in texts]


@dataclass(frozen=True, slots=True)
class Column:
    """``url`` leads to the table sorted by it, or the other way round; ``sorted`` is its aria-sort."""

    label: str
    url: str
    sorted: str


def column(label: str, by: str, order: Order, kept: QueryDict, *, descends_first: bool = True) -> Column:
    """A table in another order begins at its top."""
    is_sorted = order.by == by
    wanted = Order(by, not order.descending if is_sorted else descends_first)
    url = with_fields(kept, sort=wanted, page="", before="", after="")
    return Column(label, url, ("descending" if order.descending else "ascending") if is_sorted else "none")
