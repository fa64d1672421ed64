"""Who manages a model says who may do what with it; everything at once, one event for each whose level changes."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from accounts.models import Grant, Level, Team, User
from accounts.permissions import forget_grants
from core.errors import Invalid, NotFound, NotPermitted
from notifications.models import Event
from registry.models import RegisteredModel
from registry.permissions import level_of
from registry.services import change_grants, create_model, delete_model
from tests.cast import person
from tests.factories import make_model

READ, EDIT, MANAGE = Level.READ, Level.EDIT, Level.MANAGE


@pytest.fixture
def model(eve: User, settings: Settings) -> RegisteredModel:
    """Eve created it."""
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    model = create_model(actor=eve, name="churn")
    Event.objects.all().delete()
    return model


def granted(model: RegisteredModel) -> dict[str, Level]:
    return {str(row.holder): Level(row.level) for row in Grant.objects.filter(model_id=model.pk)}


def changes() -> list[tuple[str, str, str]]:
    found = Event.objects.filter(kind="grant.changed").order_by("id")
    return [(e.data["user"] or e.data["team"], e.data["before"], e.data["after"]) for e in found]


def test_people_teams_and_service_accounts_get_levels_at_once(
    model: RegisteredModel, eve: User, sam: User, risk: Team, ci_bot: User
) -> None:
    change_grants(actor=eve, model=model, levels={sam: EDIT, risk: READ, ci_bot: EDIT})

    assert granted(model) == {"eve": MANAGE, "sam": EDIT, "risk": READ, "ci-bot": EDIT}
    assert sorted(changes()) == [("ci-bot", "NONE", "EDIT"), ("risk", "NONE", "READ"), ("sam", "NONE", "EDIT")]


def test_an_event_names_actor_model_holder_and_both_levels(model: RegisteredModel, eve: User, sam: User) -> None:
    change_grants(actor=eve, model=model, levels={sam: EDIT})
    change_grants(actor=eve, model=model, levels={sam: READ})
    change_grants(actor=eve, model=model, levels={sam: None})

    assert changes() == [("sam", "NONE", "EDIT"), ("sam", "EDIT", "READ"), ("sam", "READ", "NONE")]
    given, lowered, taken = Event.objects.order_by("id")
    assert {given.actor, lowered.actor, taken.actor} == {eve} and given.model_name == "churn"
    assert given.summary == "eve gave sam the level EDIT on churn."
    assert lowered.summary == "eve gave sam the level READ on churn; it was EDIT."
    assert taken.summary == "eve took the level READ on churn from sam."
    assert given.path == "/models/churn/"


def test_a_lower_level_takes_the_place_of_a_higher_one(model: RegisteredModel, eve: User, sam: User) -> None:
    change_grants(actor=eve, model=model, levels={sam: MANAGE})
    change_grants(actor=eve, model=model, levels={sam: READ})

    assert granted(model) == {"eve": MANAGE, "sam": READ}


def test_what_is_there_already_changes_nothing(model: RegisteredModel, eve: User, sam: User) -> None:
    change_grants(actor=eve, model=model, levels={eve: MANAGE, sam: None})

    assert granted(model) == {"eve": MANAGE}
    assert not Event.objects.exists()


def test_replacing_drops_all_other_grants_on_the_model_and_none_on_patterns(
    model: RegisteredModel, eve: User, sam: User, risk: Team
) -> None:
    other = make_model("other")
    Grant.objects.create(user=sam, model_id=other.pk, level=READ)
    change_grants(actor=eve, model=model, levels={risk: EDIT})
    Event.objects.all().delete()

    change_grants(actor=eve, model=model, levels={eve: MANAGE, sam: EDIT}, replace=True)

    assert granted(model) == {"eve": MANAGE, "sam": EDIT}
    assert sorted(changes()) == [("risk", "EDIT", "NONE"), ("sam", "NONE", "EDIT")]
    assert granted(other) == {"sam": READ}
    assert Grant.objects.filter(user=sam, pattern="*").exists()


def test_a_creator_who_forgets_himself_loses_the_model(model: RegisteredModel, eve: User, sam: User) -> None:
    change_grants(actor=eve, model=model, levels={sam: MANAGE}, replace=True)

    assert level_of(eve, model) == Level.NONE
    with pytest.raises(NotPermitted):
        change_grants(actor=eve, model=model, levels={eve: MANAGE})


def test_replacing_by_nothing_takes_everything_back(model: RegisteredModel, eve: User) -> None:
    change_grants(actor=eve, model=model, levels={}, replace=True)

    assert granted(model) == {}


@pytest.mark.parametrize("level", [Level.READ, Level.EDIT, Level.MANAGE_STAGING_VERSIONS, 4])
def test_it_takes_the_level_manage(model: RegisteredModel, level: int, sam: User) -> None:
    Grant.objects.create(user=sam, model_id=model.pk, level=level)

    with pytest.raises(NotPermitted, match="needs the level MANAGE on churn"):
        change_grants(actor=sam, model=model, levels={sam: MANAGE})


def test_an_administrator_and_a_team_that_manages_may(model: RegisteredModel, admin: User, alice: User) -> None:
    change_grants(actor=admin, model=model, levels={alice.teams.get(): MANAGE})
    change_grants(actor=alice, model=model, levels={admin: READ})

    assert granted(model) == {"eve": MANAGE, "risk": MANAGE, "admin": READ}


def test_what_gives_nothing_sensible_is_refused_whole(model: RegisteredModel, eve: User, sam: User) -> None:
    for levels in ({}, {sam: Level.NONE}, {sam: EDIT, eve: Level.NONE}):
        with pytest.raises(Invalid):
            change_grants(actor=eve, model=model, levels=levels)

    assert granted(model) == {"eve": MANAGE}
    assert not Event.objects.exists()


def test_nothing_is_granted_on_a_model_that_is_gone(model: RegisteredModel, eve: User, sam: User) -> None:
    delete_model(actor=eve, model=model)

    with pytest.raises(NotFound):
        change_grants(actor=eve, model=model, levels={sam: READ})


def test_a_thousand_grants_are_changed_without_a_question_for_each(
    model: RegisteredModel, eve: User, django_assert_max_num_queries: object
) -> None:
    people: dict[User | Team, Level | None] = {person(f"p{number}"): READ for number in range(40)}
    forget_grants(eve)

    with django_assert_max_num_queries(12 + len(people)) as asked:  # type: ignore[operator]
        change_grants(actor=eve, model=model, levels=people)

    events = [query for query in asked.captured_queries if "notifications_event" in query["sql"]]
    assert len(events) == len(people)  # one event each, and nothing else by their number
