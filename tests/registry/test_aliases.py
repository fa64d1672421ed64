"""Aliases: where they point, which names they may have, who may set them."""

from __future__ import annotations

import pytest

from accounts.models import User
from core.errors import Invalid, NotFound, NotPermitted
from notifications.models import Event
from registry import services
from registry.gate import Permit
from registry.models import Alias, ModelVersion, RegisteredModel, StageHolding
from registry.queries import get_version_by_alias
from tests.factories import make_model, make_version

pytestmark = pytest.mark.django_db


def test_setting_an_alias_again_moves_it(stager: User) -> None:
    model = make_model("churn")
    first, second = make_version(model), make_version(model)

    services.set_alias(actor=stager, version=first, alias="champion")
    services.set_alias(actor=stager, version=second, alias="champion")

    assert get_version_by_alias(stager, "churn", "champion") == second
    assert RegisteredModel.objects.get().aliases == {"champion": 2}
    held = [(row.version.version, row.until is None) for row in StageHolding.objects.order_by("id")]
    assert held == [(1, False), (2, True)]
    data = {"alias": "champion", "previous_version": 1, "is_prompt": False}
    assert Event.objects.latest("id").data == data


def test_a_moved_alias_says_who_moved_it_and_when(stager: User, mover: User) -> None:
    model = make_model()
    first, second = make_version(model), make_version(model)
    services.set_alias(actor=stager, version=first, alias="champion")
    before = Alias.objects.get()

    services.set_alias(actor=mover, version=second, alias="champion")

    after = Alias.objects.get()
    assert after.set_by == mover and after.set_at > before.set_at


def test_setting_an_alias_where_it_is_changes_nothing(stager: User) -> None:
    version = make_version(aliases=["champion"])

    services.set_alias(actor=stager, version=version, alias="champion")

    assert not Event.objects.exists()


def test_an_alias_moves_no_clock(stager: User) -> None:
    version = make_version(last_updated_timestamp=1)
    RegisteredModel.objects.update(last_updated_timestamp=1)

    services.set_alias(actor=stager, version=version, alias="champion")
    services.delete_alias(actor=stager, model=version.model, alias="champion")

    assert RegisteredModel.objects.get().last_updated_timestamp == 1
    assert ModelVersion.objects.get().last_updated_timestamp == 1


@pytest.mark.parametrize("alias", ["v", "v1a", "1", "Production", "größte-Älteste", "x" * 255, "_", "-"])
def test_words_of_letters_digits_and_dashes_are_aliases(stager: User, alias: str) -> None:
    version = make_version()

    services.set_alias(actor=stager, version=version, alias=alias)

    assert get_version_by_alias(stager, version.model.name, alias) == version


@pytest.mark.parametrize(
    "alias", ["", " ", "a b", "a/b", "a.b", "x" * 256, "latest", "LATEST", "v1", "V22", "a\n", "ch\u200bamp"]
)
def test_other_names_are_refused(stager: User, alias: str) -> None:
    version = make_version()

    with pytest.raises(Invalid):
        services.set_alias(actor=stager, version=version, alias=alias)
    assert not Alias.objects.exists()


def test_aliases_differ_by_letter_case(stager: User) -> None:
    version = make_version(aliases=["champion"])

    with pytest.raises(Invalid, match=r"Registered model alias Champion not found\."):
        get_version_by_alias(stager, version.model.name, "Champion")


@pytest.mark.parametrize("alias", ["latest", "Latest", "LATEST"])
def test_latest_is_the_highest_living_version(manager: User, alias: str) -> None:
    model = make_model("churn")
    make_version(model, stage="Production")
    gone = make_version(model)
    services.delete_version(actor=manager, version=gone)

    assert get_version_by_alias(manager, "churn", alias).version == 1


def test_latest_of_a_model_without_versions_is_not_found(reader: User) -> None:
    make_model("churn")

    with pytest.raises(NotFound, match=r"Latest version not found for model churn\."):
        get_version_by_alias(reader, "churn", "latest")


def test_deleting_an_absent_alias_is_fine_an_absent_model_is_not(stager: User, manager: User) -> None:
    model = make_model()

    services.delete_alias(actor=stager, model=model, alias="champion")
    services.delete_model(actor=manager, model=model)
    with pytest.raises(NotFound):
        services.delete_alias(actor=stager, model=model, alias="champion")


def test_an_alias_needs_the_level_of_the_stage_it_points_into(editor: User, stager: User, mover: User) -> None:
    model = make_model()
    plain, live = make_version(model), make_version(model, stage="Production")

    with pytest.raises(NotPermitted, match="MANAGE_STAGING_VERSIONS"):
        services.set_alias(actor=editor, version=plain, alias="champion")
    with pytest.raises(NotPermitted, match="MANAGE_PRODUCTION_VERSIONS"):
        services.set_alias(actor=stager, version=live, alias="champion")
    services.set_alias(actor=mover, version=live, alias="champion")
    with pytest.raises(NotPermitted, match="MANAGE_PRODUCTION_VERSIONS"):
        services.set_alias(actor=stager, version=plain, alias="champion")
    with pytest.raises(NotPermitted, match="MANAGE_PRODUCTION_VERSIONS"):
        services.delete_alias(actor=stager, model=model, alias="champion")


def test_who_may_not_edit_learns_nothing_by_deleting_an_absent_alias(reader: User) -> None:
    with pytest.raises(NotPermitted):
        services.delete_alias(actor=reader, model=make_model(), alias="champion")


def test_a_permit_stands_for_the_level(reader: User) -> None:
    version = make_version(stage="Production")

    services.set_alias(actor=reader, version=version, alias="champion", permit=Permit(7))

    holding = StageHolding.objects.get(target="champion")
    assert (holding.set_by, holding.request_id) == (reader, 7)
