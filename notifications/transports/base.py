"""What a transport is: one function that sends one event to one channel, and one error."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import CountersignError


@dataclass(frozen=True, slots=True)
class Sent:
    """What the other side answered."""

    answer: str
    status_code: int | None = None


class TransportError(CountersignError):
    """It was not sent; another try is worth it unless one of these says otherwise.

    ``give_up``: trying again is useless. ``is_gone``: the channel itself is no more. ``is_down``: the server could not
    be reached at all, so others on their way to it will fail as well. ``retry_after``: seconds it asked us to wait.
    """

    def __init__(
        self,
        message: str,
        *,
        give_up: bool = False,
        is_gone: bool = False,
        is_down: bool = False,
        retry_after: int | None = None,
        status_code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.give_up = give_up or is_gone
        self.is_gone = is_gone
        self.is_down = is_down
        self.retry_after = retry_after
        self.status_code = status_code
