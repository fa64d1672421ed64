"""What happens to requests when something moves beside them."""

from __future__ import annotations

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

State = TransitionRequest.State
METRICS_ONLY = POLICY.rsplit("\n  - approvals", 1)[0] + "\n"


def log(version: ModelVersion, **metrics: float) -> None:
    run = Run.objects.get(pk=version.run_id)
    run.metrics |= {key: {"value": value, "timestamp": 1, "step": 1} for key, value in metrics.items()}
    run.save()
    tasks.run_changed(version.run_id)


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
