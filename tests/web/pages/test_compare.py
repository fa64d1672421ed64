"""The page that sets versions of a model beside one another."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from registry.models import RegisteredModel
from tests.factories import make_model, make_version

ADDRESS = "/models/churn/compare/"


@pytest.fixture
def model(mira: User) -> RegisteredModel:
    model = make_model("churn", user=mira)
    make_version(model, stage="Production", metrics={"auc": 0.5, "f1_score": 0.25}, user=mira)
    make_version(model, metrics={"auc": 0.75, "f1_score": 0.25}, user=mira)
    make_version(model, metrics={"auc": 0.8}, user=mira, description="<script>")
    return model


@pytest.fixture
def show(model: RegisteredModel, sam: User, session: Callable[[User], Client]) -> Callable[[str], str]:
    client = session(sam)

    def shown(query: str) -> str:
        answer = client.get(ADDRESS + query)
        assert answer.status_code == 200
        return answer.content.decode()

    return shown


def test_an_address_names_the_versions_and_their_order(show: Callable[[str], str]) -> None:
    shown = show("?a=2&b=1")

    assert shown.index(">v2<") < shown.index(">v1<") and ">v3<" not in shown
    assert "−0.250" in shown and "1 differs of 2" in shown


def test_without_an_address_production_and_the_newest_are_offered(show: Callable[[str], str]) -> None:
    shown = show("")

    assert ">v1<" in shown and ">v3<" in shown and ">v2<" not in shown


def test_one_version_is_set_beside_production(show: Callable[[str], str]) -> None:
    shown = show("?b=2")

    assert shown.index(">v1<") < shown.index(">v2<")


def test_only_differences_leaves_the_rest_out(show: Callable[[str], str]) -> None:
    assert "f1_score" in show("?a=1&b=2") and "f1_score" not in show("?a=1&b=2&only=differences")


def test_five_cost_as_many_statements_as_two(
    model: RegisteredModel, sam: User, session: Callable[[User], Client],
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:  # fmt: skip
    for _ in range(3):
        make_version(model, metrics={"auc": 0.9})
    client = session(sam)

    with django_assert_max_num_queries(5):
        assert client.get(f"{ADDRESS}?a=1&b=2&also=3&also=4&also=6").status_code == 200


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("?a=x", 400, "A version is a number"),
        ("?a=١", 400, "A version is a number"),
        ("?a=1&b=99", 404, "has no version 99"),
        ("?a=1&b=2&also=3&also=4&also=5&also=6", 400, "At most 5 versions"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_a_sentence(
    query: str, status: int, sentence: str, model: RegisteredModel, sam: User, session: Callable[[User], Client]
) -> None:
    answer = session(sam).get(ADDRESS + query)

    assert (answer.status_code, sentence in answer.content.decode()) == (status, True)


def test_a_model_one_may_not_see_is_not_there(
    model: RegisteredModel, eve: User, session: Callable[[User], Client], settings: Settings
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"

    assert session(eve).get(ADDRESS).status_code == 404


def test_a_model_without_versions_says_the_next_step(sam: User, session: Callable[[User], Client]) -> None:
    make_model("empty")

    assert "Register one with the mlflow client" in session(sam).get("/models/empty/compare/").content.decode()


def test_one_part_is_paged_and_searched(model: RegisteredModel, sam: User, session: Callable[[User], Client]) -> None:
    many = {f"metric-{number:04d}": float(number) for number in range(700)}
    make_version(model, metrics=many)
    client = session(sam)

    def shown(query: str) -> str:
        return client.get(f"{ADDRESS}?a=1&b=4{query}").content.decode()

    first, last = shown("&part=metrics"), shown("&part=metrics&start=600")

    assert "Metrics only." in first and "metric-0001" in first and "metric-0600" not in first and "start=300" in first
    assert "metric-0699" in last and "metric-0001" not in last and "start=300" in last
    assert "metric-0699" in shown("&part=metrics&containing=0699") and "Nothing of that name" in shown(
        "&part=metrics&containing=none"
    )
    assert "402 more are not shown" in shown("") and "part=metrics" in shown("")


def test_dependencies_are_beside_one_another(
    model: RegisteredModel, sam: User, session: Callable[[User], Client]
) -> None:
    for release in ("1.0", "2.0"):
        make_version(model, files={"requirements.txt": f"numpy=={release}".encode()})

    page = session(sam).get(f"{ADDRESS}?a=4&b=5").content.decode()

    assert "Packages" in page and "numpy" in page


@pytest.fixture
def files(model: RegisteredModel) -> None:
    for text in (b"a: 1\nb: 2\n", b"a: 1\n<b>\n"):
        make_version(model, files={"MLmodel": text, "model.pkl": text})


def test_a_changed_text_file_of_two_versions_leads_to_its_lines(
    files: None, show: Callable[[str], str], sam: User, session: Callable[[User], Client]
) -> None:
    shown = show("?a=4&b=5&lines=MLmodel")
    part = session(sam).get(f"{ADDRESS}?a=4&b=5&lines=MLmodel", headers={"HX-Request": "true"})

    assert 'href="?a=4&amp;b=5&amp;lines=MLmodel#lines"' in show("?a=4&b=5") and "lines=model.pkl" not in show(
        "?a=4&b=5"
    )
    for found in (shown, part.content.decode()):
        assert "<del>b: 2</del>" in found and "<ins>&lt;b&gt;</ins>" in found and "from version 4 to version 5" in found
    assert "<html" not in part.content.decode() and "HX-Request" in part["Vary"]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?a=4&b=5&also=1&lines=MLmodel", "between two versions"),
        ("?a=4&b=5&lines=../MLmodel", "Invalid path"),
        ("?a=4&b=5&lines=gone.txt", "Version 4 has no such file here"),
        ("?a=4&b=5&lines=a%5Cb", "Invalid path"),
    ],
)
def test_lines_that_cannot_be_shown_are_a_sentence(
    files: None, show: Callable[[str], str], query: str, sentence: str
) -> None:
    assert sentence in show(query)
