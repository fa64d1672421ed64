"""The review page in a browser: deciding, asking for changes and answering, asking a person, and what others do
while one looks or writes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from approvals import services
from approvals.models import Reviewer, TransitionRequest
from registry.models import ModelVersion
from tests.scenes import ask, churn_predictor, say

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

Enter = Callable[..., Page]


@pytest.fixture
def asked(mira: User, alice: User, dkim: User) -> TransitionRequest:
    return ask(churn_predictor(mira), mira)


def stage() -> str:
    return ModelVersion.objects.get(version=2).current_stage


def look(page: Page) -> None:
    """What the page does by itself every ten seconds, now."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_changes_are_asked_for_answered_and_approved(
    enter: Enter, asked: TransitionRequest, mira: User, alice: User, dkim: User
) -> None:
    reviewer, requester = enter(dkim), enter(mira)
    reviewer.goto(asked.get_absolute_url())
    reviewer.get_by_label("What did you look at?").fill("Show the latency profile.")
    reviewer.get_by_role("button", name="Ask for changes").click()
    expect(reviewer.get_by_text("The requester has been told what should change.")).to_be_visible()

    requester.goto(asked.get_absolute_url())
    requester.get_by_role("button", name="Ready again").click()
    expect(requester.get_by_text("says that it is ready for another look")).to_be_visible()
    say(alice, asked)

    reviewer.reload()
    expect(reviewer.get_by_text("New since you looked")).to_be_visible()
    reviewer.get_by_role("button", name="Approve and promote").click()
    expect(reviewer.get_by_text("Done: version 2 is Production now.")).to_be_visible()
    assert stage() == "Production"


def test_a_rejection_closes_it(enter: Enter, asked: TransitionRequest, dkim: User) -> None:
    page = enter(dkim)
    page.goto(asked.get_absolute_url())
    page.get_by_label("What did you look at?").fill("No model card.")
    page.get_by_role("button", name="Reject").click()

    expect(page.get_by_text("The request is rejected, and its requester has been told why.")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)


def test_what_others_do_comes_in_and_what_is_typed_stays(
    enter: Enter, asked: TransitionRequest, alice: User, dkim: User
) -> None:
    page = enter(dkim)
    page.goto(asked.get_absolute_url())
    field = page.get_by_label("What did you look at?")
    field.fill("The profile looks")
    say(alice, asked, comment="Fairness is inside tolerance.")

    look(page)

    expect(page.get_by_text("Fairness is inside tolerance.")).to_be_visible()
    expect(page.get_by_text("1 of 2").first).to_be_visible()
    expect(page.locator("#news")).to_contain_text("alice approved version 2")
    expect(page.locator("#live")).to_contain_text("alice approved version 2")
    expect(field).to_have_value("The profile looks")
    expect(field).to_be_focused()


def test_an_empty_form_follows_what_others_do(enter: Enter, asked: TransitionRequest, alice: User, dkim: User) -> None:
    page = enter(dkim)
    page.goto(asked.get_absolute_url())
    expect(page.get_by_role("button", name="Approve", exact=True)).to_be_visible()
    say(alice, asked)

    look(page)
    page.get_by_role("button", name="Approve and promote").click()

    expect(page.get_by_text("Done: version 2 is Production now.")).to_be_visible()


def test_of_two_reviewers_at_once_the_second_is_told_what_the_first_did(
    enter: Enter, asked: TransitionRequest, alice: User, dkim: User
) -> None:
    first, second = enter(alice), enter(dkim)
    for page in (first, second):
        page.goto(asked.get_absolute_url())
    first.get_by_label("What did you look at?").fill("No model card.")
    first.get_by_role("button", name="Reject").click()
    expect(first.get_by_text("The request is rejected")).to_be_visible()

    second.get_by_label("What did you look at?").fill("All fine with me.")
    second.get_by_role("button", name="Approve", exact=True).click()

    expect(second.get_by_role("alert")).to_contain_text("was already rejected by alice")
    expect(second.get_by_text("Since you opened this page:")).to_be_visible()
    expect(second.get_by_label("Comment", exact=True)).to_have_value("All fine with me.")


@pytest.mark.parametrize("java_script", [True, False], ids=["with JavaScript", "without JavaScript"])
@pytest.mark.parametrize("width", [1320, 390])
def test_somebody_is_asked_steps_back_and_steps_in(
    enter: Enter, asked: TransitionRequest, mira: User, dkim: User, java_script: bool, width: int
) -> None:
    options = {"java_script_enabled": java_script, "viewport": {"width": width, "height": 900}}
    requester, reviewer = enter(mira, **options), enter(dkim, **options)
    requester.goto(asked.get_absolute_url())
    requester.get_by_text("Ask somebody for a review").click()
    requester.get_by_label("Who should look at it?").fill("dkim")
    requester.get_by_role("button", name="Ask for a review").click()
    expect(requester.get_by_text("dkim has been told that you wait for a review.")).to_be_visible()

    reviewer.goto("/reviews/")
    expect(reviewer.get_by_text("mira asked you")).to_be_visible()
    reviewer.goto(asked.get_absolute_url())
    reviewer.get_by_text("Step back from this review").click()
    reviewer.get_by_label("Why").fill("I trained the baseline.")
    reviewer.get_by_role("button", name="Step back").click()
    expect(reviewer.get_by_text("You have stepped back: this waits for you no longer.")).to_be_visible()
    expect(reviewer.get_by_role("button", name="Approve", exact=True)).to_be_disabled()

    reviewer.get_by_role("button", name="Step in again").click()
    expect(reviewer.get_by_role("button", name="Approve", exact=True)).to_be_enabled()
    assert Reviewer.objects.get().recused_at is None


def test_the_tabs_stand_in_one_line_and_scroll_on_a_phone(enter: Enter, asked: TransitionRequest, dkim: User) -> None:
    page = enter(dkim, viewport={"width": 1320, "height": 900})
    page.goto(asked.get_absolute_url())
    tabs = page.locator(".known .tabs")
    assert len(set(tabs.locator("li").evaluate_all("tabs => tabs.map((tab) => tab.offsetTop)"))) == 1
    assert tabs.evaluate("row => row.scrollWidth <= row.clientWidth")

    page.set_viewport_size({"width": 390, "height": 844})

    assert len(set(tabs.locator("li").evaluate_all("tabs => tabs.map((tab) => tab.offsetTop)"))) == 1
    assert tabs.evaluate("row => row.scrollWidth > row.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_keys_lead_to_the_verdicts(enter: Enter, asked: TransitionRequest, dkim: User) -> None:
    page = enter(dkim)
    page.goto(asked.get_absolute_url())
    page.keyboard.press("r")
    expect(page.get_by_label("What did you look at?")).to_be_focused()
    page.keyboard.type("No model card.")
    page.keyboard.press("Control+Enter")

    expect(page.get_by_text("The request is rejected")).to_be_visible()


def test_a_printed_page_is_a_record(enter: Enter, asked: TransitionRequest, alice: User, mira: User) -> None:
    say(alice, asked, comment="Fairness is inside tolerance.")
    thread = services.add_comment(actor=mira, version=asked.version, text="Confirmed.", review_request=asked)
    for number in range(9):
        services.add_comment(
            actor=mira, version=asked.version, text=f"Point {number}.", review_request=asked, parent=thread
        )
    page = enter(mira)
    page.goto(asked.get_absolute_url())
    expect(page.locator("p", has_text="Point 0.")).not_to_be_visible()

    page.emulate_media(media="print")

    said = (
        "Waiting for 1 approval",
        "alice (risk) approved",
        "Fairness is inside tolerance.",
        "Point 0.",
        asked.digest,
    )
    for text in said:
        expect(page.get_by_text(text).first).to_be_visible()
    for name in ("Withdraw", "Approve", "Ask for changes", "Reply", "Send again"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    assert page.pdf().startswith(b"%PDF")
