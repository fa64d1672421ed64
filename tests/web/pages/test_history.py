"""Who held what of a model: over time, in a table, and at one moment."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import escape
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from approvals.history import explained
from approvals.models import TransitionRequest
from core.clock import now
from registry.models import ModelVersion, RegisteredModel, StageHolding
from tests.factories import make_model, make_version
from tests.scenes import say
from web.pages.band import Axis, band_of

ADDRESS = "/models/churn/history/"
MAY = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def model(mira: User) -> RegisteredModel:
    return make_model("churn", user=mira)


@pytest.fixture
def show(sam: User, session: Callable[[User], Client]) -> Callable[..., str]:
    client = session(sam)

    def shown(path: str = ADDRESS, *, status: int = 200, **query: str) -> str:
        answer = client.get(path, query_params=query)
        assert answer.status_code == status
        return answer.content.decode()

    return shown


def hold(
    version: ModelVersion, *, target: str = "Production", since: datetime = MAY, days: float | None = None,
    by: User | None = None, request: int | None = None,
) -> StageHolding:  # fmt: skip
    return StageHolding.objects.create(
        model=version.model,
        version=version,
        target_kind="alias" if target.startswith("@") else "stage",
        target=target.removeprefix("@"),
        since=since,
        until=None if days is None else since + timedelta(days=days),
        set_by=by,
        request_id=request,
    )


def answer_of(page: str) -> str:
    """What the page says of the moment that was asked about, as text."""
    found = re.search(r'id="answer">(.*?)</section>', page, re.DOTALL)
    assert found
    return " ".join(re.sub(r"<[^>]+>", " ", found.group(1)).split())


# -- Over time ---------------------------------------------------------------------------------------------------------


def test_every_holding_is_drawn_and_listed(model: RegisteredModel, mira: User, show: Callable[..., str]) -> None:
    first, second = make_version(model), make_version(model)
    hold(first, days=2, by=mira)
    hold(second, since=MAY + timedelta(days=2), by=mira)
    hold(first, target="@champion")

    shown = show()

    says = "Version 1 held Production from 1 May 2026, 12:00 until 3 May 2026, 12:00, put there by mira"
    assert f'<a href="/models/churn/versions/1/" aria-label="{says}">' in shown
    assert 'aria-label="Production: 2 drawn"' in shown and 'aria-label="@champion: 1 drawn"' in shown
    assert len(re.findall(r'class="block now" x="[\d.]+%"', shown)) == 2
    assert shown.count("<tr>") == 1 + 3 and "2 days" in shown


def test_a_model_that_nothing_was_held_of_says_so(model: RegisteredModel, show: Callable[..., str]) -> None:
    shown = show()

    assert "Nothing yet" in shown and 'class="band"' not in shown


def test_a_deleted_version_is_marked_and_leads_nowhere(model: RegisteredModel, show: Callable[..., str]) -> None:
    version = make_version(model, deleted_at=now())
    hold(version, days=1)

    shown = show()

    assert 'class="block gone"' in shown and "deleted</span>" in shown
    assert "/versions/1/" not in shown


def test_a_request_is_told_with_whose_approval_and_marks(
    asked: TransitionRequest, alice: User, dkim: User, show: Callable[..., str]
) -> None:
    say(alice, asked)
    say(dkim, asked)
    path = reverse("history", args=[asked.model.name])
    plain = show(path)

    TransitionRequest.objects.filter(pk=asked.pk).update(is_bypassed=True, returns_to=asked.pk)
    marked = show(path)

    assert f"request {asked.pk}</a>, approved by alice, dkim" in plain
    assert 'class="bypassed" x="' not in plain.split('class="legend')[0] and "Returned" not in plain
    assert f"request {asked.pk}, bypassed, returned" in marked and "Bypassed</span>" in marked
    assert all(f'class="{mark}"' in marked.split('class="legend')[0] for mark in ("bypassed", "returned"))


def test_one_target_may_be_looked_at_alone(model: RegisteredModel, show: Callable[..., str]) -> None:
    version = make_version(model)
    hold(version)
    hold(version, target="@<b>champion")

    shown = show(target="@<b>champion")

    assert 'aria-label="Production' not in shown and escape("@<b>champion: 1 drawn") in shown
    assert shown.count("<tr>") == 1 + 1 and "<b>champion" not in shown


def test_pages_of_the_list_leave_none_out_and_show_none_twice(model: RegisteredModel, show: Callable[..., str]) -> None:
    version = make_version(model)
    for number in range(120):
        hold(version, since=MAY + timedelta(days=number // 3), days=0.5)

    page, seen, pages = show(), [], 1
    while True:
        seen += re.findall(r'<td class="nowrap"><time datetime="([^"]+)"', page)
        following = re.search(r'rel="next" href="\?before=([^#"]+)#list"', page)
        if not following:
            break
        page, pages = show(before=following.group(1).replace("%3D", "=")), pages + 1

    assert (len(seen), pages) == (240, 3)
    assert seen[::2] == sorted(seen[::2], reverse=True)


@pytest.mark.parametrize("before", ["x", "W10=", "WzEsIngiXQ==", "Wy0xLDFd", "WzllOTksMV0="])
def test_a_page_that_never_was_is_refused(before: str, model: RegisteredModel, show: Callable[..., str]) -> None:
    assert "page token" in show(before=before, status=400)


def test_three_hundred_cost_as_many_statements_as_three(
    model: RegisteredModel, asked: TransitionRequest, sam: User, session: Callable[[User], Client],
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:  # fmt: skip
    client, versions = session(sam), [make_version(model) for _ in range(3)]
    for number in range(300):
        hold(versions[number % 3], since=MAY + timedelta(hours=number), days=1 / 24, request=asked.pk)

    with django_assert_max_num_queries(8):
        assert client.get(ADDRESS).content.count(b'class="block" x=') >= 300


# -- The picture -------------------------------------------------------------------------------------------------------


def drawn(model: RegisteredModel, *, limit: int = 1000) -> list[tuple[int, float, float, int]]:
    """(version, x, width, lane) of each block of the first row."""
    rows = list(StageHolding.objects.filter(model=model).select_related("version", "set_by").order_by("-until"))
    of = explained(rows[:limit])
    band = band_of(model, list(of.values()), is_cut=len(rows) > limit, at=MAY + timedelta(days=400))
    return [(block.held.number, block.x, block.width, block.lane) for block in band.rows[0].blocks]


def test_a_minute_is_seen_beside_a_year(model: RegisteredModel) -> None:
    before, brief, after = (make_version(model) for _ in range(3))
    hold(before, days=365)
    hold(brief, since=MAY + timedelta(days=365), days=1 / 1440)
    hold(after, since=MAY + timedelta(days=365, minutes=1))

    (_, x, width, lane), (_, x2, width2, lane2), (_, x3, width3, lane3) = drawn(model)

    assert (x, x + width, x3 + width3) == (0, pytest.approx(x2), pytest.approx(100))
    assert width2 >= 1.5 and (lane, lane2, lane3) == (0, 0, 0)


def test_a_hand_over_leaves_no_gap(model: RegisteredModel) -> None:
    hold(make_version(model), days=3)
    hold(make_version(model), since=MAY + timedelta(days=3, milliseconds=80), days=3)

    (_, x, width, _), (_, x2, _, _) = drawn(model)

    assert x2 == pytest.approx(x + width)


def test_what_was_held_at_the_same_time_is_drawn_in_lanes(model: RegisteredModel) -> None:
    for _ in range(3):
        hold(make_version(model), days=3)

    assert [lane for _, _, _, lane in drawn(model)] == [0, 1, 2]


def test_what_lasted_no_time_is_still_to_be_seen(model: RegisteredModel) -> None:
    hold(make_version(model), days=0)

    ((_, _, width, _),) = drawn(model)

    assert width >= 2


def test_where_earlier_ones_are_left_out_nothing_is_missing_of_the_time_that_is_drawn(model: RegisteredModel) -> None:
    versions = [make_version(model) for _ in range(5)]
    for number, version in enumerate(versions):
        hold(version, since=MAY + timedelta(days=number), days=1)

    blocks = drawn(model, limit=3)

    assert [(number, x) for number, x, _, _ in blocks] == [(4, 0), (5, pytest.approx(blocks[0][2], abs=0.01))]


@pytest.mark.parametrize("count", [1, 2, 40, 600])
def test_an_axis_goes_from_edge_to_edge_and_back(count: int) -> None:
    moments = [MAY + timedelta(hours=number * number) for number in range(count)]
    axis = Axis(moments, MAY + timedelta(days=20_000))

    assert axis.place(MAY) == 0 and axis.places[-1] == pytest.approx(100)
    assert axis.moment(axis.place(moments[-1])) - moments[-1] < timedelta(seconds=1)


# -- At one moment -----------------------------------------------------------------------------------------------------


@pytest.fixture
def held(model: RegisteredModel, mira: User) -> list[ModelVersion]:
    """Version 1 held Production for two days of May; version 2 has it since the fifth."""
    versions = [make_version(model), make_version(model)]
    hold(versions[0], days=2, by=mira)
    hold(versions[1], since=MAY + timedelta(days=4), by=mira)
    return versions


def test_a_moment_is_answered_with_who_held_it_and_who_put_it_there(
    held: list[ModelVersion], show: Callable[..., str]
) -> None:
    answer = answer_of(show(target="Production", at="2026-05-02T14:00"))

    assert answer.startswith("Production on 2 May 2026 at 14:00:00 UTC Version 1 from 1 May 2026, 12:00:00")
    assert "Put there by mira · without a request" in answer and f"sha256:{held[0].digest[:4]}" in answer


def test_a_moment_is_answered_with_the_request_and_the_digest_that_was_approved(
    asked: TransitionRequest, alice: User, dkim: User, show: Callable[..., str]
) -> None:
    say(alice, asked)
    say(dkim, asked)

    page = show(reverse("history", args=[asked.model.name]), target="production", at=now().isoformat())

    assert f"request {asked.pk} , approved by alice, dkim" in answer_of(page)
    assert "Approved digest" in answer_of(page) and f'title="{asked.digest}"' in page


@pytest.mark.parametrize(
    ("at", "target", "answer"),
    [
        ("2026-05-04T00:00", "Production", "No version held Production then. Version 2 came next, on 5 May 2026"),
        ("2026-05-03T12:00", "Production", "No version held Production then."),
        ("2026-05-01T12:00", "Production", "Version 1 from 1 May 2026"),
        ("2026-05-02T00:00", "Staging", "No version held Staging then, and none has since."),
        ("2026-05-04T00:00", "", "No version held any stage or alias then."),
        ("2026-05-06T00:00", "", "Production Version 2 from 5 May 2026"),
        ("2026-05-05T13:00+02:00", "Production", "No version held Production then."),
    ],
)
def test_a_moment_has_one_answer(
    at: str, target: str, answer: str, held: list[ModelVersion], show: Callable[..., str]
) -> None:
    assert answer in answer_of(show(target=target, at=at))


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"at": "yesterday"}, "Write date and time as in 2026-05-03T14:00."),
        ({"at": "2999-01-01T00:00"}, "still to come"),
        ({"at": "0001-01-01T00:00+14:00"}, "Write date and time"),
        ({"target": "Archived"}, "Name Production, Staging or an alias"),
        ({"target": "Nowhere"}, "Invalid Model Version stage"),
    ],
)
def test_a_question_that_has_no_answer_is_refused_with_a_sentence(
    query: dict[str, str], sentence: str, held: list[ModelVersion], show: Callable[..., str]
) -> None:
    shown = show(status=400, **query)

    assert sentence in shown and "Every holding" in shown and 'id="answer"' not in shown


def test_a_model_one_may_not_see_has_no_history(
    held: list[ModelVersion], eve: User, session: Callable[[User], Client], settings: Settings
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"

    assert session(eve).get(ADDRESS).status_code == 404


def test_the_page_of_a_model_leads_here(held: list[ModelVersion], show: Callable[..., str]) -> None:
    assert f'href="{ADDRESS}"' in show("/models/churn/")
