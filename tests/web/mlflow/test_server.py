"""What clients ask about the server itself, before they sign in."""

from __future__ import annotations

import json

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("prefix", ["api", "ajax-api"])
def test_a_stranger_may_ask_what_the_server_can(prefix: str) -> None:
    answer = Client().get(f"/{prefix}/3.0/mlflow/server-info")

    info = json.loads(answer.content)
    assert answer.status_code == 200
    assert info["artifact_serving_enabled"] is True and info["workspaces_enabled"] is False
    assert (
        info["multipart_uploads_enabled"]
        is info["multipart_downloads_enabled"]
        is info["artifacts_presigned_only"]
        is False
    )


def test_server_features_are_not_known() -> None:
    assert Client().get("/api/3.0/mlflow/server-features").status_code in (401, 404)
