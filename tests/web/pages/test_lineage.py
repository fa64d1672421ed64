"""The picture of a lineage, small and whole, and the list beside it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from html import unescape
from xml.etree import ElementTree

import pytest
from django.test import Client

from accounts.models import User
from approvals.models import TransitionRequest
from core.clock import now
from registry.lineage import brief, whole
from registry.models import ModelVersion, StageHolding
from registry.services import move_to_stage
from tests.factories import make_deployment, make_logged_model, make_run, make_version
from tests.scenes import ugly
from tracking.models import RunDataset
from web.pages.lineage import FITS, SMALL, Picture, picture_of, shortened

Session = Callable[[User], Client]
LINEAGE = "/models/churn-predictor/versions/2/lineage/"


def says(picture: Picture) -> list[str]:
    return [step.box.says for step in picture.steps]


def drawing(page: str) -> ElementTree.Element:
    """The picture of a page, as a browser would read it; fails where a group is not closed."""
    return ElementTree.fromstring(page[page.index('<svg class="lineage') :].split("</g></svg>")[0] + "</g></svg>")


# -- The small one -----------------------------------------------------------------------------------------------------


def test_it_leads_from_the_data_to_the_target(asked: TransitionRequest) -> None:
    evidence = {**asked.evidence.data, "datasets": [{"name": "churn-2026-10", "digest": "1"}]}
    graph = brief(asked.version, evidence, asked=asked.asks_for, replaces=asked.baseline)

    picture = picture_of(graph, asked.version, SMALL)

    assert says(picture) == [
        "churn-predictor version 2",
        "Run run-on-tenure_days",
        "Dataset churn-2026-10",
        "Commit git 9f2c1ab",
        "Asked for Production",
        "Replaces version 1",
    ]
    assert sum(len(step.paths) for step in picture.steps) == 5
    assert all(step.box.url for step in picture.steps)
    assert picture.width < 340  # the card beside the review


def test_the_pages_of_the_request_and_of_the_version_show_it(
    asked: TransitionRequest, dkim: User, session: Session
) -> None:
    for path in (asked.get_absolute_url(), asked.version.get_absolute_url()):
        page = session(dkim).get(path).content.decode()

        assert len(list(drawing(page).iter("a"))) >= 5
        assert f'href="{LINEAGE}"' in page


# -- The whole one -----------------------------------------------------------------------------------------------------


def test_every_box_is_a_link_and_stands_in_the_list_too(
    asked: TransitionRequest, admin: User, dkim: User, session: Session
) -> None:
    make_deployment(asked.version, "eu-west", link="https://eu.example.com/churn?a=1&b=2", reporter=admin)

    page = session(dkim).get(LINEAGE).content.decode()

    links = [link.attrib for link in drawing(page).iter("a")]
    assert [link["aria-label"] for link in links] == [
        "churn-predictor version 2",
        "Run run-on-tenure_days",
        "Missing: no dataset, the run names none",
        "Commit git 9f2c1ab",
        f"Holds Staging, since {now().day} {now():%b %Y}",
        "Deployment eu-west, running",
    ]
    listed = page[page.index('<ul class="lineage-list">') :]
    assert all(f'href="{escaped}"' in listed for escaped in (link["href"].replace("&", "&amp;") for link in links))
    assert f'href="/runs/{asked.version.run_id}/"' in page
    assert "https://eu.example.com/churn?a=1&b=2" in [link["href"] for link in links]


def test_versions_and_targets_link_to_their_pages(version: ModelVersion, admin: User, session: Session) -> None:
    first = ModelVersion.objects.get(model=version.model, version=1)

    page = unescape(session(admin).get(first.get_absolute_url() + "lineage/").content.decode())

    assert 'href="/models/churn-predictor/history/?target=Production"' in page
    assert 'href="/models/churn-predictor/history/?target=%40champion"' in page


def test_who_may_not_see_the_model_finds_nothing(
    version: ModelVersion, eve: User, session: Session, settings: object
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"  # type: ignore[attr-defined]

    assert session(eve).get(LINEAGE).status_code == 404
    assert session(eve).get("/models/churn-predictor/versions/99/lineage/").status_code == 404


@pytest.mark.parametrize("name", ["a" * 256, "نموذج-التنبؤ", "🚀🔥 model", "<script>alert(1)<script>", "x&y\"'z"])
def test_ugly_names_stay_text(name: str, mira: User, session: Session) -> None:
    version = ugly(name, mira)
    RunDataset.objects.create(run_id=version.run_id, name='<b>"&', digest="1")
    make_deployment(version, "</text><script>alert(2)</script>", link='https://x.example/"><b>')

    page = session(mira).get(version.get_absolute_url() + "lineage/").content.decode()

    assert "<script>alert" not in page and '"><b>' not in page
    assert any(link.attrib["aria-label"].startswith(name) for link in drawing(page).iter("a"))


@pytest.fixture
def heap(mira: User) -> ModelVersion:
    """About 300 boxes."""
    run = make_run(user=mira, run_name="r" * 60)
    for number in range(70):
        RunDataset.objects.create(run=run, name=f"events-of-customers/{number}", digest=str(number))
    version = make_version("heap", user=mira, run=run, aliases=[f"alias-{number}" for number in range(70)])
    for number in range(140):
        other = ModelVersion.objects.create(model=version.model, version=number + 2, source="s3://b", user=mira)
        StageHolding.objects.create(
            model=version.model, version=other, target_kind="alias", target=f"alias-{number % 70}", until=now()
        )
    held = StageHolding.objects.filter(version=version, target__in=[f"alias-{number}" for number in range(35)])
    held.update(since=now())  # half of the others came before it
    for number in range(70):
        make_deployment(version, f"cluster-{number}", reporter=mira)
    return version


def test_three_hundred_boxes_keep_to_the_budget(
    heap: ModelVersion, mira: User, session: Session, django_assert_max_num_queries: Callable[..., object]
) -> None:
    client, path = session(mira), heap.get_absolute_url() + "lineage/"
    client.get(path)

    with django_assert_max_num_queries(8):
        page = client.get(path).content

    assert 280 <= len(list(drawing(page.decode()).iter("a"))) <= 300
    assert len(gzip.compress(page)) <= 25 * 1024
    assert "13 more" in page.decode()


def test_boxes_of_a_heap_are_one_way_and_once(heap: ModelVersion, mira: User) -> None:
    picture = picture_of(whole(mira, heap), heap)

    assert len({(step.box.x, step.box.y) for step in picture.steps}) == len(picture.steps)
    assert sum(len(step.closes) for step in picture.steps) == len(picture.steps)


@pytest.mark.parametrize("text", ["", "short", "x" * FITS, "x" * 300, "模型" * 40, "🚀" * 9])
def test_a_label_fits_into_its_box(text: str) -> None:
    label = shortened(text)

    assert len(label) <= FITS
    assert label == text or (label.endswith("…") and text.startswith(label[:-1]))


# -- Where it runs -----------------------------------------------------------------------------------------------------


def test_the_model_says_what_runs_where_and_what_should_not(
    version: ModelVersion, admin: User, sam: User, session: Session
) -> None:
    make_deployment(version, "eu-west", link="https://eu.example.com/", reporter=admin)
    move_to_stage(actor=admin, version=version, stage="Archived")

    page = session(sam).get("/models/churn-predictor/deployments/").content.decode()

    assert 'href="https://eu.example.com/"' in page
    assert "Version 2 holds nothing, Production is 1" in page


def test_a_model_that_runs_nowhere_says_how_to_tell(version: ModelVersion, sam: User, session: Session) -> None:
    assert (
        "Nothing has reported where it runs."
        in session(sam).get("/models/churn-predictor/deployments/").content.decode()
    )


def test_models_that_a_run_names_are_links_within_the_budget(
    mira: User, session: Session, django_assert_max_num_queries: Callable[..., object]
) -> None:
    make_version("base", user=mira)
    logged = make_logged_model(make_run(), name="encoder")
    tags = {"a": "models:/base/1", "b": "models:/base/9", "c": "models:/<script>/1", "d": "models:/base@nobody"}
    run = make_run(tags=tags, inputs={"models": [logged.model_id]})
    version = make_version("churn", user=mira, run=run, logged_model_id=make_logged_model(run).model_id)
    client, url = session(mira), version.get_absolute_url()
    client.get(f"{url}lineage/")

    with django_assert_max_num_queries(8):
        page = client.get(f"{url}lineage/").content.decode()

    leads = {link.attrib["aria-label"]: link.attrib["href"] for link in drawing(page).iter("a")}
    assert leads["Worked from base version 1, a"] == "/models/base/versions/1/"
    assert leads["Worked from encoder, a logged input"] == f"/runs/{logged.source_run_id}/"
    assert leads["Worked from base version 9, gone, or not for you"] == f"{url}?tab=tags#known"
    assert leads["Worked from <script> version 1, gone, or not for you"] == f"{url}?tab=tags#known"
    assert "<script> version" not in page
    assert "Worked from base version 1" in client.get(url).content.decode()
