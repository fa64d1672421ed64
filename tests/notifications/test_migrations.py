"""Going forward and back between releases, with rows."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from django.apps.registry import Apps
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

pytestmark = pytest.mark.django_db(transaction=True)
BEFORE, AFTER = "0003_webhooks", "0005_databricks_webhooks"


def migrate(name: str) -> Apps:
    MigrationExecutor(connection).migrate([("notifications", name)])
    return MigrationExecutor(connection).loader.project_state([("notifications", name)]).apps


@pytest.fixture(autouse=True)
def _back_to_the_present() -> Iterator[None]:
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def test_deliveries_stay_and_only_what_the_older_release_cannot_send_goes_with_it() -> None:
    apps = migrate(BEFORE)
    event = apps.get_model("notifications", "Event").objects.create(kind="tag.set", model_name="m", summary="s")
    channel = apps.get_model("notifications", "Channel").objects.create(kind="slack", name="chat", target="x")
    apps.get_model("notifications", "Delivery").objects.create(event=event, channel=channel)

    apps = migrate(AFTER)
    deliveries = apps.get_model("notifications", "Delivery").objects
    assert list(deliveries.values_list("channel__name", "part", "event__model_id")) == [("chat", "", None)]
    theirs = apps.get_model("notifications", "Channel").objects.create(
        kind="webhook", form="databricks", key=uuid.uuid4(), name="theirs", target="x", model_id=1
    )
    for part in ("COMMENT_CREATED/1", "COMMENT_CREATED/2"):
        deliveries.create(event_id=event.pk, channel=theirs, part=part)

    apps = migrate(BEFORE)
    assert list(apps.get_model("notifications", "Delivery").objects.values_list("channel__name")) == [("chat",)]
