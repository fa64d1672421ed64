"""Through the picture of a lineage by mouse and by keyboard: from the version to its run, and to the one before it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from accounts.models import User
from registry import services as registry
from registry.models import ModelVersion, Stage
from tests.browser.test_every_page import RULES
from tests.factories import make_deployment, make_run, make_version
from tracking.models import RunDataset

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def version(admin: User) -> ModelVersion:
    """Version 2 of pricing, in Production after version 1, from a run with data and without a commit."""
    first = make_version("pricing", user=admin)
    run = make_run(user=admin, run_name="steady-hen")
    RunDataset.objects.create(run=run, name="prices-2026-10", digest="1", tags={"mlflow.data.context": "training"})
    version = make_version(first.model, user=admin, run=run)
    for each in (first, version):
        registry.move_to_stage(actor=admin, version=each, stage=Stage.PRODUCTION, archive_existing=True)
    make_deployment(version, "eu-west", status="failed")
    return version


def test_by_mouse_and_by_keyboard_to_the_run_and_to_the_version_before(
    enter: Callable[..., Page], admin: User, version: ModelVersion
) -> None:
    page = enter(admin)
    page.goto(version.get_absolute_url())
    page.get_by_role("link", name="Whole lineage").click()
    picture = page.get_by_role("group", name="Lineage")
    line = picture.locator("g.run > path.edge").first
    plain = line.evaluate("line => getComputedStyle(line).stroke")

    picture.get_by_role("link", name="Dataset prices-2026-10, training").hover()
    expect(line).not_to_have_css("stroke", plain)  # on the way from the version to the data
    picture.get_by_role("link", name="Run steady-hen").click()
    page.wait_for_url("**/runs/*/")

    page.go_back()
    picture.get_by_role("link", name="pricing version 2").focus()
    for name in ("Run steady-hen", "Dataset prices-2026-10", "Missing: no commit", "Holds Production"):
        page.keyboard.press("Tab")
        expect(picture.get_by_role("link", name=name)).to_be_focused()
    picture.get_by_role("link", name="Before it version 1").press("Enter")
    page.wait_for_url("**/versions/1/")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1320, 360])
def test_the_picture_is_for_everybody(
    enter: Callable[..., Page], admin: User, version: ModelVersion, theme: str, width: int
) -> None:
    page = enter(admin, color_scheme=theme, viewport={"width": width, "height": 900}, reduced_motion="reduce")
    page.goto(version.get_absolute_url() + "lineage/")

    found = Axe().run(page, options=RULES).response["violations"]

    assert [f"{fault['id']} at {fault['nodes'][0]['html'][:160]}" for fault in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    listed = page.locator(".lineage-list")
    for name in ("steady-hen", "prices-2026-10", "no commit", "Production", "version 1", "eu-west"):
        expect(listed.get_by_role("link", name=name, exact=True)).to_be_visible()
    text = page.locator(".lineage text").first.bounding_box()
    assert text is not None and text["height"] >= 12  # as large as on a wide screen: it scrolls, it does not shrink
