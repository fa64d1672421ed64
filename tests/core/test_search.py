"""MLflow's search language: what is read, and what is refused with the clause at fault."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Invalid
from core.search import (
    MAX_CLAUSES,
    MAX_FILTER_LENGTH,
    MAX_PATTERN_LENGTH,
    Condition,
    Order,
    decode_page_token,
    encode_page_token,
    parse_filter,
    parse_order,
)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("name = 'churn'", Condition("", "name", "=", "churn")),
        ('name="it\'s"', Condition("", "name", "=", "it's")),
        ("attributes.run_id != 'x'", Condition("attribute", "run_id", "!=", "x")),
        ("name like '%a_'", Condition("", "name", "LIKE", "%a_")),
        ("name ILike '%A%'", Condition("", "name", "ILIKE", "%A%")),
        ("tag.stage = 'x'", Condition("tag", "stage", "=", "x")),
        ("tags.x.y = 'z'", Condition("tag", "x.y", "=", "z")),
        ("tags.`a b` = 'z'", Condition("tag", "a b", "=", "z")),
        ("params.\"a.b\" = 'z'", Condition("param", "a.b", "=", "z")),
        ("tags.mlflow.user IS NULL", Condition("tag", "mlflow.user", "IS NULL")),
        ("params.lr is not null", Condition("param", "lr", "IS NOT NULL")),
        ("run_id IN ('a', \"b\")", Condition("", "run_id", "IN", ("a", "b"))),
        ("run_id not in ('a')", Condition("", "run_id", "NOT IN", ("a",))),
        ("metrics.acc > 0.9", Condition("metric", "acc", ">", 0.9, is_quoted=False)),
        ("metrics.acc>=.5", Condition("metric", "acc", ">=", 0.5, is_quoted=False)),
        ("metrics.`m/1` < -1e-3", Condition("metric", "m/1", "<", -0.001, is_quoted=False)),
        ("version_number = 3", Condition("", "version_number", "=", 3, is_quoted=False)),
        ("metrics.top.5 = 1", Condition("metric", "top.5", "=", 1, is_quoted=False)),
        ("metrics.5 = 1", Condition("metric", "5", "=", 1, is_quoted=False)),
        ("tags.1.2.3 = 'v'", Condition("tag", "1.2.3", "=", "v")),
        ("tags.2.5 = 'v'", Condition("tag", "2.5", "=", "v")),
        ("tag.größe = 'ü'", Condition("tag", "größe", "=", "ü")),
        ("tag.a-b/c = ';'", Condition("tag", "a-b/c", "=", ";")),
        ("tag.k = ''", Condition("tag", "k", "=", "")),
        ("dataset.name = 'd'", Condition("dataset", "name", "=", "d")),
    ],
)
def test_one_condition(text: str, condition: Condition) -> None:
    assert parse_filter(text) == (condition,)


def test_an_empty_filter_means_all() -> None:
    assert parse_filter("") == ()


def test_conditions_are_joined_by_and_in_any_case() -> None:
    found = parse_filter("name = 'and' AND tags.a = 'x' and tags.a != 'y'")

    assert [condition.key for condition in found] == ["name", "a", "a"]


@pytest.mark.parametrize(
    "text",
    [
        " ",
        "\t\n",
        "name",
        "name =",
        "name = ",
        "= 'a'",
        "'a' = name",
        "1 = 1",
        "name = churn",
        "name == 'a'",
        "name <> 'a'",
        "name = 'a' OR name = 'b'",
        "NOT name = 'a'",
        "(name = 'a')",
        "name = 'a';",
        "name = 'a' AND",
        "AND name = 'a'",
        "name = 'a' name = 'b'",
        "name = 'a",
        "name = 'it''s'",
        'name = "a',
        "`name` = 'a'",
        "\"name\" = 'a'",
        "name IN ()",
        "name IN 'a'",
        "name IN ('a' 'b')",
        "name IN (1)",
        "name IN ('a'",
        "name NOT 'a'",
        "name IS 'a'",
        "name LIKE",
        "tags. = 'a'",
        "tags.a.'b' = 'c'",
        "tags.a.= 'c'",
        "tags.a. = 'c'",
        ".name = 'a'",
        "name = .",
        "name = 1.2.3",
        "name = 1a",
        "name = ²",
        "name = ٣",
        "name = `a`",
        "name = 'a' -- x",
        "name = 'a' /* x */",
        "name = 'a'\x00",
        "tags.`a = 'b'",
        "a.b.c",
    ],
)
def test_what_is_not_in_the_language_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_filter(text)


def test_limits() -> None:
    clause = "name = 'a'"

    assert len(parse_filter(" AND ".join([clause] * MAX_CLAUSES))) == MAX_CLAUSES
    for text in (
        " AND ".join([clause] * (MAX_CLAUSES + 1)),
        f"name = '{'a' * MAX_FILTER_LENGTH}'",
        f"name LIKE '{'%' * (MAX_PATTERN_LENGTH + 1)}'",
    ):
        with pytest.raises(Invalid):
            parse_filter(text)


def test_a_number_of_any_length_is_a_number() -> None:
    assert parse_filter("metrics.a > " + "9" * 5000)[0].value == float("inf")


@given(
    st.text(max_size=60) | st.lists(st.sampled_from([*"nametags.'\"` =<>!(),AND12-%", " AND ", " IN "])).map("".join)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_filter, parse_order):
        with suppress(Invalid):
            parse(text)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("name", Order("", "name")),
        ("name ASC", Order("", "name")),
        ("name desc", Order("", "name", descending=True)),
        ("metrics.`a b` DESC", Order("metric", "a b", descending=True)),
        ("metrics.top.5 DESC", Order("metric", "top.5", descending=True)),
        ("attribute.start_time", Order("attribute", "start_time")),
    ],
)
def test_order(text: str, order: Order) -> None:
    assert parse_order(text) == order


@pytest.mark.parametrize(
    "text", ["", " ", "name, version", "name DESC ASC", "name DOWN", "DESC name", "'name'", "name;", "a" * 1001]
)
def test_a_bad_order_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_order(text)


@pytest.mark.parametrize("position", [0, 100, [1, "ü"], {"offset": 5}])
def test_a_page_token_comes_back_as_it_went(position: object) -> None:
    assert decode_page_token(encode_page_token(position)) == position


def test_no_token_is_the_first_page() -> None:
    assert decode_page_token("") is None


@pytest.mark.parametrize(
    "token", ["!", "abc", "ü", "AAAA", "e30", "/w==", "W" * 100_000, encode_page_token(1)[:-1] + "\n", "MTA=" + "x"]
)
def test_an_unreadable_page_token_is_refused_in_mlflows_words(token: str) -> None:
    with pytest.raises(Invalid, match="could not base64-decode"):
        decode_page_token(token)
