"""The frame of every call: bodies, types, methods and errors, shown on the calls of the registry."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.test import Client

from registry.models import RegisteredModel
from tests.factories import make_model, make_version
from tests.web.mlflow.conftest import API, Door
from tests.web.sweep import ROUTES

pytestmark = pytest.mark.django_db

CREATE = "registered-models/create"
MISSING = "Missing value for required parameter 'name'."


@pytest.mark.parametrize("body", [b"", b" ", b"{", b"not json", b"\xff\xfe", b'"{', b'""', b'{"name": "\\ud800'])
def test_an_empty_or_unreadable_body_counts_as_an_empty_object(door: Door, body: bytes) -> None:
    status, _, message = door.refused("POST", CREATE, body)

    assert status == 400 and message.startswith(MISSING)


def test_a_body_encoded_twice_is_read(door: Door) -> None:
    assert door.send("POST", CREATE, json.dumps(json.dumps({"name": "churn"})).encode()).status_code == 200


@pytest.mark.parametrize("body", [b"null", b"[]", b'[{"name": "churn"}]', b"5", b"true", b'"5"', b'"[]"'])
def test_a_body_that_is_no_object_is_refused(door: Door, body: bytes) -> None:
    assert door.refused("POST", CREATE, body)[:2] == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp"],
)
def test_only_json_is_taken(door: Door, content_type: str) -> None:
    answer = door.client.generic("POST", API + CREATE, b'{"name": "churn"}', content_type=content_type)

    assert answer.status_code == 400 and json.loads(answer.content)["error_code"] == "INVALID_PARAMETER_VALUE"
    assert not RegisteredModel.objects.exists()


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/JSON", "application/json;x=y"]
)
def test_parameters_of_the_content_type_do_not_matter(door: Door, content_type: str) -> None:
    assert door.client.generic("POST", API + CREATE, b'{"name": "churn"}', content_type=content_type).status_code == 200


def test_camel_case_is_read_too_but_not_both_spellings(door: Door) -> None:
    make_model("churn")

    assert (
        door.post("registered-models/rename", name="churn", newName="attrition")["registered_model"]["name"]
        == "attrition"
    )
    assert (
        door.refused("POST", "registered-models/rename", {"name": "attrition", "newName": "a", "new_name": "b"})[0]
        == 400
    )


@pytest.mark.parametrize("depth", [70, 5_000, 200_000])
def test_deep_nesting_is_refused_or_unreadable_but_no_crash(door: Door, depth: int) -> None:
    body = b'{"name": ' + b"[" * depth + b"]" * depth + b"}"

    assert door.refused("POST", CREATE, body)[0] == 400


def test_unknown_fields_are_ignored(door: Door) -> None:
    door.post(CREATE, name="churn", user_id="somebody", deleted_at="now", is_prompt=True, last_version=7, id=5)

    model = RegisteredModel.objects.get()
    assert (model.last_version, model.is_prompt, model.deleted_at, model.user) == (0, False, None, door.user)


WRONG = [5, 1.5, True, {}, ["x"], {"a": "b"}, [[]], "\x00", "a\x00b", "x" * 5001]


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("field", ["name", "description", "tags"])
def test_wrong_types_create_nothing(door: Door, field: str, value: Any) -> None:
    assert door.refused("POST", CREATE, {"name": "churn", field: value})[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert not RegisteredModel.objects.exists()


@pytest.mark.parametrize(
    "body", [b'{"name": "\\ud800"}', b'{"name": "a\\udfff"}', b'{"name": "churn", "description": "\\u0000"}']
)
def test_text_that_no_database_takes_is_refused(door: Door, body: bytes) -> None:
    assert door.refused("POST", CREATE, body)[0] == 400


def test_too_large_a_body_is_413(door: Door) -> None:
    body = b'{"name": "' + b"x" * (33 * 1024 * 1024) + b'"}'

    assert door.refused("POST", CREATE, body)[:2] == (413, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    "path", ["registered-models/create/", "registered-models/nothing", "model-versions", "model-versions/GET"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_is_a_json_404(door: Door, method: str, path: str) -> None:
    assert door.refused(method, path, {} if method != "GET" else None)[:2] == (404, "ENDPOINT_NOT_FOUND")


def test_a_wrong_method_is_a_json_405(door: Door) -> None:
    make_model("churn")

    for method, path in (
        ("GET", CREATE),
        ("PUT", CREATE),
        ("GET", "registered-models/delete"),
        ("POST", "registered-models/delete"),
    ):
        assert door.refused(method, path, {"name": "churn"})[:2] == (405, "BAD_REQUEST")
    assert RegisteredModel.objects.live().count() == 1


def test_the_browser_s_paths_answer_the_same(door: Door) -> None:
    make_version("churn")

    for path in ("registered-models/get", "registered-models/search", "model-versions/search"):
        one, other = (
            door.send("GET", f"/{prefix}/2.0/mlflow/{path}", query={"name": "churn"}) for prefix in ("api", "ajax-api")
        )
        assert one.status_code == 200 and one.content == other.content


def test_a_stranger_gets_401_in_json_everywhere() -> None:
    stranger = Client()

    for path in ("registered-models/search", "model-versions/get", "registered-models/create"):
        answer = stranger.get(API + path)
        assert answer.status_code == 401 and json.loads(answer.content)["error_code"] == "UNAUTHENTICATED"
        assert answer["WWW-Authenticate"] == 'Basic realm="mlflow"'


def test_a_head_request_changes_and_answers_nothing(door: Door) -> None:
    make_model("churn")

    for path in ("registered-models/alias", "registered-models/get", CREATE):
        answer = door.send("HEAD", path, query={"name": "churn", "alias": "a"})
        assert answer.status_code < 500 and answer.content == b""


def test_every_path_stands_below_both_prefixes() -> None:
    routes = [route.pattern for route in ROUTES]
    calls = {route for route in routes if route.startswith("api/2.0/mlflow/")}

    assert "api/2.0/mlflow/runs/create" in calls
    assert {route.removeprefix("ajax-") for route in routes if route.startswith("ajax-api/2.0/mlflow/")} == calls


def test_a_body_that_broke_off_is_no_shorter_request(door: Door) -> None:
    answer = door.client.generic(
        "POST",
        "/api/2.0/mlflow/runs/create",
        content_type="application/json",
        **{"wsgi.input": io.BytesIO(b"{}"), "CONTENT_LENGTH": "500"},
    )

    assert answer.status_code == 400 and "broke off" in json.loads(answer.content)["message"]
