"""What the page of a model and the list of models can be asked by their address."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils.http import urlencode

from accounts.models import User
from approvals import services as approvals
from approvals.models import TransitionRequest
from registry.models import Evidence, RegisteredModel
from tests.factories import make_model, make_version
from tests.scenes import POLICY, ask, say

Session = Callable[[User], Client]
VERSIONS, METRIC = (
    {"HX-Request": "true", "HX-Target": "div#versions"},
    {
        "HX-Request": "true",
        "HX-Target": "div#metric",
    },
)


@pytest.fixture
def model(mira: User) -> RegisteredModel:
    """Four versions: the last has no auc, the first is in Production."""
    model = make_model("churn-predictor", user=mira)
    make_version(model, user=mira, metrics={"auc": 0.71, "f1": 0.5}, stage="Production", aliases=["champion"])
    make_version(model, user=mira, metrics={"auc": 0.93, "f1": 0.4}, tags={"team": "risk"})
    make_version(model, user=mira, metrics={"auc": 0.82, "f1": 0.6}, description="Trained on May.")
    make_version(model, user=mira, metrics={"f1": 0.7})
    return model


def shown(client: Client, query: str, path: str = "/models/churn-predictor/") -> list[int]:
    return [row["version"].version for row in client.get(f"{path}?{query}").context["versions"]]


# -- The table ---------------------------------------------------------------------------------------------------------


def test_a_click_on_a_metric_sorts_by_it_and_another_the_other_way(
    model: RegisteredModel, sam: User, session: Session
) -> None:
    client = session(sam)
    assert shown(client, "sort=-auc") == [2, 3, 1, 4] and shown(client, "sort=auc") == [1, 3, 2, 4]
    assert shown(client, "sort=version") == [1, 2, 3, 4] and shown(client, "") == [4, 3, 2, 1]

    page = client.get("/models/churn-predictor/?sort=-auc").content.decode()

    heading = re.search(r'<th scope="col" class="num" aria-sort="descending"><a [^>]*href="([^"]+)"', page)
    assert heading and heading[1] == "?sort=auc"
    assert page.count('aria-sort="descending"') == 1 and page.count('aria-sort="none"') == 3


def test_columns_are_chosen_by_the_address_and_every_link_keeps_them(
    model: RegisteredModel, sam: User, session: Session
) -> None:
    answer = session(sam).get("/models/churn-predictor/?column=f1&column=loss&stage=None&q=May")

    assert [column.label for column in answer.context["columns"]] == ["f1", "loss"]
    assert [row["cells"] for row in answer.context["versions"]] == [[0.6, None]]
    assert answer.context["by_version"].url == "?stage=None&q=May&column=f1&column=loss&sort=version"
    assert 'value="loss" checked' in answer.content.decode() and 'value="auc"' in answer.content.decode()


def test_what_a_policy_asks_for_comes_first(model: RegisteredModel, sam: User, session: Session) -> None:
    approvals.publish_policy(actor=None, text=POLICY.replace("accuracy", "f1"))

    context = session(sam).get("/models/churn-predictor/").context

    assert [column.label for column in context["columns"]] == ["f1", "latency_p95_ms", "auc"]
    assert context["chart"].name == "f1"


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("stage=Production", [1]),
        ("alias=champion", [1]),
        ("q=team%3Drisk", [2]),
        ("q=may", [3]),
        ("by=mira", [4, 3, 2, 1]),
        ("by=eve", []),
    ],
)
def test_the_versions_are_filtered(
    query: str, numbers: list[int], model: RegisteredModel, sam: User, session: Session
) -> None:
    assert shown(session(sam), query) == numbers
    assert shown(session(sam), f"{query}&sort=version") == numbers[::-1]


def test_nothing_found_says_how_to_see_all(model: RegisteredModel, sam: User, session: Session) -> None:
    page = session(sam).get("/models/churn-predictor/?q=nothing").content.decode()

    assert "No version fits" in page and 'href="/models/churn-predictor/">Show all versions' in page


def test_pages_lead_on_and_back_in_the_order_that_is_asked_for(mira: User, sam: User, session: Session) -> None:
    model = make_model("churn-predictor")
    for number in range(1, 61):
        make_version(model, metrics={"auc": number % 7 / 7}, files={})
    client, seen, query = session(sam), [], "?sort=-auc"
    pages = []
    while query:
        pages.append(client.get(f"/models/churn-predictor/{query}"))
        seen += [row["version"].version for row in pages[-1].context["versions"]]
        query = pages[-1].context["older_url"] if pages[-1].context["before"] else ""

    assert seen == sorted(range(1, 61), key=lambda number: (number % 7, number), reverse=True)
    assert len(pages) == 3 and 'rel="prev"' not in pages[0].content.decode()
    assert shown(client, pages[2].context["newer_url"][1:]) == seen[25:50]
    assert shown(client, pages[1].context["first_url"][1:]) == seen[:25]


# -- The chart ---------------------------------------------------------------------------------------------------------


def test_the_chart_shows_each_version_the_pass_line_and_who_holds_what(
    model: RegisteredModel, sam: User, session: Session
) -> None:
    approvals.publish_policy(actor=None, text=POLICY.replace("accuracy", "auc"))

    answer = session(sam).get("/models/churn-predictor/")

    chart, page = answer.context["chart"], answer.content.decode()
    assert [(dot.number, dot.text) for dot in chart.dots] == [(1, "0.710"), (2, "0.930"), (3, "0.820")]
    assert [line.text for line in chart.lines] == ["≥ 0.90 production-gate"]
    assert chart.dots[1].y < chart.lines[0].y < chart.dots[2].y  # the second alone is above
    assert '<a href="/models/churn-predictor/versions/2/" aria-label="Version 2: 0.930, registered' in page
    assert [dot.number for dot in chart.marked] == [1] and ", Production" in chart.dots[0].says
    assert page.count('<td class="num">0.930</td>') == 2  # in the table of versions, and in the chart's own
    assert len(re.findall(r"<a [^>]*aria-label=\"Version \d+: [^>]*tabindex=\"-1\"", page)) == 2  # one place for Tab


def test_the_chart_shows_the_last_ones_and_leads_to_earlier_ones(
    sam: User, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.models.MOST_DOTS", 3)
    model = make_model("churn-predictor")
    for number in range(1, 6):
        make_version(model, metrics={"auc": number / 10}, files={})
    client = session(sam)

    newest = client.get("/models/churn-predictor/?sort=auc").context
    earlier = client.get(f"/models/churn-predictor/{newest['earlier_dots_url']}").context

    assert [dot.number for dot in newest["chart"].dots] == [3, 4, 5]
    assert newest["earlier_dots_url"] == "?sort=auc&metric=auc&until=2"
    assert [dot.number for dot in earlier["chart"].dots] == [1, 2] and not earlier["earlier_dots_url"]
    assert earlier["newest_dots_url"] == "?metric=auc&sort=auc"
    assert earlier["older_url"].startswith("?metric=auc&until=2&sort=auc")  # the table keeps the range of the chart


@pytest.mark.parametrize("values", [[0.0, 0.0], [5.0], [-1.7e308, 1.7e308], [1e-300, 2e-300], [-3.0, -2.0]])
def test_any_figures_can_be_drawn(values: list[float], sam: User, session: Session) -> None:
    model = make_model("churn-predictor")
    for value in values:
        make_version(model, metrics={"auc": value}, files={})

    chart = session(sam).get("/models/churn-predictor/").context["chart"]

    assert all(0 <= dot.x <= 100 and 16 <= dot.y <= 182 for dot in chart.dots)
    assert sorted(chart.dots, key=lambda dot: -dot.y) == list(chart.dots)


def test_without_figures_the_chart_says_so(sam: User, session: Session) -> None:
    make_version("churn-predictor")
    assert "are drawn here" in session(sam).get("/models/churn-predictor/").content.decode()
    assert (
        "No version has a figure for auc yet."
        in session(sam).get("/models/churn-predictor/?metric=auc").content.decode()
    )


# -- Its parts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "part", "others"), [(VERSIONS, "Registered", "<polyline"), (METRIC, "<polyline", "sort-version")]
)
def test_htmx_gets_the_region_that_it_fills_and_the_address_of_the_whole(
    headers: dict[str, str], part: str, others: str, model: RegisteredModel, sam: User, session: Session
) -> None:
    answer = session(sam).get("/models/churn-predictor/?sort=-f1&metric=f1&q=&by=", headers=headers)

    page = answer.content.decode()
    assert part in page and others not in page and "<html" not in page
    assert answer["HX-Push-Url"] == "/models/churn-predictor/?metric=f1&sort=-f1"


def test_who_approved_stands_beside_the_holder(
    asked: TransitionRequest, alice: User, dkim: User, sam: User, session: Session
) -> None:
    for reviewer in (alice, dkim):
        say(reviewer, asked)

    page = session(sam).get("/models/churn-predictor/").content.decode()

    assert re.search(rf"request {asked.pk}</a>, approved by (alice, dkim|dkim, alice)", page)


def test_what_happened_and_who_may_do_what_come_after_the_page(
    model: RegisteredModel, sam: User, session: Session
) -> None:
    client = session(sam)
    page = client.get("/models/churn-predictor/").content.decode()
    assert 'hx-get="/models/churn-predictor/people/"' in page and 'hx-get="/models/churn-predictor/activity/"' in page

    card = client.get("/models/churn-predictor/people/", headers={"HX-Request": "true"}).content.decode()
    assert "Everybody signed in" in card and "<html" not in card
    part = client.get("/models/churn-predictor/activity/", headers={"HX-Request": "true"}).content.decode()
    assert "Nothing has happened yet." in part and "<html" not in part
    whole = client.get("/models/churn-predictor/activity/")
    assert (whole.status_code, whole["Location"]) == (302, "/activity/?model=churn-predictor")


@pytest.mark.parametrize("path", ["people", "activity"])
def test_what_one_may_not_see_is_not_there(
    path: str, model: RegisteredModel, eve: User, session: Session, settings: Any
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"

    assert session(eve).get(f"/models/churn-predictor/{path}/").status_code == 404


BAD = [
    "sort=nonsense", "sort=", "sort=-", "sort=" + "x" * 300, "before=-1", "before=9e99:1",
    "before=" + "9" * 40, "after=0.5:x", "before=3&after=3&sort=-auc", "until=-1", "until=" + "9" * 30,
    "until=x&metric=" + "m" * 300, "metric=none", "stage=Live", "q=" + "q" * 9000,
    "q=%22%27%3D%5C", "q=" + "ش" * 300, "column=%F0%9F%A6%86&column=", "sort=-%D8%B4", "column=" + "x" * 256,
    urlencode({"column": [f"m{number}" for number in range(300)]}, doseq=True),
]  # fmt: skip


@pytest.mark.parametrize("query", BAD)
def test_whatever_is_asked_the_page_stays_whole(
    query: str, model: RegisteredModel, sam: User, session: Session
) -> None:
    for headers in ({}, VERSIONS, METRIC):
        answer = session(sam).get(f"/models/churn-predictor/?{query}", headers=headers)
        assert answer.status_code == 200 and len(answer.content) < 60_000
    assert session(sam).get(f"/models/?{query}").status_code == 200


def test_so_many_columns_are_no_table(model: RegisteredModel, sam: User, session: Session) -> None:
    query = urlencode({"column": [f"m{number}" for number in range(300)]}, doseq=True)

    answer = session(sam).get(f"/models/churn-predictor/?{query}")

    assert len(answer.context["columns"]) == 8
    assert "A table has at most 8 metrics" in answer.content.decode()


def test_long_and_strange_metrics_are_shown_shortened(sam: User, session: Session) -> None:
    names = ["m" * 250, "a b/c:d.e", "متريك", "0"]
    make_version("churn-predictor", metrics=dict.fromkeys(names, 0.5))
    client = session(sam)

    for name in names:
        answer = client.get(f"/models/churn-predictor/?{urlencode({'sort': f'-{name}', 'metric': name})}")
        assert [row["cells"][-1] for row in answer.context["versions"]] == [0.5] and answer.context["chart"].dots
    assert f'title="{"m" * 250}"' in answer.content.decode() and f">{'m' * 59}…</a>" in answer.content.decode()


def test_what_is_no_number_is_shown_as_what_it_is(sam: User, session: Session) -> None:
    version = make_version("churn-predictor", metrics={"auc": 0.5})
    known = version.evidence.data | {"metrics": {"auc": {"value": "NaN", "step": 0}}}  # type: ignore[union-attr]
    Evidence.objects.filter(pk=version.evidence_id).update(data=known)

    assert '<td class="num">NaN</td>' in session(sam).get("/models/churn-predictor/").content.decode()


# -- The list of models ------------------------------------------------------------------------------------------------


@pytest.fixture
def models(mira: User, alice: User, dkim: User) -> None:
    for name, owner, stage, tags in [
        ("churn", mira, "Production", {"team": "risk"}),
        ("fraud", mira, "Staging", {"team": "ml"}),
        ("pricing", alice, "None", {"tier": "gold", "2026": "yes"}),
    ]:
        version = make_version(make_model(name, user=owner, tags=tags), stage=stage, user=owner)
        if name == "fraud":
            ask(version, mira)
    RegisteredModel.objects.filter(name="churn").update(last_updated_timestamp=2**42)


def listed(client: Client, query: str) -> list[str]:
    return [row["model"].name for row in client.get(f"/models/?{query}").context["models"]]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("stage=Production", ["churn"]),
        ("stage=Staging", ["fraud"]),
        ("owner=alice", ["pricing"]),
        ("owner=nobody", []),
        ("tag=team%3Drisk", ["churn"]),
        ("tag=team", ["churn", "fraud"]),
        ("tag=2026%3Dyes", ["pricing"]),
        ("tag=%3D", ["churn", "pricing", "fraud"]),
        ("open=1", ["fraud"]),
        ("mine=1", ["churn", "fraud"]),
        ("mine=1&open=1&stage=Staging&tag=team&q=FRA&owner=mira", ["fraud"]),
    ],
)
def test_models_are_filtered(query: str, names: list[str], models: None, mira: User, session: Session) -> None:
    assert sorted(listed(session(mira), query)) == sorted(names)


def test_models_are_sorted_by_name_or_by_their_last_change(models: None, mira: User, session: Session) -> None:
    client = session(mira)

    assert listed(client, "sort=name") == ["churn", "fraud", "pricing"]
    assert listed(client, "sort=-name") == ["pricing", "fraud", "churn"]
    assert listed(client, "")[0] == "churn" and listed(client, "sort=changed")[-1] == "churn"
    assert listed(client, "sort=nonsense") == listed(client, "")


@pytest.mark.parametrize("sort", ["name", "-name", "changed", "-changed"])
def test_each_order_has_pages_that_hold_every_model_once(sort: str, db: None, sam: User, session: Session) -> None:
    for number in range(60):
        make_model(f"model-{number:02d}", last_updated_timestamp=number // 30)
    client, seen, url = session(sam), [], f"?sort={sort}"
    while url:
        context = client.get(f"/models/{url}").context
        seen += [row["model"].name for row in context["models"]]
        url = context["next_url"] if context["next_token"] else ""

    assert len(seen) == len(set(seen)) == 60
    assert seen == sorted(seen, reverse=sort == "-name") or "changed" in sort


@pytest.mark.parametrize("page", ["x", "%%%", "W10=", "WzEsMl0=", "bnVsbA==", "9" * 400])
def test_a_page_of_nowhere_is_the_first(page: str, models: None, mira: User, session: Session) -> None:
    context = session(mira).get("/models/", {"page": page}).context

    assert len(context["models"]) == 3 and context["is_first_page"]
