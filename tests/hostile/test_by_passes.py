"""Ways round the gate that servers of this kind have had: other spellings, other verbs, other doors, repeated keys. An
administrator tries each, on a model whose Production and @champion are guarded."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts.models import User
from registry.models import Alias, ModelVersion, RegisteredModel
from tests.approvals.conftest import publish
from tests.cast import token_of
from tests.factories import make_version

MLFLOW = "/api/2.0/mlflow"
MOVE = f"{MLFLOW}/model-versions/transition-stage"
ASK = {"name": "churn-predictor", "version": "2", "stage": "Production"}
BODY = json.dumps(ASK)


def stage(word: object) -> str:
    return json.dumps(ASK | {"stage": word})


def version(word: object) -> str:
    return json.dumps(ASK | {"version": word})


def name(word: str) -> str:
    return json.dumps(ASK | {"name": word})


ALIAS = json.dumps({"name": "churn-predictor", "version": "2", "alias": "champion"})
OWN = json.dumps({"stage": "Production"})
JSON = "application/json"
# (what it is, method, address, body, content type, headers)
WAYS: list[tuple[str, str, str, str, str, dict[str, str]]] = [
    ("as it is", "POST", MOVE, BODY, JSON, {}),
    ("for browsers", "POST", MOVE.replace("/api", "/ajax-api", 1), BODY, JSON, {}),
    ("preview", "POST", MOVE.replace("2.0", "2.0/preview"), BODY, JSON, {}),
    ("version 3 of the API", "POST", MOVE.replace("2.0", "3.0"), BODY, JSON, {}),
    ("with a slash behind", "POST", f"{MOVE}/", BODY, JSON, {}),
    ("with two slashes", "POST", MOVE.replace("/mlflow/", "//mlflow/"), BODY, JSON, {}),
    ("with dots", "POST", MOVE.replace("/model-versions/", "/x/../model-versions/"), BODY, JSON, {}),
    ("encoded", "POST", MOVE.replace("transition-stage", "transition%2Dstage"), BODY, JSON, {}),
    ("lower case", "POST", MOVE, stage("production"), JSON, {}),
    ("upper case", "POST", MOVE, stage("PRODUCTION"), JSON, {}),
    ("space around", "POST", MOVE, stage(" Production "), JSON, {}),
    ("a line end behind", "POST", MOVE, stage("Production\n"), JSON, {}),
    ("full width", "POST", MOVE, stage("Ｐroduction"), JSON, {}),
    ("a zero-width sign inside", "POST", MOVE, stage("Produc\u200btion"), JSON, {}),
    ("a Turkish dotless i", "POST", MOVE, stage("Productıon"), JSON, {}),
    ("a list", "POST", MOVE, stage(["Production"]), JSON, {}),
    ("an object", "POST", MOVE, stage({"Production": 1}), JSON, {}),
    ("a number of a stage", "POST", MOVE, stage(3), JSON, {}),
    ("said twice", "POST", MOVE, BODY[:-1] + ', "stage": "Production"}', JSON, {}),
    ("said twice, harmless first", "POST", MOVE, '{"stage": "None", ' + BODY[1:], JSON, {}),
    ("harmless last", "POST", MOVE, BODY[:-1] + ', "stage": "None"}', JSON, {}),
    ("both spellings of archiving", "POST", MOVE, BODY[:-1] + ', "archive_existing_versions": true, '
     '"archiveExistingVersions": true}', JSON, {}),
    ("version with a zero before", "POST", MOVE, version("02"), JSON, {}),
    ("version as a number", "POST", MOVE, version(2), JSON, {}),
    ("version as a fraction", "POST", MOVE, version("2.0"), JSON, {}),
    ("version with a sign", "POST", MOVE, version("+2"), JSON, {}),
    ("version in other digits", "POST", MOVE, version("٢"), JSON, {}),
    ("name in other case", "POST", MOVE, name("Churn-Predictor"), JSON, {}),
    ("name decomposed", "POST", MOVE, name("chu\u0072n-predictor"), JSON, {}),
    ("a string of JSON", "POST", MOVE, json.dumps(BODY), JSON, {}),
    ("as a query", "POST", f"{MOVE}?name=churn-predictor&version=2&stage=Production", "", JSON, {}),
    ("as a form", "POST", MOVE, "name=churn-predictor&version=2&stage=Production", "application/x-www-form-urlencoded",
     {}),
    ("as plain text", "POST", MOVE, BODY, "text/plain", {}),
    ("method override", "POST", f"{MLFLOW}/model-versions/get", BODY, JSON, {"X-HTTP-Method-Override": "POST"}),
    ("override of a GET", "GET", f"{MOVE}?name=churn-predictor&version=2&stage=Production", "", JSON,
     {"X-HTTP-Method-Override": "POST"}),
    ("by PATCH", "PATCH", MOVE, BODY, JSON, {}),
    ("by PUT", "PUT", MOVE, BODY, JSON, {}),
    ("by updating the version", "PATCH", f"{MLFLOW}/model-versions/update", BODY[:-1] + ', "current_stage": '
     '"Production", "description": "x"}', JSON, {}),
    ("in a new version", "POST", f"{MLFLOW}/model-versions/create", json.dumps({"name": "churn-predictor", "source":
     "s3://bucket/x", "stage": "Production", "current_stage": "Production", "aliases": ["champion"]}), JSON, {}),
    ("as a tag", "POST", f"{MLFLOW}/model-versions/set-tag", json.dumps(ASK | {"key": "current_stage", "value":
     "Production"}), JSON, {}),
    ("by the original path of Databricks", "POST", f"{MLFLOW}/databricks/model-versions/transition-stage", BODY[:-1] +
     ', "archive_existing_versions": true}', JSON, {}),
    ("by approving what nobody asked", "POST", f"{MLFLOW}/transition-requests/approve", BODY[:-1] +
     ', "archive_existing_versions": true}', JSON, {}),
    ("by our own API", "POST", "/api/v1/models/churn-predictor/versions/2/move/", OWN, JSON, {}),
    ("by our own API, with a permit", "POST", "/api/v1/models/churn-predictor/versions/2/move/", OWN[:-1] +
     ', "permit": 1}', JSON, {}),
    ("by the page", "POST", "/models/churn-predictor/versions/2/move/", "stage=Production",
     "application/x-www-form-urlencoded", {}),
    ("by the alias", "POST", f"{MLFLOW}/registered-models/alias", ALIAS, JSON, {}),
    ("by the alias in upper case", "POST", f"{MLFLOW}/registered-models/alias", ALIAS.replace("champion", "Champion"),
     JSON, {}),
    ("by the alias of our own API", "PUT", "/api/v1/models/churn-predictor/aliases/", json.dumps({"alias": "champion",
     "version": 2}), JSON, {}),
    ("by taking the alias away", "DELETE", f"{MLFLOW}/registered-models/alias?name=churn-predictor&alias=champion", "",
     JSON, {}),
    ("by deleting the holder", "DELETE", f"{MLFLOW}/model-versions/delete", json.dumps({"name": "churn-predictor",
     "version": "1"}), JSON, {}),
    ("by deleting the model", "DELETE", f"{MLFLOW}/registered-models/delete?name=churn-predictor", "", JSON, {}),
    ("by renaming it away", "POST", f"{MLFLOW}/registered-models/rename", json.dumps({"name": "churn-predictor",
     "new_name": "harmless"}), JSON, {}),
]  # fmt: skip


@pytest.fixture
def churn(mira: User) -> Iterator[RegisteredModel]:
    holder = make_version("churn-predictor", stage="Production", aliases=["champion"], user=mira)
    make_version(holder.model, user=mira, metrics={"accuracy": 0.99, "f1": 0.99})
    publish()
    before = held(holder.model)
    yield holder.model
    assert held(holder.model) == before
    assert RegisteredModel.objects.live().filter(pk=holder.model_id, name="churn-predictor").exists()


def held(model: RegisteredModel) -> list[Any]:
    in_production = ModelVersion.objects.live().filter(model=model, current_stage="Production")
    return [*in_production.values_list("version"), *Alias.objects.filter(model=model, name="champion").values_list()]


def send(user: User, method: str, address: str, body: str | bytes, kind: str, headers: dict[str, str]) -> HttpResponse:
    client = Client(headers={"authorization": f"Bearer {token_of(user)[1]}", **headers}, raise_request_exception=False)
    return client.generic(method, address, body, content_type=kind)  # type: ignore[return-value]


@pytest.mark.parametrize("way", WAYS, ids=[way[0] for way in WAYS])
def test_no_way_round_leads_into_a_guarded_target(way: Any, churn: RegisteredModel, admin: User) -> None:
    _, method, address, body, kind, headers = way

    answer = send(admin, method, address, body, kind, headers)

    assert answer.status_code < 500 or answer.status_code == 501


def test_a_packed_body_is_no_way_either(churn: RegisteredModel, admin: User) -> None:
    answer = send(admin, "POST", MOVE, gzip.compress(BODY.encode()), JSON, {"content-encoding": "gzip"})

    assert 400 <= answer.status_code < 500


def test_the_first_way_is_refused_with_the_sentence_and_works_without_a_policy(
    churn: RegisteredModel, admin: User
) -> None:
    """Else the table would prove nothing."""
    refused = send(admin, "POST", MOVE, BODY, JSON, {})
    assert (refused.status_code, refused.json()["error_code"]) == (403, "PERMISSION_DENIED")
    assert "production-gate" in refused.json()["message"]

    assert send(admin, "POST", MOVE, json.dumps(ASK | {"stage": "Staging"}), JSON, {}).status_code == 200
