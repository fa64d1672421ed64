"""/api/v1/models/NAME/compare/: versions of a model beside one another, and the lines of a file that differ."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry.compared import MOST, compared, versions_to_compare
from registry.line_changes import line_changes
from registry.models import ModelVersion, Stage
from registry.queries import get_model
from registry.side_by_side import KINDS, MOST_ROWS
from web.api.endpoint import Endpoint, Input, read, user_of

HOW_MANY = f"Name two to {MOST} versions, as in ?version=3&version=5."
TWO = "Name two versions, the earlier one first, as in ?version=3&version=5."


def _versions_field(most: int, sentence: str) -> serializers.ListField:
    number = serializers.IntegerField(min_value=1, max_value=2**31 - 1)
    return serializers.ListField(
        child=number,
        min_length=2,
        max_length=most,
        error_messages={"required": sentence, "min_length": sentence, "max_length": sentence},
        help_text="Once for each version.",
    )


class CompareInput(Input):
    version = _versions_field(MOST, HOW_MANY)
    only_differences = serializers.BooleanField(default=False)
    part = serializers.ChoiceField(choices=KINDS, required=False, help_text="This part alone, with these two:")
    containing = serializers.CharField(default="", max_length=250, help_text="Only rows whose name holds it.")
    start = serializers.IntegerField(default=0, min_value=0, max_value=10**6, help_text="How many rows to pass over.")

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        if "part" not in asked and (wanting := [name for name in ("containing", "start") if asked[name]]):
            raise serializers.ValidationError({wanting[0]: ["It needs a part: name one."]})
        return asked


class LinesInput(Input):
    version = _versions_field(2, TWO)
    path = serializers.CharField(max_length=1000, trim_whitespace=False, help_text="Of a file that both have.")


class ComparedVersionOutput(serializers.Serializer):
    version = serializers.IntegerField()
    url = serializers.CharField(source="get_absolute_url", help_text="Its page, from the root of the site.")
    stage = serializers.ChoiceField(choices=Stage.choices, source="current_stage")
    aliases = serializers.ListField(child=serializers.CharField())
    digest = serializers.CharField(help_text="SHA-256 over all its files; empty when they do not lie here.")


class RowOutput(serializers.Serializer):
    name = serializers.CharField()
    values = serializers.ListField(
        source="cells",
        child=serializers.JSONField(allow_null=True),
        help_text="One for each version; null: it has none.",
    )
    changes = serializers.ListField(
        child=serializers.FloatField(allow_null=True), help_text="Of metrics, how far each is from the first."
    )
    differs = serializers.BooleanField()


class PartOutput(serializers.Serializer):
    kind = serializers.ChoiceField(choices=KINDS)
    rows = RowOutput(many=True, help_text=f"What differs first; {MOST_ROWS} at most.")
    left_out = serializers.IntegerField(help_text="How many rows follow: name the part and a start for them.")


class CompareOutput(serializers.Serializer):
    model = serializers.CharField()
    versions = ComparedVersionOutput(many=True)
    parts = PartOutput(many=True, help_text="Those of which anything is known.")
    problems = serializers.ListField(child=serializers.CharField(), help_text="What could not be read, in sentences.")


class LinesOutput(serializers.Serializer):
    path = serializers.CharField()
    unified = serializers.CharField(help_text="As diff -u writes it, without the names.")
    notes = serializers.ListField(child=serializers.CharField(), help_text="What is not shown, in sentences.")
    problem = serializers.CharField(help_text="Why no lines are shown; empty when they are.")


class Compare(Endpoint):
    @extend_schema(parameters=[CompareInput], responses=CompareOutput)
    def get(self, request: Request, name: str) -> Response:
        """Up to five versions beside one another: metrics, parameters, signature, packages, data, tags, files."""
        model = get_model(user_of(request), name)
        asked = read(CompareInput, request)
        versions = _several(versions_to_compare(model, asked["version"]), HOW_MANY)
        found = compared(
            versions,
            only_differences=asked["only_differences"],
            kind=asked.get("part", ""),
            containing=asked["containing"],
            start=asked["start"],
        )
        shown = {"model": model.name, "versions": versions, "parts": found.parts, "problems": found.problems}
        return Response(CompareOutput(shown).data)


class CompareLines(Endpoint):
    @extend_schema(parameters=[LinesInput], responses=LinesOutput)
    def get(self, request: Request, name: str) -> Response:
        """Which lines of a text file differ between two versions."""
        model = get_model(user_of(request), name)
        asked = read(LinesInput, request)
        before, after = _several(versions_to_compare(model, asked["version"]), TWO)
        found = line_changes(before, after, asked["path"])
        shown = {"path": asked["path"], "unified": found.unified, "notes": found.notes, "problem": found.problem}
        return Response(LinesOutput(shown).data)


def _several(versions: list[ModelVersion], sentence: str) -> list[ModelVersion]:
    if len(versions) < 2:
        raise serializers.ValidationError({"version": [sentence]})
    return versions
