"""Versions through our own API: reading with their evidence, describing, tagging, moving."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from registry.models import ModelVersion
from tests.cast import Api
from tests.factories import make_run, make_version


@pytest.fixture
def version(mira: User) -> ModelVersion:
    run = make_run(user=mira, metrics={"accuracy": 0.95, "loss": 0.1}, params={"depth": "3"})
    return make_version("churn", user=mira, run=run, files={"MLmodel": b"flavors: {}", "model.skops": b"bytes"})


def test_a_version_is_shown_with_its_evidence_and_files(
    version: ModelVersion, api: Callable[..., Api], sam: User
) -> None:
    shown = api(sam).get("models/churn/versions/1/").json()

    assert (shown["model"], shown["version"], shown["stage"], shown["owner"]) == ("churn", 1, "None", "mira")
    assert shown["digest"] == version.digest
    assert shown["evidence"]["metrics"]["accuracy"]["value"] == 0.95
    assert shown["evidence"]["params"] == {"depth": "3"}
    assert [(file["path"], file["size"]) for file in shown["files"]] == [("MLmodel", 11), ("model.skops", 5)]


def test_a_metric_that_is_no_number_is_shown_as_such(api: Callable[..., Api], sam: User) -> None:
    run = make_run(metrics={"accuracy": 0.9})
    run.metrics["accuracy"]["value"] = "NaN"
    run.save(update_fields=["metrics"])
    make_version("churn", run=run)

    shown = api(sam).get("models/churn/versions/1/")

    assert (shown.status_code, shown.json()["evidence"]["metrics"]["accuracy"]["value"]) == (200, "NaN")


def test_versions_come_the_newest_first_in_pages(api: Callable[..., Api], sam: User) -> None:
    for stage in ("Archived", "Staging", "Production"):
        make_version("churn", stage=stage)

    first = api(sam).get("models/churn/versions/", limit="2").json()
    second = api(sam).get("models/churn/versions/", limit="2", cursor=first["next_cursor"]).json()
    staging = api(sam).get("models/churn/versions/", stage="Staging").json()

    assert [row["version"] for row in first["items"]] == [3, 2]
    assert [row["version"] for row in second["items"]] == [1]
    assert [row["version"] for row in staging["items"]] == [2]


def test_a_longer_list_takes_no_more_statements(
    version: ModelVersion, api: Callable[..., Api], mira: User, django_assert_num_queries: Any
) -> None:
    client = api(mira)
    client.get("models/churn/versions/")
    with CaptureQueriesContext(connection) as one:
        client.get("models/churn/versions/")

    for _ in range(5):
        make_version("churn", user=mira)

    with django_assert_num_queries(len(one)):
        assert len(client.get("models/churn/versions/").json()["items"]) == 6


@pytest.mark.parametrize("path", ["99/", "99999999999999999999/"])
def test_a_version_that_is_not_there_is_not_found(
    version: ModelVersion, api: Callable[..., Api], sam: User, path: str
) -> None:
    answer = api(sam).get(f"models/churn/versions/{path}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_version_is_registered_from_a_run(api: Callable[..., Api], mira: User) -> None:
    made = make_version("churn", user=mira)

    answer = api(mira).post(
        "models/churn/versions/", {"source": made.source, "run_id": made.run_id, "description": "New."}
    )

    assert (answer.status_code, answer.json()["version"], answer.json()["digest"]) == (201, 2, made.digest)


@pytest.mark.parametrize("source", ["/etc/passwd", "file:///etc", "runs:/../x", "ftp://x/y", ""])
def test_a_source_elsewhere_is_refused(version: ModelVersion, api: Callable[..., Api], mira: User, source: str) -> None:
    assert api(mira).post("models/churn/versions/", {"source": source}).status_code == 400
    assert ModelVersion.objects.count() == 1


def test_description_and_tags_are_for_who_may_edit(
    version: ModelVersion, api: Callable[..., Api], mira: User, sam: User
) -> None:
    assert api(mira).patch("models/churn/versions/1/", {"description": "Good."}).json()["description"] == "Good."
    assert api(mira).put("models/churn/versions/1/tags/", {"key": "k", "value": "v"}).json()["tags"] == {"k": "v"}
    assert api(sam).delete("models/churn/versions/1/tags/?key=k").status_code == 403
    assert api(mira).delete("models/churn/versions/1/tags/?key=k").status_code == 204
    assert api(mira).get("models/churn/versions/1/").json()["tags"] == {}


def test_a_move_archives_who_held_the_stage(version: ModelVersion, api: Callable[..., Api], admin: User) -> None:
    make_version("churn", stage="Production")

    moved = api(admin).post("models/churn/versions/1/move/", {"stage": "Production", "archive_existing": True})

    assert (moved.status_code, moved.json()["stage"]) == (200, "Production")
    assert api(admin).get("models/churn/versions/2/").json()["stage"] == "Archived"


def test_who_may_only_edit_moves_nothing(version: ModelVersion, api: Callable[..., Api], mira: User) -> None:
    answer = api(mira).post("models/churn/versions/1/move/", {"stage": "Production"})

    assert answer.status_code == 403
    assert api(mira).post("models/churn/versions/1/move/", {"stage": "production "}).status_code == 400
    assert ModelVersion.objects.get().current_stage == "None"
