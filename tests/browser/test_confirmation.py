"""What cannot be taken back asks first, and works without JavaScript."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from registry import services as registry
from registry.models import Stage
from tests.cast import token_of
from tests.factories import make_version

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_token_is_revoked_after_a_yes(mira: User, enter: Callable[..., Page]) -> None:
    token_of(mira, name="laptop")
    page = enter(mira)
    page.goto("/account/")
    revoke, question = page.get_by_role("button", name="Revoke laptop"), page.get_by_role("dialog")

    revoke.press("Enter")
    expect(question).to_contain_text("Revoke laptop?")
    question.get_by_role("button", name="Cancel").press("Enter")
    expect(revoke).to_be_focused()
    revoke.press("Enter")
    question.get_by_role("button", name="Continue").press("Enter")

    expect(revoke).to_have_count(0)


def test_without_javascript_a_return_still_says_what_it_does_first(admin: User, enter: Callable[..., Page]) -> None:
    first = make_version("pricing", user=admin)
    for version in (first, make_version(first.model, user=admin)):
        registry.move_to_stage(actor=admin, version=version, stage=Stage.PRODUCTION, archive_existing=True)
    page = enter(admin, java_script_enabled=False)
    page.goto("/models/pricing/")
    button = page.get_by_role("button", name="Return to version 1", exact=True)
    expect(button).to_be_hidden()

    page.locator("summary", has_text="Return to version 1").press("Enter")
    expect(page.get_by_text("Version 1 takes Production back and version 2 is archived.")).to_be_visible()
    button.press("Enter")

    page.wait_for_url("**/requests/*/")
