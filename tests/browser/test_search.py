"""Finding something from the bar: by suggestions with the keyboard, and without JavaScript."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from tests.factories import make_model
from tests.scenes import churn_predictor

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_version_is_found_while_typing_and_opened_by_keyboard(
    enter: Callable[..., Page], mira: User, dkim: User
) -> None:
    churn_predictor(mira)
    make_model("churn-other")
    page = enter(dkim)

    page.keyboard.press("/")
    page.keyboard.type("churn")
    field, first = page.get_by_role("combobox", name="Search everything"), page.get_by_role("option").first
    expect(first).to_contain_text("churn-other")
    expect(field).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    page.keyboard.type("-predictor 2")
    expect(first).to_contain_text("churn-predictor version 2")
    page.keyboard.press("ArrowDown")
    expect(first).to_have_attribute("aria-selected", "true")
    expect(field).to_have_attribute("aria-activedescendant", "suggested-versions-1")
    page.keyboard.press("Enter")

    expect(page).to_have_url("/models/churn-predictor/versions/2/")


@pytest.mark.parametrize("width", [1320, 390])
def test_without_javascript_enter_leads_to_the_page(
    enter: Callable[..., Page], mira: User, dkim: User, width: int
) -> None:
    churn_predictor(mira)
    make_model("churn-other")
    page = enter(dkim, java_script_enabled=False, viewport={"width": width, "height": 900})

    page.get_by_label("Search everything").fill("churn")
    page.get_by_label("Search everything").press("Enter")

    models = page.get_by_role("region", name="Models")
    expect(models.get_by_role("link")).to_have_text(["churn-other", "churn-predictor"])
    page.get_by_label("What to look for").fill("churn-predictor@champion")
    page.get_by_role("button", name="Search").click()
    expect(page).to_have_url("/models/churn-predictor/versions/1/")
