"""What happens to requests when something moves beside them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from django.conf import settings

from accounts.models import User
from approvals import services, tasks
from approvals.models import Review, TransitionRequest
from approvals.services.decisions import RECONSIDER_MODEL
from approvals.services.policies import RECONSIDER
from config.celery import app
from notifications.models import Event
from registry import services as registry
from registry.models import Evidence, ModelVersion, RegisteredModel, Stage
from tests.approvals.conftest import CHAMPION, POLICY, PRODUCTION, STAGING, approve, judge, publish, stage_of
from tests.factories import make_version
from tracking.models import Run
from tracking.services import runs

State = TransitionRequest.State
METRICS_ONLY = POLICY.rsplit("\n  - approvals", 1)[0] + "\n"


def log(version: ModelVersion, **metrics: float) -> None:
    run = Run.objects.get(pk=version.run_id)
    run.metrics |= {key: {"value": value, "timestamp": 1, "step": 1} for key, value in metrics.items()}
    run.save()
    tasks.run_changed(version.run_id)


ARRIVALS: dict[str, tuple[str, Callable[[ModelVersion, User], object]]] = {
    "tag": (
        "tags: [owner]",
        lambda version, actor: registry.set_version_tag(actor=actor, version=version, key="owner", value="mira"),
    ),
    "description": (
        "description: {min_length: 5}",
        lambda version, actor: registry.update_version(actor=actor, version=version, description="What it is for."),
    ),
    "end of the run": (
        "run: {finished: true}",
        lambda version, actor: runs.update_run(actor=actor, run_id=version.run_id, status="FINISHED"),
    ),
    "check": (
        "check: {name: tests, from: admin}",
        lambda version, actor: services.report_check(actor=actor, version=version, name="tests", status="passed"),
    ),
    "metric": (
        "metric: {name: auc, min: 0.5}",
        lambda version, actor: runs.log_batch(actor=actor, run_id=version.run_id, metrics=[runs.Metric("auc", 0.9, 1)]),
    ),
    "dataset": (
        "run: {datasets: true}",
        lambda version, actor: runs.log_inputs(
            actor=actor, run_id=version.run_id, datasets=[runs.DatasetInput("test", "d1", "local", "{}", "", "", {})]
        ),
    ),
}


@pytest.mark.parametrize("arrival", ARRIVALS)
def test_what_a_request_waited_for_applies_it_when_it_arrives(
    arrival: str, model: RegisteredModel, admin: User, worker: Callable[[], AbstractContextManager[list[str]]]
) -> None:
    requirement, arrive = ARRIVALS[arrival]
    publish(f"{POLICY.split('requirements:')[0]}requirements:\n  - {requirement}\n")
    version = make_version(model, user=admin)
    runs.update_run(actor=admin, run_id=version.run_id, status="RUNNING")
    request = services.open_request(actor=admin, version=version, target=PRODUCTION)
    assert request.state == State.OPEN

    with worker():
        arrive(version, admin)

    request.refresh_from_db()
    assert request.state == State.APPLIED and stage_of(version) == "Production"


def test_a_metric_of_the_baseline_applies_what_waited_to_be_compared(
    model: RegisteredModel, admin: User, worker: Callable[[], AbstractContextManager[list[str]]]
) -> None:
    holder = make_version(model, user=admin, stage="Production")
    publish(
        f"{POLICY.split('requirements:')[0]}requirements:\n  - metric: {{name: f1, baseline: target, max_drop: 0.1}}\n"
    )
    version = make_version(model, user=admin, metrics={"f1": 0.9})
    request = services.open_request(actor=admin, version=version, target=PRODUCTION)
    assert request.state == State.OPEN

    with worker():
        runs.log_batch(actor=admin, run_id=holder.run_id, metrics=[runs.Metric("f1", 0.8, 1)])

    request.refresh_from_db()
    assert request.state == State.APPLIED


def test_a_tag_that_comes_or_goes_wakes_nobody_without_a_pending_request_of_its_version(
    asked: TransitionRequest, admin: User, worker: Callable[[], AbstractContextManager[list[str]]]
) -> None:
    other = make_version(asked.model, user=admin)

    with worker() as sent:
        for version in (other, asked.version):
            registry.set_version_tag(actor=admin, version=version, key="owner", value="mira")
            registry.delete_version_tag(actor=admin, version=version, key="owner")

    assert sent == [RECONSIDER_MODEL] * 2


def test_every_task_that_is_sent_by_name_exists() -> None:
    app.loader.import_default_modules()

    assert {settings.RUN_CHANGED_TASK, RECONSIDER, RECONSIDER_MODEL} <= set(app.tasks)


def test_a_metric_that_arrives_applies_what_waited_for_it_alone(model: RegisteredModel, admin: User) -> None:
    publish(METRICS_ONLY)
    version = make_version(model, user=admin, metrics={"accuracy": 0.95})
    request = services.open_request(actor=admin, version=version, target=PRODUCTION)
    assert request.state == State.OPEN

    log(version, f1=0.9)

    request.refresh_from_db()
    assert request.state == State.APPLIED and request.closed_by == admin
    assert stage_of(version) == "Production"


def test_a_metric_that_arrives_applies_nothing_for_who_may_not_move(
    model: RegisteredModel, sam: User, mira: User
) -> None:
    publish(METRICS_ONLY)
    version = make_version(model, user=mira, metrics={"accuracy": 0.95})
    request = services.open_request(actor=sam, version=version, target=PRODUCTION)

    log(version, f1=0.9)

    request.refresh_from_db()
    assert request.state == State.OPEN and stage_of(version) == "None"


def test_new_evidence_answers_a_call_for_changes(asked: TransitionRequest, alice: User) -> None:
    judge(alice, asked, "request_changes", comment="Measure it on the new data.")

    log(asked.version, accuracy=0.96)

    asked.refresh_from_db()
    assert asked.state == State.OPEN
    assert alice.pk in Event.objects.get(kind="request.ready").audience


def test_a_run_that_changes_without_a_request_refreshes_the_evidence(version: ModelVersion) -> None:
    log(version, accuracy=0.96)

    version.refresh_from_db()
    assert version.evidence is not None and version.evidence.data["metrics"]["accuracy"]["value"] == 0.96
    assert Evidence.objects.filter(version=version).count() == 2


def test_nothing_that_moved_is_nothing_on_record(asked: TransitionRequest) -> None:
    before = Event.objects.count()

    tasks.run_changed(asked.version.run_id)
    tasks.reconsider_model(asked.model_id)
    tasks.reconsider_pending()

    assert Event.objects.count() == before


def test_a_direct_move_voids_approvals_given_against_the_old_holder(
    version: ModelVersion, mira: User, alice: User, dkim: User, admin: User
) -> None:
    publish(guards="[alias:champion]")
    request = services.open_request(actor=mira, version=version, target=CHAMPION)
    approve(alice, request)
    publish(guards="[alias:champion]", enforcement="warn")
    registry.set_alias(actor=admin, version=make_version(version.model, user=mira), alias="champion")

    tasks.reconsider_model(version.model_id)

    assert Review.objects.get().dismissed_at is not None


def test_a_request_that_cannot_be_applied_keeps_no_other_waiting(
    model: RegisteredModel, version: ModelVersion, admin: User
) -> None:
    publish(METRICS_ONLY)
    first = make_version(model, user=admin, metrics={"accuracy": 0.95})
    second = make_version(model, user=admin, metrics={"accuracy": 0.95})
    broken = services.open_request(actor=admin, version=first, target=PRODUCTION)
    waiting = services.open_request(actor=admin, version=second, target=STAGING)
    # As if somebody had removed the version behind everybody's back.
    ModelVersion.objects.filter(pk=first.pk).update(deleted_at="2026-01-01T00:00Z")
    Run.objects.filter(pk=first.run_id).update(
        metrics={"accuracy": {"value": 0.95, "step": 0}, "f1": {"value": 0.9, "step": 0}}
    )
    publish(
        METRICS_ONLY.replace("stage:Production", "stage:Production, stage:Staging").replace(
            "- metric: {name: f1", "- metric: {name: accuracy, max: 1.0}\n  - metric: {name: f1"
        )
    )
    Run.objects.filter(pk=second.run_id).update(
        metrics={"accuracy": {"value": 0.95, "step": 0}, "f1": {"value": 0.9, "step": 0}}
    )

    tasks.reconsider_pending()

    broken.refresh_from_db()
    waiting.refresh_from_db()
    assert broken.state == State.OPEN
    assert waiting.state == State.APPLIED
    assert stage_of(second) == Stage.STAGING
