"""Where the page of a thing is."""

from __future__ import annotations

from functools import lru_cache

from django.urls import get_script_prefix, reverse


def address(view: str, *args: str | int) -> str:
    """``reverse``, remembered, for what stands in lists and on every page: one asks for dozens, and to look it up takes
    a tenth. What leads to one page once asks ``reverse``."""
    return _address(get_script_prefix(), view, args)


@lru_cache(maxsize=4_096)
def _address(_prefix: str, view: str, args: tuple[str | int, ...]) -> str:
    return reverse(view, args=args)
