"""/search/: what a word may mean, who finds what, and where an address leads at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from approvals.models import TransitionRequest
from registry.models import ModelVersion
from tests.factories import make_experiment, make_model, make_run, make_version
from tracking.models import Experiment
from tracking.queries import DESCRIPTION_TAG
from web.pages.finding import SHOWN, Term, find, named_by

Session = Callable[[User], Client]


def found(user: User, typed: str) -> dict[str, list[str]]:
    return {group.label: [hit.title for hit in group.hits] for group in find(user, typed)}


@pytest.mark.parametrize("typed", ["churn-predictor 2", "churn-predictor v2", "churn-predictor version 2",
    "churn-predictor/2", "models:/churn-predictor/2", "CHURN-predictor/2"])  # fmt: skip
def test_a_model_and_a_number_lead_to_the_version(
    typed: str, version: ModelVersion, sam: User, session: Session
) -> None:
    make_version(make_model("churn-predictor-eu"), stage="None")

    answer = session(sam).get("/search/", {"q": typed})

    assert (answer.status_code, answer["Location"]) == (302, version.get_absolute_url())
    assert session(sam).get("/search/", {"q": typed, "all": "1"}).status_code == 200


@pytest.mark.parametrize("typed", ["churn-predictor@champion", "models:/churn-predictor@champion"])
def test_an_alias_leads_to_the_version_that_has_it(
    typed: str, version: ModelVersion, sam: User, session: Session
) -> None:
    assert session(sam).get("/search/", {"q": typed})["Location"] == "/models/churn-predictor/versions/1/"


def test_the_beginnings_of_a_digest_and_of_a_run_id_find_the_version(version: ModelVersion, sam: User) -> None:
    for typed in (version.digest[:8], f"sha256:{version.digest}", version.run_id[:8].upper()):
        assert found(sam, typed)["Versions"] == ["churn-predictor version 2"], typed
    assert found(sam, version.run_id)["Runs"] == ["run-on-tenure_days"]
    assert found(sam, version.digest[:7]) == {}


@pytest.mark.parametrize("form", ["#{}", "{}", "request {}"])
def test_the_number_of_a_request_leads_there(form: str, asked: TransitionRequest, sam: User, session: Session) -> None:
    for experiment in Experiment.objects.all():  # whose own numbers may have the digits of the request's
        experiment.runs.update(run_name="on tenure")
        letters = str(experiment.pk).translate(str.maketrans("0123456789", "abcdefghij"))
        Experiment.objects.filter(pk=experiment.pk).update(name=letters)

    answer = session(sam).get("/search/", {"q": form.format(asked.pk)})

    assert answer["Location"] == asked.get_absolute_url()


def test_names_are_found_by_their_parts_the_nearest_first(version: ModelVersion, sam: User) -> None:
    for name in ("eu-churn-predictor", "churn-predictor-eu", "churn", "fraud"):
        make_model(name)

    assert found(sam, "churn")["Models"] == ["churn", "churn-predictor", "churn-predictor-eu", "eu-churn-predictor"]
    assert found(sam, "predictor eu")["Models"] == ["churn-predictor-eu", "eu-churn-predictor"]
    assert found(sam, "gate") == {"Policies": ["production-gate"]}
    assert found(sam, "SAM") == {"People": ["sam"]}
    assert found(sam, "on-tenure") == {"Runs": ["run-on-tenure_days", "run-on-tenure"]}


def test_a_name_leads_to_what_has_it_only_when_nothing_else_was_found(version: ModelVersion, sam: User) -> None:
    def leads_to(typed: str) -> str | None:
        hit = named_by(typed, find(sam, typed))
        return hit.url if hit else None

    assert leads_to("churn-predictor") == "/models/churn-predictor/"
    assert leads_to("churn") is None
    make_model("churn-predictor-eu")
    assert leads_to("churn-predictor") is None
    assert leads_to("no-such-model 3") is None


def test_nobody_finds_what_they_may_not_open(
    asked: TransitionRequest, version: ModelVersion, eve: User, sam: User, settings: Any
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    secrets = ["churn", "churn-predictor 2", "churn-predictor@champion", version.digest, version.run_id, f"#{asked.pk}"]

    for typed in secrets:
        assert found(sam, typed), typed
        assert not {"Models", "Versions", "Requests"} & set(found(eve, typed)), typed


def test_addresses_are_found_by_administrators_only(dkim: User, admin: User, eve: User) -> None:
    assert found(admin, "dkim@example.com")["People"] == ["dkim"]
    assert found(eve, "dkim@example.com") == {}


def test_what_is_deleted_is_not_found(version: ModelVersion, sam: User) -> None:
    gone = make_version(version.model)
    ModelVersion.objects.filter(pk=gone.pk).update(deleted_at=version.created_at)

    assert "Versions" not in found(sam, f"churn-predictor {gone.version}")


def test_suggestions_are_a_part_of_the_page_and_lead_nowhere_by_themselves(
    asked: TransitionRequest, sam: User, session: Session
) -> None:
    answer = session(sam).get("/search/", {"q": f"#{asked.pk}"}, HTTP_HX_REQUEST="true")

    assert answer.status_code == 200
    assert "HX-Request" in answer["Vary"]
    assert 'role="option"' in answer.content.decode()
    assert "<html" not in answer.content.decode()


@pytest.mark.parametrize("typed", ["", "   ", "%", "_", "'", "\\", "[", "<script>", "x" * 5000, "9" * 40, "#" * 9, "@@",
    "a 999999999", "🚀", "نموذج", " / ", "a" * 64])  # fmt: skip
def test_whatever_is_typed_has_an_answer(typed: str, version: ModelVersion, sam: User, session: Session) -> None:
    answer = session(sam).get("/search/", {"q": typed})

    assert answer.status_code == 200
    assert "<script>" not in answer.content.decode().split("</head>")[1]


def test_a_token_for_some_models_finds_those_only(version: ModelVersion, mira: User) -> None:
    make_model("fraud-churn")
    mira.reach = "fraud-*"

    assert found(mira, "churn")["Models"] == ["fraud-churn"]


def test_experiments_are_found_by_parts_of_their_names_with_what_they_say(sam: User, session: Session) -> None:
    for name in ("churn weekly", "weekly churn by region", "gone churn"):
        make_experiment(name)
    Experiment.objects.filter(name="gone churn").update(lifecycle_stage="deleted")
    Experiment.objects.filter(name="churn weekly").update(tags={DESCRIPTION_TAG: "<script>" + "x" * 500})

    [group] = find(sam, "churn weekly")

    assert [(hit.title, hit.is_exact) for hit in group.hits] == [
        ("churn weekly", True), ("weekly churn by region", False),
    ]  # fmt: skip
    assert (group.label, len(group.hits[0].says), group.all_url) == ("Experiments", 160, "/experiments/?q=churn+weekly")
    page = session(sam).get("/search/", {"q": "churn"}).content.decode()
    assert group.hits[1].url in page and "<script>x" not in page
    assert session(sam).get("/search/", {"q": "weekly churn by region"})["Location"] == group.hits[1].url


def test_nobody_without_an_active_account_finds_an_experiment(sam: User) -> None:
    make_experiment("churn weekly")
    sam.is_active = False

    assert "Experiments" not in found(sam, "churn weekly")


def test_a_word_is_looked_for_among_ten_thousand_experiments_in_a_statement(
    sam: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    Experiment.objects.bulk_create(
        (Experiment(name=f"weekly {number}", artifact_location="", tags={"t": "x" * 500}) for number in range(10_000)),
        batch_size=1000,
    )

    for typed in ("weekly 99", "nothing of that name", "12345678"):
        with django_assert_max_num_queries(8):
            groups = find(sam, typed)
        assert all(len(group.hits) == SHOWN for group in groups)


def test_a_long_number_is_a_request_only_when_it_says_so(sam: User) -> None:
    assert (Term.read("12345678").request, Term.read("12345678").digits) == (None, "12345678")
    assert (Term.read("#12345678").request, Term.read("1234567").request) == (12345678, 1234567)


@pytest.mark.embedded
@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL has an index of trigrams")
@pytest.mark.parametrize("typed", ["churn", "churn nightly", "00000000000000000000000000000007"])
def test_sqlite_looks_for_a_run_in_an_index_from_the_newest_on(sam: User, typed: str) -> None:
    """Whole rows have all that was logged beside their names."""
    with CaptureQueriesContext(connection) as asked:
        find(sam, typed)

    [of_runs] = [query["sql"] for query in asked if 'FROM "tracking_run"' in query["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {of_runs}")
        steps = [step for *_, step in cursor.fetchall()]
    assert "SCAN U0 USING COVERING INDEX run_name_idx" in steps
    assert steps.count("USE TEMP B-TREE FOR ORDER BY") == 1  # of what was found


@pytest.mark.parametrize("typed", ["50% of A_b", "50%", "NIGHTLY", "ä", "é7"])
def test_parts_of_names_of_runs_are_found_whatever_their_signs(sam: User, typed: str) -> None:
    for name in ("50% of a_b", "50% of axb", "nightly", "ä-é7", "Ä-É7", "50 of ab"):
        make_run(run_name=name)
    fits = {
        "50% of A_b": {"50% of a_b", "50% of axb"},  # % and _ stand for anything, as in MLflow's language
        "50%": {"50% of a_b", "50% of axb", "50 of ab"},
        "NIGHTLY": {"nightly"},
        "ä": {"ä-é7", "Ä-É7"} if connection.vendor == "postgresql" else {"ä-é7"},
        "é7": {"ä-é7", "Ä-É7"} if connection.vendor == "postgresql" else {"ä-é7"},
    }

    assert set(found(sam, typed)["Runs"]) == fits[typed]
