"""A policy is written in the browser: an error at its line, mended, replayed, published."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from accounts.models import User
from approvals.models import PolicyRevision
from tests.scenes import POLICY, ask, churn_predictor

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}
EDITOR = "/policies/production-gate/edit/"


def is_accessible(page: Page) -> None:
    found = Axe().run(page, options=RULES).response["violations"]
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_error_stands_at_its_line_until_it_is_mended_and_the_mended_text_is_replayed_and_published(
    theme: str, admin: User, mira: User, alice: User, dkim: User, enter: Callable[..., Page]
) -> None:
    asked = ask(churn_predictor(mira), mira)
    page = enter(admin, color_scheme=theme, reduced_motion="reduce")
    page.goto(EDITOR)
    text, drawn = page.get_by_label("Policy text (YAML)"), page.locator(".editor-drawing .line")
    expect(drawn.nth(4).locator(".hljs-number")).to_have_text("0.90")

    text.fill(POLICY.replace("min: 0.90", "mni: 0.90"))
    expect(page.locator(".editor-drawing .line.bad")).to_have_text("  - metric: {name: accuracy, mni: 0.90}")
    expect(page.locator(".editor-drawing .line.bad")).to_have_attribute("data-problem", re.compile("did you mean min"))
    expect(page.locator(".editor-lines .bad")).to_have_text("5")
    expect(text).to_have_attribute("aria-invalid", "true")
    is_accessible(page)

    page.get_by_role("link", name="Line 5").last.press("Enter")
    expect(text).to_be_focused()
    for key in ("Delete", "Delete", "Delete"):
        page.keyboard.press(key)
    page.keyboard.type("min")
    expect(text).to_have_value(POLICY)
    expect(page.locator("#problems")).to_have_text("No errors")
    expect(page.locator(".line.bad")).to_have_count(0)

    text.fill(POLICY.replace("0.90", "0.99"))
    page.get_by_role("button", name="Replay").click()
    row = page.get_by_role("row", name="churn-predictor version 2")
    expect(row).to_contain_text("but it must be at least 0.99")
    expect(row.get_by_role("link")).to_have_attribute("href", asked.get_absolute_url())
    page.get_by_label("Model", exact=True).fill("churn-predictor")
    page.get_by_label("Version").fill("2")
    page.get_by_role("button", name="Simulate").click()
    expect(page.get_by_role("heading", name="churn-predictor version 2 → Production")).to_be_visible()
    expect(text).to_have_value(POLICY.replace("0.90", "0.99"))
    is_accessible(page)

    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_text("Revision 2 is in force.")).to_be_visible()
    assert PolicyRevision.objects.get(number=2).text == POLICY.replace("0.90", "0.99")


def test_the_keyboard_indents_undoes_and_leaves(admin: User, mira: User, enter: Callable[..., Page]) -> None:
    churn_predictor(mira)
    page = enter(admin)
    page.goto(EDITOR)
    text = page.get_by_label("Policy text (YAML)")

    text.press("Control+Home")
    text.press("Tab")
    expect(text).to_have_value(f"  {POLICY}")
    text.press("Shift+Tab")
    expect(text).to_have_value(POLICY)
    page.get_by_text("Insert a rule").click()
    page.get_by_role("button", name="Check by a pipeline").click()
    expect(text).to_have_value(re.compile(r"ml-leads: 1}}\n  # .*\n  - check: {name: integration-tests, from: ci-bot}"))
    expect(page.get_by_text("No active account is called ci-bot.")).to_be_visible()
    text.press("Control+z")
    expect(text).to_have_value(POLICY)
    text.press("Escape")
    text.press("Tab")
    expect(page.get_by_role("button", name="Check", exact=True)).to_be_focused()


def test_without_javascript_errors_are_listed_and_the_text_is_kept(
    admin: User, mira: User, enter: Callable[..., Page]
) -> None:
    churn_predictor(mira)
    page = enter(admin, java_script_enabled=False)
    page.goto(EDITOR)

    page.get_by_label("Policy text (YAML)").fill(POLICY.replace("min: 0.90", "mni: 0.90"))
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_text("did you mean min")).to_be_visible()
    page.get_by_label("Policy text (YAML)").fill(POLICY.replace("0.90", "0.99"))
    page.get_by_label("Version").press("Enter")

    expect(page.locator("#problems")).to_have_text("No errors")
    assert PolicyRevision.objects.count() == 1
