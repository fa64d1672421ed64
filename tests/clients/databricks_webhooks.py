"""Webhooks by the stock databricks-sdk, run unchanged against a fresh server: DATABRICKS_HOST and DATABRICKS_TOKEN lead
to it, RECEIVER to what answers the calls, SECRET signs them.

It makes, lists, changes, tries and deletes webhooks, and leaves one that has heard of a version and of its tag.
"""

from __future__ import annotations

import os
from importlib.metadata import version

from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, NotFound
from databricks.sdk.service.ml import HttpUrlSpec, JobSpec, RegistryWebhookEvent, RegistryWebhookStatus

CREATED, TAGGED = RegistryWebhookEvent.MODEL_VERSION_CREATED, RegistryWebhookEvent.MODEL_VERSION_TAG_SET
RECEIVER, SECRET = os.environ["RECEIVER"], os.environ["SECRET"]

registry = WorkspaceClient().model_registry
registry.create_model("fraud-score")

receiver = HttpUrlSpec(url=RECEIVER, secret=SECRET, authorization="Bearer of-the-receiver")
hook = registry.create_webhook(
    events=[CREATED, TAGGED], model_name="fraud-score", description="to chat", http_url_spec=receiver,
    status=RegistryWebhookStatus.TEST_MODE,
).webhook  # fmt: skip
assert hook is not None and hook.id is not None
assert (hook.model_name, hook.description, hook.status) == ("fraud-score", "to chat", RegistryWebhookStatus.TEST_MODE)
assert hook.http_url_spec is not None and hook.http_url_spec.as_dict() == {
    "url": RECEIVER,
    "enable_ssl_verification": True,
}
assert isinstance(hook.creation_timestamp, int)
registry.create_model_version("fraud-score", "s3://bucket/unheard")

tried = registry.test_registry_webhook(hook.id, event=TAGGED)
assert (tried.status_code, tried.body) == (200, "ok"), tried

registry.update_webhook(hook.id, status=RegistryWebhookStatus.DISABLED)
try:
    registry.test_registry_webhook(hook.id)
except BadRequest:
    pass
else:
    raise AssertionError("a disabled webhook was tried")

wide = registry.create_webhook(
    events=[RegistryWebhookEvent.REGISTERED_MODEL_CREATED],
    job_spec=JobSpec(job_id="42", access_token="of-the-workspace", workspace_url="https://ws.example.com"),
).webhook
assert wide is not None and wide.id is not None and wide.job_spec is not None
assert (wide.job_spec.job_id, wide.job_spec.workspace_url) == ("42", "https://ws.example.com")
assert wide.model_name is None and wide.http_url_spec is None

assert {found.id for found in registry.list_webhooks(max_results=1)} == {hook.id, wide.id}
assert [found.id for found in registry.list_webhooks(model_name="fraud-score")] == [hook.id]
assert [found.id for found in registry.list_webhooks(events=[TAGGED, CREATED])] == [hook.id]
registry.delete_webhook(wide.id)
try:
    registry.delete_webhook(wide.id)
except NotFound:
    pass
else:
    raise AssertionError("a deleted webhook was deleted")

registry.update_webhook(hook.id, status=RegistryWebhookStatus.ACTIVE, description="")
registry.rename_model("fraud-score", new_name="fraud-rating")
[left] = registry.list_webhooks()
assert (left.model_name, left.status, left.description) == ("fraud-rating", RegistryWebhookStatus.ACTIVE, None), left
registry.create_model_version("fraud-rating", "s3://bucket/model")
registry.set_model_version_tag("fraud-rating", "2", "auc", "0.91")

print(f"OK {version('databricks-sdk')}")
