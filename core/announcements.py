"""What every event of every room says of itself; the rooms' ``events.py`` state them, ``notifications`` saves them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """Something that happened, in the words that people and receivers get. ``kind`` is public and never renamed."""

    kind: ClassVar[str]

    model_name: str = ""
    model_id: int | None = None
    version: int | None = None
    request_id: int | None = None

    def summary(self, actor: str) -> str:
        """One plain sentence; ``actor`` is the name of who did it."""
        raise NotImplementedError

    @property
    def path(self) -> str:
        """The page to open, from the root of the site."""
        return ""

    def data(self) -> dict[str, Any]:
        """What receivers get besides model, version and request: JSON values only."""
        return {}
