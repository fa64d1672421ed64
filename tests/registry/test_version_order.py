"""The table of a model's versions: every row once, in the order that is asked for, on pages both ways."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from django.db import connection

from accounts.models import User
from registry import version_order
from registry.models import ModelVersion, RegisteredModel
from registry.version_order import Asked, Filters, Order, Page, Position, page_of, walk_sql
from tests.factories import make_model, make_version

pytestmark = pytest.mark.django_db
LIMIT = 5


def numbers(page: Page) -> list[int]:
    return [version.version for version in page.versions]


def walked(model: RegisteredModel, order: Order, filters: Filters = Filters()) -> list[int]:  # noqa: B008 - frozen
    """Every page to the end; and back again, which must show the same."""
    pages = [page_of(model, filters, order, limit=LIMIT)]
    while pages[-1].before:
        pages.append(page_of(model, filters, order, before=pages[-1].before, limit=LIMIT))
    back = [pages[-1]]
    while back[0].after:
        back.insert(0, page_of(model, filters, order, after=back[0].after, limit=LIMIT))
    forth = [number for page in pages for number in numbers(page)]
    assert sorted(numbers(back[0]) + [n for page in back[1:] for n in numbers(page)]) == sorted(forth)
    assert [n for page in back for n in numbers(page)] == forth
    return forth


@pytest.fixture
def model() -> RegisteredModel:
    """13 versions, of which every third has no auc, some have the same, and number 4 was deleted."""
    chance, model = random.Random(7), make_model("churn")
    for number in range(1, 14):
        metrics = {"auc": chance.choice([0.5, 0.7, 0.9, -1e-9, 1e22])} if number % 3 else {"f1": 0.1}
        make_version(model, metrics=metrics)
    ModelVersion.objects.filter(version=4).update(deleted_at=model.created_at)
    make_version("pricing", metrics={"auc": 0.8})
    return model


@pytest.mark.parametrize("descending", [False, True])
def test_by_a_metric_those_without_it_come_last(model: RegisteredModel, descending: bool) -> None:
    values = dict(ModelVersion.objects.live().filter(metrics__name="auc").values_list("version", "metrics__value"))
    values = {number: value for number, value in values.items() if number <= 13 and number % 3}

    found = walked(model, Order("auc", descending))

    with_it = sorted(values, key=lambda number: (values[number], number), reverse=descending)
    assert found == [*with_it, 12, 9, 6, 3]
    assert 4 not in found and len(found) == 12


@pytest.mark.parametrize(("by", "descending"), [("version", True), ("version", False), ("created", True)])
def test_by_number(model: RegisteredModel, by: str, descending: bool) -> None:
    assert walked(model, Order(by, descending)) == sorted({*range(1, 14)} - {4}, reverse=descending)


def test_a_metric_that_nobody_has_leaves_the_newest_first(model: RegisteredModel) -> None:
    assert walked(model, Order("nonsense")) == sorted({*range(1, 14)} - {4}, reverse=True)


def test_a_page_costs_one_statement_and_says_what_is_known(
    model: RegisteredModel, django_assert_num_queries: Callable[[int], Any]
) -> None:
    for order in (Order(), Order("auc")):
        with django_assert_num_queries(1):
            page = page_of(model, Filters(), order, limit=LIMIT)
            told = [(str(version.user), version.get_absolute_url(), version.known) for version in page.versions]  # type: ignore[attr-defined]
        assert len(told) == LIMIT
    assert page.versions[0].known == {"auc": {"value": 1e22, "step": 0}}  # type: ignore[attr-defined]


@pytest.mark.usefixtures("most_walked")
def test_filters_hold_in_every_order(mira: User) -> None:
    model = make_model("churn")
    for number in range(1, 13):
        make_version(
            model,
            user=mira if number % 2 else None,
            metrics={"auc": number / 20} if number % 4 else {},
            stage="Staging" if number > 6 else "None",
            aliases=["champion"] if number == 5 else [],
            tags={"team": "risk" if number % 3 else "ml", "0": "digit", "a__b": "x=y"},
            description=f"Trained on week {number}, 100% of it.",
        )

    for order in (Order(), Order("auc"), Order("auc", descending=False)):
        asked = {
            Filters(stage="Staging"): {7, 8, 9, 10, 11, 12},
            Filters(alias="champion"): {5},
            Filters(alias="nobody"): set(),
            Filters(by="mira"): {1, 3, 5, 7, 9, 11},
            Filters(by="nobody"): set(),
            Filters(text="WEEK 1,"): {1},
            Filters(text="100%"): set(range(1, 13)),
            Filters(text="team=ml"): {3, 6, 9, 12},
            Filters(text="team=risk", by="mira", stage="Staging"): {7, 11},
            Filters(text="a__b=x=y"): set(range(1, 13)),
            Filters(text="0=digit"): set(range(1, 13)),
            Filters(text="team="): set(),
            Filters(text="=risk"): set(),
            Filters(text="te'am\"=\\"): set(),
            Filters(stage="Live"): set(range(1, 13)),
        }
        assert {filters: set(walked(model, order, filters)) for filters in asked} == asked


@pytest.mark.parametrize(
    "text", ["", "-1", "x", "9" * 40, "1e400:3", "nan:3", "inf:3", "0.5:", "0.5:-1", ":", "²", "0x1:2", "0.5:1:2"]
)
def test_what_is_no_position_is_none(text: str) -> None:
    assert Position.read(text) is None


@pytest.mark.parametrize("position", [Position(7), Position(7, 0.1 + 0.2), Position(7, -1e-300), Position(7, 1e22)])
def test_a_position_reads_as_it_was_written(position: Position) -> None:
    assert Position.read(str(position)) == position


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("-auc", Order("auc")),
        ("auc", Order("auc", descending=False)),
        ("--auc", Order("-auc")),
        ("", Order()),
        ("-", Order()),
        ("x" * 251, Order()),
    ],
)
def test_an_order_is_a_column_and_a_direction(text: str, order: Order) -> None:
    assert Order.read(text) == order


def plan_of(sql: str, params: tuple[Any, ...]) -> str:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # a small table would be read whole
            for way in ("seqscan", "sort", "bitmapscan"):
                cursor.execute(f"SET LOCAL enable_{way} = off")
        cursor.execute(f"EXPLAIN {'' if connection.vendor == 'postgresql' else 'QUERY PLAN '}{sql}", params)
        return "\n".join(str(line[-1]) for line in cursor.fetchall())


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("at", [None, Position(3, 0.5)])
@pytest.mark.parametrize("filters", [Filters(), Filters(stage="None", text="week 7", by="mira"), Filters(text="a=b")])
def test_a_page_by_a_metric_is_read_along_its_index(
    model: RegisteredModel, descending: bool, at: Position | None, filters: Filters
) -> None:
    asked = Asked(model, filters, Order("auc", descending), upwards=False, most=LIMIT)

    plan = plan_of(*walk_sql(asked, at))

    assert "metric_order_idx" in plan and "SCAN registry" not in plan
    assert "Sort" not in plan and "TEMP B-TREE" not in plan


@pytest.fixture(params=[2000, 7, 1], ids=["walked", "walked in part", "gathered"])
def most_walked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Versions that are looked at along a metric, before all that fit are gathered."""
    monkeypatch.setattr(version_order, "MOST_WALKED", request.param)
    return int(request.param)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("share", [1, 2, 10, 40])
@pytest.mark.usefixtures("most_walked")
def test_both_ways_of_reading_show_the_same(share: int, descending: bool) -> None:
    """One in so many fits, of 60, of which some have no auc and some were deleted."""
    chance, model = random.Random(share), make_model("churn")
    expected: list[tuple[bool, float, int]] = []
    for number in range(1, 61):
        value = chance.choice([0.1, 0.5, 0.7, 0.9, None, -1e-9, 1e22])
        fits = number % share == 0
        version = make_version(
            model,
            metrics={"f1": 0.1} if value is None else {"auc": value, "f1": 0.1},
            tags={"team": "risk" if fits else "ml"},
            description=f"Trained on 50% of {'A_b' if fits else 'Axb'}.",
        )
        if chance.random() < 0.1:
            ModelVersion.objects.filter(pk=version.pk).update(deleted_at=model.created_at)
        elif fits:
            sign = -1 if descending else 1
            expected.append((value is None, sign * value, sign * number) if value is not None else (True, 0, -number))
    make_version("pricing", metrics={"auc": 0.8}, tags={"team": "risk"}, description="50% of a_B.")
    order = Order("auc", descending)

    by_tag, by_text = (walked(model, order, Filters(text=text)) for text in ("team=risk", "50% of a_B"))

    assert by_tag == by_text == [abs(number) for *_, number in sorted(expected)]


def test_what_fits_few_takes_at_most_three_statements(
    most_walked: int, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    model = make_model("churn")
    for number in range(1, 13):
        make_version(model, metrics={"auc": number / 20} if number != 5 else {}, description=f"Week {number}.")

    for text, fitting in (("week 1", [12, 11, 10, 1]), ("week 5", [5]), ("week 77", [])):
        with django_assert_max_num_queries(3 if most_walked < 12 else 2):
            page = page_of(model, Filters(text=text), Order("auc"), limit=LIMIT)
        assert numbers(page) == fitting


def test_an_alias_and_a_held_stage_are_found_in_one_statement(
    model: RegisteredModel, django_assert_num_queries: Callable[[int], Any]
) -> None:
    make_version(model, stage="Production", metrics={"auc": 0.1}, aliases=["champion"])
    model.refresh_from_db()

    for filters in (Filters(stage="Production"), Filters(alias="champion"), Filters(stage="Staging")):
        with django_assert_num_queries(1):
            page = page_of(model, filters, Order("auc"), limit=LIMIT)
        assert numbers(page) == ([] if filters.stage == "Staging" else [14])


@pytest.mark.parametrize("key", ["5", "3000000000", "9" * 20, 'a"b', "a.b", "a\\b", "$[0]"])
def test_a_tag_is_found_whatever_its_key(key: str) -> None:
    tagged = make_version("churn", tags={key: "risk"})
    make_version("churn", tags={"other": "risk"})

    assert numbers(page_of(tagged.model, Filters(text=f"{key}=risk"), Order(), limit=LIMIT)) == [tagged.version]


@pytest.mark.parametrize(
    "value",
    ["risk", "7", "", "a/b", "a\\b", 'say "so"', "ümläut", "\t", "\x7f", "null", "true", "%", "_", "{}", "é\u2028"],
)
@pytest.mark.parametrize("is_loaded", [False, True])
def test_a_tag_is_found_whatever_its_value(value: str, is_loaded: bool) -> None:
    tagged = make_version("churn", tags={"key": value, "other": "x"})
    make_version("churn", tags={"key": f"{value}x", "other": value, value: "key"})
    make_version("churn", tags={"key": value.upper() + "y"})
    if is_loaded:  # as load_dataset writes it
        with connection.cursor() as cursor:
            text = orjson.dumps(tagged.tags).decode()
            cursor.execute("UPDATE registry_modelversion SET tags = %s WHERE id = %s", [text, tagged.pk])

    found = page_of(tagged.model, Filters(text=f"key={value}"), Order(), limit=LIMIT)

    assert numbers(found) == ([tagged.version] if value == value.strip() else [])
