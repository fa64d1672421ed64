"""The parts of a chart that stand hundreds of times on a page, where templates take ten times as long."""

from __future__ import annotations

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from web.pages.metric_chart import Chart

register = template.Library()


@register.simple_tag
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


@register.simple_tag
def chart_rows(chart: Chart, model_url: str) -> SafeString:
    """The same as lines of a table."""
    versions = escape(f"{model_url}versions/")
    parts = [
        f'<tr><td><a href="{versions}{dot.number}/">{dot.number}</a></td><td class="num">{dot.text}</td>'
        f"<td>{dot.day}</td><td>{escape(', '.join(dot.holds)) if dot.holds else ''}</td></tr>\n"
        for dot in chart.dots
    ]
    return mark_safe("".join(parts))  # noqa: S308 - numbers, and texts that are escaped
