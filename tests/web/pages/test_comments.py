"""The conversation on the pages of a request and of a version, with and without HTMX."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from accounts.models import User
from approvals import services
from approvals.models import Comment, TransitionRequest
from core.clock import now
from notifications.models import Event
from registry.models import ModelVersion
from tests.web.sweep import EVIL

Session = Callable[[User], Client]
HTMX = {"HX-Request": "true"}


@pytest.fixture(params=["request", "version"])
def place(request: pytest.FixtureRequest, asked: TransitionRequest) -> str:
    return asked.get_absolute_url() if request.param == "request" else asked.version.get_absolute_url()


@pytest.fixture
def comment(place: str, asked: TransitionRequest, sam: User) -> Comment:
    on = None if "versions" in place else asked
    return services.add_comment(actor=sam, version=asked.version, text="Why *so*, @alice?", review_request=on)


def part(page: str, comment: Comment) -> str:
    """The thread that begins with a comment, as the page shows it."""
    return page.split(f'<li id="comment-{comment.pk}">')[1].split("</footer>\n</div></li>")[0]


def shown(client: Client, place: str, comment: Comment) -> str:
    return part(client.get(place).content.decode(), comment)


def offers(html: str) -> list[str]:
    return re.findall(r'action="/comments/\d+/(\w+)/"', html)


def test_a_reply_stands_in_its_thread(place: str, comment: Comment, mira: User, session: Session) -> None:
    answer = session(mira).post(f"{place}comment/", {"comment": "Because.", "thread": comment.pk})

    reply = comment.replies.get()
    assert answer["Location"] == f"{place}#comment-{reply.pk}"
    thread = shown(session(mira), place, comment)
    assert "<strong>@alice</strong>" in thread
    assert f'<li id="comment-{reply.pk}">' in thread and "Because." in thread


def test_each_may_do_what_they_see(
    place: str, comment: Comment, sam: User, dkim: User, admin: User, mira: User, session: Session
) -> None:
    assert offers(shown(session(sam), place, comment)) == ["edit", "delete", "resolve"]
    assert offers(shown(session(admin), place, comment)) == ["resolve"]
    assert offers(shown(session(dkim), place, comment)) == []
    services.resolve_thread(actor=sam, comment=comment)
    assert offers(shown(session(admin), place, comment)) == ["reopen"]
    assert "sam resolved this" in shown(session(dkim), place, comment)


def test_the_verbs_work_without_javascript(place: str, comment: Comment, sam: User, session: Session) -> None:
    page = session(sam)

    for verb, form in (("edit", {"comment": "Why then?"}), ("resolve", {}), ("reopen", {}), ("delete", {})):
        answer = page.post(f"/comments/{comment.pk}/{verb}/", form)

        assert (answer.status_code, answer["Location"]) == (302, f"{place}#comment-{comment.pk}")
    thread = shown(page, place, comment)
    assert "sam deleted this comment" in thread
    assert "Why" not in thread and offers(thread) == []


def test_an_edited_comment_shows_what_it_said_before(place: str, comment: Comment, sam: User, session: Session) -> None:
    services.edit_comment(actor=sam, comment=comment, text="Why then?")

    thread = shown(session(sam), place, comment)

    assert "Why then?" in thread and "edited" in thread and "Why <em>so</em>" in thread


def test_htmx_gets_the_region_and_a_refusal_keeps_the_text(
    place: str, comment: Comment, sam: User, session: Session
) -> None:
    page = session(sam)

    resolved = page.post(f"/comments/{comment.pk}/resolve/", headers=HTMX)
    again = page.post(f"/comments/{comment.pk}/resolve/", headers=HTMX)
    edited = page.post(f"/comments/{comment.pk}/edit/", {"comment": "x" * 70_000}, headers=HTMX)
    replied = page.post(f"{place}comment/", {"comment": "y" * 70_000, "thread": comment.pk}, headers=HTMX)

    assert (resolved.status_code, again.status_code) == (200, 409)
    assert (edited.status_code, replied.status_code) == (422, 422)
    for answer in (resolved, again, edited, replied):
        assert b"<html" not in answer.content
    assert "resolved by sam" in again.content.decode()
    assert "x" * 70_000 in part(edited.content.decode(), comment)
    assert "y" * 70_000 in part(replied.content.decode(), comment)


def test_a_refusal_without_htmx_is_the_page_with_the_text(
    place: str, comment: Comment, sam: User, session: Session
) -> None:
    edited = session(sam).post(f"/comments/{comment.pk}/edit/", {"comment": "x" * 70_000})

    assert edited.status_code == 422
    assert "at most 65535 characters" in edited.content.decode()
    assert "x" * 70_000 in part(edited.content.decode(), comment)


def test_who_may_not_is_refused_with_the_reason(place: str, comment: Comment, dkim: User, session: Session) -> None:
    page = session(dkim)

    refused = {verb: page.post(f"/comments/{comment.pk}/{verb}/", {"comment": "x"}) for verb in ("edit", "resolve")}

    assert "Only the person who wrote a comment" in refused["edit"].content.decode()
    assert "Only who began the thread" in refused["resolve"].content.decode()
    comment.refresh_from_db()
    assert (comment.text, comment.resolved_at) == ("Why *so*, @alice?", None)


def test_a_stranger_finds_no_comment(
    place: str, comment: Comment, eve: User, session: Session, settings: Settings
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"

    for verb in ("edit", "delete", "resolve", "reopen"):
        assert session(eve).post(f"/comments/{comment.pk}/{verb}/", {"comment": "x"}).status_code == 404


@pytest.mark.parametrize("thread", ["0", "-1", "x", "9" * 30, "²"])
def test_a_reply_to_nothing_is_not_found(place: str, sam: User, session: Session, thread: str) -> None:
    assert session(sam).post(f"{place}comment/", {"comment": "Hm.", "thread": thread}).status_code == 404
    assert not Comment.objects.exists()


def test_hostile_texts_come_out_harmless_everywhere(
    place: str, comment: Comment, sam: User, mira: User, session: Session
) -> None:
    services.edit_comment(actor=sam, comment=comment, text=f"@{EVIL} </textarea>{EVIL}")
    services.edit_comment(actor=sam, comment=comment, text=f"{EVIL} @alice{EVIL}")
    session(mira).post(f"{place}comment/", {"comment": EVIL, "thread": comment.pk})

    for user in (sam, mira):
        page = session(user).get(place).content.decode()
        assert EVIL not in page


def statements(client: Client, place: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        client.get(place)
    return len(captured)


def test_the_conversation_costs_the_same_however_long_it_is(
    place: str, comment: Comment, sam: User, mira: User, session: Session
) -> None:
    services.edit_comment(actor=sam, comment=comment, text="Why then?")
    client = session(mira)
    before = statements(client, place)
    for number in range(5):
        other = services.add_comment(actor=sam, version=comment.version, text="Hm.", review_request=comment.request)
        services.edit_comment(actor=sam, comment=other, text=f"Hm {number}.")
        services.resolve_thread(actor=sam, comment=other)
        client.post(f"{place}comment/", {"comment": "Hm.", "thread": other.pk})

    assert statements(client, place) == before


def test_a_long_thread_shows_its_newest_replies_and_folds_the_earlier(
    place: str, comment: Comment, mira: User, session: Session
) -> None:
    on = comment.request
    for number in range(8):
        services.add_comment(
            actor=mira, version=comment.version, text=f"reply-{number}", review_request=on, parent=comment
        )

    earlier, newest = shown(session(mira), place, comment).split("</details><ul", 1)

    assert "<summary>5 earlier replies</summary>" in earlier
    assert "reply-4" in earlier and "reply-5" not in earlier
    assert "reply-5" in newest and "reply-7" in newest


def test_a_thread_that_is_gone_leaves_a_line(place: str, comment: Comment, sam: User, session: Session) -> None:
    services.delete_comment(actor=sam, comment=comment)

    page = session(sam).get(place).content.decode()
    gone = page.split(f'<li id="comment-{comment.pk}">')[1].split("</li>")[0]
    assert "sam deleted this comment" in gone and "<form" not in gone


def test_a_long_conversation_about_a_version_is_turned_page_by_page(
    version: ModelVersion, mira: User, sam: User, session: Session
) -> None:
    for number in range(120):
        Comment.objects.create(version=version, author=mira, text=f"remark {number:03}.")
    page, path = session(sam), version.get_absolute_url()

    def remarks(address: str) -> tuple[list[str], str]:
        html = page.get(address).content.decode()
        return re.findall(r"remark (\d{3})\.", html), html

    newest, html = remarks(path)
    assert (newest[0], newest[-1], len(newest)) == ("070", "119", 50)
    assert "Only the newest part of this conversation is shown." in html
    [before] = re.findall(r"\?before=([\d.]+)#conversation", html)
    second, html = remarks(f"{path}?before={before}")
    assert (second[0], second[-1], "You see an earlier part" in html) == ("020", "069", True)
    [before] = re.findall(r"\?before=([\d.]+)#conversation", html)
    last, html = remarks(f"{path}?before={before}")
    assert (last[0], last[-1], "?before=" in html) == ("000", "019", False)


def test_what_was_said_of_a_version_and_what_happened_to_it_stand_in_one_order_of_time(
    version: ModelVersion, mira: User, sam: User, session: Session
) -> None:
    moments = iter(now() + timedelta(minutes=number) for number in range(6))

    def said(text: str) -> None:
        Comment.objects.create(version=version, author=mira, text=text, created_at=next(moments))

    def happened(text: str) -> None:
        about = {"model_name": version.model.name, "model_id": version.model_id, "version": version.version}
        Event.objects.create(kind="check.reported", summary=text, created_at=next(moments), **about)

    for number, tell in enumerate((said, happened, happened, said, said, happened), start=1):
        tell(f"entry {number}.")

    page = session(sam).get(version.get_absolute_url()).content.decode()

    assert re.findall(r"entry (\d)\.", page) == ["1", "2", "3", "4", "5", "6"]


def test_pages_of_a_version_hold_every_remark_and_event_once_though_their_times_are_out_of_order(
    version: ModelVersion, mira: User, sam: User, session: Session
) -> None:
    began, about = now(), {"model_name": version.model.name, "model_id": version.model_id, "version": version.version}
    for number in range(60):
        at = began + timedelta(seconds=number - number % 3)  # of three rows the last is the first
        Comment.objects.create(version=version, author=mira, text=f"remark {number:02}.", created_at=at)
        Event.objects.create(kind="check.reported", summary=f"event {number:02}.", created_at=at, **about)
    page, path, found = session(sam), version.get_absolute_url(), Counter[str]()
    address = path
    while address:
        html = page.get(address).content.decode()
        found.update(re.findall(r"(?:remark|event) \d\d\.", html))
        before = re.findall(r"\?before=([\d.]+)#conversation", html)
        address = f"{path}?before={before[0]}" if before else ""

    assert len(found) == 120 and set(found.values()) == {1}


@pytest.mark.parametrize("before", ["x", "-1", "9" * 30, "'", "0", "1", "1.", "x.1", "1.2.3", "0.0"])
def test_a_place_that_is_none_leaves_the_page_whole(
    version: ModelVersion, sam: User, session: Session, before: str
) -> None:
    assert session(sam).get(f"{version.get_absolute_url()}?before={before}").status_code == 200


def test_heaps_of_text_are_shown_as_they_were_typed_but_for_the_newest(
    asked: TransitionRequest, sam: User, session: Session
) -> None:
    """Formatting is slow where somebody means it to be, and one page shows five hundred remarks."""
    for number in range(4):
        services.add_comment(
            actor=sam, version=asked.version, text=f"**{number}** " + "[" * 60_000, review_request=asked
        )

    page = session(sam).get(asked.get_absolute_url()).content.decode()

    assert [f"<strong>{number}</strong>" in page for number in range(4)] == [False, False, True, True]
    assert "**0** [[" in page
