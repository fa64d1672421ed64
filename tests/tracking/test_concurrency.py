"""Many at once on one run: nothing lost, nothing half, no deadlock with a registration."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import pytest
from django.core.files.storage import default_storage
from django.db import connection

from accounts.models import User
from core.errors import AlreadyExists, Conflict, Invalid
from registry import artifacts
from registry import services as registry
from registry.artifacts import Place
from registry.models import ArtifactFile
from tests.factories import make_logged_model, make_model, make_user
from tracking.models import Experiment, LoggedModel, MetricPoint, Run
from tracking.services import experiments
from tracking.services import runs as services
from tracking.services.runs import Metric

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

Result = TypeVar("Result")


def at_once(count: int, act: Callable[[int], Result]) -> list[Result]:
    """What ``act(0)``, ``act(1)``… return when they start at the same moment, each on a connection of its own."""
    start = Barrier(count)

    def turn(number: int) -> Result:
        try:
            start.wait(timeout=30)
            return act(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return [future.result(timeout=60) for future in [pool.submit(turn, number) for number in range(count)]]


@pytest.fixture
def admin(transactional_db: None) -> User:
    return make_user("admin", is_superuser=True)


@pytest.fixture
def run(admin: User) -> Run:
    experiment = Experiment.objects.get_or_create(pk=0, defaults={"name": "Default", "artifact_location": "x"})[0]
    return services.create_run(actor=admin, experiment_id=str(experiment.pk))


def test_batches_at_once_are_all_kept(admin: User, run: Run) -> None:
    def log(number: int) -> None:
        metrics = [Metric(f"m{number}", step, 1000 + step, step) for step in range(50)]
        services.log_batch(
            actor=admin, run_id=run.run_id, metrics=metrics, params=[(f"p{number}", "v")], tags={f"t{number}": "v"}
        )

    at_once(12, log)

    run.refresh_from_db()
    assert len(run.params) == len(run.metrics) == 12 and len(run.tags) == 13
    assert {entry["step"] for entry in run.metrics.values()} == {49}
    assert MetricPoint.objects.filter(run=run).count() == 600


def test_of_two_values_of_a_parameter_one_is_kept(admin: User, run: Run) -> None:
    def log(number: int) -> bool:
        try:
            services.log_batch(actor=admin, run_id=run.run_id, params=[("lr", str(number))])
        except Invalid:
            return False
        return True

    taken = at_once(8, log)

    run.refresh_from_db()
    assert taken.count(True) == 1 and run.params == {"lr": str(taken.index(True))}


def test_a_name_of_an_experiment_is_given_once(admin: User) -> None:
    def create(_number: int) -> bool:
        try:
            experiments.create_experiment(actor=admin, name="churn")
        except AlreadyExists:
            return False
        return True

    assert at_once(8, create).count(True) == 1


def test_logging_and_registering_do_not_wait_for_each_other_forever(admin: User, run: Run) -> None:
    logged = make_logged_model(run)
    artifacts.store(actor=admin, place=Place(logged.model_id, "MLmodel"), stream=io.BytesIO(b"{}"), length=2)
    models = [make_model() for _ in range(6)]

    def act(number: int) -> None:
        if number % 2:
            source = f"models:/{logged.model_id}"
            registry.create_version(
                actor=admin, model=models[number // 2], source=source, run_id=run.run_id, model_id=logged.model_id
            )
        else:
            for step in range(10):
                metric = Metric("auc", step, 1000 * number + step, step, model_id=logged.model_id)
                services.log_batch(actor=admin, run_id=run.run_id, metrics=[metric])

    at_once(12, act)

    assert LoggedModel.objects.get(pk=logged.pk).metrics[0]["step"] == 9
    assert MetricPoint.objects.filter(run=run).count() == 60


def test_uploads_to_one_path_leave_one_file(admin: User, run: Run) -> None:
    def upload(number: int) -> None:
        content = str(number).encode() * 1000
        place = Place(run.run_id, "model/MLmodel")
        artifacts.store(actor=admin, place=place, stream=io.BytesIO(content), length=len(content))

    at_once(8, upload)

    file = ArtifactFile.objects.get()
    content = b"".join(artifacts.open_file(file))
    assert len(set(content)) == 1 and len(content) == file.size == 1000
    assert default_storage.exists(file.storage_key)


def test_an_upload_beside_a_registration_lands_before_it_or_not_at_all(admin: User, run: Run) -> None:
    for attempt in range(10):
        folder = f"model{attempt}"
        place = Place(run.run_id, f"{folder}/MLmodel")
        artifacts.store(actor=admin, place=place, stream=io.BytesIO(b"first"), length=5)
        model = make_model()
        source = f"runs:/{run.run_id}/{folder}"

        def act(
            number: int, model: object = model, source: str = source, place: Place = place
        ) -> str:  # bound to this round
            if number == 0:
                version = registry.create_version(actor=admin, model=model, source=source, run_id=run.run_id)  # type: ignore[arg-type]
                return version.evidence.data["files"][0][2]  # type: ignore[union-attr, no-any-return]
            try:
                artifacts.store(actor=admin, place=place, stream=io.BytesIO(b"second"), length=6)
            except Conflict:
                return ""
            return "stored"

        registered, _ = at_once(2, act)

        assert artifacts.get_file(place).sha256 == registered
