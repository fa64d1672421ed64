"""Pages about what did not work: each says what to do, and shows no internals."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.test import Client, RequestFactory
from pytest_django import Settings

from accounts.models import User
from approvals.models import TransitionRequest
from core.errors import NotPermitted, TooLarge, TooMany
from web import errors

Session = Callable[[User], Client]


def text_of(page: str) -> str:
    return re.sub(r"<[^>]*>", " ", page[page.index("<main") : page.index("</main>")])


def said_on(answer: HttpResponse) -> str:
    return " ".join(text_of(answer.content.decode()).split())


def test_a_page_that_is_not_there_leads_on(sam: User, session: Session) -> None:
    for path in ("/nothing/", "/models/x/", "/requests/1/", "/requests/99999999999999999999/", "/policies/x/"):
        answer = session(sam).get(path)

        page = answer.content.decode()
        assert answer.status_code == 404, path
        assert "To your reviews" in page and 'aria-label="Main"' in page
        assert "There is no " in page and "name=" not in text_of(page), path


def test_what_one_may_not_see_is_not_there_in_the_same_words(
    asked: TransitionRequest, eve: User, settings: Settings, session: Session
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    for there, nothing in (
        ("/models/churn-predictor/", "/models/no-such-model/"),
        ("/models/churn-predictor/versions/2/", "/models/no-such-model/versions/2/"),
        (asked.get_absolute_url(), "/requests/999999/"),
    ):
        hidden, absent = session(eve).get(there), session(eve).get(nothing)

        assert hidden.status_code == absent.status_code == 404
        assert said_on(hidden).replace("churn-predictor", "no-such-model") == said_on(absent)
        assert "or it is not for you to see." in said_on(hidden)


def test_a_wrong_method_says_which_one_works(sam: User, session: Session) -> None:
    answer = session(sam).post("/reviews/")

    assert answer.status_code == 405
    assert answer["Allow"] == "GET, HEAD"
    assert "POST does not work on this address; it takes GET, HEAD." in answer.content.decode()


def test_a_form_without_its_csrf_token_says_that_nothing_was_changed(mira: User) -> None:
    page = Client(enforce_csrf_checks=True)
    page.force_login(mira)

    answer = page.post("/account/tokens/", {"name": "stolen"})

    assert answer.status_code == 403
    assert "nothing was changed" in answer.content.decode()


def test_htmx_gets_the_fragment_of_an_error(sam: User, session: Session) -> None:
    answer = session(sam).get("/requests/1/", headers={"HX-Request": "true"})

    assert answer.status_code == 404
    assert "<html" not in answer.content.decode()
    assert 'role="alert"' in answer.content.decode()


def test_htmx_is_sent_to_sign_in_when_the_session_has_ended(db: None) -> None:
    answer = Client().post("/requests/1/review/", headers={"HX-Request": "true"})

    assert answer["HX-Redirect"] == "/sign-in/"


def test_what_htmx_asked_for_in_vain_leaves_the_page_and_what_was_typed(mira: User, asked: TransitionRequest) -> None:
    page = Client(enforce_csrf_checks=True)
    page.force_login(mira)

    answer = page.post(f"{asked.get_absolute_url()}comment/", {"comment": "x"}, headers={"HX-Request": "true"})

    assert answer.status_code == 403
    assert (answer["HX-Retarget"], answer["HX-Reswap"]) == ("#toasts", "beforeend")
    assert "keeps what you wrote" in answer.content.decode()


def test_after_an_expired_session_one_comes_back_to_where_one_wrote(db: None) -> None:
    htmx = {"HX-Request": "true", "HX-Current-URL": "http://testserver/requests/1/?tab=files"}

    scripted = Client().post("/requests/1/review/", headers=htmx)
    plain = Client().post("/requests/1/review/", headers={"Referer": "http://testserver/requests/1/"})

    assert scripted.status_code == 401
    assert scripted["HX-Redirect"] == "/sign-in/?next=%2Frequests%2F1%2F%3Ftab%3Dfiles&expired=1"
    assert plain["Location"] == "/sign-in/?next=%2Frequests%2F1%2F&expired=1"
    assert "what you were writing is kept" in Client().get(plain["Location"]).content.decode()


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", ""])
def test_nobody_comes_back_to_another_site(db: None, elsewhere: str) -> None:
    for headers in ({"HX-Request": "true", "HX-Current-URL": elsewhere}, {"Referer": elsewhere}):
        answer = Client().post("/requests/1/review/", headers=headers)

        assert (answer.get("HX-Redirect") or answer["Location"]) in ("/sign-in/", "/sign-in/?next=/")


def test_each_error_says_what_to_do_next() -> None:
    for error in (TooMany("Too many requests.", wait=3), TooLarge("Too large."), NotPermitted("Not yours.")):
        asked = RequestFactory().get("/models/")
        asked.user = AnonymousUser()

        said = errors.response(asked, error).content.decode()

        assert errors.NEXT[errors._shape(error)[2]].split(".")[0] in said
