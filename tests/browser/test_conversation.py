"""Talking about a version in a browser: each verb swaps the conversation, and the page stays where it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from approvals import services
from approvals.models import Comment
from tests.scenes import ask, churn_predictor

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("place", ["request", "version"])
def test_a_thread_is_answered_edited_resolved_and_deleted(
    mira: User, alice: User, dkim: User, enter: Callable[..., Page], place: str
) -> None:
    version = churn_predictor(mira)
    asked = ask(version, mira) if place == "request" else None
    first = services.add_comment(actor=alice, version=version, text="Which callers?", review_request=asked)
    page = enter(alice)
    page.goto(first.get_absolute_url())
    page.evaluate("window.stayed = true")
    thread = page.locator(f"#comment-{first.pk}")

    thread.locator("summary", has_text="Reply to alice").click()
    thread.get_by_label("Reply to alice").fill("Ask @mira.")
    thread.get_by_role("button", name="Reply").click()
    expect(thread.locator(".replies strong", has_text="@mira")).to_be_visible()
    reply = Comment.objects.get(parent=first)

    thread.locator("summary", has_text=f"Edit comment {reply.pk}").click()
    thread.get_by_label(f"Comment {reply.pk}", exact=True).fill("Ask @dkim.")
    thread.locator(".replies").get_by_role("button", name="Save").click()
    expect(thread.locator(".replies strong", has_text="@dkim")).to_be_visible()

    thread.get_by_role("button", name="Resolve").click()
    expect(thread.get_by_text("alice resolved this")).to_be_visible()

    thread.locator("summary", has_text=f"Edit comment {reply.pk}").click()
    thread.get_by_role("button", name=f"Delete comment {reply.pk}").click()
    expect(thread.get_by_text("alice deleted this comment")).to_be_visible()
    assert page.evaluate("window.stayed")
    assert list(Comment.objects.order_by("pk").values_list("text", flat=True)) == ["Which callers?", ""]


def test_without_javascript_the_forms_work_as_they_are(
    mira: User, alice: User, dkim: User, enter: Callable[..., Page]
) -> None:
    version = churn_predictor(mira)
    first = services.add_comment(actor=alice, version=version, text="Which callers?")
    page = enter(alice, java_script_enabled=False)
    page.goto(first.get_absolute_url())
    thread = page.locator(f"#comment-{first.pk}")

    thread.get_by_role("button", name="Resolve").click()

    expect(thread.get_by_text("alice resolved this")).to_be_visible()
    assert page.url.endswith(f"#comment-{first.pk}")
