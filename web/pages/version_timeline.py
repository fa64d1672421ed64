"""What was said about a version and what happened to it, in one order of time, a page of it at once: for its page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from heapq import merge

from django.db.models import QuerySet

from accounts.models import User
from approvals.models import Comment
from core.keyset import key_in
from core.prepared import Prepared, together
from notifications.models import Event
from registry.models import ModelVersion
from registry.queries import events_of
from web.pages.conversation import comments_about, threaded
from web.pages.timeline import COMMENT, EVENT, Entry, Place

PAGE = 50
# Events that say of a conversation what it shows itself.
TALK = (
    "comment.created", "comment.mentioned", "comment.edited", "comment.deleted", "thread.resolved", "thread.reopened",
)  # fmt: skip
_NO_END = 10**18 - 1  # the largest number that a key may be


@dataclass(frozen=True, slots=True)
class End:
    """Where a page ends: the numbers of its oldest remark and of its oldest event. Not a moment: of what was written
    at once, times and numbers may disagree, and then nothing is left out, or shown twice."""

    comment: int = _NO_END
    event: int = _NO_END

    def __str__(self) -> str:
        return f"{self.comment}.{self.event}"

    @classmethod
    def from_text(cls, text: str) -> End | None:
        """As an address carries it; None where it is none."""
        comment, _, event = text.partition(".")
        numbers = key_in(comment), key_in(event)
        return cls(numbers[0], numbers[1]) if numbers[0] is not None and numbers[1] is not None else None

    def moved_to(self, rows: list[Comment | Event]) -> End:
        comments = [row.pk for row in rows if isinstance(row, Comment)]
        events = [row.pk for row in rows if isinstance(row, Event)]
        return End(min(comments, default=self.comment), min(events, default=self.event))


@dataclass(frozen=True, slots=True)
class VersionTimeline:
    """The oldest entry first; ``before``: where the page before this one begins, if there is one."""

    entries: list[Entry]
    before: End | None
    is_newest: bool


def _comments(version: int, before: int) -> QuerySet[Comment]:
    return comments_about(version).filter(pk__lt=before).order_by("-pk")[: PAGE + 1]


def _events(model: str, number: int, before: int) -> QuerySet[Event]:
    """What a line says of one: its sentence, and what its mark is drawn by."""
    events = events_of(model).filter(version=number, pk__lt=before).exclude(kind__in=TALK)
    return events.only("kind", "summary", "data", "created_at").order_by("-pk")[: PAGE + 1]


_COMMENTS = Prepared(_comments, int, int)
_EVENTS = Prepared(_events, str, int, int)


def timeline_about(user: User, version: ModelVersion, *, before: str = "") -> VersionTimeline:
    """The newest remarks and events of a version, or those ``before`` a place: two statements, and one where remarks
    were edited."""
    end = End.from_text(before) or End()
    comments, events = together(
        _COMMENTS.of(version.pk, end.comment), _EVENTS.of(version.model.name, version.version, end.event)
    )
    rows = _newest_first(comments, events)
    kept = rows[:PAGE]
    return VersionTimeline(
        entries=list(_entries(user, version, kept[::-1])),
        before=end.moved_to(kept) if len(rows) > PAGE else None,
        is_newest=end == End(),
    )


def _newest_first(*sources: Iterable[Comment | Event]) -> list[Comment | Event]:
    def moment(row: Comment | Event) -> datetime:
        return row.created_at

    return list(merge(*sources, key=moment, reverse=True))


def _entries(user: User, version: ModelVersion, rows: list[Comment | Event]) -> Iterator[Entry]:
    """Remarks stand together as threads, each where its first one of this page stands."""
    threads = threaded(user, [row for row in rows if isinstance(row, Comment)], version)
    for row in rows:
        if isinstance(row, Event):
            yield Entry(Place(row.created_at, EVENT, row.pk), "event", row)
        elif row.pk in threads:
            yield Entry(Place(row.created_at, COMMENT, row.pk), "thread", threads[row.pk])
