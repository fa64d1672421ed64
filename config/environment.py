"""How a setting is read from the environment: a wrong value is told in a sentence that names its variable."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

env = environ.Env()


def flag(name: str, default: bool) -> bool:
    value = env.str(name, default="").strip().lower()
    if value in ("", "1", "true", "yes", "on", "0", "false", "no", "off"):
        return default if not value else value in ("1", "true", "yes", "on")
    raise ImproperlyConfigured(f"{name} is {value!r}: write true or false.")


def number(name: str, default: int, *, lowest: int = 1, highest: int) -> int:
    value = env.str(name, default="").strip() or str(default)
    if value.isascii() and value.isdigit() and lowest <= int(value) <= highest:
        return int(value)
    raise ImproperlyConfigured(f"{name} is {value!r}: write a whole number from {lowest} to {highest}.")


def choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    value = env.str(name, default="") or default
    if value in choices:
        return value
    raise ImproperlyConfigured(f"{name} is {value!r}: write one of {', '.join(choices)}.")


def address_parts(name: str, value: str, *, like: str) -> SplitResult:
    """The parts of an address. The message does not repeat the value, which may hold a password."""
    try:
        parts = urlsplit(value)
        _ = parts.port  # read here, where a wrong one can be told
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} cannot be read: write {like}.") from error
    return parts
