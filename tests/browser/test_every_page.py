"""Every page in both themes and at both widths: nothing for axe-core, nothing on the console, nothing cut off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from accounts.models import Level, Membership, Team, User
from approvals import services
from approvals.models import TransitionRequest
from notifications import services as notifications
from notifications.forms.standard import new_secret
from notifications.models import Channel
from registry import services as registry
from registry import tasks
from registry.models import ModelVersion
from tests.cast import token_of
from tests.core.pickles.hostile import by_stack_global
from tests.factories import make_deployment, make_model, make_version
from tests.scenes import POLICY, STAGING, ask, churn_predictor, say, seen, ugly
from web.pages.urls import urlpatterns

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
FOR_STRANGERS = {"sign_in", "sign_in_link"}
STRICTER = f"""{POLICY}  - scan: {{vouched_by: risk}}
reviews: {{threads_resolved: true, expires_after: 14d}}
bypass: {{people: [admin]}}
"""
UNKNOWN = b"\x80\x04\x8c\x04acme\x8c\x05Churn\x93)\x81."
NOTHING = {
    "reviews": "model=zzz", "models": "q=zzz", "runs": "q=zzz", "experiments": "q=zzz", "people": "q=zzz",
    "activity": "model=zzz", "search": "q=zzz", "deliveries": "state=failed",
}  # fmt: skip
ARGUMENTS = {"username": "mira", "name": "churn-predictor", "number": 2, "pk": 1, "path": "MLmodel", "secret": "spent"}


@pytest.fixture
def open_request(mira: User, alice: User, dkim: User, admin: User, risk: Team) -> TransitionRequest:
    """One request waits, one has called for changes, one is bypassed; two revisions, two channels, a token, a grant."""
    version = churn_predictor(mira)
    services.publish_policy(actor=None, text=STRICTER)
    registry.set_alias(actor=admin, version=version, alias="champion")  # version 1 had it
    registry.change_grants(actor=admin, model=version.model, levels={risk: Level.EDIT})
    review_request = ask(version, mira)
    say(alice, review_request, comment="Fairness is inside tolerance: `tenure` is *gone*.")
    for about in (review_request, None):
        thread = services.add_comment(actor=admin, version=version, text="Which callers, @mira?", review_request=about)
        services.edit_comment(actor=admin, comment=thread, text="Which callers? @mira knows.")
        services.add_comment(actor=mira, version=version, text="None.", review_request=about, parent=thread)
        services.resolve_thread(actor=admin, comment=thread)
        gone = services.add_comment(actor=admin, version=version, text="Oh.", review_request=about)
        services.delete_comment(actor=admin, comment=gone)
    Membership.objects.create(team=risk, user=admin)
    other = make_model("churn-by-pickle", user=mira)
    for files in ({"a.pkl": UNKNOWN, "b.bin": by_stack_global(Path("canary"))}, {"a.pkl": UNKNOWN}):
        pickled = make_version(other, user=mira, files=files)
        tasks.scan_version(pickled.pk)
        waiting = ask(pickled, mira)
    urgent = TransitionRequest.objects.get(version__model=other, version__version=1)
    services.bypass_request(actor=admin, review_request=urgent, reason="Customers wait.", seen=seen(urgent))
    thread = services.add_comment(actor=admin, version=pickled, text="Well?", review_request=waiting)
    for _ in range(8):
        services.add_comment(actor=mira, version=pickled, text="Soon.", review_request=waiting, parent=thread)
    services.add_comment(actor=mira, version=pickled, text="Seen here as well.")
    doubtful = ask(ModelVersion.objects.get(model=version.model, version=1), mira, STAGING)
    say(admin, doubtful, "request_changes", "Why back?")
    notifications.create_channel(
        actor=admin, kind="slack", name="#ml-releases", target="https://hooks.slack.com/services/T/B/x", models_glob="*"
    )
    notifications.create_channel(
        actor=admin, kind="webhook", name="deploy", target="https://deploy.example.com/", secret=new_secret()
    )
    for number in range(40):
        make_deployment(version, f"site-{number}")
    token_of(admin, name="laptop")
    return review_request


def pages(user: User, review_request: TransitionRequest) -> dict[str, str]:
    """Every route that answers a GET with a page, by the table: a new page is looked at the day it is added."""
    client = Client()
    client.force_login(user)
    found = {"no such page": "/models/nothing-of-this-name/"}
    for route in urlpatterns:
        names = route.pattern.converters
        given = {**ARGUMENTS, "pk": review_request.pk, "run_id": review_request.version.run_id}
        if route.name.startswith("policy"):
            given["name"] = "production-gate"
        if route.name == "experiment":
            given["pk"] = 0
        if route.name.startswith("channel"):
            given["pk"] = Channel.objects.get(name="deploy").pk
        path = reverse(route.name, kwargs={name: given[name] for name in names})
        answer = client.get(path)
        if route.name in FOR_STRANGERS or (
            answer.status_code == 200 and answer["Content-Type"].startswith("text/html")
        ):
            found[route.name] = path
    for kind, shown in (("bypassed", {"is_bypassed": True}), ("to be vouched for", {"version__version": 2})):
        other = TransitionRequest.objects.get(version__model__name="churn-by-pickle", **shown)
        found |= {f"request, {kind}": other.get_absolute_url(), f"version, {kind}": other.version.get_absolute_url()}
    found["policy, compared"] = f"{reverse('policy', args=['production-gate'])}?from=1&to=2"
    return found


def further(review_request: TransitionRequest) -> dict[str, str]:
    """What a page shows by its query: tabs, choices, results, nothing at all, and what it refuses."""
    inbox, model, version = reverse("reviews"), review_request.model, review_request.version
    tabs = ("metrics", "params", "signature", "packages", "data", "code", "files", "tags", "description")
    run_ids = model.versions.order_by("pk").values_list("run_id", flat=True)
    chosen = "&".join(f"run={run_id}" for run_id in run_ids)
    return {
        **{f"reviews, {tab}": f"{inbox}?tab={tab}" for tab in ("mine", "open", "decided")},
        **{f"request, {tab}": f"{review_request.get_absolute_url()}?tab={tab}" for tab in tabs},
        **{f"version, {tab}": f"{version.get_absolute_url()}?tab={tab}" for tab in tabs},
        "request, nothing to compare with": f"{review_request.get_absolute_url()}?against=none",
        "version, a file": f"{version.get_absolute_url()}?tab=files&file=MLmodel",
        "compare, chosen": f"{reverse('compare', args=[model.name])}?a=1&b=2",
        "history, at a moment": f"{reverse('history', args=[model.name])}?target=Production&at=2026-05-03T14:00",
        "runs, filtered": f"{reverse('runs')}?filter=metrics.accuracy > 0.9&metric=accuracy",
        "runs, refused": f"{reverse('runs')}?filter=metrics..",
        "runs_compare, two": f"{reverse('runs_compare')}?{chosen}",
        "search, found": f"{reverse('search')}?q=churn&all=1",
        **{f"{name}, nothing found": f"{reverse(name)}?{query}" for name, query in NOTHING.items()},
    }


def faults(page: Page, name: str) -> list[str]:
    """What axe-core finds on the open page, with everything unfolded; and whether it is wider than the window."""
    page.evaluate("document.querySelectorAll('main details').forEach(part => part.open = true)")
    violations = Axe().run(page, options=RULES).response["violations"]
    found = [f"{name}: {v['id']} at {v['nodes'][0]['html'][:160]}" for v in violations]
    needs, width = page.evaluate("document.documentElement.scrollWidth"), page.evaluate("window.innerWidth")
    return found + ([f"{name}: {needs} pixels wide"] if needs > width else [])


@pytest.mark.parametrize("width", [1320, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_for_everybody(
    enter: Callable[..., Page],
    browser: Browser,
    live_server: LiveServer,
    open_request: TransitionRequest,
    admin: User,
    theme: str,
    width: int,
) -> None:
    form = {"color_scheme": theme, "viewport": {"width": width, "height": 900}, "reduced_motion": "reduce"}
    page = enter(admin, **form)
    stranger = browser.new_context(base_url=live_server.url, **form).new_page()
    shown = pages(admin, open_request)
    found = []
    for name, path in shown.items():
        looking = stranger if name in FOR_STRANGERS else page
        looking.goto(path)
        found += faults(looking, name)

    assert found == []
    assert {
        "reviews",
        "models",
        "model",
        "version",
        "new_request",
        "request",
        "policies",
        "policy_edit",
        "people",
        "account",
    } <= set(shown)


@pytest.mark.parametrize("width", [1320, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_tab_result_and_empty_list_is_for_everybody(
    enter: Callable[..., Page], open_request: TransitionRequest, admin: User, theme: str, width: int
) -> None:
    page = enter(admin, color_scheme=theme, viewport={"width": width, "height": 900}, reduced_motion="reduce")
    found = []
    for name, path in further(open_request).items():
        page.goto(path)
        found += faults(page, name)
    page.goto(reverse("policy_edit", args=["production-gate"]))
    page.get_by_label("Policy text (YAML)").fill(POLICY.replace("min: 0.90", "mni: 0.90"))
    expect(page.locator(".editor-drawing .line.bad").first).to_be_visible()
    found += faults(page, "policy_edit, with an error")

    assert found == []


@pytest.mark.parametrize("width", [1320, 390])
@pytest.mark.parametrize("name", ["a" * 256, "نموذج-التنبؤ", "🚀🔥 model", "<script>alert(1)<script>"])
def test_ugly_names_and_heaps_of_everything_leave_pages_whole(
    enter: Callable[..., Page], mira: User, name: str, width: int
) -> None:
    version = ugly(name, mira)
    review_request = ask(version, mira, comment="c" * 400 + " <b>bold</b>")
    page = enter(mira, viewport={"width": width, "height": 900})
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message) or dialog.dismiss())
    faults = []
    for path in (
        "/models/", version.model.get_absolute_url(), version.get_absolute_url(), review_request.get_absolute_url(),
        reverse("history", args=[name]), reverse("new_request", args=[name, 1]), "/reviews/?tab=mine", "/deliveries/",
    ):  # fmt: skip
        page.goto(path)
        if (needs := page.evaluate("document.documentElement.scrollWidth")) > width:
            faults.append(f"{path[:40]}: {needs} pixels wide")

    assert faults == []
    assert dialogs == []
