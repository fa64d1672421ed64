"""Filters for templates, and the pieces that have a template of their own; those of every line are in pieces.py.
Thin: the work is in core/formatting.py and core/markdown.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any
from urllib.parse import urlencode

from django import template
from django.forms import BoundField, CheckboxInput, CheckboxSelectMultiple, RadioSelect, Select, Widget
from django.template import Context
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from approvals.policy import Node, Status
from core import formatting
from core import markdown as core_markdown
from core.clock import from_ms
from registry.side_by_side import Row

register = template.Library()


@register.filter
def ms_to_datetime(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else from_ms(milliseconds)


@register.filter
def duration(length: timedelta) -> str:
    return formatting.duration(length)


@register.filter
def metric(value: float | str | None, beside: float | None = None) -> str:
    """A metric's value, or the word that it is where no number can say it."""
    return value if isinstance(value, str) else formatting.metric(value, beside=beside)


@register.filter
def cells(row: Row) -> list[tuple[object, float | None]]:
    """Each cell of a comparison with how far it is from the first."""
    return list(zip_longest(row.cells, row.changes))


@register.filter
def signed(value: float | None) -> str:
    return formatting.signed(value)


@register.filter
def filesize(size: int | None) -> str:
    return formatting.filesize(size)


@register.filter
def spelled_out(text: str) -> str:
    return formatting.spelled_out(text)


@register.filter
def short_digest(digest: str) -> str:
    return formatting.short_digest(digest)


@register.filter
def markdown(text: str | None) -> SafeString:
    return mark_safe(core_markdown.to_html(text or ""))  # noqa: S308 - sanitised there


@register.filter
def conversation(text: str) -> SafeString:
    """Markdown in which whom it mentions is emphasised."""
    return mark_safe(core_markdown.to_html(text, mentions=True))  # noqa: S308 - sanitised there


@register.filter
def web_address(link: str | None) -> str:
    """A link that somebody sent us, when it is one to follow: never javascript: or data:."""
    return link if link and link.lower().startswith(("https://", "http://")) else ""


@register.filter
def told(node: Node) -> str:
    """Why a requirement has its status; nothing where it is met and the figure beside it says so."""
    return "" if node.kind in ("metric", "description") and node.status == Status.MET and node.figure else node.reason


@register.filter
def unsaid(node: Node) -> str:
    """Who can clear it, where its sentence does not name them."""
    names = [name for name in node.who if name not in node.reason]
    return ", ".join(names[:6]) + (" and others" if len(names) > 6 else "")


@register.filter
def parts(node: Node) -> tuple[Node, ...]:
    """The nodes below it that add something: the sentence about approvals names the teams, and who approved."""
    if node.kind != "approvals":
        return node.children
    return tuple(child for child in node.children if child.status in (Status.ERROR, Status.SKIPPED))


@register.inclusion_tag("components/metric_bar.html")
def metric_bar(
    *,
    value: float | None,
    needed: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    baseline: float | None = None,
    passed: bool | None = None,
) -> dict[str, object]:
    """A bar for ``value`` with a tick at the pass mark. Scale: 0 to 1 where that fits, else 1.3 times the largest."""
    mark = minimum if minimum is not None else maximum
    figures = [figure for figure in (value, mark, baseline) if figure is not None]
    full = (
        1.0
        if figures and all(0 <= figure <= 1 for figure in figures)
        else 1.3 * max([abs(f) for f in figures] or [1.0])
    )

    def place(figure: float | None) -> float | None:
        return None if figure is None else round(min(120.0, max(0.0, figure / (full or 1.0) * 120)), 1)

    return {
        "width": place(value),
        "mark": place(mark),
        "baseline": place(baseline),
        "value": value,
        "needed": needed,
        "passed": passed,
    }


@register.inclusion_tag("components/sparkline.html")
def sparkline(*, points: Sequence[tuple[int, float]], name: str) -> dict[str, object]:
    """A metric over versions: (number, value), the oldest first; the last one is marked. Nothing for a single one."""
    if len(points) < 2:
        return {"path": ""}
    numbers, values = zip(*points, strict=True)
    low, high = min(values), max(values)
    # Divided before it is taken apart: the distance of two very large numbers may be none.
    scale = max(abs(low), abs(high)) or 1.0
    span = high / scale - low / scale
    places = [
        (
            round(2 + 80 * (number - numbers[0]) / (numbers[-1] - numbers[0]), 1),
            round(18 - 16 * (value / scale - low / scale) / span, 1) if span else 10.0,
        )
        for number, value in points
    ]
    return {
        "path": "M" + "L".join(f"{x:g} {y:g}" for x, y in places),
        "end": places[-1],
        "says": f"{name} from version {numbers[0]}, {formatting.metric(values[0])}, to version {numbers[-1]}, "
        f"{formatting.metric(values[-1])}; lowest {formatting.metric(low)}, highest {formatting.metric(high)}",
    }


@register.inclusion_tag("components/older.html", takes_context=True)
def older(
    context: Context, *, field: str, token: object, first: str = "Newest", next: str = "Older", at: str = ""
) -> dict[str, str]:
    """The foot of a list that is read on from its last row: ``field`` of the address says where a page begins,
    ``token`` where the next one does, if there is one. What else is asked for stays; ``at`` is an anchor."""
    asked = [(name, text) for name, texts in context["request"].GET.lists() for text in texts if text]
    kept = [(name, text) for name, text in asked if name != field]
    return {
        "first": first,
        "first_url": f"?{urlencode(kept)}{at}" if kept != asked else "",
        "next": next,
        "next_url": f"?{urlencode([*kept, (field, str(token))])}{at}" if token else "",
    }


@register.simple_tag
def tab_link(tabbed: Mapping[str, Any], **changes: object) -> SafeString:
    """The attributes of a link within tabs: a page of its own, and with HTMX only the region that they are."""
    query = tabbed["asked"].query(**changes)
    url = f"{tabbed['url']}?{query}"
    return format_html(
        'href="{}#{into}" hx-get="{}?{}" hx-target="#{into}" hx-swap="innerMorph" hx-push-url="{}"',
        url, tabbed["part"], query, url, into=tabbed["into"],
    )  # fmt: skip


@register.inclusion_tag("components/form_field.html")
def form_field(
    field: BoundField, *, label: str = "", help: str | None = None, autofocus: bool = False
) -> dict[str, object]:
    """A field with label, help and errors; ``label`` and ``help`` replace the form's own, ``help=""`` shows none."""
    shown = field.help_text if help is None else help
    return {"field": field, "label": label or field.label, "help": shown, "autofocus": autofocus}


@register.simple_tag
def control(field: BoundField, *, label: str = "", help: str = "", autofocus: bool = False) -> SafeString:
    """The input of a field with our classes, tied to its help and its errors. No placeholder repeats the label."""
    widget = field.field.widget
    attributes: dict[str, str | bool] = {"class": f"{widget.attrs.get('class', '')} {_control_class(widget)}".strip()}
    described = [f"{field.id_for_label}_error"] if field.errors else []
    described += [f"{field.id_for_label}_helptext"] if help else []
    if described:
        attributes["aria-describedby"] = " ".join(described)
    if autofocus:
        attributes["autofocus"] = True
    if label and widget.attrs.get("placeholder") == label:
        attributes["placeholder"] = False
    return field.as_widget(attrs=attributes)


def _control_class(widget: Widget) -> str:
    if isinstance(widget, CheckboxInput | RadioSelect | CheckboxSelectMultiple):
        return "form-check-input"
    return "form-select" if isinstance(widget, Select) else "form-control"
