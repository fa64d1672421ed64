"""Every endpoint that writes × every role, on a model with a policy and on one without: what each can do to what is
guarded. ``make gate-audit`` prints the table.

Without a policy the same calls do move things, so that the other columns prove something. A new route is in the table
from the day it is added: what it needs to be called with stands in ``tests/web/sweep.py``.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client

from accounts.models import Level, User
from approvals import services as approvals
from approvals import tasks
from approvals.rulebook import Rulebook
from registry.models import Alias, ArtifactFile, ModelVersion, RegisteredModel, StageHolding
from tests.cast import person
from tests.web.sweep import ROUTES, UNSAFE, Route, World, bearer, send, world
from tests.web.test_access import OPEN

__all__ = ["world"]  # a fixture

pytestmark = [pytest.mark.sweep, pytest.mark.timeout(1200)]

PRINTED = Path(settings.BASE_DIR) / "test-results" / "gate-audit.txt"
# Two people of two teams: no single call of anybody is the last one that is needed.
GATE = """\
name: production-gate
match: {models: ["churn-*"], tags: {tier: critical}}
guards: [stage:Production, alias:champion]
requirements: [{approvals: {count: 2, teams: {risk: 1, ml-leads: 1}}}]
"""
# What an administrator may do by design: say what is guarded, which everybody sees as an event.
MAY_CHANGE_WHAT_IS_GUARDED = {
    "web.api.models.ModelTags",
    "web.api.policies.Policies",
    "web.api.policies.PolicyArchive",
    "web.mlflow.registered_models.delete_tag",
    "web.mlflow.registered_models.set_tag",
    "web.pages.policies.archive",
    "web.pages.policies.edit",
}
MOVED, UNGUARDED = "MOVED", "unguarded"


@dataclass(frozen=True)
class Watched:
    """What a gate is there for: who holds what, the bytes of the versions, and which policies say so."""

    holders: list[Any]
    aliases: list[Any]
    holdings: list[Any]
    files: list[Any]
    policies: list[tuple[str, int]]


def watch(model: RegisteredModel) -> Watched:
    fresh = RegisteredModel.objects.get(pk=model.pk)
    versions = ModelVersion.objects.filter(model=model)
    files = ArtifactFile.objects.filter(owner_id__in=versions.values("artifact_owner")).exclude(
        path__startswith="loose/"
    )
    holdings = StageHolding.objects.filter(model=model, until=None).order_by("pk")
    return Watched(
        holders=list(versions.live().filter(current_stage="Production").values_list("pk")),
        aliases=list(Alias.objects.filter(model=model, name="champion").values_list("version_id")),
        holdings=list(holdings.values_list("pk", "target")),
        files=list(files.order_by("pk").values_list("pk", "path", "sha256")),
        policies=[(rule.name, rule.revision.pk) for rule in Rulebook.load().over(fresh.name, fresh.tags)],
    )


@dataclass(frozen=True)
class House:
    """The world of the sweep, aimed at what is guarded: once to bring version 2 in, once to get version 1 out."""

    model: RegisteredModel
    aims: tuple[World, World]


@pytest.fixture
def house(world: World) -> House:
    model = RegisteredModel.objects.get(name="churn-predictor")
    RegisteredModel.objects.filter(pk=model.pk).update(tags={**model.tags, "tier": "critical"})
    holder = ModelVersion.objects.get(model=model, current_stage="Production")
    everywhere = {"key": "tier", "value": "toy", "new_name": "harmless", "creator": "mira"}
    body = world.body | everywhere
    enter = {"stage": "Production", "target": "Production", "decision": "approve", "archive_existing_versions": True}
    leave = {"stage": "Archived", "target": "Archived", "decision": "reject", "archive_existing_versions": False}
    number, files = {"number": holder.version}, f"{holder.source.removeprefix('mlflow-artifacts:/')}/evil.html"
    samples = {area: known | number if "number" in known else known for area, known in world.samples.items()}
    return House(
        model,
        (
            replace(world, body=body | enter),
            replace(
                world,
                samples={"mlflow-artifacts/": {"path": files}} | samples,
                body=body | leave | {"version": str(holder.version)},
            ),
        ),
    )


@dataclass(frozen=True)
class Caller:
    """Somebody at the APIs with a token, and at the pages signed in anew for each call: one of them signs out."""

    user: User
    token: Client
    session: Callable[[User], Client]

    def at(self, route: Route) -> Client:
        return self.token if route.is_api else self.session(self.user)


@pytest.fixture
def callers(
    admin: User, mira: User, alice: User, dkim: User, sam: User, eve: User, ci_bot: User,
    session: Callable[[User], Client],
) -> dict[str, Caller]:  # fmt: skip
    manager = person("manager", level=Level.MANAGE)
    mover = person("mover", level=Level.MANAGE_PRODUCTION_VERSIONS)
    people = (admin, manager, mover, mira, alice, dkim, ci_bot, sam, eve)
    return {user.username: Caller(user, bearer(user), session) for user in people}


def rows() -> Iterator[tuple[str, Route]]:
    for route, method in itertools.product(ROUTES, UNSAFE):
        if not route.only_reads and route.view not in OPEN:
            yield method, route


def outcome(method: str, route: Route, caller: Caller, house: House) -> str:
    """What came of it at the worst: MOVED or unguarded, else the statuses. Everything is undone."""
    found = []
    for aim in house.aims:
        with transaction.atomic():
            before = watch(house.model)
            status = send(caller.at(route), method, route, aim).status_code
            if status < 400:
                tasks.reconsider_pending()  # what a worker would do next
            after = watch(house.model)
            transaction.set_rollback(True)
        if replace(after, policies=before.policies) != before:
            return MOVED
        if after.policies != before.policies:
            return UNGUARDED
        if status == 405:
            return "405"
        found.append(str(status))
    return "/".join(dict.fromkeys(found))


Table = dict[tuple[str, Route], dict[str, str]]


def audit(house: House, callers: dict[str, Caller]) -> Table:
    """The administrator calls everything. The others call each view once, by the first of its prefixes."""
    table: Table = {}
    seen = set()
    for method, route in rows():
        admins = outcome(method, route, callers["admin"], house)
        if admins == "405":
            continue
        table[method, route] = {"admin": admins}
        call = (method, route.pattern.removeprefix("ajax-").replace("/preview/", "/"))
        if call not in seen:
            seen.add(call)
            others = {name: caller for name, caller in callers.items() if name != "admin"}
            table[method, route] |= {name: outcome(method, route, caller, house) for name, caller in others.items()}
    return table


def test_no_endpoint_gets_past_a_policy_whoever_calls_it(
    house: House, callers: dict[str, Caller], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)  # thousands of requests
    free = audit(house, {name: callers[name] for name in ("admin", "mover")})
    approvals.publish_policy(actor=None, text=GATE)

    guarded = audit(house, callers)

    write_table(free, guarded, list(callers))
    cells = [(route.view, name, cell) for (_, route), row in guarded.items() for name, cell in row.items()]
    assert [cell for cell in cells if cell[2] == MOVED] == []
    changing = {(view, name) for view, name, cell in cells if cell == UNGUARDED}
    assert changing == {(view, "admin") for view in MAY_CHANGE_WHAT_IS_GUARDED}
    # The same calls do move things where nothing guards them.
    moving = {f"{method} {route.pattern}" for (method, route), row in free.items() if MOVED in row.values()}
    assert moving >= {
        "POST api/2.0/mlflow/model-versions/transition-stage",
        "POST ajax-api/2.0/mlflow/model-versions/transition-stage",
        "POST api/2.0/mlflow/databricks/model-versions/transition-stage",
        "POST api/2.0/preview/mlflow/databricks/model-versions/transition-stage",
        "POST api/2.0/mlflow/transition-requests/approve",
        "POST api/2.0/mlflow/registered-models/alias",
        "DELETE api/2.0/mlflow/registered-models/alias",
        "DELETE api/2.0/mlflow/registered-models/delete",
        "DELETE api/2.0/mlflow/model-versions/delete",
        "PUT api/v1/models/<str:name>/aliases/",
        "DELETE api/v1/models/<str:name>/aliases/",
        "POST api/v1/models/<str:name>/versions/<int:number>/move/",
        "POST api/v1/requests/<int:pk>/reviews/",
        "POST models/<str:name>/versions/<int:number>/move/",
        "POST requests/<int:pk>/review/",
    }


def write_table(free: Table, guarded: Table, roles: list[str]) -> None:
    lines = [
        "What each role can do to what a policy guards, by each endpoint that writes.",
        f"{MOVED}: who holds a guarded target, or the bytes of a version, changed. {UNGUARDED}: which policies apply",
        "changed. Else the answer's status, for bringing another version in / getting the holder out.",
        "The first two columns are without a policy, the others with one.",
        "",
        _line("", ["admin", "mover", *roles]),
    ]
    for (method, route), cells in guarded.items():
        before = free.get((method, route), {})
        columns = [before.get("admin", ""), before.get("mover", ""), *(cells.get(name, "") for name in roles)]
        lines.append(_line(f"{method} /{route.pattern}", columns))
    PRINTED.parent.mkdir(exist_ok=True)
    PRINTED.write_text("\n".join([*lines, ""]))


def _line(endpoint: str, cells: list[str]) -> str:
    return " ".join([f"{endpoint:76}", *(f"{cell:9}" for cell in cells)]).rstrip()
