"""Runs on another tracking server: what is read, when it is tried again, and what no answer can break."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from pytest_django import Settings

from accounts.models import User
from core.clock import now
from core.errors import Conflict, Invalid, NotPermitted
from notifications.models import Event
from registry import elsewhere, evidence, readings, services
from registry.gate import ChangeKind
from registry.models import Evidence, ModelVersion, RunReading
from registry.tasks import read_runs
from tests.factories import make_model, make_version
from tests.other_server import OtherServer, nobody_listens, run_path
from tests.registry.conftest import THE_GATE

pytestmark = pytest.mark.django_db
State = RunReading.State


@pytest.fixture
def other(settings: Settings) -> Iterator[OtherServer]:
    with OtherServer() as server:
        settings.EXTERNAL_TRACKING_URI = server.url
        yield server


def register(actor: User, run_id: str, source: str = "") -> ModelVersion:
    source = source or f"mlflow-artifacts:/7/{run_id}/artifacts/model"
    return services.create_version(actor=actor, model=make_model(), source=source, run_id=run_id)


def known(version: ModelVersion) -> dict:
    version.refresh_from_db()
    return evidence.known_of(version)


def test_the_run_of_a_version_is_read_into_its_evidence(other: OtherServer, editor: User) -> None:
    run_id = other.has_run(metrics={"accuracy": 0.9, "loss": "NaN", "worst": "Infinity"})
    version = register(editor, run_id)
    assert other.asked == [] and known(version)["metrics"] == {}

    read_runs()

    data = known(version)
    assert data["origin"] == {"server": other.url}
    named = {"run_id": run_id, "run_name": "bold-finch-1", "experiment_id": "7", "user_id": "mira"}
    assert data["run"] == named | {"status": "FINISHED"}
    assert data["metrics"]["accuracy"] == {"value": 0.9, "step": 3}
    assert data["metrics"]["loss"]["value"] == "NaN"
    assert float(data["metrics"]["worst"]["value"]) == 1.7976931348623157e308
    version.refresh_from_db()
    assert evidence.refresh(version) == version.evidence  # nothing differs: nobody's approval is void
    assert (data["params"], data["commit"]) == ({"depth": "3"}, "abc123")
    assert data["tags"] == {"mlflow.source.git.commit": "abc123"}
    assert data["datasets"] == [{"name": "train", "digest": "d1", "context": "training", "source_type": "local"}]
    assert data["signature"]["inputs"] == '[{"name": "tenure", "type": "long"}]'
    assert data["flavors"] == ["python_function"] and data["files"] == []
    reading = RunReading.objects.get()
    assert (reading.state, reading.reason, reading.server) == (State.READ, "", other.url) and reading.read_at
    assert Event.objects.get(kind="evidence.read").data["evidence"] == version.evidence.digest  # type: ignore[union-attr]


def test_bytes_elsewhere_are_not_covered(other: OtherServer, editor: User) -> None:
    version = register(editor, other.has_run())

    read_runs()

    version.refresh_from_db()
    assert (version.digest, version.artifact_owner, version.file_count) == ("", "", 0)
    assert version.storage_location == version.source


def test_what_was_read_stays_when_everything_is_looked_at_anew(other: OtherServer, editor: User) -> None:
    version = register(editor, other.has_run(metrics={"accuracy": 0.9}))
    read_runs()
    version.refresh_from_db()
    before = version.evidence
    other.stop()

    assert readings.refresh(version) == before


def test_a_logged_model_elsewhere_brings_its_run_and_where_its_files_lie(other: OtherServer, editor: User) -> None:
    run_id = other.has_run(metrics={"accuracy": 0.9})
    model_id = other.has_logged_model(run_id=run_id)

    version = services.create_version(actor=editor, model=make_model(), source=f"models:/{model_id}", model_id=model_id)
    read_runs()

    assert (version.run_id, version.logged_model_id) == (run_id, model_id)
    assert version.storage_location == f"mlflow-artifacts:/7/models/{model_id}/artifacts"
    data = known(version)
    assert data["metrics"]["accuracy"]["value"] == 0.9 and data["flavors"] == ["python_function"]


def test_a_logged_model_without_a_run_brings_its_parameters(other: OtherServer, editor: User) -> None:
    model_id = other.has_logged_model()
    version = services.create_version(actor=editor, model=make_model(), source=f"models:/{model_id}", model_id=model_id)

    read_runs()

    data = known(version)
    assert data["run"] is None and data["params"] == {"C": "0.5"} and data["signature"]
    assert readings.refresh(version) == version.evidence


def test_a_runs_address_is_kept_as_the_place_of_its_files(other: OtherServer, editor: User) -> None:
    run_id = other.has_run()

    version = register(editor, run_id, source=f"runs:/{run_id}/model")

    assert version.storage_location == f"mlflow-artifacts:/7/{run_id}/artifacts/model"


def test_a_remote_store_is_accepted_and_its_run_is_read_without_a_signature(other: OtherServer, editor: User) -> None:
    version = register(editor, other.has_run(metrics={"accuracy": 0.9}), source="s3://bucket/model")

    read_runs()

    assert known(version)["metrics"]["accuracy"]["value"] == 0.9 and known(version)["signature"] is None
    assert "signature is not known" in RunReading.objects.get().reason


def test_a_missing_mlmodel_leaves_out_the_signature_alone(other: OtherServer, editor: User) -> None:
    run_id = other.has_run(metrics={"accuracy": 0.9})
    version = register(editor, run_id, source=f"mlflow-artifacts:/7/{run_id}/artifacts/another")

    read_runs()

    assert known(version)["metrics"] and known(version)["signature"] is None
    assert RunReading.objects.get().state == State.READ


def test_the_operators_credentials_go_along(other: OtherServer, editor: User, settings: Settings) -> None:
    settings.EXTERNAL_TRACKING_AUTHORIZATION = "Bearer sesame"
    register(editor, other.has_run())

    read_runs()

    assert set(other.authorizations) == {"Bearer sesame"}


# -- Where nothing is asked --------------------------------------------------------------------------------------------


def test_without_the_setting_an_unknown_run_is_kept_as_given_and_nobody_is_asked(editor: User) -> None:
    version = register(editor, "elsewhere", source="s3://bucket/model")

    assert version.run_id == "elsewhere" and not RunReading.objects.exists()


def test_without_the_setting_what_only_another_server_knows_is_refused_by_name(editor: User) -> None:
    model_id, run_id = "m-" + "0" * 32, "0" * 32
    model = make_model()

    with pytest.raises(Invalid, match=r"not known here.*EXTERNAL_TRACKING_URI"):
        services.create_version(actor=editor, model=model, source=f"models:/{model_id}", model_id=model_id)
    with pytest.raises(Invalid, match=r"not known here.*EXTERNAL_TRACKING_URI"):
        register(editor, run_id)


def test_a_run_of_ours_is_not_asked_for_elsewhere(other: OtherServer, editor: User) -> None:
    ours = make_version()

    services.create_version(actor=editor, model=make_model(), source=ours.source, run_id=ours.run_id)
    read_runs()

    assert other.asked == [] and not RunReading.objects.exists()


def test_who_may_not_register_makes_nobody_ask(other: OtherServer, reader: User) -> None:
    model_id = other.has_logged_model()

    with pytest.raises((Invalid, NotPermitted)):
        services.create_version(actor=reader, model=make_model(), source=f"models:/{model_id}", model_id=model_id)

    assert other.asked == []


# -- What is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location",
    [
        "/srv/mlruns/7/model", "file:///srv/mlruns", "mlflow-artifacts://evil.example.com/7/model", "ftp://host/x",
        "mlflow-artifacts:/7/../8", "s3://bucket/x?y", "mlflow-artifacts:/", "s3:", "", "C:/models", "x" * 1001,
        "mlflow-artifacts:/%2e%2e/x", "runs:/abc/model", "models:/churn/1", "javascript:alert(1)",
    ],
)  # fmt: skip
def test_files_at_a_disk_or_a_host_that_nobody_allowed_are_refused(
    location: str, other: OtherServer, editor: User
) -> None:
    model_id = other.has_logged_model(location=location or " ")

    with pytest.raises(Invalid):
        services.create_version(actor=editor, model=make_model(), source=f"models:/{model_id}", model_id=model_id)

    assert not ModelVersion.objects.exists()


def test_a_run_that_contradicts_the_logged_model_is_refused(other: OtherServer, editor: User) -> None:
    model_id = other.has_logged_model(run_id=other.has_run())

    with pytest.raises(Invalid, match="contradicts"):
        services.create_version(
            actor=editor, model=make_model(), source=f"models:/{model_id}", model_id=model_id, run_id="f" * 32
        )


@pytest.mark.parametrize("source", ["mlflow-artifacts:/7/{0}/artifacts", "mlflow-artifacts:/7/models/{1}x/artifacts"])
def test_a_source_outside_the_logged_model_is_refused(source: str, other: OtherServer, editor: User) -> None:
    model_id = other.has_logged_model()

    with pytest.raises(Invalid):
        services.create_version(
            actor=editor, model=make_model(), source=source.format("f" * 32, model_id), model_id=model_id
        )


def test_files_of_another_run_bring_no_evidence(other: OtherServer, editor: User) -> None:
    mine, better = other.has_run(), other.has_run(metrics={"accuracy": 0.99})
    version = register(editor, better, source=f"mlflow-artifacts:/7/{mine}/artifacts/{better}")

    read_runs()

    reading = RunReading.objects.get()
    assert (reading.state, known(version)["metrics"]) == (State.FAILED, {})
    assert "does not lie within the artifacts" in reading.reason


def test_a_server_that_cannot_be_asked_refuses_a_logged_model_in_a_sentence(editor: User, settings: Settings) -> None:
    settings.EXTERNAL_TRACKING_URI = nobody_listens()
    model_id = "m-" + "0" * 32

    with pytest.raises(Invalid, match=r"could not be reached: the connection was refused.*Register it again later"):
        services.create_version(actor=editor, model=make_model(), source=f"models:/{model_id}", model_id=model_id)


def test_a_slow_server_holds_up_a_registration_for_its_few_seconds_only(
    other: OtherServer, editor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.sources.SECONDS_IN_A_REQUEST", 0.2)
    other.seconds = 2
    model_id = other.has_logged_model()

    with pytest.raises(Invalid, match=r"no (whole )?answer within"):
        services.create_version(actor=editor, model=make_model(), source=f"models:/{model_id}", model_id=model_id)


# -- Failures and tries ------------------------------------------------------------------------------------------------


def tried(version: ModelVersion) -> RunReading:
    """The reading after the next try, whenever that is due."""
    RunReading.objects.filter(version=version).update(next_attempt_at=now())
    read_runs()
    return RunReading.objects.get(version=version)


def test_a_server_that_is_down_is_asked_again_later_and_then_given_up(
    other: OtherServer, editor: User, settings: Settings
) -> None:
    version = register(editor, other.has_run(metrics={"accuracy": 0.9}))
    settings.EXTERNAL_TRACKING_URI = nobody_listens()

    for wait in readings.SCHEDULE:
        reading = tried(version)
        assert (reading.state, reading.reason) == (
            State.WAITING,
            "127.0.0.1 could not be reached: the connection was refused.",
        )
        assert timedelta(seconds=wait - 1) < reading.next_attempt_at - now() < timedelta(seconds=wait * 1.1 + 1)
    reading = tried(version)

    assert reading.state == State.FAILED and reading.attempts == len(readings.SCHEDULE) + 1
    failed = Event.objects.get(kind="evidence.failed")
    assert failed.audience == [editor.pk] and "the connection was refused" in failed.summary
    settings.EXTERNAL_TRACKING_URI = other.url
    services.read_run_again(actor=editor, version=version)
    read_runs()
    assert known(version)["metrics"]["accuracy"]["value"] == 0.9
    assert RunReading.objects.get().state == State.READ


def test_a_run_that_is_not_there_is_given_up_at_once(other: OtherServer, editor: User) -> None:
    version = register(editor, "f" * 32)

    reading = tried(version)

    assert (reading.state, reading.reason) == (State.FAILED, f"{other.url} has not got the run {'f' * 32}.")


@pytest.mark.parametrize(
    ("status", "body", "headers", "sentence"),
    [
        (404, "<html>not found</html>", {}, "answers 404 when asked for the run"),
        (500, '{"error_code": "INTERNAL_ERROR"}', {}, "answers 500 when asked for the run"),
        (503, "", {"Retry-After": "1"}, "answers 503"),
        (401, "", {}, "EXTERNAL_TRACKING_TOKEN"),
        (403, "[]", {}, "EXTERNAL_TRACKING_TOKEN"),
        (302, "", {"Location": "http://127.0.0.1:1/"}, "answers with a redirect (302), which is not followed"),
        (301, "", {"Location": "/elsewhere"}, "answers with a redirect (301), which is not followed"),
        (200, "<html>sign in</html>", {}, "something that no tracking server says"),
        (200, "", {}, "something that no tracking server says"),
        (200, "[]", {}, "something that no tracking server says"),
        (200, "{}", {}, "something that no tracking server says"),
        (200, "null", {}, "something that no tracking server says"),
        (200, '{"run": {"info": {"run_id": 5}}}', {}, "something that no tracking server says"),
        (200, '{"run": {"info": {"run_id": "other"}}}', {}, "answers with another run"),
        (200, '{"run": {"info": [], "data": {}}}', {}, "something that no tracking server says"),
        (200, '{"run": {"info": {"run_id": "RUN"}, "data": {"metrics": 5}}}', {}, "no tracking server says"),
        (200, '{"run": {"info": {"run_id": "RUN"}, "data": {"metrics": [{"key": "a", "value": "x"}]}}}', {}, "says"),
        (200, '{"run": {"info": {"run_id": "RUN"}, "data": {"metrics": [{"key": "a", "value": []}]}}}', {}, "says"),
        (200, '{"run": {"info": {"run_id": "RUN"}, "data": {"tags": {"a": "b"}}}}', {}, "no tracking server says"),
        (200, '{"run": {"info": {"run_id": "RUN", "user_id": ["x"]}}}', {}, "no tracking server says"),
        (200, '{"run": {"info": {"run_id": "RUN", "run_name": "\\ud800"}}}', {}, "no tracking server says"),
        (200, '{"run":' * 2000, {}, "no tracking server says"),
        (200, "[" * 200_000, {}, "no tracking server says"),
    ],
)  # fmt: skip
def test_no_answer_breaks_anything_and_each_is_said_in_a_sentence(
    status: int, body: str, headers: dict[str, str], sentence: str, other: OtherServer, editor: User
) -> None:
    run_id = "a" * 32
    other.answer(run_path(run_id), body.replace("RUN", run_id), status, **headers)
    version = register(editor, run_id)

    reading = tried(version)

    assert reading.state == State.WAITING and sentence in reading.reason
    assert known(version)["run"] is None and len(other.asked) == 1


def test_a_huge_answer_is_not_read(other: OtherServer, editor: User) -> None:
    run_id = other.has_run()
    status, body, headers = other.answers[run_path(run_id)]
    other.answers[run_path(run_id)] = (status, body.replace("abc123", "x" * (elsewhere.MAX_ANSWER + 1)), headers)
    version = register(editor, run_id)

    reading = tried(version)

    assert reading.state == State.FAILED and "answered with more than 8192 KiB" in reading.reason


def test_a_server_that_never_finishes_is_left_in_time(
    other: OtherServer, editor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(elsewhere.read_run.__kwdefaults__, "seconds", 0.2)
    version = register(editor, other.has_run())
    other.seconds = 2

    reading = tried(version)

    assert reading.state == State.WAITING and "no" in reading.reason and "answer within 0 s" in reading.reason


def test_text_that_no_database_holds_is_kept_without_it(other: OtherServer, editor: User) -> None:
    run_id = other.has_run(run_name="bold\x00 <b>finch</b>" + "x" * 1000)
    version = register(editor, run_id)

    read_runs()

    assert known(version)["run"]["run_name"].startswith("bold <b>finch</b>x")
    assert len(known(version)["run"]["run_name"]) == 250


def test_a_killed_worker_leaves_its_claim_to_the_next(other: OtherServer, editor: User) -> None:
    version = register(editor, other.has_run(metrics={"accuracy": 0.9}))
    claimed = readings._claim()
    assert claimed is not None and readings._claim() is None

    RunReading.objects.update(next_attempt_at=now())
    read_runs()

    assert known(version)["metrics"] and RunReading.objects.get().attempts == 2


def test_who_lost_the_claim_writes_nothing(other: OtherServer, editor: User) -> None:
    version = register(editor, other.has_run(metrics={"accuracy": 0.9}))
    late = readings._claim()
    assert late is not None
    RunReading.objects.update(next_attempt_at=now())
    assert readings._claim() is not None

    readings._note_failure(late, elsewhere.Unread("Too late.", is_final=True))
    readings._note_success(late, readings.Found({}))

    assert RunReading.objects.get().state == State.WAITING and known(version)["run"] is None
    assert not Event.objects.filter(kind__in=["evidence.read", "evidence.failed"]).exists()


def test_a_worker_that_dies_at_every_try_is_not_asked_for_ever(other: OtherServer, editor: User) -> None:
    version = register(editor, other.has_run())
    RunReading.objects.update(attempts=len(readings.SCHEDULE) + 1)

    assert tried(version).reason == "Every try ended with the worker that made it."
    assert other.asked == []


def test_a_setting_that_is_gone_ends_the_wait(other: OtherServer, editor: User, settings: Settings) -> None:
    version = register(editor, other.has_run())
    settings.EXTERNAL_TRACKING_URI = ""

    assert "not set any more" in tried(version).reason


def test_a_deleted_version_is_read_for_nobody(other: OtherServer, editor: User, manager: User) -> None:
    version = register(editor, other.has_run())
    services.delete_version(actor=manager, version=version)

    read_runs()

    assert not Evidence.objects.exists()
    assert not Event.objects.filter(kind="evidence.read").exists()


# -- Again -------------------------------------------------------------------------------------------------------------


def test_reading_again_finds_what_has_changed_since(other: OtherServer, editor: User) -> None:
    run_id = other.has_run(metrics={"accuracy": 0.9})
    version = register(editor, run_id)
    read_runs()
    status, body, headers = other.answers[run_path(run_id)]
    other.answers[run_path(run_id)] = (status, body.replace("0.9", "0.95"), headers)

    services.read_run_again(actor=editor, version=version)
    read_runs()

    assert known(version)["metrics"]["accuracy"]["value"] == 0.95
    assert Evidence.objects.filter(version=version).count() == 2
    assert THE_GATE.asked[-1].kind == ChangeKind.READ_RUN
    assert Event.objects.filter(kind="evidence.requested", actor=editor).count() == 1


def test_the_same_again_is_the_same_evidence(other: OtherServer, editor: User) -> None:
    version = register(editor, other.has_run(metrics={"accuracy": 0.9}))
    read_runs()
    first = known(version)

    services.read_run_again(actor=editor, version=version)
    read_runs()

    assert known(version) == first and Evidence.objects.filter(version=version).count() == 1


def test_a_version_from_before_the_setting_is_read_when_somebody_asks(editor: User, settings: Settings) -> None:
    with OtherServer() as other:
        version = register(editor, other.has_run(metrics={"accuracy": 0.9}), source="s3://bucket/model")
        settings.EXTERNAL_TRACKING_URI = other.url

        services.read_run_again(actor=editor, version=version)
        read_runs()

    assert known(version)["metrics"]["accuracy"]["value"] == 0.9


def test_only_who_may_edit_has_it_read_again(other: OtherServer, editor: User, reader: User) -> None:
    version = register(editor, other.has_run())

    with pytest.raises(NotPermitted):
        services.read_run_again(actor=reader, version=version)


def test_there_is_nothing_to_read_again_of_a_run_of_ours(other: OtherServer, editor: User) -> None:
    with pytest.raises(Conflict, match="not on another tracking server"):
        services.read_run_again(actor=editor, version=make_version())


def test_without_the_setting_nothing_is_read_again(editor: User) -> None:
    version = register(editor, "elsewhere", source="s3://bucket/model")

    with pytest.raises(Conflict, match="EXTERNAL_TRACKING_URI"):
        services.read_run_again(actor=editor, version=version)
