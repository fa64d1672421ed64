"""Who gets in and what they can change: sweeps over the whole URL table, so a route is covered the day it is added."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from accounts.models import User
from tests.web.sweep import EVIL, ROUTES, SAFE, UNSAFE, Route, World, bearer, changed, send, state, world

__all__ = ["world"]  # a fixture

# The only views that answer a stranger.
OPEN = {
    "web.health.live",
    "web.health.ready",
    "web.pages.sign_in.SignIn",
    "web.pages.sign_in.sign_in_link",
    "web.mlflow.server.info",
    "web.mlflow.server.databricks_handshake",
}

# What somebody who only reads models writes all the same: their own account, their own runs, questions and remarks.
READERS_WRITE = {
    "web.pages.account.PasswordChange",
    "web.pages.account.PasswordSet",
    "web.pages.sign_in.SignOut",
    "web.pages.account.create_token",
    "web.api.account.Tokens",
    "web.pages.versions.new_request",
    "web.api.requests.Requests",
    "web.pages.models.rollback",
    "web.api.models.ModelRollback",
    "web.pages.versions.comment",
    "web.pages.requests.comment",
    "web.pages.requests.ask",
    "web.pages.requests.recuse",  # sam is asked
    "web.pages.requests.step_in_again",
    "web.api.requests.RequestReviewers",
    "web.api.requests.RequestRecusal",
    "web.api.requests.RequestComments",
    "web.api.comments.VersionComments",
    "web.mlflow.transition_requests.create",
    "web.mlflow.comments.create",
    "web.mlflow.experiments.create",
    "web.mlflow.runs.create",
    "web.mlflow.logged_models.create",
}

# Calls that write, but not when an administrator sends what the sweep sends.
IDLE = {
    "django.views.generic.base.RedirectView",
    "web.pages.account.PasswordChange",  # leads to setting one first
    "web.pages.sign_in.SignOut",  # ends a session, which is not looked at
    "web.pages.requests.vouch",  # for somebody of the team that a policy names
    "web.pages.requests.step_in_again",  # for who stepped back
    "web.pages.requests.ready",  # for the requester, once changes were asked for
    "web.api.requests.RequestReady",
}

pytestmark = pytest.mark.sweep


def _sent_back(route: Route) -> tuple[int, ...]:
    """Statuses beside 4xx that refuse: a page may lead back to where a message says why, some calls are not offered."""
    return (501, 200) if route.only_reads else (501,) if route.is_api else (501, 302)


# -- Strangers ---------------------------------------------------------------------------------------------------------


def test_at_most_six_views_are_open() -> None:
    assert len(OPEN) <= 6
    assert {route.view for route in ROUTES} >= OPEN


def test_a_stranger_is_answered_on_no_other_route(world: World) -> None:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    before, answered = state(), []

    for route, method in itertools.product(ROUTES, (*SAFE, *UNSAFE, "OPTIONS")):
        answer = send(client, method, route, world)
        is_sign_in = answer.status_code == 302 and answer["Location"].startswith("/sign-in/?next=")
        if route.view not in OPEN and not (answer.status_code == 401 if route.is_api else is_sign_in):
            answered.append((method, route.pattern, answer.status_code))

    assert answered == []
    assert changed(before) == []


def test_a_wrong_credential_lets_nobody_in_even_beside_a_session(
    world: World, admin: User, session: Callable[[User], Client]
) -> None:
    client, answered = session(admin), []

    for route, header in itertools.product(ROUTES, ("Bearer cs_wrong", "Basic d3Jvbmc6d3Jvbmc=", "Digest x", "Bearer")):
        answer = client.get(world.path(route), headers={"authorization": header})
        if answer.status_code != 401:
            answered.append((header, route.pattern, answer.status_code))

    assert answered == []


# -- Readers -----------------------------------------------------------------------------------------------------------


def test_a_reader_writes_nothing(world: World, sam: User, settings: Any, session: Callable[[User], Client]) -> None:
    settings.ANYONE_MAY_CREATE_MODELS = False
    token, page = bearer(sam), session(sam)
    before, wrote = state(), []

    for route in ROUTES:
        if route.view in OPEN | READERS_WRITE:
            continue
        for method in UNSAFE:
            status = send(token if route.is_api else page, method, route, world).status_code
            if not 400 <= status < 500 and status not in _sent_back(route):
                wrote.append((method, route.pattern, status))
        if tables := changed(before):
            wrote.append(("changed", route.pattern, tables))
            before = state()

    assert wrote == []


def test_the_same_calls_change_something_when_an_administrator_makes_them(
    world: World, admin: User, session: Callable[[User], Client]
) -> None:
    """Else the sweep above would prove nothing: what a new call needs belongs into the world."""
    token, before, idle = bearer(admin), state(), []

    for route in ROUTES:
        if route.only_reads or route.view in OPEN | IDLE:
            continue
        statuses, tables = [], []
        for method in UNSAFE:
            with transaction.atomic():
                client = token if route.is_api else session(admin)
                statuses.append(send(client, method, route, world).status_code)
                tables += changed(before)
                transaction.set_rollback(True)
        if set(statuses) - {405, 501} and not tables:
            idle.append((route.pattern, statuses))

    assert idle == []


def test_a_token_for_reading_writes_nothing_even_for_an_administrator(world: World, admin: User) -> None:
    client = bearer(admin, read_only=True)
    before, wrote = state(), []

    for route, method in itertools.product(ROUTES, UNSAFE):
        status = send(client, method, route, world).status_code
        if status != 403 and not route.only_reads and route.view not in OPEN:
            wrote.append((method, route.pattern, status))

    assert wrote == []
    assert changed(before) == []


def test_a_forged_form_writes_nothing(world: World, admin: User, session: Callable[[User], Client]) -> None:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.cookies = session(admin).cookies
    before, wrote = state(), []

    for route, method in itertools.product(ROUTES, UNSAFE):
        status = send(client, method, route, world).status_code
        if status not in (403, 405):
            wrote.append((method, route.pattern, status))

    assert wrote == []
    assert changed(before) == []


# -- Reading -----------------------------------------------------------------------------------------------------------


def test_no_get_changes_anything_or_fails(world: World, admin: User, session: Callable[[User], Client]) -> None:
    clients = (bearer(admin), session(admin))
    before, faults = state(), []

    for route in ROUTES:
        for client, method in itertools.product(clients, SAFE):
            status = send(client, method, route, world).status_code
            if status >= 500 and status != 501:
                faults.append((method, route.pattern, status))
        if tables := changed(before):
            faults.append(("changed", route.pattern, tables))
            before = state()

    assert faults == []


def test_nothing_uploaded_or_written_is_rendered(world: World, admin: User, session: Callable[[User], Client]) -> None:
    client, rendered, files = session(admin), [], 0

    for route in ROUTES:
        answer = send(client, "GET", route, world)
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content  # type: ignore[attr-defined]
        if EVIL.encode() not in content:
            continue
        is_file = answer.get("Content-Disposition", "").startswith("attachment")
        files += is_file
        is_harmless = is_file or answer["Content-Type"].split(";")[0] == "application/json"
        if answer["X-Content-Type-Options"] != "nosniff" or not is_harmless:
            rendered.append((route.pattern, answer["Content-Type"]))

    assert rendered == []
    assert files >= 3  # by the page and by both paths of the protocol
