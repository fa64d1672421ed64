"""Short texts that callers give beside a result: a line of words, and a link that people will follow."""

from __future__ import annotations

from core.errors import Invalid

MAX_LINK = 1000


def check_line(text: str, *, field: str, most: int) -> None:
    if len(text) > most or not text.isprintable():
        raise Invalid(f"'{field}' has at most {most} characters in one line.", field=field)


def check_link(link: str, *, field: str = "link") -> None:
    """Nothing but a web address: a page shows it as it is."""
    check_line(link, field=field, most=MAX_LINK)
    if link and not link.startswith(("https://", "http://")):
        raise Invalid("A link begins with https:// or http://.", field=field)
