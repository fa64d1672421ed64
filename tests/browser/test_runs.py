"""Runs in the browser: filtered, opened, drawn, laid over each other; nothing for axe-core in both themes."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from accounts.models import User
from tests.browser.test_every_page import RULES
from tests.factories import make_experiment, make_run
from tracking.models import Experiment, MetricPoint, Run

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def trained(name: str, user: User, experiment: Experiment, *, status: str = "FINISHED") -> Run:
    """A run whose loss falls over 60 steps, with a gap."""
    run = make_run(
        run_name=name, user=user, experiment=experiment, metrics={"auc": 0.9}, params={"depth": name[-1]}, status=status
    )
    MetricPoint.objects.bulk_create(
        MetricPoint(run=run, key="loss", step=at, timestamp=at * 1000, value=1 / (at + 1), is_nan=at == 30)
        for at in range(60)
    )
    run.metrics["loss"] = {"value": 1 / 60, "timestamp": 59_000, "step": 59}
    run.save()
    return run


def drawn(page: Page) -> int:
    """How many canvases hold something that is not of one colour."""
    return int(
        page.evaluate(
            """[...document.querySelectorAll(".curve canvas")].filter((canvas) => {
              const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
              return all.some((value) => value !== 0);
            }).length"""
        )
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_runs_are_found_opened_and_laid_over_each_other(
    enter: Callable[..., Page], mira: User, alice: User, theme: str
) -> None:
    churn = make_experiment("churn")
    one, other = trained("depth 6", mira, churn), trained("depth 8", mira, churn)
    trained("tree of alice", alice, churn, status="RUNNING")
    page = enter(mira, color_scheme=theme, reduced_motion="reduce")
    faults: list[str] = []

    def look(what: str) -> None:
        found = Axe().run(page, options=RULES).response["violations"]
        faults.extend(f"{what}: {fault['id']} at {fault['nodes'][0]['html'][:160]}" for fault in found)

    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("link", name="tree of alice")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("depth")
    expect(page.get_by_role("link", name="tree of alice")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"/runs/\?q=depth$"))
    page.get_by_label("Filter, as in MLflow").fill("auc >")
    page.get_by_label("Filter, as in MLflow").press("Enter")
    expect(page.get_by_text("it ends too early")).to_be_visible()
    page.get_by_label("Filter, as in MLflow").fill("metrics.auc > 0.5")
    page.get_by_label("Filter, as in MLflow").press("Enter")
    expect(page.get_by_role("link", name="depth 8")).to_be_visible()
    look("the list")

    page.get_by_role("link", name="depth 6").click()
    expect(page.locator(".curve canvas")).to_have_count(1)
    assert drawn(page) == 1
    page.get_by_label("Scale").select_option("log")
    expect(page).to_have_url(re.compile(r"\?y=log$"))
    page.get_by_label("Find a metric…").or_(page.get_by_label("A part of the name")).fill("au")
    expect(page.get_by_text("1–1 of 1")).to_be_visible()
    look("a run")
    page.get_by_role("link", name="As a table").click()
    expect(page.get_by_role("row")).to_have_count(61)
    look("its values")

    page.goto("/runs/?q=depth")
    for run in (one, other):
        page.get_by_label(f"Choose {run.run_name}").check()
    page.get_by_role("button", name="Compare the chosen").click()
    expect(page.get_by_role("heading", name="2 runs compared")).to_be_visible()
    expect(page.locator(".curve canvas")).to_have_count(1)
    assert drawn(page) == 1
    expect(page.locator(".u-legend .u-series")).to_have_count(3)  # the steps, and each run
    look("two runs")

    assert faults == []


def test_a_run_that_goes_on_is_drawn_on(enter: Callable[..., Page], mira: User) -> None:
    run = trained("depth 6", mira, make_experiment(), status="RUNNING")
    page = enter(mira)
    page.clock.install()
    page.goto(run.get_absolute_url())
    expect(page.locator(".curve canvas")).to_have_count(1)
    run.metrics["auc"]["value"] = 0.777
    run.save()

    page.clock.run_for(11_000)

    expect(page.get_by_text("0.777")).to_be_visible()
    expect(page.locator(".curve canvas")).to_have_count(1)


def test_without_javascript_everything_is_there_as_tables(enter: Callable[..., Page], mira: User) -> None:
    run = trained("depth 6", mira, make_experiment())
    page = enter(mira, java_script_enabled=False)

    page.goto("/runs/?filter=metrics.auc+>+0.5")
    page.get_by_role("link", name="depth 6").click()
    page.get_by_role("link", name="As a table").click()
    expect(page.get_by_role("row")).to_have_count(61)
    page.goto(f"/runs/compare/?run={run.run_id}")
    expect(page.get_by_role("table", name="").first).to_be_visible()


def test_the_address_that_a_client_prints_leads_to_the_run(enter: Callable[..., Page], mira: User) -> None:
    run = trained("depth 6", mira, make_experiment("churn"))
    page = enter(mira)

    page.goto(f"/#/experiments/{run.experiment_id}/runs/{run.run_id}")

    expect(page).to_have_url(re.compile(run.get_absolute_url() + "$"))
    expect(page.get_by_role("heading", name="depth 6")).to_be_visible()
    page.goto(f"/#/experiments/{run.experiment_id}")
    expect(page).to_have_url(re.compile(run.experiment.get_absolute_url() + "$"))
