"""/models/ and /models/NAME/."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Grant, Level, Team, User
from accounts.services import grant
from approvals.models import TransitionRequest
from registry import services as registry
from registry.models import ModelVersion, RegisteredModel, Stage
from registry.services import create_model
from tests.factories import make_model, make_user, make_version

Session = Callable[[User], Client]


def test_the_list_says_what_is_live_and_what_is_asked_for(
    asked: TransitionRequest, sam: User, session: Session
) -> None:
    page = session(sam).get("/models/").content.decode()

    assert "/models/churn-predictor/versions/1/" in page  # Production
    assert "/models/churn-predictor/versions/2/" in page  # Staging
    assert "<strong>1</strong>" in page  # open requests


def test_an_empty_registry_says_how_to_begin(sam: User, session: Session) -> None:
    assert "registered_model_name=" in session(sam).get("/models/").content.decode()


def test_a_search_answers_htmx_with_the_results_alone(version: ModelVersion, sam: User, session: Session) -> None:
    part = session(sam).get("/models/?q=churn", headers={"HX-Request": "true"}).content.decode()

    assert "churn-predictor" in part
    assert "<html" not in part


@pytest.mark.parametrize("path", ["/models/", "/models/churn-predictor/"])
def test_a_link_leaves_a_step_to_go_back_to_and_a_filter_that_is_typed_leaves_none(
    path: str, version: ModelVersion, sam: User, session: Session
) -> None:
    def answer(source: str) -> HttpResponse:
        return session(sam).get(f"{path}?q=churn", headers={"HX-Request": "true", "HX-Source": source})

    typed, followed = answer("form"), answer("a#sort-name")

    assert typed["HX-Replace-Url"] == followed["HX-Push-Url"] == f"{path}?q=churn"
    assert "HX-Push-Url" not in typed and "HX-Replace-Url" not in followed


def test_a_search_without_a_hit_says_so(version: ModelVersion, sam: User, session: Session) -> None:
    assert "No model fits" in session(sam).get("/models/?q=fraud%25").content.decode()


def test_the_pages_of_a_long_list_hold_every_model_once(db: None, sam: User, session: Session) -> None:
    for number in range(60):
        make_model(f"model-{number:02d}")
    seen: list[str] = []
    query: dict[str, str] = {}
    while True:
        context = session(sam).get("/models/", query).context
        seen += [row["model"].name for row in context["models"]]
        if not context["next_token"]:
            break
        query = {"page": context["next_token"]}

    assert len(seen) == 60
    assert len(set(seen)) == 60


def test_a_model_says_who_holds_what_and_which_policy_is_in_force(
    asked: TransitionRequest, sam: User, session: Session
) -> None:
    page = session(sam).get("/models/churn-predictor/").content.decode()

    assert "@champion" in page
    assert "production-gate" in page
    assert "Version 2 → Production" in page
    assert "<strong>leaves</strong>" in page  # the description is Markdown


def test_versions_are_paged_from_the_newest(version: ModelVersion, sam: User, session: Session) -> None:
    model = RegisteredModel.objects.get()
    for _ in range(30):
        make_version(model)

    first = session(sam).get("/models/churn-predictor/").context
    second = session(sam).get(f"/models/churn-predictor/?before={first['before']}").context

    numbers = [row["version"].version for row in first["versions"] + second["versions"]]
    assert numbers == list(range(32, 0, -1))


def test_the_description_is_edited_in_place(version: ModelVersion, mira: User, session: Session) -> None:
    answer = session(mira).post("/models/churn-predictor/describe/", {"description": "Said better."}, follow=True)

    assert "The description was saved." in answer.content.decode()
    assert RegisteredModel.objects.get().description == "Said better."


def test_a_reader_edits_nothing(version: ModelVersion, sam: User, session: Session) -> None:
    page = session(sam)
    answer = page.post("/models/churn-predictor/describe/", {"description": "Mine now."})

    assert answer.status_code in (403, 422)
    assert "Mine now." not in RegisteredModel.objects.get().description
    assert "Edit the description" not in page.get("/models/churn-predictor/").content.decode()


def test_too_long_a_description_is_kept_in_the_form(version: ModelVersion, mira: User, session: Session) -> None:
    text = "ä" * 6000

    answer = session(mira).post("/models/churn-predictor/describe/", {"description": text})

    assert answer.status_code == 422
    assert text in answer.content.decode()


def test_an_unknown_model_is_a_page_that_leads_on(sam: User, session: Session) -> None:
    answer = session(sam).get("/models/nothing/")

    assert answer.status_code == 404
    assert "All models" in answer.content.decode()


def test_beside_a_holder_stands_the_way_back(admin: User, sam: User, session: Session) -> None:
    first = make_version("pricing", user=admin)
    for version in (first, make_version(first.model, user=admin)):
        registry.move_to_stage(actor=admin, version=version, stage=Stage.PRODUCTION, archive_existing=True)
    page = session(sam).get("/models/pricing/").content.decode()
    assert "Return to version 1" in page and "Version 1 takes Production back and version 2 is archived." in page

    asked = session(sam).post("/models/pricing/rollback/", {"target": "Production", "version": "1"})
    nothing = session(sam).post("/models/pricing/rollback/", {"target": "@champion", "version": "1"})
    unsaid = session(sam).post("/models/pricing/rollback/", {"target": "Production"})

    request = TransitionRequest.objects.get()
    assert asked.status_code == 302 and asked.url == request.get_absolute_url()  # type: ignore[attr-defined]
    assert (request.version, request.requester, request.is_pending) == (first, sam, True)
    assert nothing.status_code == 422 and "nothing to return to" in nothing.content.decode()
    assert unsaid.status_code == 422 and "Say which version" in unsaid.content.decode()


# -- People ------------------------------------------------------------------------------------------------------------


def people_card(client: Client) -> str:
    page = client.get("/models/fraud/people/").content.decode()
    return page[page.index('id="people-title"') : page.index("</section>", page.index('id="people-title"'))]


def test_a_model_says_who_may_do_what_and_by_what(
    admin: User, mira: User, eve: User, risk: Team, session: Session
) -> None:
    create_model(actor=eve, name="fraud")
    grant(actor=None, level=Level.READ, team=risk, pattern="fra*")

    card = " ".join(people_card(session(mira)).split())

    assert 'eve</span> <div class="small text-secondary">Manage on this model' in card
    assert 'team risk</span> <div class="small text-secondary">Read on <code>fra*</code>' in card
    assert 'admin</span><div class="small text-secondary">Manage every model as administrators' in card
    assert "Everybody signed in" in card
    assert "<form" not in card


def test_who_manages_a_model_gives_changes_and_takes_back_levels(eve: User, sam: User, session: Session) -> None:
    model, client = create_model(actor=eve, name="fraud"), session(eve)
    held = Grant.objects.filter(user=sam, model_id=model.pk).values_list("level", flat=True)

    client.post("/models/fraud/grants/", {"to": "user:sam", "level": "EDIT"})
    assert list(held.all()) == [Level.EDIT]
    assert "Take back the level of user:sam" in people_card(client)
    client.post("/models/fraud/grants/", {"to": "user:sam", "level": "MANAGE"})
    assert list(held.all()) == [Level.MANAGE]
    client.post("/models/fraud/grants/", {"to": "user:sam", "take_back": "1"})
    assert list(held.all()) == []


def test_who_takes_back_their_own_level_is_led_to_what_is_left(eve: User, session: Session, settings: Any) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    create_model(actor=eve, name="fraud")

    answer = session(eve).post("/models/fraud/grants/", {"to": "user:eve", "take_back": "1"})

    assert (answer.status_code, answer["Location"]) == (302, "/models/")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"to": "sam", "level": "READ"}, "Write user:mira or team:risk."),
        ({"to": "user:nobody", "level": "READ"}, "There is no user nobody."),
        ({"to": "user:sam", "level": "FLY"}, "A level is one of"),
        ({"to": "user:sam", "level": "NONE"}, "Choose a level above no access"),
    ],
)
def test_a_grant_that_is_refused_says_why_and_keeps_what_was_typed(
    typed: dict[str, str], said: str, eve: User, sam: User, session: Session
) -> None:
    create_model(actor=eve, name="fraud")

    answer = session(eve).post("/models/fraud/grants/", typed)

    assert answer.status_code == 422
    assert said in answer.content.decode() and f'value="{typed["to"]}"' in answer.content.decode()
    assert not Grant.objects.filter(user=sam).exclude(pattern="*").exists()


def test_who_does_not_manage_a_model_grants_nothing(eve: User, sam: User, session: Session) -> None:
    create_model(actor=eve, name="fraud")

    answer = session(sam).post("/models/fraud/grants/", {"to": "user:sam", "level": "MANAGE"})

    assert answer.status_code == 422 and "needs the level MANAGE" in answer.content.decode()
    assert not Grant.objects.filter(user=sam).exclude(pattern="*").exists()


def test_many_grants_cost_a_page_no_more_questions(eve: User, session: Session, django_assert_num_queries: Any) -> None:
    model, client = create_model(actor=eve, name="fraud"), session(eve)
    with CaptureQueriesContext(connection) as few:
        client.get("/models/fraud/people/")
    Grant.objects.bulk_create(Grant(user=make_user(), model_id=model.pk, level=1) for _ in range(60))

    with django_assert_num_queries(len(few)):
        page = client.get("/models/fraud/people/").content.decode()

    assert "The first 50; the others are in the API." in page
