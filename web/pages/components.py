"""Components; some have something to work out before their template is filled: ``{{ ui.sparkline(points=…) }}``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec
from urllib.parse import urlencode

from django.forms import BoundField, CheckboxInput, CheckboxSelectMultiple, RadioSelect, Select, Widget
from django.http import HttpRequest
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from jinja2 import Environment, pass_environment

from core import formatting
from web.pages.metric_chart import Chart

P = ParamSpec("P")


@pass_environment
def component(environment: Environment, name: str, /, **variables: object) -> SafeString:
    """A template with these variables and no others."""
    return mark_safe(environment.get_template(name).render(variables))  # noqa: S308 - the template escapes


def fills(name: str) -> Callable[[Callable[P, Mapping[str, object]]], Callable[..., SafeString]]:
    """What the function answers are the variables of that template."""

    def with_template(work: Callable[P, Mapping[str, object]]) -> Callable[..., SafeString]:
        @pass_environment
        @wraps(work)
        def draw(environment: Environment, /, *args: P.args, **kwargs: P.kwargs) -> SafeString:
            return component(environment, name, **work(*args, **kwargs))

        return draw

    return with_template


@fills("components/metric_bar.html")
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


@fills("components/sparkline.html")
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


@fills("components/older.html")
def older(
    request: HttpRequest, *, field: str, token: object, first: str = "Newest", next: str = "Older", at: str = ""
) -> dict[str, str]:
    """The foot of a list that is read on from its last row: ``field`` of the address says where a page begins,
    ``token`` where the next one does, if there is one. What else is asked for stays; ``at`` is an anchor."""
    asked = [(name, text) for name, texts in request.GET.lists() for text in texts if text]
    kept = [(name, text) for name, text in asked if name != field]
    return {
        "first": first,
        "first_url": f"?{urlencode(kept)}{at}" if kept != asked else "",
        "next": next,
        "next_url": f"?{urlencode([*kept, (field, str(token))])}{at}" if token else "",
    }


def tab_link(tabbed: Mapping[str, Any], **changes: object) -> SafeString:
    """The attributes of a link within tabs: a page of its own, and with HTMX only the region that they are."""
    query = tabbed["asked"].query(**changes)
    url = f"{tabbed['url']}?{query}"
    return format_html(
        'href="{}#{into}" hx-get="{}?{}" hx-target="#{into}" hx-swap="innerMorph" hx-push-url="{}"',
        url, tabbed["part"], query, url, into=tabbed["into"],
    )  # fmt: skip


@fills("components/form_field.html")
def form_field(
    field: BoundField, *, label: str = "", help: str | None = None, autofocus: bool = False
) -> dict[str, object]:
    """A field with label, help and errors; ``label`` and ``help`` replace the form's own, ``help=""`` shows none."""
    shown = field.help_text if help is None else help
    return {"field": field, "label": label or field.label, "help": shown, "autofocus": autofocus}


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


def chart_dots(chart: Chart, model_url: str) -> SafeString:
    """Each version as a link: where one points at, the dot, and what it says."""
    versions, last = escape(f"{model_url}versions/"), chart.last.number
    parts = []
    for dot in chart.dots:
        says, skipped = escape(dot.says), "" if dot.number == last else ' tabindex="-1"'
        parts.append(
            f'<a href="{versions}{dot.number}/" aria-label="{says}"{skipped}>'
            f'<rect class="near" x="{dot.left}%" y="16" width="{chart.step}%" height="166"/>'
            f'<circle class="dot-of {dot.look}" cx="{dot.x}%" cy="{dot.y}" r="{dot.r}"/>'
            f'<text class="tip" y="11" aria-hidden="true">{says}</text></a>\n'
        )
    return mark_safe("".join(parts))  # noqa: S308 - numbers, and texts that are escaped


def chart_rows(chart: Chart, model_url: str) -> SafeString:
    """The same as lines of a table."""
    versions = escape(f"{model_url}versions/")
    parts = [
        f'<tr><td><a href="{versions}{dot.number}/">{dot.number}</a></td><td class="num">{dot.text}</td>'
        f"<td>{dot.day}</td><td>{escape(', '.join(dot.holds)) if dot.holds else ''}</td></tr>\n"
        for dot in chart.dots
    ]
    return mark_safe("".join(parts))  # noqa: S308 - numbers, and texts that are escaped


COMPONENTS: dict[str, Callable[..., SafeString]] = {
    "chart_dots": chart_dots,
    "chart_rows": chart_rows,
    "control": control,
    "form_field": form_field,
    "metric_bar": metric_bar,
    "older": older,
    "sparkline": sparkline,
    "tab_link": tab_link,
}
