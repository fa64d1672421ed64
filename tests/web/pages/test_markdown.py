"""/markdown/: a preview of what somebody writes."""

from __future__ import annotations

from collections.abc import Callable

from django.test import Client

from accounts.models import User

Session = Callable[[User], Client]


def test_a_preview_is_what_the_page_will_show(sam: User, session: Session) -> None:
    page = session(sam).post("/markdown/", {"field": "why", "why": "**Bold**, @mira", "mentions": "1"})

    assert "<strong>Bold</strong>" in page.content.decode()
    assert "<strong>@mira</strong>" in page.content.decode()


def test_a_preview_runs_nothing(sam: User, session: Session) -> None:
    evil = "<script>alert(1)</script> [x](javascript:alert(1)) ![x](https://elsewhere.example/pixel.png)"

    said = session(sam).post("/markdown/", {"field": "text", "text": evil}).content.decode()

    assert "<script" not in said
    assert 'href="javascript' not in said
    assert "<img" not in said


def test_a_preview_of_nothing_and_of_too_much_is_a_sentence(sam: User, session: Session) -> None:
    assert "Nothing to preview yet." in session(sam).post("/markdown/", {}).content.decode()

    much = session(sam).post("/markdown/", {"field": "text", "text": "w" * 65_537})

    assert much.status_code == 413
    assert "65536 characters" in much.content.decode()


def test_a_preview_needs_the_token_of_the_form(sam: User) -> None:
    page = Client(enforce_csrf_checks=True)
    page.force_login(sam)

    assert page.post("/markdown/", {"field": "text", "text": "x"}).status_code == 403
