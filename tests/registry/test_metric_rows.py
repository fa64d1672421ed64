"""The rows of metrics beside the evidence: always what the evidence says, and one statement where something is new."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from registry import evidence, services
from registry.metric_rows import AT_ONCE, metric_history
from registry.models import ModelVersion, VersionMetric
from tests.factories import make_model, make_run, make_version
from tracking.models import Run

LARGEST = 1.7976931348623157e308  # how infinity is kept


def written() -> dict[tuple[str, int, str], float]:
    rows = VersionMetric.objects.values_list("model__name", "number", "name", "value", "version__version")
    assert all(number == of_version for _, number, _, _, of_version in rows)
    return {(model, number, name): value for model, number, name, value, _ in rows}


def rebuilt() -> dict[tuple[str, int, str], float]:
    """What the current evidence of every version says in numbers, of any schema that has it."""
    versions = ModelVersion.objects.exclude(evidence=None).select_related("model", "evidence")
    versions = versions.only("model__name", "version", "evidence__data")
    return {
        (version.model.name, version.version, name): value
        for version in versions
        for name, entry in version.evidence.data["metrics"].items()  # type: ignore[union-attr]
        if (value := float(entry["value"])) == value and abs(value) != LARGEST
    }


def logged(run_id: str, metrics: dict[str, float | str]) -> None:
    entries = {name: {"value": value, "timestamp": 1, "step": 0} for name, value in metrics.items()}
    Run.objects.filter(pk=run_id).update(metrics=entries)


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(5))
def test_the_rows_can_be_made_again_from_the_evidence_whatever_happened(seed: int, manager: User) -> None:
    chance = random.Random(seed)
    values: list[float | str] = [0.0, -0.5, 0.1 + 0.2, 1e-300, 1e22, 7.0, "NaN", LARGEST, -LARGEST]
    models = [make_model(), make_model()]

    def register() -> None:
        run = make_run()
        logged(run.pk, {name: chance.choice(values) for name in chance.sample("abcde", chance.randint(0, 5))})
        model = chance.choice(models)
        services.create_version(actor=manager, model=model, source=f"s3://bucket/{run.pk}", run_id=run.pk)

    def change() -> None:
        for version in ModelVersion.objects.select_related("model", "evidence").order_by("?")[:2]:
            logged(version.run_id, {name: chance.choice(values) for name in chance.sample("abcde", 3)})
            evidence.refresh(version)

    def lose_a_run() -> None:
        Run.objects.filter(pk__in=ModelVersion.objects.order_by("?").values("run_id")[:1]).delete()
        for version in ModelVersion.objects.select_related("evidence"):
            evidence.refresh(version)

    def delete() -> None:
        for version in ModelVersion.objects.live().select_related("model").order_by("?")[:1]:
            services.delete_version(actor=manager, version=version)

    register()
    for _ in range(40):
        with transaction.atomic():
            chance.choice([register, change, change, lose_a_run, delete])()
        assert written() == rebuilt()


@pytest.mark.django_db
def test_what_is_no_number_has_no_row_and_loses_the_one_it_had() -> None:
    version = make_version("churn", metrics={"auc": 0.9, "f1": 0.8, "loss": 1.0})
    assert written() == {("churn", 1, "auc"): 0.9, ("churn", 1, "f1"): 0.8, ("churn", 1, "loss"): 1.0}

    logged(version.run_id, {"auc": "NaN", "f1": LARGEST, "loss": 0.5})
    with transaction.atomic():
        evidence.refresh(version)

    assert written() == {("churn", 1, "loss"): 0.5}


@pytest.mark.django_db
def test_a_change_that_is_undone_leaves_no_row() -> None:
    version = make_version("churn", metrics={"auc": 0.9})
    logged(version.run_id, {"auc": 0.1, "f1": 0.2})

    with transaction.atomic():
        evidence.refresh(version)
        transaction.set_rollback(True)

    assert written() == {("churn", 1, "auc"): 0.9}


@pytest.mark.django_db
@pytest.mark.parametrize(("metrics", "more"), [(0, 0), (1, 1), (5, 1), (AT_ONCE + 1, 2)])
def test_registering_costs_one_statement_more_whatever_the_number_of_metrics(
    metrics: int, more: int, manager: User
) -> None:
    model, run = make_model(), make_run(metrics={f"m{number}": number / 7 for number in range(metrics)})
    services.create_version(actor=manager, model=model, source="s3://bucket/warm", run_id=run.pk)

    with CaptureQueriesContext(connection) as asked:
        services.create_version(actor=manager, model=model, source="s3://bucket/x", run_id=run.pk)

    about_metrics = [query["sql"] for query in asked if "registry_versionmetric" in query["sql"]]
    assert len(about_metrics) == more
    assert VersionMetric.objects.filter(number=2).count() == metrics


@pytest.mark.django_db
def test_values_that_stay_are_not_written_again() -> None:
    version = make_version("churn", metrics={"auc": 0.9, "f1": 0.8})
    VersionMetric.objects.filter(name="auc").update(value=42.0)  # to be seen whether anybody writes it
    logged(version.run_id, {"auc": 0.9, "f1": 0.7})

    with transaction.atomic():
        evidence.refresh(version)
    assert written() == {("churn", 1, "auc"): 42.0, ("churn", 1, "f1"): 0.7}

    Run.objects.update(params={"depth": "3"})
    with CaptureQueriesContext(connection) as asked, transaction.atomic():
        evidence.refresh(version)
    assert not [query for query in asked if "registry_versionmetric" in query["sql"]]


# -- Reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_history_of_metrics_is_one_statement_for_all_of_them(
    django_assert_num_queries: Callable[[int], Any],
) -> None:
    model = make_model("churn")
    versions = [make_version(model, metrics={"auc": number / 10, "f1": number / 20}) for number in range(1, 6)]
    make_version("pricing", metrics={"auc": 0.99})
    ModelVersion.objects.filter(pk=versions[3].pk).update(deleted_at=versions[3].created_at)

    with django_assert_num_queries(1):
        history = metric_history(model, ["auc", "f1", "loss"], last=3)
    assert history == {"auc": [(3, 0.3), (5, 0.5)], "f1": [(3, 0.15), (5, 0.25)], "loss": []}
    assert metric_history(model, ["auc"], last=2, until=3) == {"auc": [(2, 0.2), (3, 0.3)]}


# -- Rows from before --------------------------------------------------------------------------------------------------


def migrate(name: str) -> None:
    call_command("migrate", "registry", name, verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_what_was_there_gets_its_rows_and_going_back_and_forth_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_model()
    for number in range(7):
        make_version(model, metrics={"auc": number / 7, "loss": 1e22} if number % 2 else None)
    version = make_version("churn", metrics={"auc": 0.5})
    logged(version.run_id, {"auc": "NaN", "f1": LARGEST, "loss": 3.0})
    with transaction.atomic():
        evidence.refresh(version)
    monkeypatch.setattr("registry.migrations.0012_metrics_of_evidence.VERSIONS_AT_ONCE", 3)
    try:
        migrate("0011")
        VersionMetric.objects.all().delete()

        migrate("0012")
        assert len(written()) == 7 and written() == rebuilt()
        migrate("0011")
        migrate("0012")
        assert len(written()) == 7 and written() == rebuilt()
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())
