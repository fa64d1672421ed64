"""The page of a model in the browser, and what its record shows: compared, held before, exported."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from registry import services as registry
from registry.models import ModelVersion
from tests.factories import make_version
from tests.scenes import churn_predictor

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
MODEL = "/models/churn-predictor/"


@pytest.fixture
def version(mira: User) -> ModelVersion:
    """Version 2 of a model that has 40, each a little slower and a little better than the one before."""
    found = churn_predictor(mira)
    for number in range(3, 41):
        make_version(
            found.model, user=mira, metrics={"accuracy": 0.9 + number / 1000, "latency_p95_ms": number, "f1": 0.5}
        )
    return found


def numbers(page: Page) -> list[str]:
    """The versions in the table, from the top."""
    return [text.removeprefix("Version ") for text in page.locator("#versions .row-title").all_inner_texts()]


def test_versions_are_sorted_by_a_metric_and_turned_page_by_page(
    enter: Callable[..., Page], version: ModelVersion, mira: User
) -> None:
    page = enter(mira)
    page.goto(MODEL)
    assert numbers(page)[:2] == ["40", "39"]

    page.locator("#versions").get_by_role("link", name="latency_p95_ms").click()
    expect(page).to_have_url(re.compile(r"sort=-?latency_p95_ms"))
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("latency_p95_ms")
    expect(page.locator("#versions .row-title").first).to_have_text("Version 2")
    page.locator("#versions").get_by_role("link", name="latency_p95_ms").click()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("latency_p95_ms")
    expect(page.locator("#versions .row-title").first).to_have_text("Version 3")
    first = numbers(page)

    page.get_by_role("navigation", name="Pages of versions").locator("[rel=next]").click()
    expect(page.locator("#versions .row-title").last).to_have_text("Version 2")
    assert not set(first) & set(numbers(page))
    page.go_back()
    expect(page.locator("#versions .row-title").first).to_have_text("Version 3")


def test_a_filter_that_is_typed_leaves_one_step_in_the_history(
    enter: Callable[..., Page], version: ModelVersion, mira: User
) -> None:
    page = enter(mira)
    page.goto("/models/")
    for text in ("c", "ch", "churn"):
        page.get_by_label("Name or description").fill(text)
        expect(page).to_have_url(re.compile(rf"q={text}$"))

    page.go_back()

    expect(page).to_have_url(re.compile("/reviews/$"))


def test_columns_are_chosen_and_kept_in_the_address(
    enter: Callable[..., Page], version: ModelVersion, mira: User
) -> None:
    page = enter(mira)
    page.goto(MODEL)
    page.locator("#versions-title").locator("xpath=ancestor::section").get_by_text("Metrics", exact=True).click()
    for name, wanted in (("f1", False), ("latency_p95_ms", False), ("accuracy", True)):
        page.locator(".columns").get_by_label(name).set_checked(wanted)

    expect(page.locator("#versions th.num")).to_have_count(1)
    expect(page.locator("#versions th.num")).to_contain_text("accuracy")
    expect(page).to_have_url(re.compile(r"column=accuracy"))
    page.reload()
    expect(page.locator("#versions th.num")).to_have_count(1)


def test_a_dot_of_the_chart_leads_to_its_version(enter: Callable[..., Page], version: ModelVersion, mira: User) -> None:
    page = enter(mira)
    page.goto(f"{MODEL}?metric=accuracy")
    dots = page.locator("[data-chart] a")
    expect(dots).to_have_count(40)
    expect(page.locator("[data-chart] .pass-text")).to_contain_text("production-gate")

    dots.last.focus()
    for key in ("Home", "ArrowRight"):
        page.keyboard.press(key)
    expect(dots.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/versions/2/$"))

    page.go_back()
    dots.nth(39).locator("circle").click()
    expect(page).to_have_url(re.compile(r"/versions/40/$"))


def test_two_versions_are_compared_and_the_address_is_for_sharing(
    enter: Callable[..., Page], version: ModelVersion, mira: User, sam: User
) -> None:
    page = enter(mira)
    page.goto(version.get_absolute_url())
    page.get_by_role("link", name="Compare", exact=True).click()
    expect(page.get_by_role("heading", name=re.compile("Compare"))).to_be_visible()
    expect(page.get_by_text("tenure_days").first).to_be_visible()
    shared = page.url.removeprefix(page.evaluate("location.origin"))

    other = enter(sam)
    other.goto(shared)
    expect(other.get_by_text("tenure_days").first).to_be_visible()


def test_who_held_production_at_a_moment(enter: Callable[..., Page], version: ModelVersion, mira: User) -> None:
    page = enter(mira)
    page.goto(MODEL)
    page.get_by_label("What was in Production on").fill("2001-05-03T14:00")
    page.locator("form.at").get_by_role("button", name="Show").click()
    expect(page.get_by_text(re.compile("nobody|Nobody|no version", re.IGNORECASE)).first).to_be_visible()

    page.goto(MODEL)
    tomorrow = page.evaluate("new Date(Date.now() + 864e5).toISOString().slice(0, 16)")
    page.get_by_label("What was in Production on").fill(tomorrow)
    page.locator("form.at").get_by_role("button", name="Show").click()
    expect(page.locator("main").get_by_role("link", name="Version 1", exact=True).first).to_be_visible()


@pytest.mark.parametrize("form", ["CSV", "JSON lines"])
def test_what_happened_is_exported_as_it_is_filtered(
    enter: Callable[..., Page], version: ModelVersion, mira: User, admin: User, tmp_path: Path, form: str
) -> None:
    for number in range(1, 4):
        registry.set_alias(actor=admin, version=version, alias=f"alias-{number}")
    registry.create_model(actor=admin, name="another")
    page = enter(mira)
    page.goto("/activity/?model=churn-predictor")
    with page.expect_download() as download:
        page.get_by_role("link", name=f"Export {form}").click()
    path = tmp_path / "export"
    download.value.save_as(path)
    lines = path.read_text().splitlines()

    rows = list(csv.DictReader(lines)) if form == "CSV" else [json.loads(line) for line in lines]
    assert [(row["model"], row["actor"], row["kind"]) for row in rows] == [
        ("churn-predictor", "admin", "alias.moved")
    ] * 3
