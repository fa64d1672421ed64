"""The stock client 3.18 makes, reads, tries and deletes webhooks of a running server, and its events arrive signed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities.webhook import Webhook, WebhookEvent, WebhookStatus
from mlflow.exceptions import MlflowException
from mlflow.webhooks.delivery import _generate_hmac_signature

from tests.receivers import Receiver, wait_until
from tests.servers import Server, migrated

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.embedded, pytest.mark.timeout(300)]
EVENTS = ["registered_model.created", "model_version.created", "model_version_alias.created", "prompt_version.created"]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    running = Server(migrated(tmp_path / "data"), OUTBOUND_ALLOW="127.0.0.1")
    try:
        running.wait_ready()
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", running.token)
        yield running
    finally:
        running.stop()


def make(client: MlflowClient, url: str, *, secret: str | None = None) -> Webhook:
    events = [WebhookEvent.from_str(event) for event in EVENTS]
    return client.create_webhook(name="deploy", url=url, events=events, secret=secret)


def test_the_stock_client_manages_webhooks(server: Server) -> None:
    client = MlflowClient(server.url)
    ours = {"kind": "webhook", "name": "ours", "target": "https://e.com/", "kinds": ["transition.applied"]}
    own = requests.post(
        f"{server.url}/api/v1/channels/", json=ours, headers={"Authorization": f"Bearer {server.token}"}, timeout=30
    )
    assert own.status_code == 201, own.text
    with Receiver() as receiver:
        made = make(client, receiver.url)

        assert [(hook.webhook_id, hook.url, hook.secret) for hook in client.list_webhooks()] == [
            (made.webhook_id, receiver.url, None)
        ]
        assert sorted(str(event) for event in client.get_webhook(made.webhook_id).events) == sorted(EVENTS)
        tried = client.test_webhook(made.webhook_id, event=WebhookEvent.from_str("prompt_alias.deleted"))
        assert (tried.success, tried.response_status, tried.response_body) == (True, 200, "ok")
        assert receiver.posts[0]["data"] == {"name": "example_prompt", "alias": "example_alias"}
        off = client.update_webhook(made.webhook_id, name="live", status=WebhookStatus.DISABLED)
        assert (off.name, off.status, off.url) == ("live", WebhookStatus.DISABLED, receiver.url)
        client.create_registered_model("unheard")
        client.delete_webhook(made.webhook_id)
        assert client.list_webhooks() == []
        with pytest.raises(MlflowException, match="not found"):
            client.get_webhook(made.webhook_id)
        assert len(receiver.calls) == 1


def test_what_the_stock_client_changes_is_told_and_verified_by_its_own_formula(server: Server) -> None:
    client = MlflowClient(server.url)
    with Receiver() as receiver:
        make(client, receiver.url, secret="geheim ✓")

        client.create_registered_model("churn", tags={"tier": "1"}, description="Who leaves.")
        client.create_model_version("churn", "s3://bucket/model")
        client.set_registered_model_alias("churn", "live", "1")
        client.create_prompt("greeting")
        client.create_prompt_version("greeting", template="Hello {{name}}!")
        wait_until(lambda: len(receiver.calls) == 4, "the four deliveries")

    told = {f"{post['entity']}.{post['action']}": post["data"] for post in receiver.posts}
    assert set(told) == set(EVENTS)
    assert told["registered_model.created"] == {"name": "churn", "tags": {"tier": "1"}, "description": "Who leaves."}
    assert told["model_version_alias.created"] == {"name": "churn", "alias": "live", "version": "1"}
    assert told["prompt_version.created"]["template"] == "Hello {{name}}!"
    for call in receiver.calls:
        delivery_id, timestamp = call.headers["x-mlflow-delivery-id"], call.headers["x-mlflow-timestamp"]
        expected = _generate_hmac_signature("geheim ✓", delivery_id, timestamp, call.body.decode())
        assert call.headers["x-mlflow-signature"] == expected
    assert len({call.headers["x-mlflow-delivery-id"] for call in receiver.calls}) == 4
