"""Levels: who sees what, and who may do what."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from accounts import services as accounts
from accounts.models import Level, User
from core.errors import NotFound
from registry import services
from registry.models import ModelVersion, RegisteredModel
from registry.permissions import can_edit, can_manage, can_read, level_of
from registry.queries import get_model, get_version, get_version_by_alias
from registry.search import search_models, search_versions
from tests.factories import make_model, make_user, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def closed_house(settings: Settings) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"


def names(user: User) -> list[str]:
    return [model.name for model in search_models(user).rows]


@pytest.mark.usefixtures("closed_house")
def test_a_stranger_finds_nothing_by_any_way() -> None:
    eve = make_user("eve")
    make_version("churn", aliases=["champion"])

    for look in (
        lambda: get_model(eve, "churn"),
        lambda: get_version(eve, "churn", 1),
        lambda: get_version_by_alias(eve, "churn", "champion"),
        lambda: get_version_by_alias(eve, "churn", "latest"),
    ):
        with pytest.raises(NotFound):
            look()
    assert names(eve) == [] and search_versions(eve).rows == []


@pytest.mark.usefixtures("closed_house")
def test_a_grant_on_a_glob_shows_the_models_that_it_reaches() -> None:
    dkim = make_user("dkim")
    for name in ("churn-eu", "churn-us", "Churn-jp", "fraud", "churn", "churn_%", "churn-[a]"):
        make_version(name)
    accounts.grant(actor=None, level=Level.READ, user=dkim, pattern="churn-*")

    assert names(dkim) == ["churn-[a]", "churn-eu", "churn-us"]
    assert {version.name for version in search_versions(dkim).rows} == {"churn-[a]", "churn-eu", "churn-us"}


@pytest.mark.usefixtures("closed_house")
@pytest.mark.parametrize("pattern", ["*", "ch?rn", "churn", "c*", "*[[]*"])
def test_a_glob_means_the_same_to_the_database_and_to_a_single_look_up(pattern: str) -> None:
    dkim = make_user("dkim")
    accounts.grant(actor=None, level=Level.READ, user=dkim, pattern=pattern)
    models = [
        make_model(name) for name in ("churn", "chorn", "chuurn", "Churn", "fraud", "a[b]", "50%", "a_b", "back\\slash")
    ]

    assert set(names(dkim)) == {model.name for model in models if can_read(dkim, model)}


@pytest.mark.usefixtures("closed_house")
def test_a_team_s_grant_is_its_members_grant_and_ends_with_the_membership() -> None:
    alice, risk = make_user("alice"), accounts.create_team(actor=None, name="risk")
    model = make_model("churn")
    accounts.grant(actor=None, level=Level.EDIT, team=risk, model_id=model.pk)
    accounts.add_to_team(actor=None, team=risk, users=[alice])

    assert can_edit(User.objects.get(pk=alice.pk), model)
    accounts.remove_from_team(actor=None, team=risk, users=[alice])
    assert not can_read(User.objects.get(pk=alice.pk), model)


@pytest.mark.usefixtures("closed_house")
def test_auditors_read_everything_and_change_nothing() -> None:
    auditor = make_user("auditor", is_auditor=True)
    version = make_version("churn")

    assert get_model(auditor, "churn") == version.model and names(auditor) == ["churn"]
    assert level_of(auditor, version.model) == Level.READ


def test_a_grant_on_a_model_follows_its_name(manager: User) -> None:
    mira = make_user("mira")
    model = make_model("churn")
    accounts.grant(actor=None, level=Level.MANAGE, user=mira, model_id=model.pk)

    renamed = services.rename_model(actor=manager, model=model, new_name="attrition")

    assert can_manage(User.objects.get(pk=mira.pk), renamed)
    assert not can_manage(User.objects.get(pk=mira.pk), make_model("churn"))


def test_nobody_switched_off_may_anything() -> None:
    admin = make_user("admin", is_superuser=True, is_active=False)

    assert level_of(admin, make_model()) == Level.NONE


def test_a_no_says_which_level_is_missing(reader: User) -> None:
    answer = can_manage(reader, make_model("churn"))

    assert not answer and "MANAGE on churn" in answer.reason


@pytest.mark.usefixtures("closed_house")
def test_querysets_show_versions_through_their_model() -> None:
    dkim = make_user("dkim")
    mine, other = make_version("churn"), make_version("fraud")
    accounts.grant(actor=None, level=Level.READ, user=dkim, model_id=mine.model_id)

    assert list(RegisteredModel.objects.visible_to(dkim)) == [mine.model]
    assert list(ModelVersion.objects.visible_to(dkim)) == [mine]
    assert other not in ModelVersion.objects.visible_to(dkim)
