"""/reviews/: the inbox."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import User
from approvals import services as approvals
from approvals.models import TransitionRequest
from tests.scenes import say
from web.pages import context, reviews

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


def test_a_row_says_why_it_waits_for_a_reviewer(asked: TransitionRequest, dkim: User, session: Session) -> None:
    page = session(dkim).get("/reviews/").content.decode()

    assert "You can clear it for ml-leads." in page


def test_a_row_names_the_one_team_that_is_awaited_once(
    asked: TransitionRequest, alice: User, dkim: User, session: Session
) -> None:
    say(alice, asked)

    page = session(dkim).get("/reviews/").content.decode()

    assert "Waiting for 1 approval from ml-leads. <strong>You can give it.</strong>" in page


def test_the_tabs_count_what_fits_the_filters(asked: TransitionRequest, dkim: User, session: Session) -> None:
    def counts(query: str) -> list[str]:
        page = session(dkim).get(f"/reviews/?{query}").content.decode()
        return re.findall(r'<span class="n">([^<]*)</span>', page)

    assert counts("") == ["1", "0", "1", "0"]
    assert counts("requester=nobody") == ["0", "0", "0", "0"]


def test_long_lists_are_counted_up_to_a_limit(
    asked: TransitionRequest, sam: User, dkim: User, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    approvals.open_request(actor=sam, version=asked.version, target=asked.asks_for)
    for module in (reviews, context):
        monkeypatch.setattr(module, "MOST_COUNTED", 2)

    page = session(dkim).get("/reviews/").content.decode()

    assert '<span class="n">1+</span>' in page and '<span class="count">1+<span' in page


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ("model=churn-predictor", True),
        ("model=churn-*", True),
        ("model=churn", False),
        ("target=Production", True),
        ("target=production", True),
        ("target=@champion", False),
        ("requester=mira", True),
        ("requester=dkim", False),
        ("text=retrained", True),
        ("text=shadow", False),
        ("model=churn-*&requester=mira&text=train", True),
        ("model=churn-*&requester=dkim", False),
    ],
)
def test_a_list_shows_what_fits_all_filters(
    query: str, fits: bool, asked: TransitionRequest, sam: User, session: Session
) -> None:
    page = session(sam).get(f"/reviews/?tab=open&{query}").content.decode()

    assert (asked.get_absolute_url() in page) is fits
    assert ("Nothing here fits" in page) is not fits


def test_a_target_that_is_none_is_refused_with_what_to_write(
    asked: TransitionRequest, sam: User, session: Session
) -> None:
    answer = session(sam).get("/reviews/?tab=open&target=Produktion")

    assert answer.status_code == 422 and "Produktion" in answer.content.decode()


def test_with_htmx_the_list_alone_is_answered_and_the_address_kept(
    asked: TransitionRequest, sam: User, session: Session
) -> None:
    answer = session(sam).get("/reviews/?tab=open&model=churn-*", headers={"HX-Request": "true"})

    assert "<html" not in answer.content.decode() and asked.get_absolute_url() in answer.content.decode()
    assert answer["HX-Replace-Url"] == "/reviews/?tab=open&model=churn-%2A"
    assert "HX-Request" in answer["Vary"]


def test_an_empty_list_says_how_a_request_is_made(sam: User, session: Session) -> None:
    assert "/api/v1/requests/" in session(sam).get("/reviews/?tab=mine").content.decode()
