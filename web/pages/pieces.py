"""The small pieces of a page: icons, pills, dots, faces, times. They stand on every line of every list, where a
function that remembers what it drew is quickest. Every template has them: ``{{ ui.icon("x", small=true) }}``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from django.db.models import Model
from django.templatetags.static import static
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString

from accounts.models import User
from core import formatting
from core.clock import from_ms, now

# What a state, stage or status is called on the page's pills and dots; see "Pills" in static/app.css.
STATE_CLASSES = {
    "open": "pill-waiting",
    "needs_changes": "pill-attention",
    "applied": "pill-good",
    "rejected": "pill-bad",
    "withdrawn": "pill-quiet",
    "superseded": "pill-quiet",
    "expired": "pill-quiet",
    "approve": "pill-good",
    "request_changes": "pill-attention",
    "reject": "pill-bad",
    "pending": "pill-quiet",
    "leased": "pill-info",
    "sent": "pill-good",
    "failed": "pill-bad",
    "queued": "pill-quiet",
    "running": "pill-info",
    "passed": "pill-good",
    "error": "pill-attention",
    "READY": "pill-good",
    "PENDING_REGISTRATION": "pill-waiting",
    "FAILED_REGISTRATION": "pill-bad",
    "RUNNING": "pill-info",
    "SCHEDULED": "pill-quiet",
    "FINISHED": "pill-good",
    "FAILED": "pill-bad",
    "KILLED": "pill-bad",
    "block": "pill-good",
    "warn": "pill-attention",
    "shadow": "pill-quiet",
}
STAGE_CLASSES = {
    "Production": "pill-production",
    "Staging": "pill-staging",
    "Archived": "pill-archived",
    "None": "pill-quiet",
}
_LINE = 'fill="none" stroke="#fff" stroke-width="1.5" stroke-linecap="round"'
_DISC = '<circle cx="7" cy="7" r="7" fill="currentColor"/>'
_RING = '<circle cx="7" cy="7" r="6" fill="none" stroke="currentColor" stroke-width="2"'
# By status of a requirement: the class, the word, and a shape within 14 by 14, for the colour must not stand alone.
DOTS = {
    "met": (
        "dot-good",
        "Met",
        SafeString(f'{_DISC}<path d="M4.1 7.2l2 2 3.8-4.1" {_LINE} stroke-linejoin="round"/>'),
    ),
    "unmet": ("dot-bad", "Not met", SafeString(f'{_DISC}<path d="M4.7 4.7l4.6 4.6M9.3 4.7l-4.6 4.6" {_LINE}/>')),
    "waiting": (
        "dot-waiting",
        "Waiting",
        SafeString(f'{_RING}/><path d="M7 1a6 6 0 0 1 0 12z" fill="currentColor"/>'),
    ),
    "error": (
        "dot-error",
        "Cannot be decided",
        SafeString(f'<path d="M7 .8l6.6 11.8H.4z" fill="currentColor"/><path d="M7 5v3.4M7 10.4v.2" {_LINE}/>'),
    ),
    "skipped": ("dot-skipped", "Skipped", SafeString(f'{_RING} stroke-dasharray="2.2 1.6"/>')),
}


@lru_cache(maxsize=512, typed=True)
def drawn(name: str, *, small: bool = False, label: str = "") -> SafeString:
    """One of static/icons.svg; ``small`` is 16 px; ``label`` only when no text beside it says the same."""
    return format_html(
        '<svg class="icon{}" {} focusable="false" stroke-linecap="round" stroke-linejoin="round">'
        '<use href="{}#{}"/></svg>',
        " icon-small" if small else "",
        format_html('role="img" aria-label="{}"', label) if label else SafeString('aria-hidden="true"'),
        static("icons.svg"),
        name,
    )


def pill(label: str, *, kind: str = "quiet", icon: str = "") -> SafeString:
    """``kind``: good, waiting, attention, bad, info, alias or quiet."""
    return format_html('<span class="pill pill-{}">{}{}</span>', kind, drawn(icon) if icon else "", label)


@lru_cache(maxsize=512, typed=True)
def state(stored: str, label: str = "") -> SafeString:
    """The state of a request, a review's decision, a delivery, a version or a run: the stored word, and what to say."""
    return format_html('<span class="pill {}">{}</span>', STATE_CLASSES.get(stored, "pill-quiet"), label or stored)


def state_of(row: Model, *, field: str = "state") -> SafeString:
    """The same, said as the row's own field says it."""
    stored = getattr(row, field)
    return state(stored, _labels(type(row), field).get(stored, stored))


@lru_cache
def _labels(model: type[Model], field: str) -> dict[str, str]:
    """Django builds this dictionary anew whenever it is asked how a field is displayed."""
    return dict(model._meta.get_field(field).flatchoices)  # type: ignore[union-attr]


@lru_cache(maxsize=64, typed=True)
def stage(name: str) -> SafeString:
    """Production, Staging, Archived or None."""
    said = "No stage" if name == "None" else name
    return format_html('<span class="pill {}">{}</span>', STAGE_CLASSES.get(name, "pill-alias"), said)


def alias(name: str) -> SafeString:
    return format_html('<span class="pill pill-alias">@{}</span>', name)


def dot(status: str) -> SafeString:
    """The status of a requirement as a shape and a colour: met, unmet, waiting, error or skipped."""
    look, word, shape = DOTS.get(status, DOTS["skipped"])
    return format_html('<svg class="dot {}" viewBox="0 0 14 14" role="img" aria-label="{}">{}</svg>', look, word, shape)


def avatar(person: object, *, size: str = "") -> SafeString:
    """The initials of a user, or of a name, on their colour; ``size``: xs or lg."""
    return _avatar(str(person), size)


@lru_cache(maxsize=1024)
def _avatar(name: str, size: str) -> SafeString:
    return format_html(
        '<span class="avatar hue-{}{}" aria-hidden="true">{}</span>',
        formatting.hue(name),
        f" avatar-{size}" if size else "",
        formatting.initials(name),
    )


def person(user: User | None, *, bare: bool = False, note: str = "") -> SafeString:
    """Avatar and name; ``bare``: the name alone; ``note``: words after it."""
    if user is None:
        return SafeString('<span class="text-secondary">nobody</span>')
    whole = user.get_full_name()
    return format_html(
        '<span class="person">{}<strong{}>{}</strong>{}{}</span>',
        "" if bare else avatar(user, size="xs"),
        format_html(' title="{}"', whole) if whole else "",
        user,
        SafeString(f" {pill('service')}") if user.is_service else "",
        format_html(' <span class="text-secondary">{}</span>', note) if note else "",
    )


def ago(at: datetime | None = None, *, ms: int | str | None = None) -> SafeString:
    """How long ago, exact on hover; app.js keeps it true."""
    moment = from_ms(ms) if isinstance(ms, int) else at
    if not moment:
        return SafeString('<span class="text-secondary">never</span>')
    moment = moment.astimezone(UTC)
    said, exact = formatting.relative_time(moment, now=now()), f"{moment.day} {moment:%b %Y, %H:%M:%S} UTC"
    return SafeString(f'<time datetime="{moment.isoformat()}" title="{exact}" data-relative>{said}</time>')


def figures(values: Sequence[float | str | None]) -> SafeString:
    """The cells of a table that hold metrics."""
    return SafeString("".join(map(_cell, values)))


def _cell(value: float | str | None) -> str:
    if value is None:
        return '<td class="num"><span class="text-secondary">–</span></td>'
    return f'<td class="num">{escape(value) if isinstance(value, str) else formatting.metric(value)}</td>'


PIECES: dict[str, Callable[..., SafeString]] = {
    "icon": drawn,
    "pill": pill,
    "state": state,
    "state_of": state_of,
    "stage": stage,
    "alias": alias,
    "dot": dot,
    "avatar": avatar,
    "person": person,
    "ago": ago,
    "figures": figures,
}
