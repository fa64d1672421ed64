"""How every test runs: in a place of its own, and, where REQUIRE_ALL is set, without leave to skip."""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Generator, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import hypothesis
import pytest
from django.conf import settings
from django.core.cache import caches
from django.http import HttpRequest
from django.test.signals import template_rendered
from django.utils import timezone
from django.utils.safestring import SafeString
from pytest_django import Settings

from config.celery import app as celery_app
from notifications import listeners
from tests.receivers import Receiver
from web.pages.templating import Page

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright's sync API keeps a loop in the test's thread

pytest_plugins = ["tests.cast"]
REQUIRE_ALL = os.environ.get("REQUIRE_ALL", "") not in ("", "0")
# No example is timed; and whoever judges a change by all tests looks at the same examples each time.
hypothesis.settings.register_profile("countersign", deadline=None, derandomize=REQUIRE_ALL)
hypothesis.settings.load_profile("countersign")
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def pytest_configure() -> None:
    """Tasks stay inside the test's process. Tests of the real brokers start real processes. Static files are looked for
    when they are asked for: each of thousands of clients would list them all first."""
    celery_app.conf.update(broker_url="memory://", broker_transport_options={})
    settings.WHITENOISE_AUTOREFRESH = True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under REQUIRE_ALL both forms are run, one after the other: what belongs to one only is left to its run, what
    asks no database is the same in both, and the sweeps over every route are made in the form of a team.

    Elsewhere everything is collected, and what cannot be shown skips and says so.
    """
    if not REQUIRE_ALL:
        return
    belongs = _to_the_embedded_form if settings.EMBEDDED else _to_the_form_of_a_team
    left_out = [item for item in items if not belongs(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if belongs(item)]


def _to_the_embedded_form(item: pytest.Item) -> bool:
    return item.get_closest_marker("postgres") is None and item.get_closest_marker("sweep") is None


def _to_the_form_of_a_team(item: pytest.Item) -> bool:
    """Where a database is asked, processes are started or every route is, and nothing of it is embedded."""
    if item.get_closest_marker("embedded"):
        return False
    fixtures = {"db", "transactional_db", "live_server"}
    marked = any(item.get_closest_marker(name) for name in ("django_db", "postgres", "slow", "sweep"))
    return marked or bool(fixtures & set(getattr(item, "fixturenames", ())))


@pytest.fixture(autouse=True)
def _own_cache() -> None:
    """What one test put into the cache, or a process remembers of its channels, another does not find."""
    prefix = uuid.uuid4().hex
    settings.CACHES["default"]["KEY_PREFIX"] = prefix  # for the threads of a live server
    caches["default"].key_prefix = prefix
    listeners.forget()


@pytest.fixture(autouse=True, scope="session")
def _contexts_are_told() -> Iterator[None]:
    """``answer.context`` is what a page was drawn with: Django's test client hears of it from its own engine alone."""
    render = Page.render

    def told(page: Page, context: Mapping[str, Any] | None = None, request: HttpRequest | None = None) -> SafeString:
        template_rendered.send(sender=page, template=page, context=dict(context or {}))
        return render(page, context, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Page, "render", told)
        yield


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that moves on by a second at every look: what must be one moment is read once."""
    start, looks = timezone.now(), itertools.count()
    monkeypatch.setattr(timezone, "now", lambda: start + timedelta(seconds=next(looks)))


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    """An HTTP server that is really there, and that may be called."""
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    with Receiver() as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _refuse_skip((yield))


def _refuse_skip(report: Report) -> Report:
    """Under REQUIRE_ALL a skip is a failure; an expected failure is none."""
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"Nothing may be skipped where REQUIRE_ALL is set: {reason}"
    return report
