"""What lists say of a request is what its page says, whatever has happened; and lists do not judge it again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from time_machine import travel

from accounts.models import User
from approvals import services, tasks
from approvals.models import Review, TransitionRequest
from approvals.outlook import Outlook, outlooks_of
from approvals.standing import standing_of
from core.clock import now
from registry import services as registry
from registry.models import ModelVersion
from tests.approvals.conftest import POLICY, PRODUCTION, approve, judge, publish
from tests.factories import make_version
from tracking.models import Run

Worker = Callable[[], AbstractContextManager[list[str]]]
STRICT = (
    POLICY
    + "  - check: {name: integration-tests, from: ci-bot}\n  - tags: [owner]\nreviews: {threads_resolved: true}\n"
)


@pytest.fixture
def strict(version: ModelVersion, mira: User, alice: User, dkim: User, ci_bot: User) -> TransitionRequest:
    publish(STRICT)
    return services.open_request(actor=mira, version=version, target=PRODUCTION)


def assert_kept_as_it_stands(review_request: TransitionRequest) -> Outlook:
    row = TransitionRequest.objects.with_rows().get(pk=review_request.pk)
    assert row.is_pending and row.outlook
    assert Outlook.read(row.outlook) == Outlook.of(standing_of(row))
    return Outlook.read(row.outlook)


def _call(strict: TransitionRequest, alice: User) -> None:
    judge(alice, strict, Review.Decision.REQUEST_CHANGES, comment="Retrain it.")


def _answer(strict: TransitionRequest, alice: User) -> None:
    _call(strict, alice)
    services.mark_ready(actor=strict.requester, review_request=strict)


def _talk(strict: TransitionRequest, alice: User) -> Any:
    return services.add_comment(actor=alice, version=strict.version, text="Why?", review_request=strict)


def _settle(strict: TransitionRequest, alice: User) -> None:
    services.resolve_thread(actor=alice, comment=_talk(strict, alice))


def _doubt(strict: TransitionRequest, alice: User) -> None:
    thread = _talk(strict, alice)
    services.resolve_thread(actor=alice, comment=thread)
    services.reopen_thread(actor=alice, comment=thread)


def _report(strict: TransitionRequest, alice: User) -> None:
    bot = User.objects.get(username="ci-bot")
    services.report_check(actor=bot, version=strict.version, name="integration-tests", status="failed")


def _tag(strict: TransitionRequest, alice: User) -> None:
    registry.set_version_tag(actor=strict.requester, version=strict.version, key="owner", value="mira")


def _worse(strict: TransitionRequest, alice: User) -> None:
    run = Run.objects.get(pk=strict.version.run_id)
    run.metrics |= {"f1": {"value": 0.1, "timestamp": 1, "step": 1}}
    run.save()
    tasks.run_changed(run.pk)


HAPPENINGS: dict[str, Callable[[TransitionRequest, User], Any]] = {
    "nothing": lambda strict, alice: None,
    "an approval": lambda strict, alice: approve(alice, strict),
    "a call for changes": _call,
    "its answer": _answer,
    "a thread": _talk,
    "the thread resolved": _settle,
    "the thread reopened": _doubt,
    "a check": _report,
    "a tag": _tag,
    "worse metrics": _worse,
    "who stepped back": lambda strict, alice: services.recuse(actor=alice, review_request=strict),
    "a moment": lambda strict, alice: services.reschedule_request(
        actor=strict.requester, review_request=strict, not_before=now() + timedelta(days=1)
    ),
    "another policy": lambda strict, alice: publish(POLICY),
}


@pytest.mark.parametrize("happening", HAPPENINGS)
def test_lists_say_what_the_page_says_after(
    happening: str, strict: TransitionRequest, alice: User, worker: Worker
) -> None:
    with worker():
        HAPPENINGS[happening](strict, alice)

    assert_kept_as_it_stands(strict)


def test_what_got_worst_is_told(strict: TransitionRequest, alice: User) -> None:
    _worse(strict, alice)

    worst = assert_kept_as_it_stands(strict).worst
    assert worst and (worst.name, worst.before, worst.after) == ("f1", 0.85, 0.1)


def test_the_beginning_of_a_freeze_is_noticed_within_a_minute(strict: TransitionRequest) -> None:
    begin = (now() + timedelta(hours=2)).replace(second=0, microsecond=0)
    until = begin + timedelta(days=1)
    publish(STRICT + f'freeze: [{{from: {begin:%Y-%m-%dT%H:%MZ}, until: {until:%Y-%m-%dT%H:%MZ}, reason: "Audit"}}]\n')
    tasks.reconsider_pending()
    assert "Audit" not in assert_kept_as_it_stands(strict).sentence

    with travel(begin, tick=False):
        tasks.carry_out_due()
        assert "nothing moves until" in assert_kept_as_it_stands(strict).sentence


def test_reading_them_judges_nothing_but_what_was_never_looked_at(
    strict: TransitionRequest, version: ModelVersion, sam: User, django_assert_num_queries: Callable[..., Any]
) -> None:
    other = make_version(version.model, user=sam, metrics={"accuracy": 0.95})
    new = services.open_request(actor=sam, version=other, target=PRODUCTION)
    TransitionRequest.objects.filter(pk=new.pk).update(outlook=None)
    rows = {row.pk: row for row in TransitionRequest.objects.all()}

    with django_assert_num_queries(0):
        assert outlooks_of([rows[strict.pk]])[strict.pk].total == 6
    assert outlooks_of([rows[new.pk]])[new.pk] == Outlook.of(standing_of(rows[new.pk]))
