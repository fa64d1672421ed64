"""What every template must keep, and what the shared pieces say."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django import forms
from django.conf import settings
from django.template import engines
from django.template.loader import get_template, render_to_string
from django.urls import get_resolver
from jinja2 import nodes

from approvals.policy import Node, Status
from core.clock import now

FOLDER = Path(settings.BASE_DIR) / "templates"
STATIC = Path(settings.BASE_DIR) / "static"
TEMPLATES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.html"))
# Mails know no policy, and mail programs drop style sheets.
PAGES = [name for name in TEMPLATES if not name.startswith("notifications/")]
# The bar and the menu lead there; every other page says where it is.
TOP_LEVEL = {
    "account/detail.html", "account/logout.html", "activity/index.html", "channels/index.html", "deliveries/index.html",
    "models/index.html", "people/index.html", "policies/index.html", "reviews/index.html", "runs/index.html",
    "search/index.html",
}  # fmt: skip
FRAMES = {"base.html", "entrance.html", "two_columns.html", "errors/page.html"}
COMPONENTS = [name for name in TEMPLATES if name.startswith("components/")]


def render(source: str, **context: object) -> str:
    return str(engines["pages"].from_string(source).render(context))


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_compiles(name: str) -> None:
    assert get_template(name)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_the_bar_does_not_lead_to_says_where_it_is(name: str) -> None:
    source = (FOLDER / name).read_text()
    if not re.match(r'{% extends "(?:base|two_columns)', source) or name in FRAMES:
        return
    trail = re.search(
        r'<li class="breadcrumb-item"><a href=.*<li class="breadcrumb-item active" aria-current="page">', source
    )

    assert ("{% block breadcrumbs_nav %}{% endblock %}" in source) == (name in TOP_LEVEL)
    assert bool(trail) == (name not in TOP_LEVEL)


@pytest.mark.parametrize("name", PAGES)
def test_template_has_nothing_that_the_content_security_policy_forbids(name: str) -> None:
    source = re.sub(r"{#.*?#}", "", (FOLDER / name).read_text(), flags=re.DOTALL)

    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|hx-on|javascript:|(?:src|href)=\"(?:https?:)?//", source)
    assert not re.search(r"<script(?![^>]*\bsrc=)", source)


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_variable_hides_what_every_template_has(name: str) -> None:
    environment = engines["pages"].env  # type: ignore[attr-defined]
    tree = environment.parse((FOLDER / name).read_text())

    assert not {named.name for named in tree.find_all(nodes.Name) if named.ctx != "load"} & set(environment.globals)


@pytest.mark.parametrize("name", COMPONENTS)
def test_component_names_its_variables_first(name: str) -> None:
    first = (FOLDER / name).read_text().split("#}")[0]

    assert first.startswith("{#")
    assert "ariables" in first


def test_every_link_leads_to_a_route_that_exists() -> None:
    routes = {key for key in get_resolver().reverse_dict if isinstance(key, str)}
    source = "".join((FOLDER / name).read_text() for name in TEMPLATES)

    assert set(re.findall(r"\burl\(['\"]([^'\"]+)['\"]", source)) <= routes


def test_every_icon_that_a_template_names_is_in_the_sprite() -> None:
    drawn = set(re.findall(r'<symbol id="([^"]+)"', (STATIC / "icons.svg").read_text()))
    source = "".join((FOLDER / name).read_text() for name in TEMPLATES)
    named = set(re.findall(r"""\b(?:ui\.icon\(|icon=)["']([^"']+)["']""", source))

    assert len(named) > 20
    assert named <= drawn


def test_a_moment_is_told_and_stays_exact() -> None:
    at = now() - timedelta(hours=2, minutes=5)

    html = render("{{ ui.ago(at) }}", at=at)

    assert "2 hours ago</time>" in html
    assert f'datetime="{at.isoformat()}"' in html
    assert f'title="{at.day} {at:%b %Y, %H:%M:%S} UTC"' in html
    assert "2 hours ago</time>" in render("{{ ui.ago(ms=ms) }}", ms=int(at.timestamp() * 1000))
    assert "never" in render("{{ ui.ago(none) }}")


def test_a_rounded_figure_of_a_requirement_says_the_whole_on_hover() -> None:
    html = requirement(node(kind="metric", status=Status.MET, figure="0.963", exact="0.9629629"))

    assert '<span class="req-figure" title="0.9629629">0.963</span>' in html


@pytest.mark.parametrize(("given", "shown"), [({}, ">sha256:abcd "), ({"prefix": ""}, ">abcd ")])
def test_a_digest_says_what_it_is_where_nothing_beside_it_does(given: dict[str, str], shown: str) -> None:
    assert shown in render_to_string("components/digest.html", {"digest": "abcdef" * 10, **given})


def test_a_forbidden_action_is_disabled_and_says_why() -> None:
    answer = SimpleNamespace(allowed=False, reason="You asked for this change.")

    html = render_to_string("components/action.html", {"answer": answer, "label": "Approve", "id": "approve"})

    assert 'aria-disabled="true"' in html
    assert 'aria-describedby="approve-why"' in html
    assert '<span class="why-not" id="approve-why">You asked for this change.</span>' in html


def node(**fields: Any) -> Node:
    return Node(
        **{"kind": "approvals", "title": "2 approvals", "status": Status.WAITING, "reason": "1 to come."} | fields
    )


def requirement(shown: Node) -> str:
    return render_to_string("components/requirement.html", {"node": shown})


def test_a_requirement_says_who_can_clear_it() -> None:
    html = requirement(node(figure="1 of 2", who=("dkim",)))

    assert 'aria-label="Waiting"' in html
    assert "Waiting for dkim." in html


def test_a_requirement_names_nobody_twice() -> None:
    html = requirement(node(reason="waiting for 1 approval from ml-leads: dkim.", who=("dkim",)))

    assert html.count("dkim") == 1


def test_a_requirement_shows_an_approval_that_does_not_count() -> None:
    given = node(kind="review", title="mira", status=Status.SKIPPED, reason="mira asked for this.")

    assert "mira asked for this." in requirement(node(children=(given,)))


def test_a_met_metric_says_its_figure_once() -> None:
    met = node(kind="metric", title="f1 ≥ 0.88", status=Status.MET, reason="f1 is 0.94.", figure="0.94")

    assert requirement(met).count("0.94") == 1


def test_a_moment_is_followed_by_a_comma_without_a_blank() -> None:
    html = render("{{ ui.ago(at) }}, by mira", at=now())

    assert "</time>, by mira" in html


@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,x", "//evil.example", "", None])
def test_a_link_sent_by_others_is_followed_only_to_the_web(link: str | None) -> None:
    assert render("{{ link|web_address }}", link=link) == ""


def test_a_metric_bar_stays_on_its_scale() -> None:
    html = render('{{ ui.metric_bar(value=5000, maximum=60, needed="≤ 60", passed=False) }}')

    assert max(float(width) for width in re.findall(r' width="([0-9.]+)"', html)) <= 120
    assert "≤ 60" in html
    assert "not met" in html


@pytest.mark.parametrize("value", [None, 0, -3.5])
def test_a_metric_bar_takes_any_value(value: float | None) -> None:
    html = render("{{ ui.metric_bar(value=value, minimum=0.9) }}", value=value)

    assert 'width="-' not in html


def test_a_refused_field_names_its_error_for_screen_readers() -> None:
    class Named(forms.Form):
        name = forms.CharField(help_text="Lower case.")

    html = render("{{ ui.form_field(form.name) }}", form=Named(data={}))

    assert 'aria-invalid="true"' in html
    assert 'aria-describedby="id_name_error id_name_helptext"' in html
    assert 'id="id_name_error"' in html and 'id="id_name_helptext"' in html


def test_an_error_page_needs_no_request() -> None:
    html = render_to_string("errors/page.html", {"status": 500, "message": "It was logged."})

    assert "Something went wrong" in html
    assert "<nav" not in html
