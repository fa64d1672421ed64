"""What can go wrong, as the person reading it should hear it. Each door turns these into its own shape, once."""

from __future__ import annotations


class CountersignError(Exception):
    """Base of every refusal of ours; ``message`` is a sentence for the reader and shows no internals."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Invalid(CountersignError):
    """The input cannot be used as it is; ``field`` names the part at fault."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class NotFound(CountersignError):
    """There is no such thing, or this person may not know of it. ``on_page`` says so to people, where ``message`` has
    the words of a protocol."""

    def __init__(self, message: str, *, on_page: str = "") -> None:
        super().__init__(message)
        self.on_page = on_page or message


class AlreadyExists(CountersignError):
    """Something with this name is there already."""


class AlreadyAsked(AlreadyExists):
    """The same person has asked for the same already, and nobody has decided it."""


class Conflict(CountersignError):
    """The input is fine, the present state does not allow it."""


class InUse(Conflict):
    """Something must first be taken out of use."""


class NotPermitted(CountersignError):
    """This person may not do this."""


class Unauthenticated(CountersignError):
    """Nobody known is asking."""


class TooLarge(CountersignError):
    """More bytes than this endpoint takes."""


class TooMany(CountersignError):
    """More requests than one credential may make; ``wait`` is after how many seconds the next one is answered."""

    def __init__(self, message: str, *, wait: int) -> None:
        super().__init__(message)
        self.wait = wait


class NotOffered(CountersignError):
    """This installation does not do this, though another may."""


class Unavailable(CountersignError):
    """Something this server needs does not answer now: the same request may succeed later."""


class StorageFull(CountersignError):
    """There is no room for these bytes."""
