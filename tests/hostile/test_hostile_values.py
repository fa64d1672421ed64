"""Values that no form of ours sends: 4xx and a sentence, and pages that stand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import User
from registry.models import ModelVersion
from tests.factories import make_run, make_version
from tests.scenes import ask, churn_predictor

pytestmark = pytest.mark.django_db

SIGNATURES = ["[" * 60_000, "NaN", "9" * 5000, '{"a": 1}', "[1, null, []]", '[{"name": {"a": 1}, "type": [1]}]', "{"]


@pytest.fixture
def version(mira: User) -> ModelVersion:
    return make_version("churn", user=mira)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/models/churn/describe/", {"description": "a\0"}),
        ("/models/churn/versions/1/describe/", {"description": "a\0"}),
        ("/models/churn/versions/1/tag/", {"key": "k", "value": "a\0"}),
        ("/models/churn/versions/1/tag/", {"key": "k\0", "value": "a"}),
        ("/models/churn/versions/1/comment/", {"text": "a\0"}),
        ("/models/churn/versions/1/request/", {"target": "Staging", "stage": "Staging", "comment": "a\0"}),
        ("/account/tokens/", {"name": "a\0", "lifetime": "30"}),
        ("/account/tokens/", {"name": "a", "lifetime": "30", "models": "a\0"}),
        ("/models/churn/grants/", {"to": "user:a\0", "level": "READ"}),
        ("/models/churn/grants/", {"to": "team:a\0", "take_back": "1"}),
        ("/models/churn/rollback/", {"target": "@a\0"}),
    ],
)
def test_a_form_with_a_nul_is_refused_with_a_sentence(
    version: ModelVersion, mira: User, session: Callable[[User], Client], path: str, form: dict[str, str]
) -> None:
    """PostgreSQL keeps none, SQLite cuts a text there in some functions."""
    answer = session(mira).post(path, form)

    assert answer.status_code == 422, answer.content
    version.refresh_from_db()
    assert (version.description, version.tags, version.model.description) == ("", {}, "")


@pytest.mark.parametrize("number", ["²", "٣", "-1", "1e3", "9" * 40, "\N{GRINNING FACE}"])
@pytest.mark.parametrize(
    "path", ["/models/churn/?before=", "/deliveries/?before=", "/reviews/?before=", "/policies/gate/?revision="]
)
def test_a_number_of_another_script_is_no_fault_of_ours(
    version: ModelVersion, admin: User, session: Callable[[User], Client], path: str, number: str
) -> None:
    assert session(admin).get(path + number).status_code in (200, 404)


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda text: text[:12])
def test_pages_stand_whatever_a_signature_holds(mira: User, session: Callable[[User], Client], signature: str) -> None:
    mlmodel = f"signature: {{inputs: '{signature}'}}".encode()
    make_version("churn", user=mira, stage="Production", files={"MLmodel": mlmodel + b" "})
    version = make_version("churn", user=mira, files={"MLmodel": mlmodel})
    page = session(mira)

    assert page.get("/models/churn/versions/2/").status_code == 200
    asked = page.post("/models/churn/versions/2/request/", {"target": "Production"})
    assert page.get(asked["Location"]).status_code == 200
    assert version.evidence is not None


WORDS = [
    "9" * 20 + "=1", '"=1', "%\\", "'; --", "9" * 40, "²", "nan:1", "1e308:1", "#" + "9" * 18, "../../etc/passwd",
    "9007199254740991.9.9", "\N{RIGHT-TO-LEFT OVERRIDE}\x01\r\n", "metrics.`x\" > 1",
]  # fmt: skip
ASKED = [
    ("/search/", "q"), ("/reviews/", "model target requester text before tab"),
    ("/models/", "q stage owner tag sort page"),
    ("/models/churn-predictor/", "sort metric until column stage alias q by before after"),
    ("/models/churn-predictor/versions/2/", "tab page file"),
    ("/models/churn-predictor/versions/2/evidence/", "tab file"),
    ("/runs/", "q experiment status user filter metric page"), ("/runs/compare/", "run metric find"),
    ("/runs/{run}/", "find from metric all"), ("/runs/{run}/history/", "metric page format"),
    ("/experiments/", "q page"),
    ("/requests/{request}/", "tab against file before page all"), ("/requests/{request}/changes/", "tab against"),
    ("/requests/{request}/pulse/", "at looked"), ("/policies/", "page"),
    ("/policies/production-gate/", "tab after before from to revision"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "fields"), ASKED, ids=[path for path, _ in ASKED])
def test_whatever_an_address_asks_for_is_answered(
    mira: User, alice: User, dkim: User, session: Callable[[User], Client], path: str, fields: str
) -> None:
    page, asked = session(mira), ask(churn_predictor(mira), mira)
    path = path.format(run=make_run(metrics={"loss": 1}).run_id, request=asked.pk)

    for field in fields.split():
        for word in WORDS:
            answer = page.get(path, {field: word})
            assert answer.status_code in (200, 204, 302, 400, 404, 422), (field, word, answer.status_code)
