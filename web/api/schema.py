"""The reference: OpenAPI at /api/v1/schema/, for people at /api/v1/docs/."""

from __future__ import annotations

from typing import Any

from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request

ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {
                    "type": "string",
                    "description": "For programs: invalid, not_found, not_permitted, conflict, …",
                },
                "message": {"type": "string", "description": "For people."},
                "field": {"type": "string", "description": "The part of the input at fault."},
                "details": {"type": "object", "additionalProperties": True},
            },
        }
    },
}


def add_errors(result: dict[str, Any], generator: Any, request: Request | None, public: bool) -> dict[str, Any]:
    """Every call may answer with the one shape of an error."""
    result["components"].setdefault("schemas", {})["Error"] = ERROR
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"]["default"] = {"description": "Refused.", "content": content}
    return result


class Docs(SpectacularSwaggerSplitView):
    url_name = "api_schema"
    template_name = "api/docs.html"


schema = SpectacularAPIView.as_view()
docs = Docs.as_view()
