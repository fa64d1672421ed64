"""No value in any field of any registry call is a crash, and none shows what is inside."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.conf import settings

from notifications.models import Event
from tests.factories import make_version
from tests.web.mlflow.conftest import API, Door
from web.mlflow.urls import REGISTRY

pytestmark = pytest.mark.django_db

FIELDS: dict[str, dict[str, Any]] = {
    "registered-models/create": {"name": "new", "description": "d", "tags": [{"key": "k", "value": "v"}]},
    "registered-models/get": {"name": "churn"},
    "registered-models/search": {"filter": "name = 'churn'", "max_results": 5, "order_by": ["name"], "page_token": ""},
    "registered-models/get-latest-versions": {"name": "churn", "stages": ["None"]},
    "registered-models/update": {"name": "churn", "description": "d"},
    "registered-models/rename": {"name": "churn", "new_name": "other"},
    "registered-models/delete": {"name": "churn"},
    "registered-models/set-tag": {"name": "churn", "key": "k", "value": "v"},
    "registered-models/delete-tag": {"name": "churn", "key": "k"},
    "registered-models/alias": {"name": "churn", "alias": "champion", "version": "1"},
    "model-versions/create": {
        "name": "churn", "source": "s3://b/x", "run_id": "r", "model_id": "", "run_link": "l", "tags": [],
        "description": "d"
    },
    "model-versions/get": {"name": "churn", "version": "1"},
    "model-versions/search": {"filter": "name = 'churn'", "max_results": 5, "order_by": ["name"], "page_token": ""},
    "model-versions/update": {"name": "churn", "version": "1", "description": "d"},
    "model-versions/transition-stage": {"name": "churn", "version": "1", "stage": "Staging",
    "archive_existing_versions": True},
    "model-versions/delete": {"name": "churn", "version": "1"},
    "model-versions/get-download-uri": {"name": "churn", "version": "1"},
    "model-versions/set-tag": {"name": "churn", "version": "1", "key": "k", "value": "v"},
    "model-versions/delete-tag": {"name": "churn", "version": "1", "key": "k"},
}  # fmt: skip
VALUES: list[Any] = [
    None, True, 0, -1, 1.5, 2**31, 2**63, 10**40, -(10**40), 1e308, "", " ", "\x00", "a\x00b", "\ud800", "\u202e",
    "x" * 1000, "x" * 200_000,
    "'", "\\", "%", "'; DROP TABLE registry_modelversion; --", "../../etc/passwd", "{{7*7}}", "9" * 5000, "٣", "²",
    "NaN", "1e5", "-0",
    [], [None], [[]], ["\x00"], ["\ud800"], [{}], [{"key": None}], [{"key": "a", "value": []}], [{"key": "a" * 300}],
    ["x"] * 2000,
    {}, {"a": {}}, {"key": "a"},
]  # fmt: skip
INSIDE = (
    "Traceback",
    "psycopg",
    "sqlite",
    "django",
    "SELECT",
    str(settings.BASE_DIR),
    "site-packages",
    "DataError",
    'registry_modelversion"',
)


def test_the_table_above_covers_every_call() -> None:
    assert set(FIELDS) == set(REGISTRY)


@pytest.mark.parametrize("path", FIELDS)
def test_no_value_in_any_field_is_a_crash(door: Door, path: str) -> None:
    make_version("churn", aliases=["champion"])
    for method in ("GET", "POST", "PATCH", "DELETE"):
        for field in FIELDS[path]:
            for value in VALUES:
                body = {**FIELDS[path], field: value}
                if method == "GET":
                    query = {k: v if isinstance(v, str | int | float) else json.dumps(v) for k, v in body.items()}
                    try:
                        answer = door.send("GET", path, query=query)
                    except UnicodeEncodeError:
                        continue  # no client can write this in a URL
                else:
                    answer = door.send(method, path, body)
                text = answer.content.decode()
                shown = (method, path, field, repr(value)[:60], answer.status_code, text[:300])
                assert answer.status_code < 500, shown
                assert isinstance(json.loads(text), dict), shown
                assert answer.status_code == 200 or {"error_code", "message"} <= set(json.loads(text)), shown
                assert len(text) < 5000 or answer.status_code == 200, shown
                if answer.status_code != 200:
                    assert not [
                        word for word in INSIDE if word in text.replace("'; DROP TABLE registry_modelversion; --", "")
                    ], shown


@pytest.mark.parametrize(
    "path", [path for path in FIELDS if not getattr(REGISTRY[path], "only_reads", path.endswith("/alias"))]
)
def test_reading_methods_change_nothing(door: Door, path: str) -> None:
    make_version("churn", aliases=["champion"])

    for method in ("GET", "HEAD", "OPTIONS"):
        assert door.send(method, path, query=FIELDS[path]).status_code in (400, 405)
    assert not Event.objects.exists()


@pytest.mark.parametrize("raw", [b"%00", b"%ff%fe", b"%ed%a0%80", b"a%0d%0aSet-Cookie:x", b"%2e%2e%2f", b"%25%32%65"])
@pytest.mark.parametrize("field", ["name", "filter", "page_token", "order_by", "max_results", "version"])
def test_strange_bytes_in_a_query_are_no_crash(door: Door, raw: bytes, field: str) -> None:
    for path in ("registered-models/get", "registered-models/search", "model-versions/get", "model-versions/search"):
        answer = door.client.get(f"{API}{path}?{field}={raw.decode()}")
        assert answer.status_code < 500 and isinstance(json.loads(answer.content), dict)
