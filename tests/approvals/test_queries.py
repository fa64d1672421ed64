"""Whose turn it is, and that reading costs the same for one request as for many."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext

from accounts.models import Level, Membership, Team, User
from accounts.permissions import grants_of, read_grants
from accounts.services import grant
from approvals import services, tasks
from approvals.models import Awaited, TransitionRequest
from approvals.queries import count_waiting
from approvals.standing import standing_of, standings_of
from registry.models import ModelVersion
from tests.approvals.conftest import POLICY, PRODUCTION, STAGING, approve, judge, publish
from tests.factories import make_model, make_version
from tracking.models import Run


def waiting_on(user: User) -> QuerySet[TransitionRequest]:
    """What the inbox shows; the bar must count the same, by a statement that it may have compiled long before."""
    found = rows_waiting_on(user)
    assert count_waiting(100, User.objects.get(pk=user.pk)) == len(found)
    return found


def rows_waiting_on(user: User) -> QuerySet[TransitionRequest]:
    return TransitionRequest.objects.waiting_on(User.objects.get(pk=user.pk)).order_by("id")


def statements(call: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as captured:
        call()
    return len(captured)


def test_a_request_waits_on_those_who_can_clear_it(
    asked: TransitionRequest, alice: User, dkim: User, sam: User, mira: User, admin: User
) -> None:
    assert list(waiting_on(alice)) == [asked]
    assert list(waiting_on(dkim)) == [asked]
    for other in (sam, mira, admin):
        assert list(waiting_on(other)) == []


def test_it_does_not_wait_on_who_has_spoken(asked: TransitionRequest, alice: User, dkim: User) -> None:
    approve(alice, asked)

    assert list(waiting_on(alice)) == []
    assert list(waiting_on(dkim)) == [asked]


def test_it_waits_again_on_whose_approval_was_voided(asked: TransitionRequest, alice: User) -> None:
    approve(alice, asked)
    ModelVersion.objects.filter(pk=asked.version_id).update(digest="f" * 64)
    tasks.reconsider_pending()

    assert list(waiting_on(alice)) == [asked]


def test_while_changes_are_asked_for_it_waits_on_the_requester_alone(
    asked: TransitionRequest, alice: User, dkim: User
) -> None:
    judge(alice, asked, "request_changes", comment="Which data?")

    assert list(waiting_on(alice)) == [] and list(waiting_on(dkim)) == []


def test_without_a_policy_it_waits_on_those_who_may_move(
    version: ModelVersion, sam: User, alice: User, admin: User
) -> None:
    grant(actor=None, level=Level.MANAGE_STAGING_VERSIONS, user=alice, pattern="churn-*")
    request = services.open_request(actor=sam, version=version, target=STAGING)

    assert list(waiting_on(alice)) == [request]
    assert list(waiting_on(admin)) == [request]
    assert list(waiting_on(sam)) == []


def test_what_one_may_not_see_does_not_wait_on_one(
    asked: TransitionRequest, alice: User, settings: pytest.FixtureRequest
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"  # type: ignore[attr-defined]

    assert list(waiting_on(alice)) == []


def test_the_bar_counts_what_the_credential_reaches_and_no_further_than_it_is_asked(
    asked: TransitionRequest, alice: User, mira: User
) -> None:
    services.open_request(actor=mira, version=make_version("fraud", user=mira), target=PRODUCTION)
    grant(actor=None, level=Level.MANAGE, user=alice, pattern="fraud")
    found = {}
    for reach in ("*", "fraud", "nothing-*"):
        alice = User.objects.get(pk=alice.pk)
        alice.reach = reach
        found[reach] = [count_waiting(most, alice) for most in (100, 1)]

    assert found == {"*": [2, 1], "fraud": [1, 1], "nothing-*": [0, 0]}


def test_a_standing_costs_few_statements(asked: TransitionRequest, alice: User) -> None:
    approve(alice, asked)
    request = TransitionRequest.objects.with_rows().get()

    assert statements(lambda: standing_of(request).verdict) <= 7


def test_a_standing_without_a_policy_costs_few_statements(version: ModelVersion, sam: User, alice: User) -> None:
    risk = Team.objects.get(name="risk")
    grant(actor=None, level=Level.MANAGE_STAGING_VERSIONS, team=risk, pattern="churn-*")
    services.open_request(actor=sam, version=version, target=STAGING)
    request = TransitionRequest.objects.with_rows().get()

    assert statements(lambda: standing_of(request).verdict) <= 7


def test_reading_the_grants_of_many_takes_one_statement_and_finds_what_each_would_find(
    mira: User, alice: User, dkim: User, admin: User
) -> None:
    grant(actor=None, level=Level.MANAGE, team=Team.objects.get(name="risk"), pattern="churn-*")
    Membership.objects.create(team=Team.objects.get(name="risk"), user=dkim)
    people = list(User.objects.order_by("pk"))

    assert statements(lambda: read_grants(people)) == 1

    for person in people:
        alone = User.objects.get(pk=person.pk)
        assert sorted(g.pk for g in grants_of(person)) == sorted(g.pk for g in grants_of(alone))


def test_many_standings_cost_as_much_as_one(asked: TransitionRequest, sam: User, alice: User, admin: User) -> None:
    services.open_request(actor=sam, version=make_version("pricing", user=sam), target=PRODUCTION)
    few = list(TransitionRequest.objects.with_rows())
    for number in range(5):
        version = make_version(make_model(f"churn-{number}"), user=sam, metrics={"accuracy": 0.9})
        approve(alice, services.open_request(actor=sam, version=version, target=PRODUCTION))
        services.open_request(actor=sam, version=make_version(f"other-{number}", user=sam), target=STAGING)
    many = list(TransitionRequest.objects.with_rows())
    assert (len(few), len(many)) == (2, 12)

    def read(requests: list[TransitionRequest]) -> list[str]:
        return [standing.verdict.sentence for standing in standings_of(requests)]

    cost = [statements(partial(read, requests)) for requests in (few, many)]

    assert cost[0] == cost[1] <= 13


def test_the_inbox_costs_the_same_for_many_requests(asked: TransitionRequest, sam: User, alice: User) -> None:
    before = statements(lambda: list(rows_waiting_on(alice)))
    for number in range(5):
        version = make_version(make_model(f"churn-{number}"), user=sam, metrics={"accuracy": 0.95, "f1": 0.9})
        services.open_request(actor=sam, version=version, target=PRODUCTION)

    assert statements(lambda: list(rows_waiting_on(alice))) == before <= 3
    assert len(waiting_on(alice)) == 6


def test_it_waits_on_who_has_joined_the_team_since_and_not_on_who_left(
    asked: TransitionRequest, alice: User, sam: User
) -> None:
    Membership.objects.filter(user=alice).update(user=sam)

    assert list(waiting_on(sam)) == [asked]
    assert list(waiting_on(alice)) == []


def test_it_never_waits_on_who_asked_registered_or_trained(
    asked: TransitionRequest, mira: User, sam: User, eve: User
) -> None:
    risk = Team.objects.get(name="risk")
    for author in (mira, sam, eve):
        Membership.objects.create(team=risk, user=author)
    ModelVersion.objects.filter(pk=asked.version_id).update(user=sam)
    Run.objects.filter(pk=asked.version.run_id).update(user=eve)

    for author in (mira, sam, eve):
        assert list(waiting_on(author)) == []


def test_when_each_team_has_spoken_the_rest_of_the_count_is_awaited_of_any(
    version: ModelVersion, mira: User, alice: User, dkim: User
) -> None:
    publish(POLICY.replace("count: 2", "count: 3"))
    request = services.open_request(actor=mira, version=version, target=PRODUCTION)
    approve(alice, request)
    approve(dkim, request)
    colleague = User.objects.create(username="colleague")
    Membership.objects.create(team=Team.objects.get(name="risk"), user=colleague)

    assert list(waiting_on(colleague)) == [request]
    assert list(waiting_on(alice)) == []


def test_a_closed_request_waits_on_nobody(asked: TransitionRequest, mira: User, alice: User) -> None:
    services.withdraw_request(actor=mira, review_request=asked)

    assert list(waiting_on(alice)) == []
    assert not Awaited.objects.exists()


def test_a_version_that_nobody_known_registered_waits_as_well(asked: TransitionRequest, alice: User) -> None:
    ModelVersion.objects.filter(pk=asked.version_id).update(user=None, run_id="")

    assert list(waiting_on(alice)) == [asked]
