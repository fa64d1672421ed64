"""/api/v1/policies/: policies with their revisions, in plain language too; publishing, and first checking a text and
what it would change."""

from __future__ import annotations

from typing import Any

import orjson
from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import services
from approvals.models import Policy, TransitionRequest
from approvals.permissions import can_publish_policies
from approvals.policy import PolicyError, parse_published, sentences
from approvals.policy.schema import schema
from approvals.services.policies import UnreadablePolicy, checked_policy
from approvals.simulation import MOST_REPLAYED, SOON, edits, effects, replay, simulate, target_of_draft
from core.answers import require
from core.errors import NotFound
from registry.queries import get_version, target_named
from web.api.endpoint import Endpoint, Input, PageInput, page_of, page_response, paged, read, user_of
from web.api.requests import VerdictOutput

MAX_REVISIONS = 200
SCHEMA_TYPE = "application/schema+json"


class PoliciesInput(PageInput):
    in_force = serializers.BooleanField(default=False, help_text="Only those that guard something today.")


class PolicyInput(Input):
    text = serializers.CharField(trim_whitespace=False, help_text="The YAML; its name says which policy it is.")


class PolicyOutput(serializers.Serializer):
    name = serializers.CharField()
    url = serializers.CharField(source="get_absolute_url", help_text="Its page, from the root of the site.")
    revision = serializers.IntegerField(source="current.number", default=None, allow_null=True)
    created_at = serializers.DateTimeField()
    archived_at = serializers.DateTimeField(allow_null=True, help_text="Since when it is out of force.")
    reading = serializers.SerializerMethodField(help_text="What it says, in sentences; empty when it cannot be read.")

    def get_reading(self, policy: Policy) -> list[str]:
        try:
            return sentences(parse_published(policy.current.text)) if policy.current else []
        except PolicyError:  # its text is in the answer too, and POST /policies/check/ says what is wrong with it
            return []


class RevisionOutput(serializers.Serializer):
    number = serializers.IntegerField()
    author = serializers.CharField(source="author.username", default=None, allow_null=True)
    created_at = serializers.DateTimeField()
    text = serializers.CharField()


class PolicyDetailOutput(PolicyOutput):
    text = serializers.CharField(source="current.text", default="")
    revisions = serializers.SerializerMethodField()

    @extend_schema_field(RevisionOutput(many=True))
    def get_revisions(self, policy: Policy) -> list[dict[str, Any]]:
        return list(RevisionOutput(policy.revisions.select_related("author")[:MAX_REVISIONS], many=True).data)


class ProblemOutput(serializers.Serializer):
    line = serializers.IntegerField()
    column = serializers.IntegerField()
    message = serializers.CharField()


class DifferenceOutput(serializers.Serializer):
    revision = serializers.IntegerField(source="revision.number", help_text="What the text is compared with.")
    text = serializers.CharField(source="difference.unified", help_text="As diff -u writes it, without the names.")
    gone = serializers.ListField(
        source="difference.gone", child=serializers.CharField(), help_text="Sentences that it would no longer say."
    )
    added = serializers.ListField(
        source="difference.added", child=serializers.CharField(), help_text="Sentences that it does not say yet."
    )


class PolicyReadingOutput(serializers.Serializer):
    valid = serializers.BooleanField()
    name = serializers.CharField(allow_null=True)
    reading = serializers.ListField(child=serializers.CharField(), help_text="What it would say, in sentences.")
    problems = ProblemOutput(many=True)
    difference = DifferenceOutput(allow_null=True, help_text="What it would change; null for a new policy.")


class SimulateInput(PolicyInput):
    model = serializers.CharField(required=False, help_text="With a version: what it would make of that one.")
    version = serializers.IntegerField(required=False, min_value=1)
    target = serializers.CharField(required=False, help_text="A stage, or @alias; what it guards first if left out.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("model" in attrs) != ("version" in attrs):
            raise serializers.ValidationError({"version": ["A model and a version go together."]})
        if "target" in attrs and "model" not in attrs:
            raise serializers.ValidationError({"target": ["A target needs a model and a version."]})
        return attrs


class SubjectOutput(serializers.Serializer):
    request = serializers.IntegerField(source="request.pk")
    model = serializers.CharField(source="request.model")
    version = serializers.IntegerField(source="request.version")
    target = serializers.CharField(source="request.target")


class EffectOutput(SubjectOutput):
    before = serializers.CharField(help_text="Where it stands, in one sentence.")
    after = serializers.CharField(help_text="Where it would stand.")
    satisfied_before = serializers.BooleanField()
    satisfied_after = serializers.BooleanField()
    expires = serializers.DateTimeField(allow_null=True, help_text="When it would end by itself, if that changes.")


class SimulateOutput(serializers.Serializer):
    verdict = VerdictOutput(allow_null=True, help_text="For the version: what all policies would say together.")
    requests = EffectOutput(many=True, help_text="The open requests that would stand differently, the oldest first.")
    looked_at = serializers.IntegerField(help_text="How many open requests were looked at.")
    is_cut = serializers.BooleanField(help_text="Whether there are more open requests.")


class ReplayInput(PolicyInput):
    most = serializers.IntegerField(
        default=SOON, min_value=1, max_value=MOST_REPLAYED, help_text="How many of the newest decisions are looked at."
    )


class OutcomeOutput(SubjectOutput):
    state = serializers.ChoiceField(source="request.state", choices=TransitionRequest.State.choices)
    closed_at = serializers.DateTimeField(source="request.closed_at")
    standing = serializers.CharField(source="sentence", help_text="Where it would have stood.")


class ReplayOutput(serializers.Serializer):
    moves = serializers.IntegerField(help_text="How many of the decisions that the text has a say in were moves.")
    stopped = OutcomeOutput(many=True, help_text="The moves that it would not have let through, the newest first.")
    unmade = serializers.IntegerField(help_text="How many requests expired or were withdrawn.")
    satisfied = OutcomeOutput(many=True, help_text="Those of them that had all it asks for, the newest first.")
    is_cut = serializers.BooleanField(help_text="Whether there are older decisions.")


def _all() -> QuerySet[Policy]:
    return Policy.objects.select_related("current")


def find(name: str) -> Policy:
    policy = _all().filter(name=name).first()
    if policy is None:
        raise NotFound("There is no such policy.")
    return policy


class Policies(Endpoint):
    @extend_schema(parameters=[PoliciesInput], responses=paged(PolicyOutput))
    def get(self, request: Request) -> Response:
        """All policies, the newest first."""
        asked = read(PoliciesInput, request)
        rows = _all().filter(archived_at=None, current__isnull=False) if asked["in_force"] else _all()
        page = page_of(rows, limit=asked["limit"], cursor=asked["cursor"])
        return page_response(PolicyOutput(page.rows, many=True).data, page.next_cursor)

    @extend_schema(request=PolicyInput, responses={201: PolicyDetailOutput})
    def post(self, request: Request) -> Response:
        """Put a text in force, as the next revision of the policy it names. For administrators."""
        revision = services.publish_policy(actor=user_of(request), **read(PolicyInput, request))
        return Response(PolicyDetailOutput(find(revision.policy.name)).data, status=201)


class PolicySchema(Endpoint):
    @extend_schema(responses={(200, SCHEMA_TYPE): OpenApiTypes.OBJECT})
    def get(self, request: Request) -> HttpResponse:
        """The language of policies as a JSON Schema, for editors."""
        return HttpResponse(orjson.dumps(schema(), option=orjson.OPT_INDENT_2), content_type=SCHEMA_TYPE)


class PolicyDetail(Endpoint):
    @extend_schema(responses=PolicyDetailOutput)
    def get(self, request: Request, name: str) -> Response:
        """One policy with its revisions."""
        return Response(PolicyDetailOutput(find(name)).data)


class PolicyArchive(Endpoint):
    @extend_schema(request=None, responses=PolicyDetailOutput)
    def post(self, request: Request, name: str) -> Response:
        """Take a policy out of force; its revisions stay. For administrators."""
        services.archive_policy(actor=user_of(request), policy=find(name))
        return Response(PolicyDetailOutput(find(name)).data)


class PolicyCheck(Endpoint):
    only_reads = True

    @extend_schema(request=PolicyInput, responses=PolicyReadingOutput)
    def post(self, request: Request) -> Response:
        """Read a text without publishing it: what it says and what it would change, or what is wrong with it and in
        which line."""
        text = read(PolicyInput, request)["text"].replace("\r\n", "\n")
        answer: dict[str, Any] = {"valid": False, "name": None, "reading": [], "problems": [], "difference": None}
        try:
            policy = checked_policy(text)
        except UnreadablePolicy as error:
            return Response(answer | {"problems": error.problems})
        answer |= {"valid": True, "name": policy.name, "reading": sentences(policy)}
        if changes := edits(policy, text):
            answer["difference"] = DifferenceOutput(changes).data
        return Response(answer)


class PolicySimulate(Endpoint):
    only_reads = True

    @extend_schema(request=SimulateInput, responses=SimulateOutput)
    def post(self, request: Request) -> Response:
        """What a text would make of a version and, for administrators, of the open requests."""
        asked, user = read(SimulateInput, request), user_of(request)
        asked["text"] = asked["text"].replace("\r\n", "\n")
        policy = checked_policy(asked["text"])
        if "model" in asked:
            version = get_version(user, asked["model"], asked["version"])
            target = target_named(asked["target"]) if "target" in asked else target_of_draft(policy)
            standing = simulate(policy, asked["text"], asker=user, version=version, target=target)
            verdict = standing.verdict.to_json()
            return Response({"verdict": verdict, "requests": [], "looked_at": 0, "is_cut": False})
        require(can_publish_policies(user))
        found = effects(policy, asked["text"], user=user)
        changed = EffectOutput(found.changed, many=True).data
        return Response({"verdict": None, "requests": changed, "looked_at": found.looked_at, "is_cut": found.is_cut})


class PolicyReplay(Endpoint):
    only_reads = True

    @extend_schema(request=ReplayInput, responses=ReplayOutput)
    def post(self, request: Request) -> Response:
        """What a text would have decided otherwise on what was known then: moves made by a request that it would have
        stopped, and requests that expired or were withdrawn although they had all it asks for. For administrators."""
        require(can_publish_policies(user_of(request)))
        asked = read(ReplayInput, request)
        text = asked["text"].replace("\r\n", "\n")
        found = replay(checked_policy(text), text, user=user_of(request), most=asked["most"])
        return Response(ReplayOutput(found).data)
