"""A yes, or a no that carries its reason: the same answer draws a disabled button and refuses the POST."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import NotPermitted


@dataclass(frozen=True, slots=True)
class Answer:
    allowed: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.allowed


YES = Answer(True)


def no(reason: str) -> Answer:
    return Answer(False, reason)


def require(answer: Answer) -> None:
    """Raise NotPermitted with the answer's reason unless it is a yes."""
    if not answer.allowed:
        raise NotPermitted(answer.reason)
