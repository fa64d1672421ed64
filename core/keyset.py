"""Keyset pages: a token holds the sort values of the last row, so page 1,000 costs what page 1 does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from core.errors import Invalid
from core.search import decode_page_token, encode_page_token

INT64 = 2**63


def number_in(text: str, *, digits: int) -> int | None:
    """A whole number as a client writes it; None for anything else, and for one of more digits."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= digits else None


def key_in(text: str) -> int | None:
    """The key of a row as a client writes it; None where it can be none."""
    return number_in(text, digits=18)


@dataclass(frozen=True, slots=True)
class Key:
    """One column of an order; ``kind`` is the type of its values: int, float, bool or str."""

    field: str
    kind: type
    descending: bool = False

    @property
    def order(self) -> str:
        return f"-{self.field}" if self.descending else self.field


def token_of(keys: Sequence[Key], row: Any) -> str:
    """The token of the page behind ``row``."""
    return encode_page_token([getattr(row, key.field) for key in keys])


def after(keys: Sequence[Key], page_token: str) -> Q:
    """The rows behind a token: greater in the first key, or equal there and greater in the second, and so on.

    Raises Invalid for a token of another search. Its values end up in SQL: only what the columns hold passes.
    """
    values = decode_page_token(page_token)
    if not isinstance(values, list) or len(values) != len(keys):
        raise foreign_token()
    if not all(_fits(key, value) for key, value in zip(keys, values, strict=True)):
        raise foreign_token()
    condition, equal = Q(), Q()
    for key, value in zip(keys, values, strict=True):
        condition |= equal & Q(**{f"{key.field}__{'lt' if key.descending else 'gt'}": value})
        equal &= Q(**{key.field: value})
    # Implied by the rest; a database starts its index here instead of walking there through all pages before.
    first = keys[0]
    return Q(**{f"{first.field}__{'lte' if first.descending else 'gte'}": values[0]}) & condition


def foreign_token() -> Invalid:
    return Invalid("Invalid page token: it belongs to another search.", field="page_token")


def _fits(key: Key, value: object) -> bool:
    if key.kind is str:
        return isinstance(value, str) and "\x00" not in value and not any("\ud800" <= s <= "\udfff" for s in value)
    if key.kind is float:
        return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
    if key.kind is int:
        return type(value) is int and -INT64 <= value < INT64
    return type(value) is key.kind
