"""Deciding in a real browser: found, read, approved, pressed twice, refused; with and without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from approvals import services as approvals
from approvals.models import TransitionRequest
from registry.models import ModelVersion
from tests.scenes import POLICY, ask, churn_predictor, say

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def asked(mira: User, alice: User, dkim: User) -> TransitionRequest:
    """mira asks for version 2, alice has approved for risk: dkim's word is the last one needed."""
    review_request = ask(churn_predictor(mira), mira)
    say(alice, review_request, comment="Fairness is inside tolerance.")
    return review_request


def stages() -> dict[int, str]:
    return dict(ModelVersion.objects.values_list("version", "current_stage"))


@pytest.mark.parametrize("java_script", [True, False], ids=["with JavaScript", "without JavaScript"])
@pytest.mark.parametrize("width", [1320, 390])
def test_the_last_reviewer_finds_the_request_and_puts_the_version_into_production(
    enter: Callable[..., Page], asked: TransitionRequest, dkim: User, java_script: bool, width: int
) -> None:
    page = enter(dkim, java_script_enabled=java_script, viewport={"width": width, "height": 900})

    page.get_by_role("link", name="churn-predictor version 2 → Production").click()
    expect(page.get_by_text("version 2 becomes Production and version 1 is archived at once")).to_be_visible()
    page.get_by_label("What did you look at?").fill("The profile looks fine.")
    page.get_by_role("button", name="Approve and promote").click()

    expect(page.get_by_text("Done: version 2 is Production now.")).to_be_visible()
    expect(page.get_by_role("heading", name="Promoted version 2")).to_be_visible()
    expect(page.get_by_text("The profile looks fine.")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    page.goto("/models/churn-predictor/")
    held = page.get_by_role("region", name="Who holds what").get_by_role("listitem").filter(has_text="Production")
    expect(held).to_contain_text("Version 2")
    expect(held).to_contain_text(f"request {asked.pk}")
    assert stages() == {1: "Archived", 2: "Production"}


def test_the_requester_sees_what_became_of_it(
    enter: Callable[..., Page], asked: TransitionRequest, mira: User, dkim: User
) -> None:
    page = enter(mira)
    page.goto("/reviews/?tab=mine")
    expect(page.get_by_role("listitem").filter(has_text="version 2 → Production")).to_contain_text("Open")

    say(dkim, asked)
    page.reload()

    expect(page.get_by_role("listitem").filter(has_text="version 2 → Production")).to_contain_text("Applied")


@pytest.mark.parametrize("java_script", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_a_second_press_changes_nothing_and_says_so(
    enter: Callable[..., Page], asked: TransitionRequest, dkim: User, java_script: bool
) -> None:
    """Two tabs with the same form: the second one is pressed when the request is applied already."""
    first = enter(dkim, java_script_enabled=java_script)
    first.goto(asked.get_absolute_url())
    second = first.context.new_page()
    second.goto(asked.get_absolute_url())
    first.get_by_role("button", name="Approve and promote").click()
    expect(first.get_by_text("Done: version 2 is Production now.")).to_be_visible()

    second.get_by_label("What did you look at?").fill("Once more.")
    second.get_by_role("button", name="Approve and promote").click()

    expect(second.get_by_role("alert")).to_contain_text("dkim")
    expect(second.get_by_role("alert")).to_contain_text("applied")
    expect(second.get_by_role("heading", name="Promoted version 2")).to_be_visible()
    expect(second.get_by_label("Comment", exact=True)).to_have_value("Once more.")
    assert TransitionRequest.objects.get().reviews.filter(reviewer=dkim).count() == 1


def test_a_double_click_is_one_verdict(enter: Callable[..., Page], asked: TransitionRequest, dkim: User) -> None:
    page = enter(dkim)
    page.goto(asked.get_absolute_url())

    page.get_by_role("button", name="Approve and promote").dblclick()

    expect(page.get_by_text("Done: version 2 is Production now.")).to_be_visible()
    assert asked.reviews.filter(reviewer=dkim).count() == 1


@pytest.mark.parametrize("java_script", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_a_refused_verdict_keeps_what_was_typed(
    enter: Callable[..., Page], asked: TransitionRequest, dkim: User, java_script: bool
) -> None:
    """A stricter policy is published while dkim writes."""
    page = enter(dkim, java_script_enabled=java_script)
    page.goto(asked.get_absolute_url())
    page.get_by_label("What did you look at?").fill("Looks good to me.")
    approvals.publish_policy(actor=None, text=POLICY.replace("0.90", "0.94"))

    page.get_by_role("button", name="Approve and promote").click()

    expect(page.get_by_role("alert")).to_contain_text("What you saw has changed: the policy has changed")
    expect(page.get_by_label("What did you look at?")).to_have_value("Looks good to me.")
    assert stages() == {1: "Production", 2: "Staging"}


def test_changes_are_asked_for_with_a_reason_only(
    enter: Callable[..., Page], asked: TransitionRequest, dkim: User, mira: User
) -> None:
    page = enter(dkim)
    page.goto(asked.get_absolute_url())
    page.get_by_role("button", name="Ask for changes").click()
    expect(page.get_by_role("alert")).to_contain_text("Say what should change")
    page.get_by_label("What did you look at?").fill("Show the latency profile.")
    page.get_by_role("button", name="Ask for changes").click()
    expect(page.get_by_text("The requester has been told what should change.")).to_be_visible()

    answer = enter(mira)
    answer.goto(asked.get_absolute_url())
    answer.get_by_role("button", name="Ready again").click()

    expect(answer.get_by_text("have been told that it is ready again")).to_be_visible()
    expect(answer.get_by_role("button", name="Ready again")).to_have_count(0)


def test_a_reader_sees_why_each_button_is_off(enter: Callable[..., Page], asked: TransitionRequest, sam: User) -> None:
    page = enter(sam)
    page.goto(asked.get_absolute_url())

    for label in ("Approve", "Ask for changes", "Reject", "Withdraw"):
        button = page.get_by_role("button", name=label, exact=True)
        expect(button).to_be_disabled()
        expect(button).to_have_accessible_description(re.compile(r"\w+ \w+"))
