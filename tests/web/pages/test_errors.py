"""Pages about what did not work: each says what to do, and shows no internals."""

from __future__ import annotations

from collections.abc import Callable

from django.test import Client

from accounts.models import User

Session = Callable[[User], Client]


def test_a_page_that_is_not_there_leads_on(sam: User, session: Session) -> None:
    for path in ("/nothing/", "/models/x/", "/requests/1/", "/requests/99999999999999999999/", "/policies/x/"):
        answer = session(sam).get(path)

        assert answer.status_code == 404, path
        assert "To your reviews" in answer.content.decode()


def test_a_wrong_method_says_which_one_works(sam: User, session: Session) -> None:
    answer = session(sam).post("/reviews/")

    assert answer.status_code == 405
    assert answer["Allow"] == "GET, HEAD"
    assert "POST does not work on this address; it takes GET, HEAD." in answer.content.decode()


def test_a_form_without_its_csrf_token_says_that_nothing_was_changed(mira: User) -> None:
    page = Client(enforce_csrf_checks=True)
    page.force_login(mira, backend="django.contrib.auth.backends.ModelBackend")

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
