"""What clients ask about the server itself."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from registry import artifacts
from web.mlflow.endpoint import endpoint
from web.mlflow.params import Params


@endpoint("GET", only_reads=True)
def info(request: HttpRequest, params: Params) -> dict[str, Any]:
    """Capabilities, asked by 3.x clients before the first file transfer."""
    return {
        "store_type": "SqlStore",
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": artifacts.is_offered(),
        "multipart_downloads_enabled": artifacts.is_offered(),
        "artifact_serving_enabled": True,
        "presigned_upload_run_id_supported": False,
        "presigned_upload_model_id_supported": False,
        "model_artifact_presigned_downloads_supported": False,
        "features_enabled": {"gateway": False, "scheduled_issue_detection": False},
        "tracking_auth": "",
        "artifacts_presigned_only": False,
    }


@require_safe
def databricks_handshake(request: HttpRequest) -> HttpResponse:
    """The Databricks clients probe this before every call; an empty object means: nothing special."""
    return HttpResponse(b"{}", content_type="application/json")
