"""The promises that no single room can keep alone. A new write service or change kind fails here until it is added."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps

from accounts.models import Level, User
from approvals import services as approvals
from core.errors import NotPermitted
from core.prepared import LookUp
from registry import gate
from registry import services as registry
from registry.gate import Change, ChangeKind, GateRefused, Permit
from registry.models import ModelVersion, RegisteredModel
from tests.approvals.conftest import POLICY
from tests.factories import make_version

ROOT = Path(__file__).resolve().parent.parent
TAGGED = POLICY.replace('models: ["churn-*"]', 'models: ["churn-*"]\n  tags: {tier: critical}')


class House:
    """A guarded model: version 1 holds Production and @champion, version 2 would like to."""

    def __init__(self) -> None:
        self.holder = make_version(
            "churn-predictor", stage="Production", aliases=["champion"], metrics={"accuracy": 0.9}
        )
        self.model: RegisteredModel = self.holder.model
        self.model.tags = {"tier": "critical"}
        self.model.save(update_fields=["tags"])
        self.version = make_version(self.model, metrics={"accuracy": 0.99, "f1": 0.99})


Write = Callable[[User, House], object]

# Every write of the registry, by its name, as a call.
WRITES: dict[str, Write] = {
    "create_model": lambda by, at: registry.create_model(actor=by, name="churn-other"),
    "update_model": lambda by, at: registry.update_model(actor=by, model=at.model, description="New."),
    "rename_model": lambda by, at: registry.rename_model(actor=by, model=at.model, new_name="harmless"),
    "delete_model": lambda by, at: registry.delete_model(actor=by, model=at.model),
    "set_model_tag": lambda by, at: registry.set_model_tag(actor=by, model=at.model, key="tier", value="toy"),
    "delete_model_tag": lambda by, at: registry.delete_model_tag(actor=by, model=at.model, key="tier"),
    "change_grants": lambda by, at: registry.change_grants(actor=by, model=at.model, levels={by: Level.READ}),
    "create_version": lambda by, at: registry.create_version(actor=by, model=at.model, source="s3://bucket/model"),
    "update_version": lambda by, at: registry.update_version(actor=by, version=at.version, description="New."),
    "delete_version": lambda by, at: registry.delete_version(actor=by, version=at.holder),
    "read_run_again": lambda by, at: registry.read_run_again(actor=by, version=at.version),
    "report_deployment": lambda by, at: registry.report_deployment(actor=by, version=at.version, name="eu-west"),
    "delete_deployment": lambda by, at: registry.delete_deployment(actor=by, model=at.model, name="eu-west"),
    "set_version_tag": lambda by, at: registry.set_version_tag(actor=by, version=at.version, key="a", value="b"),
    "delete_version_tag": lambda by, at: registry.delete_version_tag(actor=by, version=at.version, key="a"),
    "move_to_stage": lambda by, at: registry.move_to_stage(
        actor=by, version=at.version, stage="Production", archive_existing=True
    ),
    "set_alias": lambda by, at: registry.set_alias(actor=by, version=at.version, alias="champion"),
    "delete_alias": lambda by, at: registry.delete_alias(actor=by, model=at.model, alias="champion"),
}
# Those that would change who holds a guarded target, or which policy guards it: refused for every role.
GUARDED: dict[str, Write] = {
    **{name: WRITES[name] for name in ("move_to_stage", "set_alias", "delete_alias", "delete_version", "delete_model")},
    "rename_model": WRITES["rename_model"],
    "move without archiving": lambda by, at: registry.move_to_stage(actor=by, version=at.version, stage="Production"),
    "archive the holder": lambda by, at: registry.move_to_stage(actor=by, version=at.holder, stage="Archived"),
    "demote the holder": lambda by, at: registry.move_to_stage(actor=by, version=at.holder, stage="Staging"),
    "unstage the holder": lambda by, at: registry.move_to_stage(actor=by, version=at.holder, stage="None"),
    "move with a made-up permit": lambda by, at: registry.move_to_stage(
        actor=by, version=at.version, stage="Production", permit=Permit(4711)
    ),
    "alias with a made-up permit": lambda by, at: registry.set_alias(
        actor=by, version=at.version, alias="champion", permit=Permit(4711)
    ),
    "delete an alias with a made-up permit": lambda by, at: registry.delete_alias(
        actor=by, model=at.model, alias="champion", permit=Permit(4711)
    ),
}
ROLES = ("admin", "mira", "alice", "dkim", "sam", "eve", "ci_bot")


@pytest.fixture
def house(db: None) -> House:
    approvals.publish_policy(actor=None, text=TAGGED)
    return House()


@pytest.fixture
def closed_gate(monkeypatch: pytest.MonkeyPatch) -> list[Change]:
    """A gate that refuses everything, and keeps what it was asked."""
    asked: list[Change] = []

    class Closed:
        def check(self, change: Change) -> None:
            asked.append(change)
            raise GateRefused("Closed.")

        def questions(self, kind: ChangeKind, version: ModelVersion) -> tuple[LookUp[Any], ...]:
            return ()

    monkeypatch.setattr(gate, "_answerer", Closed)
    return asked


def every_row() -> dict[str, list[tuple[object, ...]]]:
    rooms = ("registry", "approvals", "notifications", "accounts")
    models = [model for model in apps.get_models() if model._meta.app_label in rooms]
    return {model._meta.label: list(model._base_manager.order_by("pk").values_list()) for model in models}


def test_every_write_of_the_registry_is_listed_here() -> None:
    assert set(WRITES) == set(registry.__all__)
    public = {name for name, _ in inspect.getmembers(registry, inspect.isfunction) if not name.startswith("_")}
    assert public == set(registry.__all__)


@pytest.mark.parametrize("name", sorted(WRITES))
def test_no_write_of_the_registry_passes_a_closed_gate(
    name: str, house: House, admin: User, closed_gate: list[Change]
) -> None:
    before = every_row()

    with pytest.raises(GateRefused):
        WRITES[name](admin, house)

    assert every_row() == before
    assert len(closed_gate) == 1 and closed_gate[0].actor == admin


def test_every_kind_of_change_is_asked_by_a_write(house: House, admin: User, closed_gate: list[Change]) -> None:
    for write in WRITES.values():
        with pytest.raises(GateRefused):
            write(admin, house)

    assert {change.kind for change in closed_gate} == set(ChangeKind)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", sorted(GUARDED))
def test_no_role_changes_who_holds_a_guarded_target(
    name: str, role: str, house: House, request: pytest.FixtureRequest
) -> None:
    user: User = request.getfixturevalue(role)
    before = every_row()

    with pytest.raises(NotPermitted):
        GUARDED[name](user, house)

    assert every_row() == before


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", ["set_model_tag", "delete_model_tag"])
def test_only_an_administrator_touches_a_tag_that_decides_over_policies(
    name: str, role: str, house: House, request: pytest.FixtureRequest
) -> None:
    user: User = request.getfixturevalue(role)
    if role == "admin":
        WRITES[name](user, house)
        return

    with pytest.raises(NotPermitted):
        WRITES[name](user, house)

    assert RegisteredModel.objects.get(pk=house.model.pk).tags == {"tier": "critical"}


def test_nothing_outside_the_registrys_services_writes_a_stage() -> None:
    """Reading is free; assigning or updating ``current_stage`` belongs to one function."""
    allowed = {"registry/services/stages.py", "registry/models.py"}
    found = set()
    for path in ROOT.glob("*/**/*.py"):
        where = path.relative_to(ROOT).as_posix()
        if where.startswith((".venv", "tests/", "demo/", "var/")) or "/migrations/" in where:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                nested = [part for target in targets for part in ast.walk(target)]
                if any(isinstance(part, ast.Attribute) and part.attr == "current_stage" for part in nested):
                    found.add(where)
            elif isinstance(node, ast.Call) and _writes_a_stage(node):
                found.add(where)

    assert found <= allowed


def _writes_a_stage(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in ("update", "create"):
        return False
    return any(keyword.arg == "current_stage" for keyword in call.keywords)


def test_the_holder_is_untouched_after_all_of_it(house: House, admin: User) -> None:
    for write in GUARDED.values():
        with pytest.raises(NotPermitted):
            write(admin, house)

    assert list(ModelVersion.objects.filter(current_stage="Production")) == [house.holder]


def _variables_read() -> set[str]:
    """Every name that the settings ask of the environment, by ``env`` or one of the readers beside it."""
    readers = re.compile(r"env(\.\w+)?|flag|number|choice|address_parts")
    trees = [ast.parse((ROOT / "config" / f"{name}.py").read_text()) for name in ("settings", "addresses")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [call.args[0] for call in calls if call.args and readers.fullmatch(ast.unparse(call.func))]
    return {str(name.value) for name in named if isinstance(name, ast.Constant)}


def test_nothing_but_the_settings_reads_the_environment() -> None:
    for room in ("web", "approvals", "registry", "tracking", "notifications", "accounts", "core"):
        for path in (ROOT / room).rglob("*.py"):
            assert not re.search(r"\b(os\.environ|getenv|environ\[)", path.read_text()), path


def test_every_variable_read_is_in_the_docs_and_none_besides() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}

    assert documented == _variables_read()
