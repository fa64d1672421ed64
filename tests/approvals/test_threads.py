"""Policies that wait for resolved threads: what is open stops a request, and settling the last one carries it out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Level, User
from accounts.services import grant
from approvals import services
from approvals.models import Comment, TransitionRequest
from approvals.policy import Node, parse
from approvals.services.decisions import RECONSIDER_MODEL
from approvals.simulation import replay
from approvals.standing import standing_of, standings_of
from approvals.tasks import reconsider_model
from core import jobs
from registry import services as registry
from registry.gate import GateRefused
from registry.models import ModelVersion
from tests.approvals.conftest import PRODUCTION, STAGING, approve, look_at, publish, stage_of
from tests.approvals.test_comments import say
from tests.approvals.test_races import at_once
from tests.cast import person
from tests.factories import make_model, make_version

State = TransitionRequest.State
SETTLED = """\
name: settled
match: {models: ["churn-*"]}
guards: [stage:Production]
requirements:
  - approvals: {count: 1, teams: {risk: 1}}
reviews: {threads_resolved: true}
"""
NO_REVIEWS = SETTLED.replace("approvals: {count: 1, teams: {risk: 1}}", "description: {min_length: 1}")


@pytest.fixture
def asked(version: ModelVersion, mira: User, alice: User) -> TransitionRequest:
    """mira asks for Production, which alice approves, once nothing of the conversation is open."""
    publish(SETTLED)
    return services.open_request(actor=mira, version=version, target=PRODUCTION)


def threads_of(review_request: TransitionRequest) -> Node:
    standing = standing_of(TransitionRequest.objects.with_rows().get(pk=review_request.pk))
    (node,) = (node for node in standing.verdict.requirements if node.kind == "threads")
    return node


def state_of(review_request: TransitionRequest) -> str:
    return TransitionRequest.objects.get(pk=review_request.pk).state


def test_an_open_thread_stops_the_last_approval_and_resolving_it_carries_the_request_out(
    asked: TransitionRequest, version: ModelVersion, alice: User, sam: User, mira: User
) -> None:
    thread = say(sam, asked)
    approve(alice, asked)
    assert state_of(asked) == State.OPEN
    assert threads_of(asked).reason == "1 thread is not resolved."

    services.resolve_thread(actor=mira, comment=thread)
    reconsider_model(version.model_id)  # what its task does after the commit

    assert (state_of(asked), stage_of(version)) == (State.APPLIED, "Production")


@pytest.mark.parametrize("verb", ["resolve", "delete"])
def test_a_thread_that_ends_wakes_what_waits_for_it(
    asked: TransitionRequest, sam: User, mira: User, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = say(sam, asked)
    sent: list[tuple[object, ...]] = []
    monkeypatch.setattr(jobs, "after_commit", lambda *job: sent.append(job))

    if verb == "resolve":
        services.resolve_thread(actor=mira, comment=thread)
    else:
        services.delete_comment(actor=sam, comment=thread)

    assert sent == [(RECONSIDER_MODEL, asked.model_id)]


def test_threads_on_the_version_count_and_those_on_others_do_not(
    asked: TransitionRequest, version: ModelVersion, holder: ModelVersion, sam: User
) -> None:
    say(sam, version)
    say(sam, holder)
    say(sam, services.open_request(actor=sam, version=version, target=STAGING))

    assert threads_of(asked).reason == "1 thread is not resolved."


def test_replies_and_what_is_deleted_as_a_whole_are_no_open_threads(
    asked: TransitionRequest, sam: User, alice: User
) -> None:
    thread = say(sam, asked)
    reply = say(alice, asked, "Because.", thread)
    services.delete_comment(actor=sam, comment=thread)
    assert threads_of(asked).reason == "1 thread is not resolved."

    services.delete_comment(actor=alice, comment=reply)

    assert threads_of(asked).passes


def test_a_thread_that_is_reopened_counts_again(asked: TransitionRequest, sam: User, mira: User) -> None:
    thread = say(sam, asked)
    services.resolve_thread(actor=mira, comment=thread)
    assert threads_of(asked).passes

    services.reopen_thread(actor=sam, comment=thread)

    assert not threads_of(asked).passes


def test_those_are_named_who_may_resolve_them(
    asked: TransitionRequest, version: ModelVersion, sam: User, eve: User, ci_bot: User
) -> None:
    lead = person("lead")
    grant(actor=None, level=Level.MANAGE, user=lead, pattern="churn-*")
    say(sam, version)
    assert threads_of(asked).who == ("sam", "lead")

    say(eve, asked)
    User.objects.filter(pk=sam.pk).update(is_active=False)

    assert threads_of(asked).who == ("eve", "mira", "lead")


def test_who_may_resolve_a_thread_is_not_asked_for_an_approval(asked: TransitionRequest, sam: User) -> None:
    grant(actor=None, level=Level.MANAGE, user=person("lead"), pattern="churn-*")
    say(sam, asked)

    standing = standing_of(TransitionRequest.objects.with_rows().get(pk=asked.pk))

    assert User.objects.get(username="lead").pk not in standing.reviewers
    assert list(standing.awaited) == [("risk", None)]


def test_a_request_for_a_version_that_is_talked_about_is_not_applied_at_once(
    version: ModelVersion, sam: User, mira: User
) -> None:
    publish(NO_REVIEWS)
    registry.update_version(actor=mira, version=version, description="Good.")
    grant(actor=None, level=Level.MANAGE, user=sam, pattern="churn-*")
    say(sam, version)

    opened = services.open_request(actor=User.objects.get(pk=sam.pk), version=version, target=PRODUCTION)

    assert opened.is_pending


def test_a_direct_move_does_not_pass_by_the_threads_of_a_request(
    version: ModelVersion, sam: User, admin: User, mira: User
) -> None:
    publish(NO_REVIEWS + "on_direct_change: allow_if_satisfied\n")
    asked = services.open_request(actor=mira, version=version, target=PRODUCTION)
    elsewhere = services.open_request(actor=mira, version=version, target=STAGING)
    registry.update_version(actor=mira, version=version, description="Good.")
    thread = say(sam, asked)
    say(sam, elsewhere)

    with pytest.raises(GateRefused, match="1 thread is not resolved"):
        registry.move_to_stage(actor=admin, version=version, stage="Production", archive_existing=True)
    services.resolve_thread(actor=sam, comment=thread)
    registry.move_to_stage(actor=admin, version=version, stage="Production", archive_existing=True)

    assert stage_of(version) == "Production"


def test_a_replay_counts_threads_that_were_there_and_still_are(
    version: ModelVersion, mira: User, alice: User, sam: User, admin: User
) -> None:
    publish(SETTLED.replace("reviews: {threads_resolved: true}", ""))
    asked = services.open_request(actor=mira, version=version, target=PRODUCTION)
    thread = say(sam, asked)
    approve(alice, asked)
    say(sam, asked, "Too late.")

    (stopped,) = replay(parse(SETTLED), SETTLED, user=admin).stopped
    assert stopped.sentence == "1 thread is not resolved."
    services.resolve_thread(actor=mira, comment=thread)

    assert not replay(parse(SETTLED), SETTLED, user=admin).stopped


def statements(call: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as captured:
        call()
    return len(captured)


def test_threads_cost_the_same_for_many_as_for_few_and_nothing_where_no_policy_asks(
    asked: TransitionRequest, sam: User, mira: User, alice: User
) -> None:
    say(sam, asked)
    one = list(TransitionRequest.objects.with_rows())

    def read(requests: list[TransitionRequest]) -> list[str]:
        return [standing.verdict.sentence for standing in standings_of(requests)]

    few = statements(partial(read, one))
    for number in range(4):
        version = make_version(make_model(f"churn-{number}"), user=mira)
        other = services.open_request(actor=mira, version=version, target=PRODUCTION)
        for _ in range(3):
            say(sam, other), say(sam, version)
    assert statements(partial(read, list(TransitionRequest.objects.with_rows()))) == few

    publish(SETTLED.replace("threads_resolved: true", "threads_resolved: false"))
    with CaptureQueriesContext(connection) as captured:
        read(one)
    assert not [query for query in captured if Comment._meta.db_table in query["sql"]]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="races need PostgreSQL; SQLite has one writer")
def test_a_thread_that_is_opened_before_the_last_approval_is_counted(mira: User, alice: User, sam: User) -> None:
    """Either it stops the request, or it comes after the move."""
    publish(SETTLED)
    outcomes = set()
    for number in range(30):
        version = make_version(make_model(f"churn-{number}"), user=mira)
        asked = services.open_request(actor=mira, version=version, target=PRODUCTION)
        seen = look_at(asked)

        at_once(partial(approve, alice, asked, seen=seen), partial(say, sam, asked))

        asked.refresh_from_db()
        comment = Comment.objects.get(request=asked)
        if asked.state == State.APPLIED:
            assert asked.closed_at and comment.created_at > asked.closed_at
        else:
            assert threads_of(asked).reason == "1 thread is not resolved."
        outcomes.add(asked.state)
    assert outcomes


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="races need PostgreSQL; SQLite has one writer")
def test_two_edits_at_once_lose_nothing_and_a_thread_is_resolved_once(version: ModelVersion, mira: User) -> None:
    for _ in range(15):
        thread = say(mira, version, "First.")
        texts = ["Second.", "Third.", "Fourth."]

        at_once(*[partial(services.edit_comment, actor=mira, comment=thread, text=text) for text in texts])
        answers = at_once(*[partial(services.resolve_thread, actor=mira, comment=thread)] * 3)

        thread.refresh_from_db()
        said = [*thread.revisions.values_list("text", flat=True), thread.text]
        assert said[0] == "First." and sorted(said) == sorted(["First.", *texts])
        assert len([answer for answer in answers if isinstance(answer, Comment)]) == 1
