"""/reviews/: the inbox."""

from __future__ import annotations

from collections.abc import Callable

from django.test import Client

from accounts.models import User
from approvals.models import TransitionRequest
from tests.scenes import say

Session = Callable[[User], Client]


def test_what_waits_for_a_reviewer_stands_first_with_what_is_missing(
    asked: TransitionRequest, dkim: User, session: Session
) -> None:
    page = session(dkim).get("/reviews/").content.decode()

    assert "churn-predictor version 2 → Production" in page
    assert "2 of 3 met" in page
    assert "Waiting for 2 approvals" in page
    assert "1<span" in page  # the count in the bar


def test_who_has_spoken_is_not_asked_again(asked: TransitionRequest, dkim: User, session: Session) -> None:
    say(dkim, asked)

    assert "Nothing waits for you" in session(dkim).get("/reviews/").content.decode()


def test_the_requester_finds_their_own(asked: TransitionRequest, mira: User, sam: User, session: Session) -> None:
    assert "version 2" in session(mira).get("/reviews/?tab=mine").content.decode()
    assert "You have not asked for anything" in session(sam).get("/reviews/?tab=mine").content.decode()


def test_a_decided_request_moves_to_the_decided_ones(
    asked: TransitionRequest, alice: User, dkim: User, session: Session
) -> None:
    say(alice, asked)
    say(dkim, asked)

    assert "Applied" in session(dkim).get("/reviews/?tab=decided").content.decode()
    assert "No request is open" in session(dkim).get("/reviews/?tab=open").content.decode()


def test_an_unknown_tab_and_a_page_that_is_no_number_show_the_inbox(sam: User, session: Session) -> None:
    for query in ("tab=nonsense", "before=x", f"before={'9' * 40}"):
        assert session(sam).get(f"/reviews/?{query}").status_code == 200


def test_what_somebody_may_not_see_is_in_no_list(
    asked: TransitionRequest, eve: User, settings: object, session: Session
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"  # type: ignore[attr-defined]

    assert "churn-predictor" not in session(eve).get("/reviews/?tab=open").content.decode()
