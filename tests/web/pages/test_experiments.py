"""/experiments/: the folders of runs, and the runs of one."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts.models import User
from tests.factories import make_experiment, make_run
from tracking.models import Experiment, Lifecycle
from web.pages.experiments import PAGE_SIZE


def text(answer: HttpResponse) -> str:
    return html.unescape(answer.content.decode())


def names(answer: HttpResponse) -> list[str]:
    return re.findall(r'class="row-title" href="/experiments/\d+/">([^<]*)<', text(answer))


@pytest.fixture
def page(sam: User, session: Callable[[User], Client]) -> Client:
    return session(sam)


@pytest.fixture
def churn(mira: User) -> Experiment:
    experiment = make_experiment("churn")
    experiment.tags = {"mlflow.note.content": "On **October** data. <script>alert(1)</script>", "team": "risk"}
    experiment.save()
    make_run(run_name="inside", experiment=experiment, user=mira, metrics={"auc": 0.9})
    make_run(run_name="outside", user=mira)
    return experiment


def test_experiments_are_listed_with_the_number_of_their_runs(page: Client, churn: Experiment) -> None:
    answer = page.get("/experiments/?q=CHU")

    assert names(answer) == ["churn"]
    assert '<td class="num">1</td>' in text(answer)


def test_deleted_experiments_are_not_listed_but_found(page: Client, churn: Experiment) -> None:
    Experiment.objects.filter(pk=churn.pk).update(lifecycle_stage=Lifecycle.DELETED)

    assert "churn" not in names(page.get("/experiments/"))
    assert ">Deleted<" in text(page.get(churn.get_absolute_url()))


def test_experiments_are_paged_and_keep_the_filter(page: Client, db: None) -> None:
    for number in range(PAGE_SIZE + 1):
        make_experiment(f"one & {number}")

    first = page.get("/experiments/?q=one+%26")
    [following] = re.findall(r'rel="next" href="([^"]+)"', text(first))

    assert len(names(first)) == PAGE_SIZE
    assert len(names(page.get(f"/experiments/{following}"))) == 1


def test_htmx_gets_the_list_alone_and_what_was_searched_stands_in_the_address(page: Client, churn: Experiment) -> None:
    answer = page.get("/experiments/?q=churn", headers={"HX-Request": "true"})

    assert "<html" not in text(answer) and names(answer) == ["churn"]
    assert answer["HX-Replace-Url"] == "/experiments/?q=churn"
    assert "HX-Request" in answer["Vary"]


def test_nothing_that_fits_says_so(page: Client, db: None) -> None:
    assert "No experiment fits" in text(page.get("/experiments/?q=nothing"))


def test_a_page_token_that_is_none_is_refused(page: Client, db: None) -> None:
    answer = page.get("/experiments/?page=bm8=")

    assert answer.status_code == 422 and "page token" in text(answer)


def test_an_experiment_is_the_list_of_its_runs(page: Client, churn: Experiment) -> None:
    answer = text(page.get(churn.get_absolute_url()))

    assert "inside" in answer and "outside" not in answer
    assert (
        "On <strong>October</strong> data." in answer
        and "<script>alert" not in page.get(churn.get_absolute_url()).content.decode()
    )
    assert "team" in answer and "risk" in answer


def test_the_runs_of_an_experiment_are_filtered_in_its_own_address(page: Client, churn: Experiment) -> None:
    path = churn.get_absolute_url()
    found = page.get(f"{path}?q=inside&experiment=0", headers={"HX-Request": "true"})

    assert "inside" in text(found)
    assert found["HX-Replace-Url"].startswith(f"{path}?q=inside")
    assert page.get(f"{path}?filter=auc").status_code == 422


@pytest.mark.parametrize("key", ["77777", "9" * 30])
def test_no_other_number_has_a_page(page: Client, db: None, key: str) -> None:
    assert page.get(f"/experiments/{key}/").status_code == 404


def test_the_default_experiment_has_a_page(page: Client, db: None) -> None:
    assert "Default" in text(page.get("/experiments/0/"))
