"""Searching: what MLflow's filter, order and page words mean here."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from core.errors import Invalid
from registry import services
from registry.models import PROMPT_TAG, ModelVersion, RegisteredModel
from registry.search import search_models, search_versions
from tests.factories import make_model, make_run, make_version

pytestmark = pytest.mark.django_db


def models(user: User, filter_text: str = "", **options: Any) -> list[str]:
    return [model.name for model in search_models(user, filter_text=filter_text, **options).rows]


def versions(user: User, filter_text: str = "", **options: Any) -> list[tuple[str, int]]:
    page = search_versions(user, filter_text=filter_text, **options)
    return [(version.name, version.version) for version in page.rows]


@pytest.fixture
def shelf(db: None) -> None:
    make_model("churn", tags={"tier": "critical", "a b": "1"})
    make_model("Churn-EU", tags={"tier": "low"})
    make_model("fraud_1", tags={"tier": "Critical"})
    make_model("fraud-2")
    make_model("50%")


@pytest.mark.parametrize("key", ["0", "1.5", "a.b", "a/b:c", "größe", "$", "k" * 250])
@pytest.mark.parametrize("value", ["", "1", "null", "ü", 'it is "so"', "back\\slash", "100%_*", "$.a", "x" * 4_000])
def test_tags_are_found_under_any_key_and_with_any_value(reader: User, key: str, value: str) -> None:
    make_version(make_model("right", tags={key: value}), tags={key: value})
    wrong = {key: f"{value}.", "other": value}
    make_version(make_model("wrong", tags=wrong), tags=wrong)

    for condition, found in (
        (f"= '{value}'", ["right"]),
        (f"!= '{value}'", ["wrong"]),
        (f"LIKE '{value}%'", ["right", "wrong"]),
    ):
        assert models(reader, f"tags.`{key}` {condition}") == found
        assert sorted(name for name, _ in versions(reader, f"tags.`{key}` {condition}")) == found


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize(
    ("filter_text", "expected"),
    [
        ("", ["50%", "Churn-EU", "churn", "fraud-2", "fraud_1"]),
        ("name = 'churn'", ["churn"]),
        ("name = 'CHURN'", []),
        ('name = "churn"', ["churn"]),
        ("attribute.name = 'churn'", ["churn"]),
        ("name != 'churn'", ["50%", "Churn-EU", "fraud-2", "fraud_1"]),
        ("name LIKE 'churn%'", ["churn"]),
        ("name like '%hurn%'", ["Churn-EU", "churn"]),
        ("name ILIKE 'CHURN%'", ["Churn-EU", "churn"]),
        ("name LIKE 'fraud_1'", ["fraud_1"]),
        ("name LIKE 'fraud__'", ["fraud-2", "fraud_1"]),
        ("name LIKE 'c*'", []),
        ("name LIKE '50\\%'", []),
        ("name IN ('churn', 'fraud-2')", ["churn", "fraud-2"]),
        ("name NOT IN ('churn', 'fraud-2')", ["50%", "Churn-EU", "fraud_1"]),
        ("tag.tier = 'critical'", ["churn"]),
        ("tags.tier != 'critical'", ["Churn-EU", "fraud_1"]),
        ("tags.tier LIKE '%riti%'", ["churn", "fraud_1"]),
        ("tags.tier ILIKE 'CRIT%'", ["churn", "fraud_1"]),
        ("tags.`a b` = '1'", ["churn"]),
        ('tags."a b" = "1"', ["churn"]),
        ("tags.tier = 'critical' AND name LIKE 'f%'", []),
        ("tags.tier = 'critical' and tags.`a b` = '1'", ["churn"]),
        ("tags.tier = 'critical' AND tags.tier = 'low'", []),
        (
            "name LIKE '%' AND tag.`mlflow.prompt.is_prompt` != 'true'",
            ["50%", "Churn-EU", "churn", "fraud-2", "fraud_1"],
        ),
    ],
)
def test_filters_of_models(reader: User, filter_text: str, expected: list[str]) -> None:
    assert models(reader, filter_text) == expected


BAD_FILTERS = [
    " ", "name", "name =", "= 'x'", "'x' = name", "name = 'a' OR name = 'b'", "NOT name = 'a'", "(name = 'a')",
    "name = 'a';", "name <> 'a'",
    "name = 5", "name > 'a'", "name IS NULL", "name IN ()", "name IN 'a'", "name IN (5)", "name = 'it''s'",
    "name = 'a' AND", "AND name = 'a'",
    "name = 'a' name = 'b'", "stage = 'Production'", "status = 'READY'", "description = 'x'", "aliases = 'x'",
    "user_id = 'x'",
    "creation_timestamp > 1", "metrics.x > 1", "params.x = '1'", "`name` = 'a'", "tags.x", "tags.x = 5",
    "tags.x > '5'", "tags.x IN ('a')",
    "tags.x IS NULL", "name LIKE 5", "name == 'a'", "model__name = 'a'", "pk = '1'", "name__regex = 'x'",
    "tags.`x = 'a'", "name = 'unclosed",
    "tags. = 'x'", "x.y.z = 'a'", " AND ".join(["name = 'a'"] * 101), "name = '" + "x" * 20_001 + "'",
    "name NOT LIKE 'x'", "name BETWEEN 'a' AND 'b'",
]  # fmt: skip


@pytest.mark.parametrize("filter_text", BAD_FILTERS)
def test_what_is_not_the_language_is_refused(reader: User, filter_text: str) -> None:
    with pytest.raises(Invalid):
        models(reader, filter_text)
    with pytest.raises(Invalid):
        versions(reader, filter_text)


@pytest.fixture
def library(db: None) -> None:
    run = make_run(run_id="a" * 32)
    churn, fraud = make_model("churn"), make_model("Fraud")
    make_version(churn, run=run, tags={"env": "dev"}, last_updated_timestamp=30)
    make_version(churn, tags={"env": "prod"}, last_updated_timestamp=10)
    make_version(churn, last_updated_timestamp=20, creation_timestamp=5)
    make_version(fraud, run=run, tags={"env": "prod"}, last_updated_timestamp=20, creation_timestamp=7)
    ModelVersion.objects.filter(model=fraud).update(source="s3://bucket/Fraud")


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("filter_text", "expected"),
    [
        ("", [("churn", 1), ("Fraud", 1), ("churn", 3), ("churn", 2)]),
        ("name = 'churn'", [("churn", 1), ("churn", 3), ("churn", 2)]),
        ("name ILIKE 'FRAUD'", [("Fraud", 1)]),
        ("name IN ('Fraud', 'x')", [("Fraud", 1)]),
        (f"run_id = '{'a' * 32}'", [("churn", 1), ("Fraud", 1)]),
        (f"run_id != '{'a' * 32}'", [("churn", 3), ("churn", 2)]),
        (f"run_id IN ('{'a' * 32}')", [("churn", 1), ("Fraud", 1)]),
        (f"attribute.run_id = '{'a' * 32}' AND name = 'churn'", [("churn", 1)]),
        ("run_id LIKE 'aaa%'", [("churn", 1), ("Fraud", 1)]),
        ("source_path = 's3://bucket/Fraud'", [("Fraud", 1)]),
        ("source_path ILIKE 's3://BUCKET/%'", [("Fraud", 1)]),
        ("version_number = 1", [("churn", 1), ("Fraud", 1)]),
        ("version_number = '1'", [("churn", 1), ("Fraud", 1)]),
        ("version_number != 1", [("churn", 3), ("churn", 2)]),
        ("version_number >= 2 AND version_number < 3", [("churn", 2)]),
        ("version_number > 99999999999999999999", []),
        ("version_number < 99999999999999999999 AND name = 'Fraud'", [("Fraud", 1)]),
        ("version_number > -5 AND name = 'Fraud'", [("Fraud", 1)]),
        ("tags.env = 'prod'", [("Fraud", 1), ("churn", 2)]),
        ("tags.env != 'prod'", [("churn", 1)]),
        ("tags.env LIKE 'p%' AND name = 'churn'", [("churn", 2)]),
    ],
)
def test_filters_of_versions(reader: User, filter_text: str, expected: list[tuple[str, int]]) -> None:
    assert versions(reader, filter_text) == expected


@pytest.mark.parametrize("filter_text", ["version_number = 1.5", "version_number = 'x'", "version_number LIKE '1'",
"version_number IN ('1')",
                                         "source_path IN ('a')", "source = 'x'", "version = 1", "version_number = ''",
                                         "tags.version_number",
                                         "version_number = '" + "9" * 5000 + "'",
                                         "version_number > " + "9" * 5000])  # fmt: skip
def test_what_versions_cannot_be_asked(reader: User, filter_text: str) -> None:
    with pytest.raises(Invalid):
        versions(reader, filter_text)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        (("name",), [("Fraud", 1), ("churn", 3), ("churn", 2), ("churn", 1)]),
        (("name DESC",), [("churn", 3), ("churn", 2), ("churn", 1), ("Fraud", 1)]),
        (("version_number asc",), [("Fraud", 1), ("churn", 1), ("churn", 2), ("churn", 3)]),
        (("version_number", "name desc"), [("churn", 1), ("Fraud", 1), ("churn", 2), ("churn", 3)]),
        (("last_updated_timestamp ASC",), [("churn", 2), ("Fraud", 1), ("churn", 3), ("churn", 1)]),
        (("attribute.creation_timestamp",), [("churn", 3), ("Fraud", 1), ("churn", 2), ("churn", 1)]),
    ],
)
def test_orders_of_versions(reader: User, order_by: tuple[str, ...], expected: list[tuple[str, int]]) -> None:
    ModelVersion.objects.filter(creation_timestamp__gt=1000).update(creation_timestamp=1000)

    assert versions(reader, order_by=order_by) == expected


@pytest.mark.parametrize(
    "order_by", [("",), ("nothing",), ("name UP",), ("name ASC, version_number",), ("name", "name DESC"), ("tags.x",),
    ("model__name",), ("-name",),
                 ("name ASC DESC",), ("run_id",), ("source_path",), (" ",), ("?",), ("attribute.",)]
)  # fmt: skip
def test_other_orders_are_refused(reader: User, order_by: tuple[str, ...]) -> None:
    with pytest.raises(Invalid):
        versions(reader, order_by=order_by)


@pytest.mark.parametrize(
    "order_by", [("attribute.name",), ("timestamp", "last_updated_timestamp"), ("creation_timestamp",)]
)
def test_orders_that_models_do_not_have(reader: User, order_by: tuple[str, ...]) -> None:
    with pytest.raises(Invalid):
        models(reader, order_by=order_by)


@pytest.mark.usefixtures("shelf")
def test_models_sort_by_last_update_with_the_name_as_tie_break(reader: User) -> None:
    assert models(reader, order_by=("name DESC",)) == ["fraud_1", "fraud-2", "churn", "Churn-EU", "50%"]
    for number, name in enumerate(["churn", "50%", "fraud-2"]):
        RegisteredModel.objects.filter(name=name).update(last_updated_timestamp=number)
    expected = ["churn", "50%", "fraud-2"]
    assert (
        models(reader, order_by=("timestamp",))[:3]
        == models(reader, order_by=("last_updated_timestamp ASC",))[:3]
        == expected
    )


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    "order_by",
    [
        (),
        ("name",),
        ("name DESC",),
        ("version_number",),
        ("version_number DESC", "name DESC"),
        ("last_updated_timestamp",),
        ("creation_timestamp DESC",),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_pages_put_together_are_the_whole(reader: User, order_by: tuple[str, ...], limit: int) -> None:
    whole = versions(reader, order_by=order_by)
    found, token, pages = [], "", 0
    while pages == 0 or token:
        page = search_versions(reader, order_by=order_by, limit=limit, page_token=token)
        found += [(version.name, version.version) for version in page.rows]
        token, pages = page.next_page_token, pages + 1
        assert pages <= 5

    assert found == whole
    assert pages == -(-4 // limit), "a token only when another page exists"


@pytest.mark.usefixtures("shelf")
def test_models_page_in_every_order(reader: User) -> None:
    for order_by in ((), ("name DESC",), ("timestamp",), ("timestamp DESC", "name")):
        found, token = [], ""
        while True:
            page = search_models(reader, order_by=order_by, limit=2, page_token=token)
            found += [model.name for model in page.rows]
            if not (token := page.next_page_token):
                break
        assert found == models(reader, order_by=order_by)


def encoded(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    "token",
    [
        "x", "!!!", "é", "bm90IGpzb24=", encoded(None), encoded({}), encoded({"offset": 1}), encoded([]), encoded([1]),
        encoded([1, "a", 2, 3]),
        encoded(["1", "a", 2]), encoded([1, 2, 3]), encoded([True, "a", 1]), encoded([1.5, "a", 1]), encoded([None,
        None, None]),
        encoded([1, "\x00", 1]), encoded([1, "\ud800", 1]), encoded([[1], "a", 1]), encoded("text"), encoded(5),
        base64.b64encode(b"[" * 100_000).decode(),
        base64.b64encode(b'[NaN, "a", 1]').decode(),
    ],
    ids=range(22),
)  # fmt: skip
def test_a_token_that_is_not_ours_is_refused(reader: User, token: str) -> None:
    with pytest.raises(Invalid, match="page token"):
        versions(reader, page_token=token)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("number", [2**31, 2**63, 10**30, -(10**30)])
def test_a_token_beyond_every_number_is_an_end_not_a_crash(reader: User, number: int) -> None:
    assert len(versions(reader, page_token=encoded([number, "a", number]))) in (0, 4)


def test_a_token_of_another_order_is_refused(reader: User) -> None:
    model = make_model()
    make_version(model), make_version(model)
    token = search_versions(reader, order_by=("version_number",), limit=1).next_page_token

    with pytest.raises(Invalid, match="page token"):
        versions(reader, order_by=("name",), page_token=token)


def test_prompts_are_found_only_when_asked_for(reader: User) -> None:
    make_version("churn")
    make_version(make_model("greeting", tags={PROMPT_TAG: "true"}))

    is_prompt = f"tags.`{PROMPT_TAG}`"
    for asked, expected in (
        ("", ["churn"]), (f"{is_prompt} != 'true'", ["churn"]), (f"{is_prompt} = 'false'", ["churn"]),
        (f"{is_prompt} = 'true'", ["greeting"]), (f"{is_prompt} != 'false'", ["greeting"]),
    ):  # fmt: skip
        assert models(reader, asked) == expected
        assert [name for name, _ in versions(reader, asked)] == expected


def test_what_was_deleted_is_not_found(manager: User) -> None:
    kept, gone = make_version("churn", tags={"a": "1"}), make_version("fraud", tags={"a": "1"})
    services.delete_model(actor=manager, model=gone.model)
    services.delete_version(actor=manager, version=make_version(kept.model, tags={"a": "1"}))

    assert models(manager) == ["churn"]
    assert versions(manager) == versions(manager, "tags.a = '1'") == [("churn", 1)]


def test_a_search_of_versions_is_one_statement_whatever_it_finds(reader: User, django_assert_num_queries: Any) -> None:
    for _ in range(3):
        model = make_model(tags={"t": "1"})
        for _ in range(3):
            make_version(model, tags={"a": "1"})
    assert reader.pk

    with django_assert_num_queries(1) as context:
        page = search_versions(reader, filter_text="tags.a = '1'")
        assert [(v.name, v.username, v.tags) for v in page.rows]
    assert isinstance(context, CaptureQueriesContext) and len(page.rows) == 9
