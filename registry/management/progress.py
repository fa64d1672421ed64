"""How far a command is that takes minutes."""

from __future__ import annotations

import time

from django.core.management.base import BaseCommand

BAR = 30
SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """One line that is drawn anew on a terminal; elsewhere a line now and then."""

    def __init__(self, command: BaseCommand) -> None:
        self.stream = command.stderr
        self.is_terminal = bool(self.stream.isatty())
        self.told_at = 0.0

    def step(self, what: str, done: int, of: int) -> None:
        now = time.monotonic()
        wait = 0.1 if self.is_terminal else SECONDS_BETWEEN_LINES
        if now - self.told_at < wait and done != of:
            return
        self.told_at = now
        if not self.is_terminal:
            self.stream.write(f"{what}: {done}{f' of {of}' if of else ''}", style_func=str)
            return
        full = BAR * done // of if of else 0
        bar = f"[{'#' * full}{'.' * (BAR - full)}] " if of else ""
        self.stream.write(f"\r\x1b[K{bar}{what}: {done}{f' of {of}' if of else ''}", style_func=str, ending="")
        self.stream.flush()

    def end(self) -> None:
        if self.is_terminal:
            self.stream.write("\r\x1b[K", style_func=str, ending="")
