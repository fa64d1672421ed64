"""Keys of tags, parameters and metrics: one rule for runs and for the registry (mlflow/utils/validation.py)."""

from __future__ import annotations

import posixpath
import re

from core.errors import Invalid

MAX_KEY = 250
_ALLOWED = re.compile(r"[/\w.\- :]+")


def check_key(key: str, what: str) -> str:
    """The key itself, or Invalid: a letter or sign that is not allowed, a path in disguise, too long."""
    if len(key) > MAX_KEY:
        raise Invalid(
            f"{what} name '{key[:60]}…' is too long: {len(key)} characters, at most {MAX_KEY} are allowed.", field="key"
        )
    if not _ALLOWED.fullmatch(key):
        raise Invalid(
            f"Invalid {what} name: {key!r}. Names may only contain alphanumerics, underscores (_), dashes (-), "
            "periods (.), spaces ( ), colons (:) and slashes (/).",
            field="key",
        )
    if posixpath.normpath(key) != key or key in (".", "..") or key.startswith(("../", "/")):
        raise Invalid(
            f"Invalid {what} name: {key!r}. Names may be treated as files in certain cases, so they must not resolve "
            "to other names when treated as such.",
            field="key",
        )
    return key
