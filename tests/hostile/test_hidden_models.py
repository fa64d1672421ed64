"""Who may not see a model hears of it exactly what they would hear if it were not there."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from pytest_django import Settings

from accounts.models import User
from approvals import services as approvals
from registry.gate import Target
from registry.models import ModelVersion, TargetKind
from tests.web.mlflow import test_hostile_databricks as databricks
from tests.web.mlflow.conftest import Door
from tests.web.mlflow.test_hostile_input import FIELDS

models = databricks.world  # a fixture
CALLS: dict[str, dict[str, Any]] = {
    **{path: fields for path, fields in FIELDS.items() if path != "registered-models/create"},
    **{path: fields for path, (_, fields) in databricks.CALLS.items()},
    databricks.OF_MODEL + "/permissionLevels": {},
}
NAMING_NONE = ("registered-models/search", "model-versions/search", "registered-models/list", databricks.OF_ALL)
# In place of what is there, what is not; as long, for messages that say where something is wrong.
OTHERS = {"churn": "gone!", str(databricks.COMMENT): "7009001", databricks.HOOK.hex: UUID(int=9).hex}
MODEL = (str(databricks.MODEL), "7009002")


@pytest.mark.parametrize("path", [path for path in CALLS if path not in NAMING_NONE])
@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "names only"])
def test_a_hidden_model_is_as_one_that_is_not_there(
    path: str, is_whole: bool, models: ModelVersion, mira: User, eve: User, settings: Settings
) -> None:
    approvals.open_request(actor=mira, version=models, target=Target(TargetKind.STAGE, "Production"))
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    door, names = Door(eve), ("name", "version", "id", "model_name")
    fields = {name: value for name, value in CALLS[path].items() if is_whole or name in names}
    absent = {name: OTHERS.get(value, value) if isinstance(value, str) else value for name, value in fields.items()}

    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        hidden = answered(door, method, path, fields)
        assert hidden == answered(door, method, path.replace(*MODEL), absent)
        assert hidden[0] in (400, 404, 405)


def answered(door: Door, method: str, path: str, fields: dict[str, Any]) -> tuple[int, Any]:
    sent = {"query": fields} if method == "GET" else {"body": fields}
    answer = door.send(method, path, **sent)
    text = answer.content.decode()
    for there, absent in (*OTHERS.items(), MODEL):
        text = text.replace(there, absent)
    return answer.status_code, json.loads(text)
