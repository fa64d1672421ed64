"""The unmodified WorkspaceClient of databricks-sdk as manager, requester, approver and reader.

Run with DATABRICKS_HOST set, and MANAGER, REQUESTER, APPROVER and READER to their tokens; prints OK when every step did
what it should. The requester and the reader have nothing but CAN_READ, the approver manages Production versions.
"""

import os
import time
from collections.abc import Callable
from itertools import islice

import mlflow
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import (
    InvalidParameterValue,
    NotFound,
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
    Unauthenticated,
)
from databricks.sdk.service.ml import ModelTag, ModelVersionTag
from databricks.sdk.version import __version__

HOST = os.environ["DATABRICKS_HOST"]
NAME = "fraud-score"
ids = {}


def registry(who: str):
    client = WorkspaceClient(host=HOST, token=os.environ[who])
    ids[who] = client.current_user.me().user_name
    return client.model_registry


def expect(seen, wanted) -> None:
    assert seen == wanted, f"{seen!r} is not {wanted!r}"


def refused(error: type[Exception], act: Callable, *args, **kwargs) -> str:
    """The message of a call that must be refused so, and at once: the SDK repeats some failures for minutes."""
    began = time.monotonic()
    try:
        act(*args, **kwargs)
    except error as refusal:
        assert time.monotonic() - began < 20
        return str(refusal)
    raise AssertionError(f"{act.__name__} was taken")


def actions(who: str, version: str) -> list:
    """Of the open requests, as only the raw answer has it."""
    client = WorkspaceClient(host=HOST, token=os.environ[who])
    path, query = "/api/2.0/mlflow/transition-requests/list", {"name": NAME, "version": version}
    found = client.api_client.do("GET", path, query=query)["requests"]
    return [(each["user_id"], each["to_stage"], each["available_actions"]) for each in found]


def stage(version: str) -> str:
    return manager.get_model_version(NAME, version).model_version.current_stage


manager, requester, approver, reader = (registry(who) for who in ("MANAGER", "REQUESTER", "APPROVER", "READER"))
expect(ids["REQUESTER"], "ann")
refused(Unauthenticated, WorkspaceClient(host=HOST, token="wrong").model_registry.get_model, NAME)

# Models
made = manager.create_model(NAME, description="Card fraud", tags=[ModelTag("team", "risk")]).registered_model
expect((made.name, made.description, made.tags[0].value), (NAME, "Card fraud", "risk"))
refused(ResourceAlreadyExists, manager.create_model, NAME)
for number in range(4):
    manager.create_model(f"other-{number}")
expect([m.name for m in reader.list_models(max_results=2)], [NAME, *(f"other-{number}" for number in range(4))])
expect([m.name for m in reader.search_models(filter="name LIKE 'other-%'", max_results=3)], ["other-0", "other-1",
       "other-2", "other-3"])  # fmt: skip
manager.rename_model("other-0", new_name="renamed")
manager.delete_model("renamed")
refused(ResourceDoesNotExist, manager.get_model, "renamed")
seen = reader.get_model(NAME).registered_model_databricks
expect((seen.user_id, seen.permission_level.value, bool(seen.id)), (ids["MANAGER"], "CAN_READ", True))
expect(manager.get_model(NAME).registered_model_databricks.permission_level.value, "CAN_MANAGE")
expect(approver.get_model(NAME).registered_model_databricks.permission_level.value, "CAN_MANAGE_PRODUCTION_VERSIONS")
manager.update_model(NAME, description="Card fraud, by the minute")
manager.set_model_tag(NAME, "tier", "1")
manager.delete_model_tag(NAME, "team")
seen = reader.get_model(NAME).registered_model_databricks
expect((seen.description, [(t.key, t.value) for t in seen.tags]), ("Card fraud, by the minute", [("tier", "1")]))
refused(PermissionDenied, reader.update_model, NAME, description="Mine")

# Versions
for number in range(3):
    made = manager.create_model_version(
        NAME, f"s3://models/{number}", description="retrained", run_link="https://tracking.example.com/#/runs/1",
        tags=[ModelVersionTag("auc", "0.91")],
    ).model_version  # fmt: skip
expect((made.version, made.user_id, made.current_stage), ("3", ids["MANAGER"], "None"))
expect((made.run_link, made.status.value), ("https://tracking.example.com/#/runs/1", "READY"))
expect(sorted(v.version for v in reader.search_model_versions(filter=f"name='{NAME}'", max_results=2)), ["1", "2", "3"])
manager.update_model_version(NAME, "3", description="better")
manager.set_model_version_tag(NAME, "3", "checked", "yes")
manager.delete_model_version_tag(NAME, "3", "auc")
made = reader.get_model_version(NAME, "3").model_version
expect((made.description, [(t.key, t.value) for t in made.tags]), ("better", [("checked", "yes")]))
expect(reader.get_model_version_download_uri(NAME, "3").artifact_uri, "s3://models/2")
expect([v.version for v in reader.get_latest_versions(NAME, stages=["None"])], ["3"])
refused(PermissionDenied, reader.create_model_version, NAME, "s3://models/9")
refused(PermissionDenied, approver.delete_model_version, NAME, "3")
refused(ResourceDoesNotExist, reader.get_model_version, NAME, "9")

# Moving
refused(PermissionDenied, reader.transition_stage, NAME, "1", "Staging", False)
refused(InvalidParameterValue, manager.transition_stage, NAME, "1", "Live", False)
moved = approver.transition_stage(NAME, "1", "Production", False, comment="First").model_version_databricks
expect((moved.current_stage, moved.permission_level.value), ("Production", "CAN_MANAGE_PRODUCTION_VERSIONS"))
expect((moved.open_requests or [], moved.email_subscription_status.value), ([], "DEFAULT"))

# Asking and approving
asked = requester.create_transition_request(NAME, "2", "Production", comment="AUC is up").request
expect((asked.user_id, asked.to_stage, asked.comment), ("ann", "Production", "AUC is up"))
expect([action.value for action in asked.available_actions], ["CANCEL_TRANSITION_REQUEST"])
refused(ResourceAlreadyExists, requester.create_transition_request, NAME, "2", "Production")
refused(InvalidParameterValue, requester.create_transition_request, NAME, "1", "Production")
reader.create_transition_request(NAME, "2", "Production")
requester.create_transition_request(NAME, "2", "Staging")
[first, *_] = reader.list_transition_requests(NAME, "2")
expect((first.activity_type.value, first.user_id, first.to_stage), ("REQUESTED_TRANSITION", "ann", "Production"))
cancel, decide = ["CANCEL_TRANSITION_REQUEST"], ["APPROVE_TRANSITION_REQUEST", "REJECT_TRANSITION_REQUEST"]
expect(actions("APPROVER", "2")[0], ("ann", "Production", decide))
expect(actions("READER", "2"), [("ann", "Production", []), ("rex", "Production", cancel), ("ann", "Staging", [])])
expect(actions("MANAGER", "2")[0], ("ann", "Production", [*cancel, *decide]))
expect(len(manager.transition_stage(NAME, "3", "Staging", False).model_version_databricks.open_requests or []), 0)
refused(PermissionDenied, reader.approve_transition_request, NAME, "2", "Production", True)
refused(PermissionDenied, reader.approve_transition_request, NAME, "2", "Archived", True)
refused(NotFound, approver.approve_transition_request, NAME, "2", "Archived", True)
expect(stage("2"), "None")
done = approver.approve_transition_request(NAME, "2", "Production", True, comment="ship it").activity
expect((done.activity_type.value, done.user_id, done.comment), ("APPROVED_REQUEST", "bea", "ship it"))
expect((done.from_stage, done.to_stage, bool(done.id)), ("None", "Production", True))
expect((stage("1"), stage("2")), ("Archived", "Production"))
expect([each.to_stage for each in reader.list_transition_requests(NAME, "2")], ["Staging"])

# Rejecting and cancelling
refused(PermissionDenied, reader.reject_transition_request, NAME, "2", "Staging")
done = approver.reject_transition_request(NAME, "2", "Staging", comment="not now").activity
expect((done.activity_type.value, done.from_stage, done.comment), ("REJECTED_REQUEST", "Production", "not now"))
refused(NotFound, approver.reject_transition_request, NAME, "2", "Staging")
requester.create_transition_request(NAME, "2", "Staging")
approver.reject_transition_request(NAME, "2", "Staging")
for stage_name, canceller in (("Staging", requester), ("Archived", manager)):
    requester.create_transition_request(NAME, "2", stage_name)
    for other in (reader, approver):
        refused(PermissionDenied, other.delete_transition_request, NAME, "2", stage_name, "ann")
    done = canceller.delete_transition_request(NAME, "2", stage_name, "ann", comment="changed my mind").activity
    expect((done.activity_type.value, done.to_stage), ("CANCELLED_REQUEST", stage_name))
    refused(NotFound, requester.delete_transition_request, NAME, "2", stage_name, "ann")
expect(list(reader.list_transition_requests(NAME, "2")), [])

# Comments
said = reader.create_comment(NAME, "2", "AUC fell by 2 points").comment
expect((said.user_id, [action.value for action in said.available_actions]), ("rex", ["EDIT_COMMENT", "DELETE_COMMENT"]))
changed = reader.update_comment(said.id, "AUC **rose** by 2 points").comment
expect((changed.id, changed.comment), (said.id, "AUC **rose** by 2 points"))
expect(changed.creation_timestamp, said.creation_timestamp)
refused(PermissionDenied, manager.update_comment, said.id, "No")
refused(PermissionDenied, manager.delete_comment, said.id)
refused(InvalidParameterValue, reader.create_comment, NAME, "2", "x" * 65_536)
refused(ResourceDoesNotExist, reader.create_comment, NAME, "9", "Where?")
reader.delete_comment(said.id)
refused(ResourceDoesNotExist, reader.delete_comment, said.id)

# MLflow's own client, told that its registry is a workspace
os.environ["DATABRICKS_TOKEN"] = os.environ["APPROVER"]
client = mlflow.MlflowClient(tracking_uri=HOST, registry_uri="databricks")
expect(client.get_registered_model(NAME).description, "Card fraud, by the minute")
expect(client.transition_model_version_stage(NAME, "3", "Production").current_stage, "Production")
expect(len(list(islice(client.search_model_versions(f"name='{NAME}'"), 9))), 3)

manager.delete_model_version(NAME, "1")
manager.delete_model(NAME)
print(f"OK {__version__}")
