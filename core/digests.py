"""Digests of values and of file trees; always lower-case hexadecimal SHA-256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any


def sha256_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_json(value: Any) -> str:
    """Digest of a JSON value, independent of key order."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256_text(canonical)


def tree_digest(files: Iterable[tuple[str, int, str]]) -> str:
    """Digest of a set of files given as (path, size in bytes, SHA-256), in whatever order they came.

    A path is written as a JSON string, so that no file name can forge a second line.
    """
    lines = (f"{json.dumps(path)} {size} {digest}\n" for path, size, digest in sorted(files))
    return sha256_text("".join(lines))
