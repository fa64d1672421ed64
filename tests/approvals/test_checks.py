"""Checks: who may report them, what a report means for a request, and who hears of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import services as accounts
from accounts.models import User
from approvals import services
from approvals.models import Check, TransitionRequest
from approvals.services.decisions import RECONSIDER_MODEL
from approvals.standing import standing_of
from approvals.tasks import reconsider_model
from core import jobs
from core.errors import Invalid, NotPermitted
from notifications.models import Event
from registry.models import ModelVersion
from tests.approvals.conftest import PRODUCTION, publish, stage_of
from tests.cast import person

State = TransitionRequest.State
POLICY = """\
name: tested
match:
  models: ["churn-*"]
guards: [stage:Production]
requirements:
  - check: {name: integration-tests, from: ci-bot}
"""


def report(reporter: User, version: ModelVersion, status: str = "passed", **more: Any) -> Check:
    return services.report_check(
        actor=reporter, version=version, **{"name": "integration-tests", "status": status, **more}
    )


def reason(review_request: TransitionRequest) -> str:
    verdict = standing_of(TransitionRequest.objects.with_rows().get(pk=review_request.pk)).verdict
    (node,) = (node for node in verdict.requirements if node.kind == "check")
    return node.reason


@pytest.fixture
def asked(version: ModelVersion, ci_bot: User, mira: User) -> TransitionRequest:
    """mira asks for Production, which hangs on what ci-bot reports, and may move it herself."""
    publish(POLICY)
    return services.open_request(actor=mira, version=version, target=PRODUCTION)


def test_the_check_that_was_missing_applies_the_request(
    asked: TransitionRequest, version: ModelVersion, ci_bot: User, admin: User
) -> None:
    asked = services.open_request(actor=admin, version=version, target=PRODUCTION)
    assert reason(asked) == "ci-bot has not reported integration-tests."
    report(ci_bot, version, "running")
    assert reason(asked) == "integration-tests is running."
    report(ci_bot, version, figure="212 of 212", link="https://ci.example/7")

    reconsider_model(version.model_id)  # what its task does after the commit

    asked.refresh_from_db()
    assert (asked.state, stage_of(version)) == (State.APPLIED, "Production")


def test_a_report_wakes_what_waits_for_it(
    asked: TransitionRequest, version: ModelVersion, ci_bot: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr(jobs, "after_commit", lambda *job: sent.append(job))

    report(ci_bot, version)

    assert sent == [(RECONSIDER_MODEL, version.model_id)]


def test_somebody_elses_word_counts_for_nothing(asked: TransitionRequest, version: ModelVersion, mira: User) -> None:
    report(mira, version)

    assert reason(asked) == "integration-tests was reported, but not by ci-bot."


def test_the_word_of_who_was_switched_off_counts_no_more(
    asked: TransitionRequest, version: ModelVersion, ci_bot: User
) -> None:
    report(ci_bot, version)
    accounts.set_active(actor=None, user=ci_bot, is_active=False)

    assert reason(asked) == "ci-bot has not reported integration-tests."


def test_a_report_on_other_bytes_counts_for_nothing(
    asked: TransitionRequest, version: ModelVersion, ci_bot: User
) -> None:
    other = report(ci_bot, version, digest="a" * 64)

    assert reason(asked) == "ci-bot reported integration-tests on other files than these."
    assert other.is_stale
    report(ci_bot, version)
    report(ci_bot, version, "failed", digest="b" * 64)
    assert reason(asked) == "ci-bot reported that integration-tests passed."


def test_the_last_report_counts_and_the_others_stay(version: ModelVersion, ci_bot: User) -> None:
    for status in ("queued", "running", "failed", "passed"):
        report(ci_bot, version, status)

    assert list(Check.objects.values_list("status", "is_current")) == [
        ("queued", False),
        ("running", False),
        ("failed", False),
        ("passed", True),
    ]


def test_failing_and_recovering_are_told_to_who_waits(
    asked: TransitionRequest, version: ModelVersion, ci_bot: User, mira: User
) -> None:
    for status in ("running", "failed", "running", "failed", "error", "queued", "passed", "passed"):
        report(ci_bot, version, status, figure="3 of 4")

    events = list(Event.objects.filter(kind__startswith="check.").order_by("id"))
    assert [event.kind for event in events] == [
        "check.reported", "check.failed", "check.reported", "check.reported", "check.reported", "check.reported",
        "check.recovered", "check.reported",
    ]  # fmt: skip
    assert [event.audience for event in events if event.kind != "check.reported"] == [[mira.pk]] * 2
    assert events[1].summary == "ci-bot reported integration-tests on version 2 of churn-predictor: failed (3 of 4)."
    assert events[1].path.endswith("#checks")


def test_who_may_write_reports_and_a_reader_whom_the_policy_names(
    asked: TransitionRequest, version: ModelVersion, sam: User, eve: User, settings: Any
) -> None:
    with pytest.raises(NotPermitted):
        report(sam, version)
    publish(POLICY.replace("ci-bot", "sam"))
    report(sam, version)
    with pytest.raises(NotPermitted):
        report(sam, version, name="another-check")

    settings.DEFAULT_MODEL_LEVEL = "NONE"
    publish(POLICY.replace("ci-bot", "eve"))
    with pytest.raises(NotPermitted):
        report(eve, version)
    assert Check.objects.count() == 1


def test_the_person_behind_a_service_account_is_not_the_account(
    asked: TransitionRequest, version: ModelVersion, ci_bot: User
) -> None:
    """Nor is another account of theirs: the name in the policy is one identity."""
    report(person("ci-bot-2", is_service=True, owner=ci_bot.owner, level=4), version)

    assert reason(asked) == "integration-tests was reported, but not by ci-bot."


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": " tests"},
        {"name": "x" * 251},
        {"name": "two\nlines"},
        {"figure": "x" * 101},
        {"link": "javascript:alert(1)"},
        {"link": "https://x" + "y" * 1000},
        {"summary": "x" * 65_536},
        {"summary": "a\x00b"},
        {"digest": ""},
        {"digest": "abc"},
        {"digest": "A" * 64},
    ],
)
def test_what_nobody_could_read_is_refused(version: ModelVersion, ci_bot: User, wrong: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        report(ci_bot, version, **wrong)

    assert not Check.objects.exists()


def test_checks_are_read_in_one_statement_and_not_where_none_is_asked_for(
    asked: TransitionRequest, version: ModelVersion, ci_bot: User
) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as found:
            reason(asked)
        return len(found)

    before = statements()
    for number in range(5):
        report(ci_bot, version, digest=f"{number}" * 64)

    assert statements() == before
    publish(POLICY.replace("  - check: {name: integration-tests, from: ci-bot}", "  - description: {min_length: 1}"))
    with CaptureQueriesContext(connection) as found:
        assert not standing_of(TransitionRequest.objects.with_rows().get(pk=asked.pk)).is_satisfied
    assert not [query for query in found.captured_queries if "approvals_check" in query["sql"]]
