"""The browser: Debian's Chromium, never one that a test tool downloads."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect
from pytest_django.live_server_helper import LiveServer

from accounts import services as accounts
from accounts.models import User

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium fonts-liberation)")
    quiet = [
        "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync",
    ]  # fmt: skip
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": quiet}


@pytest.fixture
def enter(live_server: LiveServer, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Somebody's own browser, signed in by their link. What the console complains about fails the test."""
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "the server responded with a status of 4" not in message.text:
            complaints.append(message.text)

    def enter(user: User, **options: object) -> Page:
        page = browser.new_context(base_url=live_server.url, **options).new_page()
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(accounts.create_sign_in_link(actor=None, user=user))
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Reviews")).to_be_visible()
        return page

    yield enter
    assert complaints == []
