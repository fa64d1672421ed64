"""What a version may be registered from, and what each source resolves to."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from accounts.models import User
from core.errors import CountersignError, Invalid, NotFound
from registry import services
from registry.models import PROMPT_TAG, ModelVersion, RegisteredModel, Stage
from registry.sources import resolve_source
from tests.factories import make_logged_model, make_model, make_run, make_version
from tracking.models import Run

pytestmark = pytest.mark.django_db

RUN = "0123456789abcdef0123456789abcdef"
M = "m-0123456789abcdef0123456789abcdef"


@pytest.fixture
def run(db: None) -> Run:
    return make_run(run_id=RUN)


def root(run: Run) -> str:
    return f"mlflow-artifacts:/{run.experiment_id}/{run.run_id}/artifacts"


def test_a_runs_uri_stays_as_it_is_and_its_files_are_fetched_by_their_own_address(editor: User, run: Run) -> None:
    """A client that resolves runs:/ itself takes a logged model of that name, made at any later time, for the files."""
    found = resolve_source(editor, f"runs:/{RUN}/model", run_id=RUN)

    assert (found.source, found.storage_location) == (f"runs:/{RUN}/model", f"{root(run)}/model")
    assert resolve_source(editor, f"runs:/{RUN}/", run_id=RUN).storage_location == root(run)
    assert (found.run_id, found.owner, found.folder) == (RUN, RUN, "model")


def test_an_artifact_uri_inside_the_run_is_accepted(editor: User, run: Run) -> None:
    found = resolve_source(editor, f"{root(run)}/a/model", run_id=RUN)

    assert (found.owner, found.folder, found.storage_location) == (RUN, "a/model", f"{root(run)}/a/model")


def test_a_logged_model_brings_its_run_and_its_place(editor: User, run: Run) -> None:
    logged = make_logged_model(run)

    found = resolve_source(editor, f"models:/{logged.model_id}", model_id=logged.model_id)

    assert found.storage_location == f"mlflow-artifacts:/{run.experiment_id}/models/{logged.model_id}/artifacts"
    assert (found.run_id, found.owner, found.folder) == (RUN, logged.model_id, "")


def test_a_logged_model_that_no_run_made_cannot_borrow_the_evidence_of_one(editor: User, run: Run) -> None:
    logged = make_logged_model()

    assert resolve_source(editor, f"models:/{logged.model_id}", model_id=logged.model_id).run_id == ""
    with pytest.raises(Invalid, match="No run made the logged model"):
        resolve_source(editor, f"models:/{logged.model_id}", model_id=logged.model_id, run_id=RUN)


def test_a_path_inside_the_logged_model_is_accepted_with_its_id_only(editor: User, run: Run) -> None:
    logged = make_logged_model(run)
    inside = f"mlflow-artifacts:/{run.experiment_id}/models/{logged.model_id}/artifacts/part"

    assert resolve_source(editor, inside, model_id=logged.model_id).folder == "part"
    with pytest.raises(Invalid, match="model_id request parameter must identify"):
        resolve_source(editor, inside)
    with pytest.raises(Invalid, match="model_id request parameter must identify"):
        resolve_source(editor, inside, model_id=make_logged_model(run).model_id)


def test_a_logged_model_without_its_id_is_refused(editor: User, run: Run) -> None:
    logged = make_logged_model(run)

    with pytest.raises(Invalid, match="model_id request parameter must identify"):
        resolve_source(editor, f"models:/{logged.model_id}")


def test_a_logged_model_of_another_server_is_refused_with_the_cause(editor: User) -> None:
    with pytest.raises(Invalid, match="not known here"):
        resolve_source(editor, f"models:/{M}", model_id=M)


@pytest.mark.parametrize("source", [f"runs:/{RUN}/model", f"mlflow-artifacts:/0/{RUN}/artifacts/model"])
def test_files_of_a_run_are_no_logged_model(editor: User, run: Run, source: str) -> None:
    for model_id in (make_logged_model(run).model_id, "m" * 1000):
        with pytest.raises(Invalid, match="model_id request parameter must identify"):
            resolve_source(editor, source, run_id=RUN, model_id=model_id)


def test_a_run_that_contradicts_the_logged_model_is_refused(editor: User, run: Run) -> None:
    logged = make_logged_model(run)

    with pytest.raises(Invalid, match="contradicts"):
        resolve_source(editor, f"models:/{logged.model_id}", model_id=logged.model_id, run_id="f" * 32)


@pytest.mark.parametrize(
    "reference", ["churn/2", "churn/Production", "churn/production", "churn/latest", "churn@champion"]
)
def test_another_version_is_copied_with_its_place_and_run(editor: User, reference: str) -> None:
    model = make_model("churn")
    make_version(model)
    original = make_version(model, stage="Production", aliases=["champion"])

    found = resolve_source(editor, f"models:/{reference}")

    assert found.source == "models:/churn/2"
    assert (found.storage_location, found.run_id) == (original.storage_location, original.run_id)
    assert (found.owner, found.folder) == (original.artifact_owner, original.artifact_folder)


def test_a_copy_of_a_copy_keeps_the_first_place_and_digest(manager: User) -> None:
    first = make_version("churn")
    target = make_model("churn-live")

    copy = services.create_version(actor=manager, model=target, source="models:/churn/1", run_id=first.run_id)
    services.delete_version(actor=manager, version=first)
    again = services.create_version(actor=manager, model=target, source="models:/churn-live/1")

    assert copy.digest == again.digest == first.digest != ""
    assert again.storage_location == first.storage_location
    assert again.source == "models:/churn-live/1"


@pytest.mark.parametrize("fields", [{"run_id": "f" * 32}, {"model_id": M}])
def test_a_copy_may_not_claim_another_origin(editor: User, fields: dict[str, str]) -> None:
    make_version("churn")

    with pytest.raises(Invalid, match="differs"):
        resolve_source(editor, "models:/churn/1", **fields)


@pytest.mark.parametrize(
    "reference", ["churn/9", "churn/Staging", "nothing/1", "churn/0", "churn/99999999999999999999"]
)
def test_references_in_vain_are_not_found(editor: User, reference: str) -> None:
    make_version("churn")

    with pytest.raises(NotFound):
        resolve_source(editor, f"models:/{reference}")


def test_what_one_may_not_read_cannot_be_copied(settings: Settings, reader: User) -> None:
    make_version("secret")
    settings.DEFAULT_MODEL_LEVEL = "NONE"

    with pytest.raises(NotFound):
        resolve_source(reader, "models:/secret/1")


def test_a_prompt_is_no_source(editor: User) -> None:
    make_version(make_model("greeting", tags={PROMPT_TAG: "true"}))

    with pytest.raises(Invalid, match="prompt"):
        resolve_source(editor, "models:/greeting/1")


@pytest.mark.parametrize(
    "uri", ["s3://bucket/a", "gs://bucket/a/b", "dbfs:/models/a", "wasbs://c@host/a", "S3://bucket/a"]
)
def test_remote_stores_of_the_list_are_recorded_as_given(editor: User, uri: str) -> None:
    found = resolve_source(editor, uri, run_id="unknown-run")

    assert (found.source, found.storage_location, found.run_id, found.owner) == (uri, uri, "unknown-run", "")


@pytest.mark.parametrize("run_id", ["run_id", "run_id_1"])
def test_a_run_that_nobody_here_knows_is_kept_as_given(editor: User, run_id: str) -> None:
    """As MLflow's servers do: 3.18 where both names are the same, 3.6 where they are not."""
    found = resolve_source(editor, "runs:/run_id/model", run_id=run_id)

    assert (found.source, found.storage_location, found.run_id) == ("runs:/run_id/model", "runs:/run_id/model", run_id)
    assert (found.owner, found.folder) == ("", "")


@pytest.mark.parametrize(("named", "given"), [(RUN, "run_id"), ("run_id", RUN), ("run_id", ""), ("", "run_id")])
def test_a_known_run_is_never_mixed_with_another(editor: User, run: Run, named: str, given: str) -> None:
    with pytest.raises(Invalid, match="run_id"):
        resolve_source(editor, f"runs:/{named}/model", run_id=given)


def test_the_list_is_the_operator_s(editor: User, settings: Settings) -> None:
    settings.ALLOWED_SOURCE_SCHEMES = ["gs"]

    with pytest.raises(Invalid, match="Accepted are"):
        resolve_source(editor, "s3://bucket/a")


HOSTILE = [
    "/etc/passwd", "etc/passwd", "./x", "../x", "~/x", "C:/x", "C:\\x", "\\\\host\\share", "//host/share", "", " ",
    "file:/etc/passwd", "file:///etc/passwd", "FILE:///etc/passwd", "fIlE:///etc/passwd", " file:///etc/passwd",
    "file:etc",
    "file%3A///etc/passwd", "local:/x", "data:text/plain,x", "javascript:alert(1)", "ftp://h/x",
    "http://169.254.169.254/x",
    "sftp://h/x", "ssh://h/x", "jar:file:/x", "s3+file:///etc/passwd", "php://filter/x", "gopher://h/x",
    "view-source:file:///x",
    "s3://bucket", "s3://bucket/", "s3:///", "s3:", "s3://", "s3://bucket/../x", "s3://bucket/a/..",
    "s3://bucket/%2e%2e/x",
    "s3://bucket/%252e%252e/x", "s3://bucket/%25252e%25252e/x", "s3://bucket/..%2fx", "s3://bucket/..\\x",
    "s3://bucket/a#../x",
    "s3://bucket/a?../x", "s3://bucket/a;../x", "s3://bucket/a\x00", "s3://bucket/a%00", "s3://bucket/a\n",
    "s3://bucket/%0a",
    f"runs:/{RUN}/../x", f"runs:/{RUN}/%2e%2e/x", f"runs:/{RUN}/a#../x", f"runs:/{RUN}/a\\..\\x", f"runs:/{RUN}//etc",
    f"runs:/{RUN}/./x", f"runs:/{RUN}/a//b", f"runs://host/{RUN}/model", f"runs:{RUN}/x?y", f"runs:/{'f' * 32}/model",
    "runs:/", "runs:",
    "mlflow-artifacts:/", "mlflow-artifacts:", "mlflow-artifacts://host/0/x",
    f"mlflow-artifacts:/0/{RUN}/artifacts/../../x",
    f"mlflow-artifacts:/0/{RUN}/artifacts/%2e%2e/x", f"mlflow-artifacts:/0/{RUN}/other",
    f"mlflow-artifacts:/0/{'f' * 32}/artifacts/x",
    f"mlflow-artifacts:/0/{RUN}/artifacts//x", f"mlflow-artifacts:/0/{RUN}/artifacts/a\\b",
    f"mlflow-artifacts:/../{RUN}/artifacts/x",
    f"mlflow-artifacts:////0/{RUN}/artifacts/../x", "mlflow-artifacts:/x/y/artifacts/z",
    f"MLFLOW-ARTIFACTS://h/0/{RUN}/artifacts",
    f"MLFLOW-ARTIFACTS://0/{RUN}/artifacts/x", f"runs://{RUN}/model", f"RUNS://{RUN}/model",
    f"mlflow-artifacts:/0/{RUN}/artifacts/x?y",
    "MODELS://churn/1", "models:/", "models:", "models:/churn", "models://host/churn/1", "models:/churn/../1",
    "models:/churn/1/../2", "models:/churn/1/x",
    "models:/churn/x", "models:/@", "models:/@a", "models:/churn@", "models:/m-short", f"models:/{M}/../x",
    f"models:/{M}/x", "models:/churn/-1",
    "models:/churn/1#../2", "models:/churn/%31", "models:/churn/٣", "models:/churn/²",
]  # fmt: skip


@pytest.mark.parametrize("source", HOSTILE)
def test_hostile_sources_are_refused_and_create_nothing(editor: User, run: Run, source: str) -> None:
    make_version("churn")
    target = make_model("target")

    for fields in ({}, {"run_id": RUN}, {"run_id": RUN, "model_id": M}):
        with pytest.raises(CountersignError):
            services.create_version(actor=editor, model=target, source=source, **fields)
    assert ModelVersion.objects.filter(model=target).count() == 0
    assert RegisteredModel.objects.get(pk=target.pk).last_version == 0


def test_a_version_made_by_reference_to_a_stage_is_bound_to_what_stood_there_then(mover: User) -> None:
    model = make_model("churn")
    first, second = make_version(model, stage="Production"), make_version(model)
    found = resolve_source(mover, "models:/churn/Production")

    services.move_to_stage(actor=mover, version=second, stage=Stage.PRODUCTION, archive_existing=True)

    assert found.source == "models:/churn/1" and found.folder == first.artifact_folder
