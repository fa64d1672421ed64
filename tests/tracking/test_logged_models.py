"""Logged models: made, finished, tagged, hidden; what a registration notes on them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from accounts.models import User
from core.errors import Invalid, NotFound, NotPermitted
from tests.factories import make_run
from tracking.models import LoggedModel
from tracking.services import logged_models as services

pytestmark = pytest.mark.django_db


@pytest.fixture
def model(mira: User) -> LoggedModel:
    return services.create_logged_model(actor=mira, experiment_id="0", name="churn")


def fresh(model: LoggedModel) -> LoggedModel:
    return LoggedModel.objects.get(pk=model.pk)


def test_a_logged_model_waits_for_its_files(mira: User) -> None:
    made = services.create_logged_model(
        actor=mira, experiment_id="0", source_run_id="r", params={"lr": "1"}, tags={"a": "b"}
    )

    model = fresh(made)
    assert re.fullmatch("m-[0-9a-f]{32}", model.model_id)
    assert re.fullmatch("[a-z]+-[a-z]+-[0-9]{1,3}", model.name)
    assert (model.status, model.user, model.source_run_id) == ("LOGGED_MODEL_PENDING", mira, "r")
    assert (model.params, model.tags) == ({"lr": "1"}, {"a": "b"})


@pytest.mark.usefixtures("ticking")
def test_a_new_logged_model_was_last_updated_when_it_was_created(mira: User) -> None:
    model = services.create_logged_model(actor=mira, experiment_id="0")

    assert model.last_updated_timestamp == model.creation_timestamp


@pytest.mark.parametrize("name", ["a/b", "a:b", "a.b", "a%b", 'a"b', "a'b", "n" * 501])
def test_a_bad_name_is_refused(mira: User, name: str) -> None:
    with pytest.raises(Invalid):
        services.create_logged_model(actor=mira, experiment_id="0", name=name)

    assert not LoggedModel.objects.exists()


def test_it_becomes_ready(mira: User, model: LoggedModel) -> None:
    services.finalize_logged_model(actor=mira, model_id=model.model_id, status="LOGGED_MODEL_READY")

    assert fresh(model).status == "LOGGED_MODEL_READY"


def test_tags_and_parameters(mira: User, model: LoggedModel) -> None:
    services.set_logged_model_tags(actor=mira, model_id=model.model_id, tags={"a": "1", "b": "2"})
    services.delete_logged_model_tag(actor=mira, model_id=model.model_id, key="a")
    services.log_params(actor=mira, model_id=model.model_id, params={"lr": "1"})

    assert (fresh(model).tags, fresh(model).params) == ({"b": "2"}, {"lr": "1"})
    with pytest.raises(NotFound):
        services.delete_logged_model_tag(actor=mira, model_id=model.model_id, key="a")
    with pytest.raises(Invalid):
        services.set_logged_model_tags(actor=mira, model_id=model.model_id, tags={"c": "3", "a;b": "1"})
    assert fresh(model).tags == {"b": "2"}


def test_deleting_hides_it_and_may_be_repeated(mira: User, model: LoggedModel) -> None:
    for _ in range(2):
        services.delete_logged_model(actor=mira, model_id=model.model_id)

    with pytest.raises(NotFound, match=f"Logged model with ID '{model.model_id}' not found"):
        services.get_logged_model(model.model_id)
    assert services.get_logged_model(model.model_id, allow_deleted=True) == model
    with pytest.raises(NotFound):
        services.set_logged_model_tags(actor=mira, model_id=model.model_id, tags={"a": "1"})


WRITES: dict[str, Callable[[User, str], object]] = {
    "finalize": lambda actor, model_id: services.finalize_logged_model(
        actor=actor, model_id=model_id, status="LOGGED_MODEL_UPLOAD_FAILED"
    ),
    "tag": lambda actor, model_id: services.set_logged_model_tags(actor=actor, model_id=model_id, tags={"a": "b"}),
    "untag": lambda actor, model_id: services.delete_logged_model_tag(actor=actor, model_id=model_id, key="a"),
    "params": lambda actor, model_id: services.log_params(actor=actor, model_id=model_id, params={"a": "b"}),
    "delete": lambda actor, model_id: services.delete_logged_model(actor=actor, model_id=model_id),
}


@pytest.mark.parametrize("write", WRITES)
def test_nobody_writes_to_somebody_elses_model(model: LoggedModel, sam: User, ci_bot: User, write: str) -> None:
    LoggedModel.objects.filter(pk=model.pk).update(tags={"a": "b"})
    before = LoggedModel.objects.filter(pk=model.pk).values().get()

    with pytest.raises(NotPermitted, match="mira"):
        WRITES[write](sam, model.model_id)
    assert LoggedModel.objects.filter(pk=model.pk).values().get() == before

    WRITES[write](ci_bot, model.model_id)


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("model_id", ["", "m-", "m-" + "0" * 32, "m-" + "0" * 33, "ü" * 500])
def test_an_unknown_model_is_not_found(mira: User, write: str, model_id: str) -> None:
    with pytest.raises(NotFound, match="Logged model with ID"):
        WRITES[write](mira, model_id)


@pytest.mark.parametrize("noted", [None, "not json", "{}", "[" * 100_000])
def test_a_registration_is_noted_whatever_stood_there(model: LoggedModel, noted: str | None) -> None:
    LoggedModel.objects.filter(pk=model.pk).update(tags={services.VERSIONS_TAG: noted} if noted else {})

    services.note_version(model_id=model.model_id, name="churn", version=3)

    assert json.loads(fresh(model).tags[services.VERSIONS_TAG]) == [{"name": "churn", "version": 3}]


def test_registrations_are_appended(model: LoggedModel) -> None:
    for version in (1, 2):
        services.note_version(model_id=model.model_id, name="churn", version=version)

    assert [entry["version"] for entry in json.loads(fresh(model).tags[services.VERSIONS_TAG])] == [1, 2]


def test_nobody_hangs_a_logged_model_on_the_run_of_another(mira: User, eve: User, admin: User) -> None:
    """Its metrics would speak for files that the run never made."""
    run = make_run(user=mira)

    with pytest.raises(NotPermitted, match="Only mira"):
        services.create_logged_model(actor=eve, experiment_id="0", name="model", source_run_id=run.run_id)

    assert not LoggedModel.objects.exists()
    for actor in (mira, admin):
        assert services.create_logged_model(actor=actor, experiment_id="0", source_run_id=run.run_id).pk
