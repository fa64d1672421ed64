"""/api/v1/requests/: asking for a transition, judging it, and waiting for the decision."""

from __future__ import annotations

import threading
import time
from typing import Any

from django.conf import settings
from django.db import connection
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from accounts.permissions import forget_grants
from accounts.queries import find_holders
from approvals import services
from approvals.models import Comment, Review, TransitionRequest
from approvals.permissions import (
    can_ask_for_review,
    can_bypass,
    can_mark_ready,
    can_recuse,
    can_reschedule,
    can_review,
    can_withdraw,
)
from approvals.queries import get_request
from approvals.standing import standing_of, standings_of
from core.answers import Answer
from registry.queries import get_version, target_named
from web.api.comments import CommentInput, CommentOutput, add, conversation
from web.api.endpoint import Endpoint, Input, PageInput, page_of, page_response, paged, read, user_of

State = TransitionRequest.State
Decision = Review.Decision
MAX_REMARKS = 500
LONGEST_WAIT = 60  # seconds
# A waiting call keeps a thread of the server busy: most threads stay free for everybody else.
WAITING_PLACES = threading.BoundedSemaphore(max(1, settings.WEB_THREADS // 2))


class RequestsInput(PageInput):
    state = serializers.ChoiceField(
        choices=[*State.choices, ("pending", "Open, or changes asked for"), ("decided", "Closed")], required=False
    )
    model = serializers.CharField(max_length=256, required=False)
    mine = serializers.BooleanField(default=False, help_text="Only those that you asked for.")
    waiting_on_me = serializers.BooleanField(default=False, help_text="Only those in which it is your turn.")


class RequestInput(Input):
    model = serializers.CharField(max_length=256, trim_whitespace=False)
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1)
    target = serializers.CharField(max_length=256, help_text="A stage (Production) or an alias (@champion).")
    comment = serializers.CharField(default="", allow_blank=True)
    archive_existing = serializers.BooleanField(
        default=True, help_text="Archive who holds the stage, in the same moment."
    )
    not_before = serializers.DateTimeField(
        default=None, allow_null=True, help_text="Carried out at this moment at the earliest, at most a year ahead."
    )


class ScheduleInput(Input):
    not_before = serializers.DateTimeField(allow_null=True, help_text="Null: as soon as all is met.")


class BypassInput(Input):
    reason = serializers.CharField(help_text="Why, in at least 10 characters. Everybody involved is told.")
    seen = serializers.CharField(max_length=1000, help_text="The request's field of this name: what you carry out.")


class ReviewInput(Input):
    decision = serializers.ChoiceField(choices=Decision.choices)
    comment = serializers.CharField(default="", allow_blank=True, help_text="Needed unless you approve.")
    seen = serializers.CharField(max_length=1000, help_text="The request's field of this name: what you decide about.")


class ReviewerInput(Input):
    person = serializers.CharField(max_length=150, help_text="The name of an account.")


class RecusalInput(Input):
    reason = serializers.CharField(default="", allow_blank=True, help_text="Why, in at most 250 characters.")


class RemarkInput(Input):
    comment = serializers.CharField(default="", allow_blank=True)


class WaitInput(Input):
    wait = serializers.IntegerField(
        min_value=0,
        max_value=LONGEST_WAIT,
        default=0,
        help_text="Answer when the state changes, and after so many seconds at the latest.",
    )
    state = serializers.ChoiceField(
        choices=State.choices, required=False, help_text="The state you know: another one is answered at once."
    )


class CountsOutput(serializers.Serializer):
    met = serializers.IntegerField()
    total = serializers.IntegerField()


class RequestOutput(serializers.Serializer):
    id = serializers.IntegerField()
    url = serializers.CharField(source="get_absolute_url", help_text="Its page, from the root of the site.")
    model = serializers.CharField(source="model.name")
    version = serializers.IntegerField(source="version.version")
    target = serializers.CharField(source="asks_for", help_text="A stage, or an alias as @name.")
    from_stage = serializers.CharField()
    state = serializers.ChoiceField(choices=State.choices)
    requester = serializers.CharField(source="requester.username")
    comment = serializers.CharField()
    archive_existing = serializers.BooleanField()
    not_before = serializers.DateTimeField(allow_null=True, help_text="When it is carried out at the earliest.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)
    closed_by = serializers.CharField(source="closed_by.username", default=None, allow_null=True)
    closed_reason = serializers.CharField()
    returns_to = serializers.IntegerField(
        source="returns_to_id", allow_null=True, help_text="The request that had put the version there before."
    )
    is_bypassed = serializers.BooleanField(help_text="Carried out although not all was met; closed_reason says why.")


class RequestRowOutput(RequestOutput):
    sentence = serializers.CharField(help_text="Where it stands, or why it was closed.")
    requirements = CountsOutput(allow_null=True, help_text="As of now; once closed, as of the decision.")


class PinsOutput(serializers.Serializer):
    digest = serializers.CharField()
    evidence = serializers.CharField(source="evidence.digest")
    policy_revisions = serializers.ListField(child=serializers.IntegerField())
    baseline = serializers.IntegerField(source="baseline.version", default=None, allow_null=True)


class ReviewOutput(serializers.Serializer):
    id = serializers.IntegerField()
    reviewer = serializers.CharField(source="reviewer.username")
    teams = serializers.ListField(child=serializers.CharField())
    decision = serializers.ChoiceField(choices=Decision.choices)
    comment = serializers.CharField()
    created_at = serializers.DateTimeField()
    is_current = serializers.BooleanField(help_text="False once the person has given a newer verdict.")
    dismissed_at = serializers.DateTimeField(allow_null=True)
    dismissed_reason = serializers.CharField()


class ReviewerOutput(serializers.Serializer):
    person = serializers.CharField(source="person.username")
    asked_by = serializers.CharField(
        source="asked_by.username", default=None, allow_null=True, help_text="Null once they have given a verdict."
    )
    asked_at = serializers.DateTimeField(allow_null=True, help_text="When they were last told.")
    recused_at = serializers.DateTimeField(allow_null=True, help_text="When they stepped back; null: they have not.")
    recused_reason = serializers.CharField()


class AnswerOutput(serializers.Serializer):
    allowed = serializers.BooleanField()
    reason = serializers.CharField()


class MayOutput(serializers.Serializer):
    approve = AnswerOutput()
    request_changes = AnswerOutput()
    reject = AnswerOutput()
    withdraw = AnswerOutput()
    reschedule = AnswerOutput()
    bypass = AnswerOutput()
    mark_ready = AnswerOutput()
    ask_for_review = AnswerOutput()
    recuse = AnswerOutput()


class NodeOutput(serializers.Serializer):
    kind = serializers.CharField()
    title = serializers.CharField()
    status = serializers.ChoiceField(choices=["met", "unmet", "waiting", "error", "skipped"])
    reason = serializers.CharField()
    figure = serializers.CharField()
    exact = serializers.CharField(required=False, help_text="Of a metric, where the figure is rounded.")
    needed = serializers.CharField()
    who = serializers.ListField(child=serializers.CharField())
    children = serializers.ListField(child=serializers.DictField(), help_text="Nodes like this one.")


class VerdictOutput(serializers.Serializer):
    satisfied = serializers.BooleanField()
    all_met = serializers.BooleanField()
    sentence = serializers.CharField()
    counts = CountsOutput()
    waiting_for = serializers.DictField(child=serializers.IntegerField(), help_text="What is still to come, by kind.")
    tree = NodeOutput()


class RequestDetailOutput(RequestOutput):
    verdict = VerdictOutput(allow_null=True, help_text="As of now; once closed, as of the decision.")
    pins = PinsOutput(help_text="What it is judged on, as last looked at.")
    not_carried = serializers.CharField(help_text="Why the reviews of returns_to do not count; empty where they do.")
    drift = serializers.ListField(child=serializers.CharField(), help_text="What has moved since, as sentences.")
    seen = serializers.CharField(allow_null=True, help_text="Send this with a review or a bypass. Null once closed.")
    may = MayOutput(help_text="What you may do with it, and why not.")
    your_approval_applies = serializers.BooleanField(help_text="Whether yours would be the last one needed.")
    reviews = ReviewOutput(many=True)
    reviewers = ReviewerOutput(many=True, help_text="Who was asked by name, and who stepped back.")
    comments = CommentOutput(many=True)


def detail(request: Request, pk: int, *, status: int = 200) -> Response:
    user = user_of(request)
    item = get_request(user, pk)
    standing = standing_of(item)
    parts = list(item.reviewers.select_related("person", "asked_by"))
    mine = next((part for part in parts if part.person_id == user.pk), None)
    may = {
        **{decision.value: _answer(can_review(user, item, decision, standing)) for decision in Decision},
        "withdraw": _answer(can_withdraw(user, item)),
        "reschedule": _answer(can_reschedule(user, item)),
        "bypass": _answer(can_bypass(user, item, standing)),
        "mark_ready": _answer(can_mark_ready(user, item)),
        "ask_for_review": _answer(can_ask_for_review(user, item)),
        "recuse": _answer(can_recuse(user, item, standing, mine)),
    }
    reviews = item.reviews.select_related("reviewer").order_by("id")[:MAX_REMARKS]
    comments = Comment.objects.filter(request=item).with_rows().order_by("id")[:MAX_REMARKS]
    shown: dict[str, Any] = {
        **RequestOutput(item).data,
        "verdict": standing.verdict.to_json() if item.is_pending else item.verdict,
        "pins": PinsOutput(item).data,
        "not_carried": standing.not_carried if item.is_pending else "",
        "drift": list(standing.drift) if item.is_pending else [],
        "seen": standing.seen if item.is_pending else None,
        "may": may,
        "your_approval_applies": bool(item.is_pending and may["approve"]["allowed"] and standing.would_apply(user)),
        "reviews": ReviewOutput(reviews, many=True).data,
        "reviewers": ReviewerOutput(parts, many=True).data,
        "comments": CommentOutput(comments, many=True).data,
    }
    return Response(shown, status=status)


def _answer(answer: Answer) -> dict[str, Any]:
    return {"allowed": answer.allowed, "reason": answer.reason}


def _rows(items: list[TransitionRequest]) -> list[dict[str, Any]]:
    """Each with where it stands: in as many statements as for one."""
    pending = [item for item in items if item.is_pending]
    verdicts = {
        item.pk: standing.verdict.to_json() for item, standing in zip(pending, standings_of(pending), strict=True)
    }
    return [_row(item, verdicts.get(item.pk) or item.verdict) for item in items]


def _row(item: TransitionRequest, verdict: dict[str, Any] | None) -> dict[str, Any]:
    sentence = verdict["sentence"] if item.is_pending and verdict else item.closed_reason
    return {**RequestOutput(item).data, "sentence": sentence, "requirements": verdict["counts"] if verdict else None}


class Requests(Endpoint):
    @extend_schema(parameters=[RequestsInput], responses=paged(RequestRowOutput))
    def get(self, request: Request) -> Response:
        """Requests about models you may read, the newest first."""
        user, asked = user_of(request), read(RequestsInput, request)
        requests = TransitionRequest.objects
        rows = requests.waiting_on(user) if asked["waiting_on_me"] else requests.visible_to(user)
        if asked["mine"]:
            rows = rows.filter(requester=user)
        if "model" in asked:
            rows = rows.filter(model__name=asked["model"], model__deleted_at=None)
        state = asked.get("state")
        if state == "pending":
            rows = rows.pending()
        elif state == "decided":
            rows = rows.decided()
        elif state:
            rows = rows.filter(state=state)
        page = page_of(rows.with_rows(), limit=asked["limit"], cursor=asked["cursor"])
        return page_response(_rows(page.rows), page.next_cursor)

    @extend_schema(request=RequestInput, responses={201: RequestDetailOutput})
    def post(self, request: Request) -> Response:
        """Ask that a version gets a stage or an alias. Applied at once when nothing is unmet."""
        asked = read(RequestInput, request)
        opened = services.open_request(
            actor=user_of(request),
            version=get_version(user_of(request), asked["model"], asked["version"]),
            target=target_named(asked["target"]),
            comment=asked["comment"],
            archive_existing=asked["archive_existing"],
            not_before=asked["not_before"],
        )
        return detail(request, opened.pk, status=201)


class RequestDetail(Endpoint):
    @extend_schema(parameters=[WaitInput], responses=RequestDetailOutput)
    def get(self, request: Request, pk: int) -> Response:
        """One request with its verdict, reviews and comments. With ``wait`` the answer comes when its state changes."""
        asked = read(WaitInput, request)
        item = get_request(user_of(request), pk)
        if asked["wait"] and item.is_pending:
            wait_for_change(item, known=asked.get("state", item.state), seconds=asked["wait"])
            forget_grants(user_of(request))  # they may be others by now
        return detail(request, pk)


def wait_for_change(item: TransitionRequest, *, known: str, seconds: int) -> None:
    """Return when the state is another than ``known``, or after ``seconds``. When all places are taken, at once.

    Looks once a second and holds no connection to the database in between.
    """
    if item.state != known or not WAITING_PLACES.acquire(blocking=False):
        return
    try:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not connection.in_atomic_block:
                connection.close()
            time.sleep(min(1, left))
            if TransitionRequest.objects.filter(pk=item.pk).values_list("state", flat=True).get() != known:
                return
    finally:
        WAITING_PLACES.release()


class RequestReviews(Endpoint):
    @extend_schema(request=ReviewInput, responses={201: RequestDetailOutput})
    def post(self, request: Request, pk: int) -> Response:
        """Approve, ask for changes or reject. The last approval needed applies the request."""
        item = get_request(user_of(request), pk)
        services.submit_review(actor=user_of(request), review_request=item, **read(ReviewInput, request))
        return detail(request, pk, status=201)


class RequestWithdraw(Endpoint):
    @extend_schema(request=RemarkInput, responses=RequestDetailOutput)
    def post(self, request: Request, pk: int) -> Response:
        """Take the request back."""
        item = get_request(user_of(request), pk)
        services.withdraw_request(actor=user_of(request), review_request=item, **read(RemarkInput, request))
        return detail(request, pk)


class RequestSchedule(Endpoint):
    @extend_schema(request=ScheduleInput, responses=RequestDetailOutput)
    def post(self, request: Request, pk: int) -> Response:
        """Say anew when it is carried out at the earliest."""
        item = get_request(user_of(request), pk)
        services.reschedule_request(actor=user_of(request), review_request=item, **read(ScheduleInput, request))
        return detail(request, pk)


class RequestBypass(Endpoint):
    @extend_schema(request=BypassInput, responses=RequestDetailOutput)
    def post(self, request: Request, pk: int) -> Response:
        """Carry it out although not all is met: for those whom every policy with a say names."""
        item = get_request(user_of(request), pk)
        services.bypass_request(actor=user_of(request), review_request=item, **read(BypassInput, request))
        return detail(request, pk)


class RequestReady(Endpoint):
    @extend_schema(request=RemarkInput, responses=RequestDetailOutput)
    def post(self, request: Request, pk: int) -> Response:
        """Answer a call for changes: look again."""
        item = get_request(user_of(request), pk)
        services.mark_ready(actor=user_of(request), review_request=item, **read(RemarkInput, request))
        return detail(request, pk)


class RequestReviewers(Endpoint):
    @extend_schema(request=ReviewerInput, responses={201: RequestDetailOutput})
    def post(self, request: Request, pk: int) -> Response:
        """Ask somebody for a review, or remind them, once a day at most. Nobody's verdict counts more for it."""
        item = get_request(user_of(request), pk)
        services.ask_for_review(actor=user_of(request), review_request=item, person=_person(request))
        return detail(request, pk, status=201)

    @extend_schema(parameters=[ReviewerInput], responses=RequestDetailOutput)
    def delete(self, request: Request, pk: int) -> Response:
        """Ask them no longer. For who asked them, the requester, and who manages the model."""
        item = get_request(user_of(request), pk)
        services.withdraw_ask(actor=user_of(request), review_request=item, person=_person(request))
        return detail(request, pk)


def _person(request: Request) -> User:
    name = read(ReviewerInput, request)["person"]
    people, _ = find_holders(users=[name], teams=[])
    return people[name]


class RequestRecusal(Endpoint):
    @extend_schema(request=RecusalInput, responses={201: RequestDetailOutput})
    def post(self, request: Request, pk: int) -> Response:
        """Step back from the review: it waits for you no longer, and an approval of yours counts no longer."""
        item = get_request(user_of(request), pk)
        services.recuse(actor=user_of(request), review_request=item, **read(RecusalInput, request))
        return detail(request, pk, status=201)

    @extend_schema(responses=RequestDetailOutput)
    def delete(self, request: Request, pk: int) -> Response:
        """Step in again."""
        services.step_in_again(actor=user_of(request), review_request=get_request(user_of(request), pk))
        return detail(request, pk)


class RequestComments(Endpoint):
    @extend_schema(parameters=[PageInput], responses=paged(CommentOutput))
    def get(self, request: Request, pk: int) -> Response:
        """What was said in its conversation, the newest first."""
        item = get_request(user_of(request), pk)
        return conversation(request, item.version, item)

    @extend_schema(request=CommentInput, responses={201: CommentOutput})
    def post(self, request: Request, pk: int) -> Response:
        """Say something in its conversation."""
        item = get_request(user_of(request), pk)
        return add(request, item.version, item)
