"""Two things at the same moment, in real threads on PostgreSQL: one effect, one event, a reason for who came second."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import close_old_connections, connection, connections, transaction

from accounts.models import Level, Team, User
from accounts.services import add_to_team, grant, remove_from_team
from approvals import services, tasks
from approvals.models import PolicyRevision, Review, TransitionRequest
from core.clock import now
from core.errors import Conflict, CountersignError
from notifications.models import Event
from registry import services as registry
from registry.evidence import refresh
from registry.models import ModelVersion, StageHolding
from registry.services._rows import lock_version
from tests.approvals.conftest import POLICY, PRODUCTION, STAGING, approve, judge, look_at, publish, stage_of
from tests.factories import make_model, make_run, make_version
from tracking.models import Run

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(600),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="races need PostgreSQL; SQLite has one writer"),
]
State = TransitionRequest.State


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Start all calls at the same moment; each answer is what the call returned or the refusal it raised."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        close_old_connections()
        try:
            barrier.wait(timeout=20)
            return call()
        except CountersignError as refusal:
            return refusal
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


@pytest.fixture
def ask(mira: User, alice: User, dkim: User) -> Callable[[], TransitionRequest]:
    """Each call is a fresh model with a holder, a candidate, and mira's request for Production."""
    numbers = iter(range(1000))

    def opened() -> TransitionRequest:
        model = make_model(f"churn-{next(numbers)}")
        make_version(model, stage="Production", user=mira, metrics={"accuracy": 0.91, "f1": 0.85})
        version = make_version(model, user=mira, metrics={"accuracy": 0.95, "f1": 0.9})
        return services.open_request(actor=mira, version=version, target=PRODUCTION)

    publish()
    return opened


def bypass(actor: User, request: TransitionRequest, seen: str) -> TransitionRequest:
    return services.bypass_request(actor=actor, review_request=request, reason="It is on fire.", seen=seen)


def holders(request: TransitionRequest) -> list[int]:
    return list(request.model.versions.filter(current_stage="Production").values_list("pk", flat=True))


def applied(request: TransitionRequest) -> int:
    return Event.objects.filter(kind="transition.applied", request_id=request.pk).count()


def test_two_reviewers_approving_at_the_same_moment_apply_once(
    ask: Callable[[], TransitionRequest], alice: User, dkim: User
) -> None:
    for _ in range(200):
        request = ask()
        seen = look_at(request)

        answers = at_once(
            lambda: approve(alice, request, seen=seen),  # noqa: B023
            lambda: approve(dkim, request, seen=seen),  # noqa: B023
        )

        request.refresh_from_db()
        assert not [answer for answer in answers if isinstance(answer, CountersignError)]
        assert request.state == State.APPLIED
        assert holders(request) == [request.version_id]
        assert applied(request) == 1
        assert StageHolding.objects.filter(request_id=request.pk).count() == 1


def test_approve_against_reject_is_one_of_both(ask: Callable[[], TransitionRequest], alice: User, dkim: User) -> None:
    outcomes = set()
    for _ in range(25):
        request = ask()
        approve(alice, request)
        seen = look_at(request)

        answers = at_once(
            lambda: approve(dkim, request, seen=seen),  # noqa: B023
            lambda: judge(alice, request, "reject", comment="Wait.", seen=seen),  # noqa: B023
        )

        request.refresh_from_db()
        refusals = [answer for answer in answers if isinstance(answer, Conflict)]
        assert len(refusals) == 1 and "already" in refusals[0].message
        assert request.state in (State.APPLIED, State.REJECTED)
        assert applied(request) == (request.state == State.APPLIED)
        assert (holders(request) == [request.version_id]) == (request.state == State.APPLIED)
        outcomes.add(request.state)
    assert outcomes


def test_a_double_click_is_one_verdict(ask: Callable[[], TransitionRequest], alice: User, dkim: User) -> None:
    for _ in range(10):
        request = ask()
        approve(alice, request)
        seen = look_at(request)

        answers = at_once(*[lambda: approve(dkim, request, seen=seen)] * 4)  # noqa: B023

        assert len([answer for answer in answers if isinstance(answer, Conflict)]) == 3
        assert Review.objects.filter(request=request, reviewer=dkim).count() == 1
        assert applied(request) == 1


def test_two_versions_promoted_at_once_leave_one_holder(
    ask: Callable[[], TransitionRequest], mira: User, alice: User, dkim: User
) -> None:
    for _ in range(15):
        first = ask()
        rival = make_version(first.model, user=mira, metrics={"accuracy": 0.97, "f1": 0.9})
        second = services.open_request(actor=mira, version=rival, target=PRODUCTION)
        for request in (first, second):
            approve(alice, request)
        seen = {request.pk: look_at(request) for request in (first, second)}

        answers = at_once(
            lambda: approve(dkim, first, seen=seen[first.pk]),  # noqa: B023
            lambda: approve(dkim, second, seen=seen[second.pk]),  # noqa: B023
        )

        # Whoever came second had seen another holder: their approval is refused and the other one's is void.
        assert len([answer for answer in answers if isinstance(answer, Conflict)]) == 1
        assert len(holders(first)) == 1
        assert applied(first) + applied(second) == 1
        assert TransitionRequest.objects.filter(pk__in=seen, state=State.OPEN).count() == 1


def test_a_policy_published_with_the_last_approval_comes_before_it_or_after_it(
    ask: Callable[[], TransitionRequest], alice: User, dkim: User
) -> None:
    outcomes = set()
    for number in range(40):
        request = ask()
        approve(alice, request)
        seen = look_at(request)
        stricter = POLICY.replace("min: 0.90", f"min: 0.99{number:02}")

        [answer, revision] = at_once(
            lambda: approve(dkim, request, seen=seen),  # noqa: B023
            lambda: services.publish_policy(actor=None, text=stricter),  # noqa: B023
        )

        request.refresh_from_db()
        outcomes.add(request.state)
        assert isinstance(revision, PolicyRevision)
        if request.state == State.APPLIED:  # by the text that both had seen
            assert isinstance(answer, TransitionRequest) and revision.pk not in request.policy_revisions
        else:  # refused, or given by the older text, and so void at the next look
            refused = isinstance(answer, CountersignError) and "the policy has changed" in answer.message
            services.reconsider(request)
            assert refused or not request.reviews.current().filter(person=dkim).exists()
            assert stage_of(request.version) == "None"
        publish()
    assert outcomes <= {State.APPLIED, State.OPEN}


def test_who_leaves_the_team_while_approving_counted_before_or_not_at_all(
    ask: Callable[[], TransitionRequest], alice: User, dkim: User, risk: Team
) -> None:
    for _ in range(20):
        add_to_team(actor=None, team=risk, users=[alice])
        request = ask()
        approve(dkim, request)
        seen = look_at(request)

        at_once(
            lambda: approve(alice, request, seen=seen),  # noqa: B023
            lambda: remove_from_team(actor=None, team=risk, users=[alice]),
        )

        request.refresh_from_db()
        assert (request.state == State.APPLIED) == (holders(request) == [request.version_id])
        if request.state == State.OPEN:  # nor does it count later
            services.reconsider(request)
            assert holders(request) != [request.version_id]


def test_opening_the_same_request_at_once_opens_one(ask: Callable[[], TransitionRequest], mira: User) -> None:
    for _ in range(10):
        version = ask().version

        answers = at_once(*[lambda: services.open_request(actor=mira, version=version, target=STAGING)] * 4)  # noqa: B023

        assert len([answer for answer in answers if isinstance(answer, CountersignError)]) == 3
        assert TransitionRequest.objects.filter(version=version, target="Staging").count() == 1


def test_withdrawing_against_the_last_approval_is_one_of_both(
    ask: Callable[[], TransitionRequest], mira: User, alice: User, dkim: User
) -> None:
    for _ in range(20):
        request = ask()
        approve(alice, request)
        seen = look_at(request)

        answers = at_once(
            lambda: approve(dkim, request, seen=seen),  # noqa: B023
            lambda: services.withdraw_request(actor=mira, review_request=request),  # noqa: B023
        )

        request.refresh_from_db()
        assert len([answer for answer in answers if isinstance(answer, Conflict)]) == 1
        assert (request.state == State.APPLIED) == (holders(request) == [request.version_id])


def test_a_direct_move_of_the_target_and_the_last_approval_never_leave_two_or_none(
    version: ModelVersion, holder: ModelVersion, sam: User, admin: User
) -> None:
    for _ in range(15):
        ModelVersion.objects.filter(pk=version.pk).update(current_stage="None")
        ModelVersion.objects.filter(pk=holder.pk).update(current_stage="Archived")
        request = services.open_request(actor=sam, version=version, target=STAGING)
        seen = look_at(request)

        at_once(
            lambda: approve(admin, request, seen=seen),  # noqa: B023
            lambda: registry.move_to_stage(actor=admin, version=holder, stage="Staging", archive_existing=True),
        )

        inside = ModelVersion.objects.filter(model=version.model, current_stage="Staging").count()
        assert inside == 1
        request.refresh_from_db()
        if request.is_pending:
            services.withdraw_request(actor=sam, review_request=request)


def test_evidence_that_arrives_with_the_last_approval_is_never_approved_unseen(
    ask: Callable[[], TransitionRequest], alice: User, dkim: User
) -> None:
    for _ in range(15):
        request = ask()
        approve(alice, request)
        seen = look_at(request)

        def spoil() -> None:
            run = request.version.run_id  # noqa: B023
            row = Run.objects.get(pk=run)
            row.metrics["accuracy"] = {"value": 0.1, "timestamp": 2, "step": 2}
            row.save()
            tasks.run_changed(run)

        at_once(lambda: approve(dkim, request, seen=seen), spoil)  # noqa: B023

        request.refresh_from_db()
        if request.state == State.APPLIED:
            # It was applied before the figure arrived: on what everybody had seen.
            assert request.evidence.data["metrics"]["accuracy"]["value"] == 0.95
        else:
            assert stage_of(request.version) == "None"


@pytest.fixture
def due(ask: Callable[[], TransitionRequest], mira: User, alice: User, dkim: User) -> Callable[[], TransitionRequest]:
    """Each call is a request that everybody approved and whose moment has just come; nobody has carried it out."""

    def approved() -> TransitionRequest:
        request = ask()
        services.reschedule_request(actor=mira, review_request=request, not_before=now() + timedelta(days=1))
        for person in (alice, dkim):
            approve(person, request)
        TransitionRequest.objects.filter(pk=request.pk).update(not_before=now())
        return request

    return approved


def test_a_withdrawal_against_the_minutes_task_is_one_of_both(due: Callable[[], TransitionRequest], mira: User) -> None:
    for _ in range(20):
        request = due()

        at_once(
            lambda: services.withdraw_request(actor=mira, review_request=request),  # noqa: B023
            tasks.carry_out_due,
            tasks.carry_out_due,
        )

        request.refresh_from_db()
        outcome = (request.state, request.version_id in holders(request), applied(request))
        assert outcome in {(State.APPLIED, True, 1), (State.WITHDRAWN, False, 0)}


def test_another_moment_against_the_minutes_task_is_one_of_both(
    due: Callable[[], TransitionRequest], mira: User
) -> None:
    for _ in range(20):
        request, later = due(), now() + timedelta(days=2)

        at_once(
            lambda: services.reschedule_request(actor=mira, review_request=request, not_before=later),  # noqa: B023
            tasks.carry_out_due,
        )

        request.refresh_from_db()
        assert (request.state == State.APPLIED) == (request.not_before < now()) == (applied(request) == 1)


def test_two_returns_at_once_do_not_bring_back_what_was_just_left(
    ask: Callable[[], TransitionRequest], mira: User, alice: User, dkim: User, admin: User
) -> None:
    grant(actor=None, level=Level.MANAGE_PRODUCTION_VERSIONS, user=mira, pattern="*")
    for _ in range(10):
        good = ask()
        newer = make_version(good.model, user=mira, metrics={"accuracy": 0.96, "f1": 0.9})
        for request in (good, services.open_request(actor=mira, version=newer, target=PRODUCTION)):
            for person in (alice, dkim):
                approve(person, request)

        def back(actor: User, to: TransitionRequest) -> TransitionRequest:
            return services.request_rollback(actor=actor, model=to.model, target=PRODUCTION, to=to.version.version)

        answers = at_once(lambda: back(mira, good), lambda: back(admin, good))  # noqa: B023

        assert len([answer for answer in answers if isinstance(answer, Conflict)]) == 1
        assert holders(good) == [good.version_id]


def test_a_bypass_against_the_last_approval_and_a_withdrawal_is_one_of_them(
    ask: Callable[[], TransitionRequest], mira: User, alice: User, dkim: User
) -> None:
    publish(POLICY + "bypass: {people: [alice]}\n")
    for _ in range(20):
        request = ask()
        approve(alice, request)
        seen = look_at(request)

        answers = at_once(
            lambda: bypass(alice, request, seen),  # noqa: B023
            lambda: approve(dkim, request, seen=seen),  # noqa: B023
            lambda: services.withdraw_request(actor=mira, review_request=request),  # noqa: B023
        )

        request.refresh_from_db()
        assert len([answer for answer in answers if isinstance(answer, Conflict)]) == 2
        assert applied(request) == (request.state == State.APPLIED) == (request.version_id in holders(request))
        bypassed = Event.objects.filter(kind="transition.bypassed", request_id=request.pk).count()
        assert bypassed == request.is_bypassed


def test_stepping_back_against_the_last_approval_is_one_of_them(
    ask: Callable[[], TransitionRequest], alice: User, dkim: User
) -> None:
    for _ in range(15):
        request = ask()
        approve(alice, request)
        seen = look_at(request)

        answers = at_once(
            lambda: approve(dkim, request, seen=seen),  # noqa: B023
            lambda: services.recuse(actor=alice, review_request=request),  # noqa: B023
        )

        request.refresh_from_db()
        refused = [answer for answer in answers if isinstance(answer, CountersignError)]
        assert len(refused) == applied(request) == (request.state == State.APPLIED)
        assert (request.recused == []) == (request.state == State.APPLIED)


def test_one_is_told_once_however_many_ask_and_take_it_back(
    ask: Callable[[], TransitionRequest], mira: User, alice: User, dkim: User, sam: User
) -> None:
    for _ in range(10):
        request = ask()

        at_once(
            *(
                lambda by=by: services.ask_for_review(actor=by, review_request=request, person=sam)  # type: ignore[misc] # noqa: B023
                for by in (mira, alice, dkim)
            ),
            lambda: services.withdraw_ask(actor=mira, review_request=request, person=sam),  # noqa: B023
        )

        assert Event.objects.filter(kind="reviewer.asked", request_id=request.pk).count() == 1
        assert request.reviewers.count() == 1


def test_reporters_of_one_place_follow_one_another(ask: Callable[[], TransitionRequest], mira: User) -> None:
    for _ in range(5):
        model = ask().model
        versions = [make_version(model) for _ in range(6)]

        answers = at_once(
            *(
                lambda version=version: registry.report_deployment(actor=mira, version=version, name="eu")  # type: ignore[misc]
                for version in versions
            )
        )

        told = Event.objects.filter(kind="deployment.reported", model_name=model.name).order_by("id")
        numbers = [event.version for event in told]
        assert not [answer for answer in answers if isinstance(answer, CountersignError)]
        assert sorted(numbers) == [version.version for version in versions]
        assert [event.data["previous_version"] for event in told] == [None, *numbers[:-1]]
        assert model.deployments.get().version.version == numbers[-1]


def test_metrics_of_versions_are_those_of_their_evidence_whoever_reads_at_once(mira: User) -> None:
    """32 at once read anew what runs say, of versions that share runs, while the runs go on."""
    runs = [make_run(metrics=dict.fromkeys("abcdefgh", 0.0)) for _ in range(2)]
    versions = [make_version("churn", run=run, user=mira) for run in runs * 2]

    def read(number: int) -> None:
        chance = random.Random(number)
        for _ in range(5):
            names = chance.sample("abcdefgh", 5)
            Run.objects.filter(pk=chance.choice(runs).pk).update(
                metrics={name: {"value": chance.random(), "timestamp": 1, "step": 0} for name in names}
            )
            with transaction.atomic():
                refresh(lock_version(chance.choice(versions)))

    answers = at_once(*(lambda number=number: read(number) for number in range(32)))  # type: ignore[misc]

    assert answers == [None] * 32
    for version in ModelVersion.objects.select_related("evidence"):
        assert version.evidence is not None
        said = {name: entry["value"] for name, entry in version.evidence.data["metrics"].items()}
        assert dict(version.metrics.values_list("name", "value")) == said
