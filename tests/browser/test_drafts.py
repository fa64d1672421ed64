"""What somebody writes outlives a reload, an expired session and a lost connection; it goes when the server has it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from accounts.models import Session, User
from accounts.services import create_sign_in_link
from approvals.models import Comment
from registry.models import ModelVersion
from tests.scenes import churn_predictor

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

TEXT = "Trained on *May*.\nWhat about the holidays?"
PASSWORD = "one-of-a-kind-42"


@pytest.fixture
def version(mira: User) -> ModelVersion:
    mira.set_password(PASSWORD)
    mira.save()
    return churn_predictor(mira)


def sign_in_again(page: Page) -> None:
    expect(page.get_by_text("what you were writing is kept")).to_be_visible()
    page.get_by_label("Username or email").fill("mira")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_a_draft_outlives_a_reload_until_it_is_sent_or_discarded(
    enter: Callable[..., Page], version: ModelVersion, mira: User
) -> None:
    page = enter(mira)
    page.goto(version.get_absolute_url())
    page.get_by_role("textbox", name="Comment").fill(TEXT)

    page.reload()
    expect(page.get_by_role("textbox", name="Comment")).to_have_value(TEXT)
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("textbox", name="Comment")).to_have_value("")
    page.get_by_role("textbox", name="Comment").fill(TEXT)
    page.get_by_role("button", name="Comment", exact=True).click()
    expect(page.get_by_text("What about the holidays?").first).to_be_visible()
    expect(page.get_by_role("textbox", name="Comment")).to_have_value("")
    page.reload()

    expect(page.get_by_text("Draft restored")).to_have_count(0)
    expect(page.get_by_role("textbox", name="Comment")).to_have_value("")


def test_an_expired_session_loses_nothing(enter: Callable[..., Page], version: ModelVersion, mira: User) -> None:
    page = enter(mira)
    page.goto(version.get_absolute_url())
    page.get_by_role("textbox", name="Comment").fill(TEXT)
    Session.objects.all().delete()

    page.get_by_role("button", name="Comment", exact=True).click()
    sign_in_again(page)

    expect(page).to_have_url(version.get_absolute_url())
    expect(page.get_by_text("Draft restored")).to_be_visible()
    expect(page.get_by_role("textbox", name="Comment")).to_have_value(TEXT)
    page.get_by_role("button", name="Comment", exact=True).click()
    expect(page.get_by_text("What about the holidays?").first).to_be_visible()
    assert Comment.objects.get().text.splitlines() == TEXT.splitlines()


def test_a_form_that_is_sent_the_plain_way_keeps_its_draft_until_it_was_taken(
    enter: Callable[..., Page], version: ModelVersion, mira: User
) -> None:
    page = enter(mira)
    page.goto(version.get_absolute_url())
    page.get_by_text("Edit the description", exact=True).click()
    page.get_by_role("textbox", name="Description").fill(TEXT)
    Session.objects.all().delete()

    page.get_by_role("button", name="Save").click()
    sign_in_again(page)
    expect(page.get_by_role("textbox", name="Description")).to_have_value(TEXT)  # opened, to be seen
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The description was saved.")).to_be_visible()
    ModelVersion.objects.filter(pk=version.pk).update(description="Somebody else's words.")
    page.reload()

    expect(page.get_by_text("Draft restored")).to_have_count(0)


def test_a_draft_is_only_for_who_wrote_it(
    enter: Callable[..., Page], version: ModelVersion, mira: User, dkim: User
) -> None:
    page = enter(mira)
    page.goto(version.get_absolute_url())
    page.get_by_role("textbox", name="Comment").fill(TEXT)
    page.context.clear_cookies()

    page.goto(create_sign_in_link(actor=None, user=dkim))
    page.get_by_role("button", name="Sign in").click()
    page.goto(version.get_absolute_url())
    expect(page.get_by_role("textbox", name="Comment")).to_have_value("")
    page.context.clear_cookies()
    page.goto(create_sign_in_link(actor=None, user=mira))
    page.get_by_role("button", name="Sign in").click()
    page.goto(version.get_absolute_url())

    expect(page.get_by_role("textbox", name="Comment")).to_have_value(TEXT)


def test_markdown_is_previewed_and_the_text_stays(
    enter: Callable[..., Page], version: ModelVersion, mira: User
) -> None:
    page = enter(mira)
    page.goto(version.get_absolute_url())
    page.get_by_role("textbox", name="Comment").fill("It is **good**.")
    talk = page.locator("#conversation")

    talk.get_by_role("button", name="Preview").click()
    expect(talk.get_by_role("region", name="Preview").locator("strong")).to_have_text("good")
    talk.get_by_role("button", name="Write").click()
    expect(page.get_by_role("textbox", name="Comment")).to_have_value("It is **good**.")
    page.get_by_role("button", name="Comment", exact=True).click()

    expect(talk.locator("strong").filter(has_text="good")).to_be_visible()
