"""Registered models: what creating, describing, renaming and deleting do."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from accounts.models import Level, User
from core.errors import AlreadyExists, Invalid, NotFound, NotPermitted
from notifications.models import Event
from registry import services
from registry.models import Alias, LatestVersion, ModelVersion, RegisteredModel, StageHolding
from registry.permissions import level_of
from registry.queries import get_model, get_version
from tests.factories import make_model, make_user, make_version

pytestmark = pytest.mark.django_db


def test_creator_manages_the_new_model(reader: User) -> None:
    model = services.create_model(actor=reader, name="churn", description="Who leaves", tags={"tier": "critical"})

    assert level_of(User.objects.get(pk=reader.pk), model) == Level.MANAGE
    assert level_of(make_user(), model) == Level.READ
    assert (model.description, model.tags, model.user) == ("Who leaves", {"tier": "critical"}, reader)


@pytest.mark.usefixtures("ticking")
def test_a_new_model_was_last_updated_when_it_was_created(reader: User) -> None:
    model = services.create_model(actor=reader, name="churn")

    assert model.last_updated_timestamp == model.creation_timestamp


def test_creating_records_one_event_with_its_actor(reader: User) -> None:
    services.create_model(actor=reader, name="churn")

    event = Event.objects.get()
    assert (event.kind, event.actor, event.model_name) == ("registered_model.created", reader, "churn")


def test_a_name_belongs_to_one_living_model(reader: User) -> None:
    services.create_model(actor=reader, name="churn")

    with pytest.raises(AlreadyExists, match=r"Registered Model \(name=churn\) already exists\."):
        services.create_model(actor=reader, name="churn")


def test_names_differ_by_letter_case(reader: User) -> None:
    services.create_model(actor=reader, name="churn")

    assert services.create_model(actor=reader, name="Churn").name == "Churn"


def test_only_administrators_create_when_the_setting_says_so(reader: User, settings: Settings) -> None:
    settings.ANYONE_MAY_CREATE_MODELS = False

    with pytest.raises(NotPermitted):
        services.create_model(actor=reader, name="churn")
    services.create_model(actor=make_user(is_superuser=True), name="churn")


@pytest.mark.parametrize("name", ["", "  ", "a/b", "a:b", ".", "..", "x" * 257, "pay\u202eroll", "a\u200bb", "a\nb"])
def test_unusable_names_are_refused(reader: User, name: str) -> None:
    with pytest.raises(Invalid):
        services.create_model(actor=reader, name=name)
    assert not RegisteredModel.objects.exists()


@pytest.mark.parametrize("name", ["x" * 256, "Kündigung 100%", 'it\'s "so"', "back\\slash", "模型", "..."])
def test_any_other_name_is_fine(reader: User, name: str) -> None:
    services.create_model(actor=reader, name=name)

    assert get_model(reader, name).name == name


def test_a_description_moves_the_clock_and_may_be_cleared(editor: User) -> None:
    model = make_model(description="old", last_updated_timestamp=1)

    updated = services.update_model(actor=editor, model=model, description="")

    assert updated.description == "" and updated.last_updated_timestamp > 1


def test_a_reader_describes_nothing(reader: User) -> None:
    with pytest.raises(NotPermitted, match="EDIT"):
        services.update_model(actor=reader, model=make_model(), description="mine")


def test_a_description_has_a_limit(editor: User) -> None:
    with pytest.raises(Invalid, match="5000"):
        services.update_model(actor=editor, model=make_model(), description="x" * 5001)


def test_versions_tags_and_aliases_follow_a_rename(manager: User) -> None:
    version = make_version("churn", aliases=["champion"], tags={"a": "b"})
    ModelVersion.objects.update(last_updated_timestamp=1)

    services.rename_model(actor=manager, model=version.model, new_name="attrition")

    renamed = get_version(manager, "attrition", 1)
    assert renamed.pk == version.pk and renamed.aliases == ["champion"] and renamed.tags == {"a": "b"}
    assert renamed.last_updated_timestamp == renamed.model.last_updated_timestamp > 1
    with pytest.raises(NotFound, match="Registered Model with name=churn not found"):
        get_model(manager, "churn")


def test_a_model_may_be_renamed_to_its_own_name_but_not_to_another_s(manager: User) -> None:
    model = make_model("churn")
    make_model("fraud")

    services.rename_model(actor=manager, model=model, new_name="churn")
    with pytest.raises(AlreadyExists, match="fraud"):
        services.rename_model(actor=manager, model=model, new_name="fraud")
    with pytest.raises(Invalid):
        services.rename_model(actor=manager, model=model, new_name="a/b")


def test_only_who_manages_renames_and_deletes(mover: User) -> None:
    model = make_model()

    with pytest.raises(NotPermitted, match="MANAGE"):
        services.rename_model(actor=mover, model=model, new_name="mine")
    with pytest.raises(NotPermitted, match="MANAGE"):
        services.delete_model(actor=mover, model=model)


def test_a_deleted_model_takes_everything_out_of_sight(manager: User) -> None:
    version = make_version("churn", stage="Production", aliases=["champion"])

    services.delete_model(actor=manager, model=version.model)

    for ask in (lambda: get_model(manager, "churn"), lambda: get_version(manager, "churn", 1)):
        with pytest.raises(NotFound):
            ask()
    assert not LatestVersion.objects.exists() and not Alias.objects.exists()
    assert not StageHolding.objects.filter(until=None).exists()
    assert StageHolding.objects.count() == 2, "the history of who held what stays"


def test_a_recreated_name_starts_anew_and_inherits_nothing(manager: User, reader: User) -> None:
    old = services.create_model(actor=reader, name="churn")
    services.delete_model(actor=manager, model=old)

    new = services.create_model(actor=manager, name="churn")

    assert new.pk != old.pk and new.last_version == 0
    assert level_of(User.objects.get(pk=reader.pk), new) == Level.READ


def test_a_deleted_model_takes_no_more_writes(manager: User) -> None:
    model = make_model()
    services.delete_model(actor=manager, model=model)

    with pytest.raises(NotFound):
        services.update_model(actor=manager, model=model, description="late")
    with pytest.raises(NotFound):
        services.delete_model(actor=manager, model=model)
