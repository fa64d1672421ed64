"""Versions: numbers, what registering keeps, and what deleting takes away."""

from __future__ import annotations

import json

import pytest

from accounts.models import User
from core.digests import tree_digest
from core.errors import Invalid, NotFound, NotPermitted
from notifications.models import Event
from registry import services
from registry.models import PROMPT_TAG, Alias, LatestVersion, ModelVersion, RegisteredModel, StageHolding
from registry.queries import get_version
from tests.factories import make_files, make_logged_model, make_model, make_run, make_version
from tracking.models import LoggedModel, Run

pytestmark = pytest.mark.django_db


def register(actor: User, model: RegisteredModel, source: str = "s3://bucket/model", **fields: object) -> ModelVersion:
    return services.create_version(actor=actor, model=model, source=source, **fields)  # type: ignore[arg-type]


def test_versions_count_from_one(editor: User) -> None:
    model = make_model()

    assert [register(editor, model).version for _ in range(3)] == [1, 2, 3]


def test_numbers_of_deleted_versions_never_return(manager: User) -> None:
    model = make_model()
    for _ in range(2):
        services.delete_version(actor=manager, version=register(manager, model))

    assert register(manager, model).version == 3


def test_a_new_version_is_ready_in_stage_none_and_the_latest_there(editor: User) -> None:
    model = make_model(last_updated_timestamp=1)

    version = register(editor, model, description="first", tags={"a": "1"}, run_link="https://ci/7")

    assert (version.status, version.current_stage, version.user) == ("READY", "None", editor)
    assert (version.description, version.tags, version.run_link) == ("first", {"a": "1"}, "https://ci/7")
    assert LatestVersion.objects.get(model=model).version == version
    model.refresh_from_db()
    assert model.last_updated_timestamp == version.creation_timestamp == version.last_updated_timestamp


def test_registering_records_one_event(editor: User) -> None:
    register(editor, make_model("churn"))

    event = Event.objects.get()
    assert (event.kind, event.actor, event.model_name, event.version) == ("model_version.created", editor, "churn", 1)


@pytest.mark.parametrize("source", ["dummy-source", "prompt-template"])
@pytest.mark.parametrize("said", ["true", "True"])
def test_a_prompt_is_its_tags_and_has_no_files(editor: User, source: str, said: str) -> None:
    prompt = make_model(tags={PROMPT_TAG: said})

    version = register(editor, prompt, source, tags={PROMPT_TAG: said, "mlflow.prompt.text": "Hello {{who}}"})

    assert (version.source, version.storage_location, version.digest) == (source, source, "")
    assert version.tags["mlflow.prompt.text"] == "Hello {{who}}"


@pytest.mark.parametrize(
    "source", ["s3://bucket/model", "file:///etc/passwd", "models:/churn/1", "dummy-source/..", ""]
)
def test_a_prompt_leads_to_no_other_source(editor: User, source: str) -> None:
    prompt = make_model(tags={PROMPT_TAG: "true"})

    with pytest.raises(Invalid, match="Prompt sources must use an MLflow placeholder"):
        register(editor, prompt, source, tags={PROMPT_TAG: "true"})


def test_what_a_prompt_may_have_as_a_source_is_none_for_a_model(editor: User) -> None:
    with pytest.raises(Invalid, match="Invalid model version source"):
        register(editor, make_model(), "dummy-source", tags={PROMPT_TAG: "true"})


def test_registering_needs_the_edit_level(reader: User) -> None:
    model = make_model()

    with pytest.raises(NotPermitted, match="EDIT"):
        register(reader, model)
    model.refresh_from_db()
    assert model.last_version == 0


def test_the_digest_covers_the_files_below_the_source(editor: User) -> None:
    run = make_run()
    make_files(run.run_id, {"model/MLmodel": b"flavors: {}", "model/model.skops": b"weights", "models/other": b"x"})

    version = register(
        editor, make_model(), f"mlflow-artifacts:/{run.experiment_id}/{run.run_id}/artifacts/model", run_id=run.run_id
    )

    files = version.evidence.data["files"]  # type: ignore[union-attr]
    assert [path for path, _, _ in files] == ["MLmodel", "model.skops"]
    assert version.digest == tree_digest([tuple(file) for file in files])
    assert (version.file_count, version.total_size) == (2, 18)


def test_a_version_without_files_here_has_no_digest(editor: User) -> None:
    version = register(editor, make_model(), "s3://bucket/model")

    assert (version.digest, version.file_count) == ("", 0)


def test_the_run_comes_from_the_logged_model(editor: User) -> None:
    run = make_run(metrics={"accuracy": 0.9})
    logged = make_logged_model(run)

    version = register(editor, make_model("churn"), f"models:/{logged.model_id}", model_id=logged.model_id)

    assert (version.run_id, version.logged_model_id) == (run.run_id, logged.model_id)
    assert version.evidence.data["metrics"]["accuracy"]["value"] == 0.9  # type: ignore[union-attr]
    assert Run.objects.get(pk=run.pk).has_versions


def test_the_logged_model_is_told_of_its_versions(editor: User) -> None:
    logged = make_logged_model(make_run())
    model = make_model("churn")

    for _ in range(2):
        register(editor, model, f"models:/{logged.model_id}", model_id=logged.model_id)

    told = json.loads(LoggedModel.objects.get(pk=logged.pk).tags["mlflow.modelVersions"])
    assert told == [{"name": "churn", "version": 1}, {"name": "churn", "version": 2}]


@pytest.mark.parametrize("tag", ["not json", "{}", "null", '"text"', "[" * 5000])
def test_a_tag_that_is_no_list_stops_no_registration(editor: User, tag: str) -> None:
    logged = make_logged_model(make_run(), tags={"mlflow.modelVersions": tag})

    version = register(editor, make_model("churn"), f"models:/{logged.model_id}", model_id=logged.model_id)

    assert version.version == 1


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"description": "x" * 5001}, "5000"),
        ({"source": "s3://b/" + "x" * 500}, "500"),
        ({"run_link": "x" * 501}, "500"),
        ({"run_id": "x" * 33}, "32"),
        ({"tags": {"k": "x" * 100_001}}, "100000"),
        ({"tags": {"k" * 251: "v"}}, "250"),
    ],
)
def test_every_text_has_a_limit(editor: User, fields: dict[str, object], limit: str) -> None:
    model = make_model()

    with pytest.raises(Invalid, match=limit):
        register(editor, model, **({"source": "s3://bucket/model"} | fields))
    assert not ModelVersion.objects.exists()


def test_describing_a_version_moves_its_own_clock_only(editor: User) -> None:
    version = make_version(last_updated_timestamp=1)
    RegisteredModel.objects.update(last_updated_timestamp=1)

    updated = services.update_version(actor=editor, version=version, description="better")

    assert updated.description == "better" and updated.last_updated_timestamp > 1
    assert RegisteredModel.objects.get().last_updated_timestamp == 1


def test_a_deleted_version_drops_aliases_latest_and_holdings(manager: User) -> None:
    model = make_model("churn", last_updated_timestamp=1)
    make_version(model, stage="Production")
    second = make_version(model, stage="Production", aliases=["champion"])

    services.delete_version(actor=manager, version=second)

    with pytest.raises(NotFound, match=r"Model Version \(name=churn, version=2\) not found"):
        get_version(manager, "churn", 2)
    assert LatestVersion.objects.get().version.version == 1
    assert not Alias.objects.exists() and not StageHolding.objects.filter(version=second, until=None).exists()
    model.refresh_from_db()
    assert model.aliases == {} and model.last_updated_timestamp > 1


def test_deleting_twice_finds_nothing(manager: User) -> None:
    version = make_version()
    services.delete_version(actor=manager, version=version)

    with pytest.raises(NotFound):
        services.delete_version(actor=manager, version=version)


def test_only_who_manages_deletes_a_version(mover: User) -> None:
    with pytest.raises(NotPermitted, match="MANAGE"):
        services.delete_version(actor=mover, version=make_version())
