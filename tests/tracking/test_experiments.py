"""Experiments: names, tags, deleting and restoring, and who may."""

from __future__ import annotations

import pytest

from accounts.models import User
from core.errors import AlreadyExists, Invalid, NotFound, NotPermitted
from tests.factories import make_experiment, make_run
from tracking.models import Experiment, Lifecycle, Run
from tracking.services import experiments as services

pytestmark = pytest.mark.django_db


def test_default_exists_from_the_start() -> None:
    default = services.get_experiment("0")

    assert (default.name, default.artifact_location, default.lifecycle_stage) == (
        "Default",
        "mlflow-artifacts:/0",
        "active",
    )


def test_a_new_experiment_has_a_place_of_its_own(mira: User) -> None:
    experiment = services.create_experiment(actor=mira, name="churn", tags={"team": "risk"})

    experiment.refresh_from_db()
    assert experiment.user == mira
    assert experiment.artifact_location == f"mlflow-artifacts:/{experiment.pk}"
    assert experiment.tags == {"team": "risk"}


@pytest.mark.usefixtures("ticking")
def test_a_new_experiment_was_last_updated_when_it_was_created(mira: User) -> None:
    experiment = services.create_experiment(actor=mira, name="churn")

    assert experiment.last_update_time == experiment.creation_time


@pytest.mark.parametrize("name", ["", "  ", "n" * 501])
def test_a_bad_name_is_refused(mira: User, name: str) -> None:
    with pytest.raises(Invalid):
        services.create_experiment(actor=mira, name=name)

    assert Experiment.objects.count() == 1


@pytest.mark.parametrize(
    "location", ["s3://bucket/x", "file:///etc", "/etc", "./mlruns", "runs:/x", "mlflow-artifacts:/other"]
)
def test_files_lie_here_and_nowhere_else(mira: User, location: str) -> None:
    with pytest.raises(Invalid, match="artifact_location"):
        services.create_experiment(actor=mira, name="churn", artifact_location=location)


@pytest.mark.parametrize("stage", Lifecycle.values)
def test_a_name_is_given_once_even_after_deleting(mira: User, stage: str) -> None:
    Experiment.objects.create(name="churn", lifecycle_stage=stage, artifact_location="x")

    with pytest.raises(AlreadyExists, match="churn"):
        services.create_experiment(actor=mira, name="churn")
    assert services.create_experiment(actor=mira, name="Churn").name == "Churn"


@pytest.mark.parametrize("experiment_id", ["-1", "9" * 18, "9" * 400, "999"])
def test_an_unknown_id_is_not_found(experiment_id: str) -> None:
    with pytest.raises(NotFound, match="No Experiment with id="):
        services.get_experiment(experiment_id)


@pytest.mark.parametrize("experiment_id", ["", "1 ", "²", "٣", "1.0", "x", "0; --"])
def test_what_is_not_a_number_is_no_id(experiment_id: str) -> None:
    with pytest.raises(Invalid, match="must be a valid integer"):
        services.get_experiment(experiment_id)


def test_a_deleted_experiment_is_only_read_and_restored(mira: User) -> None:
    experiment_id = str(services.create_experiment(actor=mira, name="churn", tags={"team": "risk"}).pk)
    services.set_lifecycle(actor=mira, experiment_id=experiment_id, stage=Lifecycle.DELETED)

    with pytest.raises(Invalid, match="must be in the 'active' state"):
        services.rename_experiment(actor=mira, experiment_id=experiment_id, name="attrition")
    with pytest.raises(Invalid, match="must be in the 'active' state"):
        services.set_experiment_tag(actor=mira, experiment_id=experiment_id, key="team", value="growth")
    with pytest.raises(Invalid, match="must be in the 'active' state"):
        services.delete_experiment_tag(actor=mira, experiment_id=experiment_id, key="team")

    assert services.get_experiment(experiment_id).tags == {"team": "risk"}


def test_renaming(mira: User) -> None:
    experiment = services.create_experiment(actor=mira, name="churn")

    services.rename_experiment(actor=mira, experiment_id=str(experiment.pk), name="attrition")

    assert services.get_experiment(str(experiment.pk)).name == "attrition"


def test_renaming_to_a_taken_name_is_refused_and_the_transaction_lives_on(mira: User) -> None:
    experiment = services.create_experiment(actor=mira, name="churn")

    with pytest.raises(AlreadyExists):
        services.rename_experiment(actor=mira, experiment_id=str(experiment.pk), name="Default")

    assert services.get_experiment(str(experiment.pk)).name == "churn"


def test_deleting_and_restoring_takes_the_runs_along(mira: User) -> None:
    experiment = services.create_experiment(actor=mira, name="churn")
    run = make_run(experiment=experiment)
    experiment_id = str(experiment.pk)

    services.set_lifecycle(actor=mira, experiment_id=experiment_id, stage=Lifecycle.DELETED)
    assert Run.objects.get(pk=run.pk).lifecycle_stage == "deleted"
    with pytest.raises(Invalid, match="must be in the 'active' state"):
        services.active_experiment(experiment_id)
    with pytest.raises(NotFound):
        services.set_lifecycle(actor=mira, experiment_id=experiment_id, stage=Lifecycle.DELETED)

    services.set_lifecycle(actor=mira, experiment_id=experiment_id, stage=Lifecycle.ACTIVE)
    assert Run.objects.get(pk=run.pk).lifecycle_stage == "active"


def test_tags_are_set_replaced_and_deleted(mira: User) -> None:
    experiment_id = str(services.create_experiment(actor=mira, name="churn").pk)

    services.set_experiment_tag(actor=mira, experiment_id=experiment_id, key="team", value="a")
    services.set_experiment_tag(actor=mira, experiment_id=experiment_id, key="team", value="b")
    assert services.get_experiment(experiment_id).tags == {"team": "b"}

    services.delete_experiment_tag(actor=mira, experiment_id=experiment_id, key="team")
    assert services.get_experiment(experiment_id).tags == {}
    with pytest.raises(NotFound):
        services.delete_experiment_tag(actor=mira, experiment_id=experiment_id, key="team")


@pytest.mark.parametrize(
    ("key", "value"), [("", "v"), ("a/../b", "v"), ("k" * 251, "v"), ("a;b", "v"), ("k", "v" * 20_001)]
)
def test_a_bad_tag_is_refused(mira: User, key: str, value: str) -> None:
    experiment_id = str(services.create_experiment(actor=mira, name="churn").pk)

    with pytest.raises(Invalid):
        services.set_experiment_tag(actor=mira, experiment_id=experiment_id, key=key, value=value)


def test_only_its_maker_and_administrators_change_an_experiment(
    mira: User, ci_bot: User, sam: User, admin: User
) -> None:
    experiment_id = str(services.create_experiment(actor=mira, name="churn").pk)

    services.set_experiment_tag(actor=ci_bot, experiment_id=experiment_id, key="by", value="mira's service account")
    services.set_experiment_tag(actor=admin, experiment_id=experiment_id, key="by", value="admin")
    for attempt in (
        lambda: services.rename_experiment(actor=sam, experiment_id=experiment_id, name="mine"),
        lambda: services.set_lifecycle(actor=sam, experiment_id=experiment_id, stage=Lifecycle.DELETED),
        lambda: services.set_experiment_tag(actor=sam, experiment_id=experiment_id, key="by", value="sam"),
        lambda: services.delete_experiment_tag(actor=sam, experiment_id=experiment_id, key="by"),
    ):
        with pytest.raises(NotPermitted):
            attempt()

    experiment = services.get_experiment(experiment_id)
    assert (experiment.name, experiment.lifecycle_stage, experiment.tags) == ("churn", "active", {"by": "admin"})


def test_nobody_but_administrators_deletes_an_experiment_without_maker(sam: User, admin: User) -> None:
    experiment_id = str(make_experiment().pk)

    with pytest.raises(NotPermitted):
        services.set_lifecycle(actor=sam, experiment_id=experiment_id, stage=Lifecycle.DELETED)

    services.set_lifecycle(actor=admin, experiment_id=experiment_id, stage=Lifecycle.DELETED)
