"""A whole review by keyboard alone, and the keys themselves: listed, never while typing, switched off."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from approvals.models import Review, TransitionRequest
from tests.scenes import ask, churn_predictor, say

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def asked(mira: User, alice: User, dkim: User) -> TransitionRequest:
    review_request = ask(churn_predictor(mira), mira)
    say(alice, review_request)
    return review_request


def test_a_request_is_found_read_and_approved_by_keyboard_alone(
    enter: Callable[..., Page], asked: TransitionRequest, dkim: User
) -> None:
    page = enter(dkim)

    page.keyboard.press("g")
    page.keyboard.press("m")
    expect(page.get_by_role("heading", name="Models")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page.get_by_role("heading", name="Reviews")).to_be_visible()
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="churn-predictor version 2 → Production")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Promote version 2")).to_be_visible()
    page.keyboard.press("a")
    expect(page.get_by_label("What did you look at?")).to_be_focused()
    page.keyboard.type("Good: a, r and c are letters here.")
    assert not Review.objects.filter(reviewer=dkim).exists()
    page.keyboard.press("Control+Enter")

    expect(page.get_by_text("Done: version 2 is Production now.")).to_be_visible()
    assert Review.objects.get(reviewer=dkim).comment == "Good: a, r and c are letters here."


def test_rejecting_needs_more_than_one_key_and_says_why_it_is_off(
    enter: Callable[..., Page], asked: TransitionRequest, dkim: User, sam: User
) -> None:
    page = enter(dkim)
    page.goto(asked.get_absolute_url())
    page.keyboard.press("r")
    expect(page.get_by_label("What did you look at?")).to_be_focused()
    page.keyboard.type("It drifts.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("It drifts.").first).to_be_visible()
    asked.refresh_from_db()
    assert asked.state == "rejected"

    other = ask(asked.version, asked.requester)
    page = enter(sam)
    page.goto(other.get_absolute_url())
    page.keyboard.press("a")
    expect(page.locator("#toasts")).not_to_be_empty()


def test_the_keys_of_a_page_are_listed_and_can_be_switched_off(
    enter: Callable[..., Page], asked: TransitionRequest, dkim: User
) -> None:
    page = enter(dkim)
    page.goto(asked.get_absolute_url())

    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_contain_text("Reject")
    keys.get_by_label("Keys without a modifier work").uncheck()
    keys.get_by_role("button", name="Close").click()
    page.reload()
    for key in "ar?/g":
        page.keyboard.press(key)

    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    expect(page.get_by_label("What did you look at?")).not_to_be_focused()
    page.get_by_label("Your menu").click()
    page.get_by_role("button", name="Keys").click()
    keys.get_by_label("Keys without a modifier work").check()
    keys.get_by_role("button", name="Close").click()
    page.keyboard.press("a")
    expect(page.get_by_label("What did you look at?")).to_be_focused()
