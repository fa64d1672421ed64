"""/api/v1/models/NAME/versions/: versions with their evidence, and moving them at once."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry import services
from registry.models import Evidence, FileScan, ModelVersion, RunReading, Stage
from registry.queries import get_model, get_version, reading_of
from registry.scanning import scan_of
from web.api.endpoint import Endpoint, Input, PageInput, page_of, page_response, paged, read, user_of
from web.api.models import DescriptionInput, TagInput, TagKeyInput
from web.gated import gated

MAX_FILES = 1000
MAX_FINDINGS = 200


class VersionsInput(PageInput):
    stage = serializers.ChoiceField(choices=Stage.choices, required=False, help_text="Only those in this stage.")


class VersionInput(Input):
    source = serializers.CharField(  # type: ignore[assignment]
        max_length=500, trim_whitespace=False, help_text="runs:/, models:/ or a remote address."
    )
    run_id = serializers.CharField(max_length=32, default="", allow_blank=True)
    model_id = serializers.CharField(max_length=34, default="", allow_blank=True)
    run_link = serializers.CharField(max_length=500, default="", allow_blank=True)
    description = serializers.CharField(default="", allow_blank=True, trim_whitespace=False)
    tags = serializers.DictField(child=serializers.CharField(allow_blank=True, trim_whitespace=False), default=dict)


class MoveInput(Input):
    stage = serializers.ChoiceField(choices=Stage.choices)
    archive_existing = serializers.BooleanField(
        default=False, help_text="Archive who holds the stage, in the same moment."
    )


class VersionOutput(serializers.Serializer):
    model = serializers.CharField(source="model.name")
    version = serializers.IntegerField()
    url = serializers.CharField(source="get_absolute_url", help_text="Its page, from the root of the site.")
    stage = serializers.ChoiceField(choices=Stage.choices, source="current_stage")
    aliases = serializers.ListField(child=serializers.CharField())
    description = serializers.CharField()
    tags = serializers.DictField(child=serializers.CharField())
    status = serializers.CharField()
    owner = serializers.CharField(source="user.username", default=None, allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    source = serializers.CharField()  # type: ignore[assignment]
    run_id = serializers.CharField()
    run_link = serializers.CharField()
    digest = serializers.CharField(help_text="SHA-256 over all its files; empty when they do not lie here.")
    file_count = serializers.IntegerField()
    total_size = serializers.IntegerField()


class MetricOutput(serializers.Serializer):
    value = serializers.FloatField()
    step = serializers.IntegerField()
    dataset = serializers.CharField(required=False)


class EvidenceOutput(serializers.Serializer):
    digest = serializers.CharField()
    taken_at = serializers.DateTimeField()
    run = serializers.DictField(allow_null=True)
    params = serializers.DictField(child=serializers.CharField())
    metrics = serializers.DictField(child=MetricOutput())
    tags = serializers.DictField(child=serializers.CharField())
    datasets = serializers.ListField(child=serializers.DictField())
    commit = serializers.CharField()
    signature = serializers.DictField(allow_null=True)
    origin = serializers.DictField(allow_null=True, help_text="{server}: where it was read from; null when it is ours.")


class RunReadingOutput(serializers.Serializer):
    """The run lies on another tracking server: when it was read from there, or why not yet."""

    state = serializers.ChoiceField(choices=RunReading.State.choices)
    server = serializers.CharField()
    reason = serializers.CharField(help_text="What the last try said; of a run that was read, what is missing.")
    attempts = serializers.IntegerField()
    asked_at = serializers.DateTimeField()
    read_at = serializers.DateTimeField(allow_null=True)
    next_attempt_at = serializers.DateTimeField()


class FileOutput(serializers.Serializer):
    path = serializers.CharField()
    size = serializers.IntegerField()
    sha256 = serializers.CharField()


class FindingOutput(serializers.Serializer):
    path = serializers.CharField()
    finding = serializers.CharField()


class ScanOutput(serializers.Serializer):
    """What a static reading of its files said; nothing of them is ever loaded."""

    verdict = serializers.ChoiceField(
        choices=FileScan.Verdict.choices,
        allow_blank=True,
        help_text="The worst of its files; empty while none is read.",
    )
    pending = serializers.IntegerField(help_text="Files that are still to be read.")
    unsafe = FindingOutput(many=True, help_text=f"The first {MAX_FINDINGS}.")
    unread = FindingOutput(many=True, help_text=f"What a person must look at: the first {MAX_FINDINGS}.")


class VersionDetailOutput(VersionOutput):
    evidence = EvidenceOutput(allow_null=True, help_text="What was last known of it; decisions are made on this.")
    run_reading = RunReadingOutput(allow_null=True, help_text="Where its run lies on another tracking server.")
    scan = ScanOutput(allow_null=True, help_text="Null where its files do not lie here.")
    files = FileOutput(many=True, help_text=f"The first {MAX_FILES}, by path.")


EVIDENCE_PARTS = ("run", "params", "metrics", "tags", "datasets", "commit", "signature", "origin")


def detail(version: ModelVersion, *, status: int = 200) -> Response:
    evidence, reading = version.evidence, reading_of(version)
    files = evidence.data.get("files", [])[:MAX_FILES] if evidence else []
    shown: dict[str, Any] = {
        **VersionOutput(version).data,
        "evidence": shown_evidence(evidence) if evidence else None,
        "run_reading": RunReadingOutput(reading).data if reading else None,
        "scan": _scan(version),
        "files": [{"path": path, "size": size, "sha256": sha256} for path, size, sha256 in files],
    }
    return Response(shown, status=status)


def _scan(version: ModelVersion) -> dict[str, Any] | None:
    if (scan := scan_of(version)) is None:
        return None
    found = {
        str(verdict): [{"path": path, "finding": sentence} for path, sentence in scan.findings(verdict)[:MAX_FINDINGS]]
        for verdict in (FileScan.Verdict.UNSAFE, FileScan.Verdict.UNREAD)
    }
    return {"verdict": scan.verdict, "pending": scan.pending, **found}


def shown_evidence(evidence: Evidence) -> dict[str, Any]:
    """Written out as stored: a metric may be NaN or infinite, which the stored form spells as text."""
    taken_at = serializers.DateTimeField().to_representation(evidence.taken_at)
    return {
        "digest": evidence.digest,
        "taken_at": taken_at,
        **{part: evidence.data.get(part) for part in EVIDENCE_PARTS},
    }


class Versions(Endpoint):
    @extend_schema(parameters=[VersionsInput], responses=paged(VersionOutput))
    def get(self, request: Request, name: str) -> Response:
        """The versions of a model, the highest number first."""
        model = get_model(user_of(request), name)
        asked = read(VersionsInput, request)
        rows = ModelVersion.objects.live().filter(model=model).select_related("user")
        if "stage" in asked:
            rows = rows.filter(current_stage=asked["stage"])
        page = page_of(rows, limit=asked["limit"], cursor=asked["cursor"], by="version")
        for version in page.rows:
            version.model = model
        return page_response(VersionOutput(page.rows, many=True).data, page.next_cursor)

    @extend_schema(request=VersionInput, responses={201: VersionDetailOutput})
    def post(self, request: Request, name: str) -> Response:
        """Register a version from what a run has logged, or from where a remote address points."""
        model = get_model(user_of(request), name)
        version = services.create_version(actor=user_of(request), model=model, **read(VersionInput, request))
        return detail(version, status=201)


class Version(Endpoint):
    @extend_schema(responses=VersionDetailOutput)
    def get(self, request: Request, name: str, number: int) -> Response:
        """One version with its evidence and files."""
        return detail(get_version(user_of(request), name, number))

    @extend_schema(request=DescriptionInput, responses=VersionDetailOutput)
    def patch(self, request: Request, name: str, number: int) -> Response:
        """Write the description."""
        version = get_version(user_of(request), name, number)
        services.update_version(actor=user_of(request), version=version, **read(DescriptionInput, request))
        return detail(get_version(user_of(request), name, number))


class VersionTags(Endpoint):
    @extend_schema(request=TagInput, responses=VersionDetailOutput)
    def put(self, request: Request, name: str, number: int) -> Response:
        """Set a tag."""
        version = get_version(user_of(request), name, number)
        gated(services.set_version_tag)(actor=user_of(request), version=version, **read(TagInput, request))
        return detail(get_version(user_of(request), name, number))

    @extend_schema(parameters=[TagKeyInput], responses={204: None})
    def delete(self, request: Request, name: str, number: int) -> Response:
        """Delete the tag ``key``."""
        version = get_version(user_of(request), name, number)
        gated(services.delete_version_tag)(actor=user_of(request), version=version, **read(TagKeyInput, request))
        return Response(status=204)


class VersionMove(Endpoint):
    @extend_schema(request=MoveInput, responses=VersionDetailOutput)
    def post(self, request: Request, name: str, number: int) -> Response:
        """Move at once, for those who may. Where a policy guards the stage, the refusal says where to ask."""
        version = get_version(user_of(request), name, number)
        asked = read(MoveInput, request)
        gated(services.move_to_stage)(
            actor=user_of(request),
            version=version,
            stage=Stage(asked["stage"]),
            archive_existing=asked["archive_existing"],
        )
        return detail(get_version(user_of(request), name, number))


class VersionReadRun(Endpoint):
    @extend_schema(request=None, responses=VersionDetailOutput)
    def post(self, request: Request, name: str, number: int) -> Response:
        """Have the run of the version read from the other tracking server, again or for the first time."""
        version = get_version(user_of(request), name, number)
        services.read_run_again(actor=user_of(request), version=version)
        return detail(get_version(user_of(request), name, number))
