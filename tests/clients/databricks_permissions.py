"""Grants by the unmodified databricks-sdk, as who manages a model, who reads it and who is outside.

Tokens come as TOKEN_MANAGER, TOKEN_READER and TOKEN_OUTSIDER; the user names are manager, reader and outsider.
"""

from __future__ import annotations

import os

from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound, PermissionDenied
from databricks.sdk.service.ml import RegisteredModelAccessControlRequest as Entry
from databricks.sdk.service.ml import RegisteredModelPermissionLevel as Level
from databricks.sdk.version import __version__

HOST = os.environ["MLFLOW_TRACKING_URI"]


def client(who: str) -> WorkspaceClient:
    return WorkspaceClient(host=HOST, token=os.environ[f"TOKEN_{who.upper()}"])


def refused(call: object, error: type[Exception]) -> None:
    try:
        call()  # type: ignore[operator]
    except error:
        return
    raise AssertionError(f"not refused with {error.__name__}")


def levels(permissions: object) -> dict[str, list[tuple[str, bool]]]:
    return {
        entry.user_name or entry.group_name: [
            (permission.permission_level.value, bool(permission.inherited)) for permission in entry.all_permissions
        ]
        for entry in permissions.access_control_list  # type: ignore[attr-defined]
    }


manager, reader, outsider = (client(who).model_registry for who in ("manager", "reader", "outsider"))
manager.create_model("fraud")
model_id = "1"  # of the first model of a server that was just started

described = manager.get_permission_levels(model_id).permission_levels
assert [level.permission_level.value for level in described][-1] == "CAN_MANAGE" and len(described) == 5
assert levels(manager.get_permissions(model_id)) == {
    "manager": [("CAN_MANAGE", False)], "admins": [("CAN_MANAGE", True)],
}  # fmt: skip
refused(lambda: reader.get_permissions(model_id), NotFound)

manager.update_permissions(model_id, access_control_list=[Entry(user_name="reader", permission_level=Level.CAN_READ)])
assert levels(reader.get_permissions(model_id))["reader"] == [("CAN_READ", False)]
mine = [Entry(user_name="reader", permission_level=Level.CAN_MANAGE)]
refused(lambda: reader.update_permissions(model_id, access_control_list=mine), PermissionDenied)
refused(lambda: outsider.set_permissions(model_id, access_control_list=mine), NotFound)
refused(lambda: manager.get_permissions("root"), PermissionDenied)
unknown = [Entry(user_name="nobody", permission_level=Level.CAN_READ)]
refused(lambda: manager.update_permissions(model_id, access_control_list=unknown), NotFound)

answer = manager.set_permissions(model_id, access_control_list=mine)
assert levels(answer) == {"reader": [("CAN_MANAGE", False)], "admins": [("CAN_MANAGE", True)]}
refused(lambda: manager.get_permissions(model_id), NotFound)  # who forgets himself loses the model
assert answer.object_id == f"/registered-models/{model_id}" and answer.object_type == "registered-model"

print(f"OK {__version__}")
