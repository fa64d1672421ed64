"""Many at once on one model: numbers without gaps, one holder of Production, one model per name."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import pytest
from django.db import connection
from django.test import Client

from accounts.models import User
from core.errors import AlreadyExists
from notifications.models import Event
from registry import services
from registry.models import Alias, LatestVersion, ModelVersion, RegisteredModel, Stage, StageHolding
from tests.cast import token_of
from tests.factories import make_model, make_user, make_version

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

Result = TypeVar("Result")


def at_once(count: int, act: Callable[[int], Result]) -> list[Result]:
    """What ``act(0)``, ``act(1)``… return when they start at the same moment, each on a connection of its own."""
    start = Barrier(count)

    def run(number: int) -> Result:
        try:
            start.wait(timeout=30)
            return act(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return [future.result(timeout=60) for future in [pool.submit(run, number) for number in range(count)]]


@pytest.fixture
def admin(transactional_db: None) -> User:
    return make_user("admin", is_superuser=True)


def test_numbers_have_no_gap_and_no_twin(admin: User) -> None:
    model = make_model()

    versions = at_once(32, lambda n: services.create_version(actor=admin, model=model, source=f"s3://bucket/{n}"))

    assert sorted(version.version for version in versions) == list(range(1, 33))
    assert LatestVersion.objects.get(model=model).version.version == 32


def test_moves_with_archive_leave_exactly_one_in_production(admin: User) -> None:
    """64 clients through the door, 20 times: each is answered 200 with where its version is, and no deadlock."""
    headers = {"authorization": f"Bearer {token_of(admin)[1]}"}
    for round_ in range(20):
        model = make_model(f"churn-{round_}")
        versions = [make_version(model) for _ in range(64)]

        def move(number: int) -> str:
            body = {"name": model.name, "version": str(versions[number].version), "stage": "Production"}  # noqa: B023
            answer = Client(headers=headers).post(
                "/api/2.0/mlflow/model-versions/transition-stage",
                body | {"archive_existing_versions": True},
                content_type="application/json",
            )
            assert answer.status_code == 200, answer.content
            return answer.json()["model_version"]["current_stage"]

        assert at_once(64, move) == ["Production"] * 64

        _assert_one_holder(model)


def _assert_one_holder(model: RegisteredModel) -> None:
    stages = list(ModelVersion.objects.filter(model=model).values_list("current_stage", flat=True))
    assert sorted(stages) == ["Archived"] * 63 + ["Production"]
    moves = Event.objects.filter(model_name=model.name, kind="transition.applied")
    assert moves.count() == 64
    holder = ModelVersion.objects.get(model=model, current_stage="Production")
    assert LatestVersion.objects.get(model=model, stage="Production").version == holder
    assert StageHolding.objects.get(model=model, until=None).version == holder


def test_somebody_always_holds_production_while_it_changes_hands(admin: User) -> None:
    model = make_model()
    versions = [make_version(model, stage="Production"), *(make_version(model) for _ in range(7))]
    holders: list[int] = []

    def act(number: int) -> None:
        if number:
            services.move_to_stage(actor=admin, version=versions[number], stage=Stage.PRODUCTION, archive_existing=True)
        else:
            in_production = ModelVersion.objects.filter(model=model, current_stage="Production")
            holders.extend(in_production.count() for _ in range(100))

    at_once(8, act)

    assert set(holders) == {1}


def test_one_of_many_gets_the_name(admin: User) -> None:
    def act(_number: int) -> bool:
        try:
            services.create_model(actor=admin, name="churn")
        except AlreadyExists:
            return False
        return True

    assert at_once(12, act).count(True) == 1
    assert RegisteredModel.objects.filter(name="churn").count() == 1


def test_an_alias_ends_on_one_version_in_both_places(admin: User) -> None:
    model = make_model()
    versions = [make_version(model) for _ in range(12)]

    at_once(12, lambda n: services.set_alias(actor=admin, version=versions[n], alias="champion"))

    row = Alias.objects.get(model=model)
    assert RegisteredModel.objects.get(pk=model.pk).aliases == {"champion": row.version.version}
    assert StageHolding.objects.get(model=model, until=None).version == row.version


def test_tags_set_at_once_all_stay(admin: User) -> None:
    version = make_version()

    at_once(12, lambda n: services.set_version_tag(actor=admin, version=version, key=f"k{n}", value=str(n)))

    version.refresh_from_db()
    assert version.tags == {f"k{n}": str(n) for n in range(12)}


def test_moving_and_deleting_at_once_leave_no_trace_of_the_deleted(admin: User) -> None:
    model = make_model()
    versions = [make_version(model) for _ in range(8)]

    def act(number: int) -> None:
        version = versions[number // 2]
        if number % 2:
            services.delete_version(actor=admin, version=version)
        else:
            services.set_alias(actor=admin, version=versions[4 + number // 2], alias="champion")
            services.move_to_stage(actor=admin, version=versions[4 + number // 2], stage=Stage.STAGING)

    at_once(8, act)

    live = set(ModelVersion.objects.live().filter(model=model).values_list("pk", flat=True))
    assert live == {version.pk for version in versions[4:]}
    assert set(StageHolding.objects.filter(until=None).values_list("version_id", flat=True)) <= live
    assert LatestVersion.objects.get(model=model, stage="Staging").version == versions[7]
