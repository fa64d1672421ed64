"""Everything that happened to a request in one order of time, a page of it at once: for the review page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet

from accounts.models import User
from approvals.facts import AlreadyRead
from approvals.models import Check, Comment, Review, TransitionRequest
from core.keyset import key_in
from core.prepared import Prepared, together
from notifications.models import Event
from web.pages.conversation import comments_about, threaded
from web.pages.reviewers import Undelivered

# Events that are lines; requests, reviews, comments and checks have entries of their own. With the words for those that
# say on this page more than needs to be said.
LINES = {
    "request.updated": "",
    "request.ready": "says that it is ready for another look",
    "request.rescheduled": "",
    "request.withdrawn": "",
    "request.superseded": "",
    "request.expired": "",
    "review.dismissed": "",
    "reviewer.asked": "asked {reviewer} for a review",
    "reviewer.released": "no longer asks {reviewer} for a review",
    "reviewer.recused": "stepped back from this review",
    "reviewer.returned": "takes part again",
    "transition.applied": "",
    "transition.bypassed": "",
    "transition.rolled_back": "",
}
PAGE = 50
WHOLE = 1000  # the most that is shown at once, when all is asked for
# In this order where several bear one time.
REQUEST, EVENT, CHECK, REVIEW, COMMENT, DELIVERY = range(6)
KINDS = {REQUEST: "request", CHECK: "check", REVIEW: "review", DELIVERY: "delivery"}

Row = TypeVar("Row", bound=Model)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LAST = 2**53  # microseconds: the year 2255


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a row stands in the order of time."""

    at: datetime
    kind: int
    key: int

    def __str__(self) -> str:
        return f"{(self.at - _EPOCH) // _MICROSECOND}.{self.kind}.{self.key}"

    @classmethod
    def from_text(cls, text: str) -> Place | None:
        """As an address carries it; None where it is none."""
        parts = text.split(".")
        numbers = [number for part in parts if (number := key_in(part)) is not None]
        if len(parts) != 3 or len(numbers) != 3 or numbers[0] >= _LAST:
            return None
        return cls(_EPOCH + numbers[0] * _MICROSECOND, numbers[1], numbers[2])


@dataclass(frozen=True, slots=True)
class Entry:
    """``kind`` is request, event, check, review, thread or delivery."""

    place: Place
    kind: str
    thing: Any
    says: str = ""  # of an event: what its actor did, where that is shorter than its own sentence
    is_new: bool = False
    begins_new: bool = False  # the first of those

    @property
    def at(self) -> datetime:
        return self.place.at


@dataclass(frozen=True, slots=True)
class Timeline:
    entries: list[Entry] = field(default_factory=list)
    earlier: int = 0  # how many the page before this one has
    before: Place | None = None  # where that page ends
    is_newest: bool = True
    is_whole: bool = False  # all of it was asked for

    @property
    def has_news(self) -> bool:
        return any(entry.is_new for entry in self.entries)


# A page of each kind, and one beyond it, which tells how many the page before has.
NEWEST = 2 * PAGE + 1


def _events(request_id: int) -> QuerySet[Event]:
    return Event.objects.filter(request_id=request_id, kind__in=LINES).select_related("actor")


def _checks(version_id: int, opened: datetime) -> QuerySet[Check]:
    """What was reported of the version since the request was opened, and what stood then."""
    known = Q(reported_at__gte=opened) | Q(is_current=True)
    return Check.objects.filter(known, version=version_id).select_related("reporter").defer("summary")


def _reviews(request_id: int) -> QuerySet[Review]:
    return Review.objects.filter(request=request_id).select_related("reviewer", "person")


def _newest_of(rows: QuerySet[Row], column: str) -> QuerySet[Row]:
    return rows.order_by(f"-{column}", "-pk")[:NEWEST]


_NEWEST_EVENTS = Prepared(lambda pk: _newest_of(_events(pk), "created_at"), int)
_NEWEST_CHECKS = Prepared(lambda pk, opened: _newest_of(_checks(pk, opened), "reported_at"), int, datetime)
_NEWEST_REVIEWS = Prepared(lambda pk: _newest_of(_reviews(pk), "created_at"), int)
_NEWEST_COMMENTS = Prepared(lambda version, pk: _newest_of(comments_about(version, pk), "created_at"), int, int)


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest rows of each kind, read once for the timeline and for where the request stands."""

    events: list[Event]
    checks: list[Check]
    reviews: list[Review]
    comments: list[Comment]

    @classmethod
    def of(cls, review_request: TransitionRequest) -> Newest:
        version, pk = review_request.version_id, review_request.pk
        events, checks, reviews, comments = together(
            _NEWEST_EVENTS.of(pk),
            _NEWEST_CHECKS.of(version, review_request.created_at),
            _NEWEST_REVIEWS.of(pk),
            _NEWEST_COMMENTS.of(version, pk),
        )
        return cls(events, checks, reviews, comments)

    @property
    def whole(self) -> AlreadyRead:
        """Of what there is no more."""
        return AlreadyRead(
            reviews=tuple(self.reviews) if len(self.reviews) < NEWEST else None,
            checks=tuple(self.checks) if len(self.checks) < NEWEST else None,
        )

    def rows(self) -> Iterator[tuple[Place, Any]]:
        yield from ((Place(row.created_at, EVENT, row.pk), row) for row in self.events)
        yield from ((Place(row.reported_at, CHECK, row.pk), row) for row in self.checks)
        yield from ((Place(row.created_at, REVIEW, row.pk), row) for row in self.reviews)
        yield from ((Place(row.created_at, COMMENT, row.pk), row) for row in self.comments)


def timeline_of(
    user: User,
    review_request: TransitionRequest,
    undelivered: list[Undelivered],
    newest: Newest,
    *,
    before: str = "",
    whole: bool = False,
    looked: datetime | None = None,
) -> Timeline:
    """The newest entries, those ``before`` a place, or the ``whole``; what others did since one ``looked`` is new."""
    end = Place.from_text(before) if before else None
    size = WHOLE if whole else PAGE
    # A page of each kind beyond this one tells how many the page before it has.
    limit = size + PAGE + 1
    at_hand = newest if end is None and limit <= NEWEST else None
    rows = sorted(_rows(review_request, undelivered, at_hand, end=end, limit=limit), key=lambda row: row[0])
    kept, earlier = rows[-size:], len(rows[:-size])
    entries = list(_entries(user, review_request, kept))
    return Timeline(
        entries=_marked(entries, user, looked) if looked else entries,
        earlier=min(earlier, PAGE),
        before=kept[0][0] if earlier else None,
        is_newest=end is None,
        is_whole=whole,
    )


def _rows(
    review_request: TransitionRequest,
    undelivered: list[Undelivered],
    newest: Newest | None,
    *,
    end: Place | None,
    limit: int,
) -> Iterator[tuple[Place, Any]]:
    version, pk = review_request.version_id, review_request.pk
    known: list[tuple[Place, Any]] = [(Place(review_request.created_at, REQUEST, pk), review_request)]
    known += [(Place(row.at, DELIVERY, row.last), row) for row in undelivered]
    yield from ((place, row) for place, row in known if end is None or place < end)
    if newest is not None:
        yield from newest.rows()
        return
    sources: tuple[tuple[int, str, QuerySet[Any]], ...] = (
        (EVENT, "created_at", _events(pk)),
        (CHECK, "reported_at", _checks(version, review_request.created_at)),
        (REVIEW, "created_at", _reviews(pk)),
        (COMMENT, "created_at", comments_about(version, pk)),
    )
    for kind, column, found in sources:
        if end is not None:
            found = found.filter(_before(end, kind, column), **{f"{column}__lte": end.at})
        for row in found.order_by(f"-{column}", "-pk")[:limit]:
            yield Place(getattr(row, column), kind, row.pk), row


def _before(end: Place, kind: int, column: str) -> Q:
    earlier = Q(**{f"{column}__lt": end.at})
    if kind == end.kind:
        return earlier | Q(**{column: end.at}, pk__lt=end.key)
    return earlier | Q(**{column: end.at}) if kind < end.kind else earlier


def _entries(user: User, review_request: TransitionRequest, rows: list[tuple[Place, Any]]) -> Iterator[Entry]:
    """The rows as entries: remarks stand together as threads, each where its first one of this page stands."""
    comments = [row for _, row in rows if isinstance(row, Comment)]
    threads = threaded(user, comments, review_request.version, review_request)
    for place, row in rows:
        if place.kind == COMMENT:
            if place.key in threads:
                yield Entry(place, "thread", threads[place.key])
        elif place.kind == EVENT:
            yield Entry(place, "event", row, says=_says(row))
        else:
            if place.kind == CHECK:
                row.version = review_request.version
            yield Entry(place, KINDS[place.kind], row)


def _says(event: Event) -> str:
    return LINES[event.kind].format(reviewer=event.data.get("reviewer", "")) if event.actor else ""


def _marked(entries: list[Entry], user: User, looked: datetime) -> list[Entry]:
    new = [_is_new(entry, user, looked) for entry in entries]
    first = new.index(True) if any(new) else None
    return [
        replace(entry, is_new=is_new, begins_new=number == first)
        for number, (entry, is_new) in enumerate(zip(entries, new, strict=True))
    ]


def _is_new(entry: Entry, user: User, looked: datetime) -> bool:
    if entry.kind == "thread":
        remarks = (remark.comment for remark in entry.thing.shown)
        return any(comment.created_at > looked and comment.author_id != user.pk for comment in remarks)
    by = {"event": "actor_id", "check": "reporter_id", "review": "reviewer_id", "request": "requester_id"}
    return entry.at > looked and getattr(entry.thing, by.get(entry.kind, ""), None) != user.pk
