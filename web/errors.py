"""From an error of ours to the shape each door speaks: MLflow's JSON, our API's JSON, or a page."""

from __future__ import annotations

from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django_htmx.http import reswap, retarget
from rest_framework import exceptions as drf
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from core.errors import (
    AlreadyAsked,
    AlreadyExists,
    Conflict,
    CountersignError,
    InUse,
    Invalid,
    NotFound,
    NotOffered,
    NotPermitted,
    StorageFull,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
)

log = structlog.get_logger(__name__)

# type -> (HTTP status, MLflow's error_code, status in our own API, our code); of a type and its base the type is first.
# Databricks asks for the answers to AlreadyAsked and InUse, MLflow knows neither.
SHAPES: dict[type[CountersignError], tuple[int, str, int, str]] = {
    Invalid: (400, "INVALID_PARAMETER_VALUE", 400, "invalid"),
    NotFound: (404, "RESOURCE_DOES_NOT_EXIST", 404, "not_found"),
    AlreadyAsked: (409, "RESOURCE_ALREADY_EXISTS", 409, "already_exists"),
    AlreadyExists: (400, "RESOURCE_ALREADY_EXISTS", 409, "already_exists"),
    InUse: (400, "INVALID_STATE", 409, "conflict"),
    Conflict: (409, "RESOURCE_CONFLICT", 409, "conflict"),
    NotPermitted: (403, "PERMISSION_DENIED", 403, "not_permitted"),
    Unauthenticated: (401, "UNAUTHENTICATED", 401, "unauthenticated"),
    TooLarge: (413, "INVALID_PARAMETER_VALUE", 413, "too_large"),
    TooMany: (429, "REQUEST_LIMIT_EXCEEDED", 429, "too_many"),
    NotOffered: (501, "NOT_IMPLEMENTED", 501, "not_offered"),
    Unavailable: (503, "TEMPORARILY_UNAVAILABLE", 503, "unavailable"),
    StorageFull: (507, "RESOURCE_EXHAUSTED", 507, "storage_full"),
}


def _shape(error: CountersignError) -> tuple[int, str, int, str]:
    return next(shape for kind, shape in SHAPES.items() if isinstance(error, kind))


def is_api(path: str) -> bool:
    return path.startswith(("/api/", "/ajax-api/"))


def speaks_mlflow(path: str) -> bool:
    """Whether errors have MLflow's form: its API, and the two addresses outside it that scripts fetch files from."""
    return is_api(path) or path in ("/get-artifact", "/model-versions/get-artifact")


def is_own_api(path: str) -> bool:
    return path.startswith("/api/v1/")


def response(request: HttpRequest, error: CountersignError) -> HttpResponse:
    """The answer of the door that the request came through."""
    if is_own_api(request.path):
        answer: HttpResponse = JsonResponse(own_body(error), status=_shape(error)[2])
    elif speaks_mlflow(request.path):
        answer = mlflow_error(error)
    else:
        answer = page(request, _shape(error)[2], error.on_page if isinstance(error, NotFound) else error.message)
    if isinstance(error, Unauthenticated):
        answer["WWW-Authenticate"] = 'Basic realm="mlflow"'
    if isinstance(error, Unavailable):
        answer["Retry-After"] = "5"
    if isinstance(error, TooMany):
        answer["Retry-After"] = str(error.wait)
    return answer


def mlflow_error(error: CountersignError) -> JsonResponse:
    status, code, _, _ = _shape(error)
    return mlflow_body(status, getattr(error, "error_code", code), error.message)


def mlflow_body(status: int, error_code: str, message: str) -> JsonResponse:
    return JsonResponse({"error_code": error_code, "message": message}, status=status)


def own_body(error: CountersignError) -> dict[str, Any]:
    body: dict[str, Any] = {"code": _shape(error)[3], "message": error.message}
    if getattr(error, "field", ""):
        body["field"] = error.field  # type: ignore[attr-defined]
    for extra in ("unmet", "ask_url", "problems"):
        if getattr(error, extra, None):
            body.setdefault("details", {})[extra] = getattr(error, extra)
    return {"error": body}


# What to do next, where the message itself does not say it.
NEXT = {
    403: "If you should be able to, ask whoever manages the model, or an administrator.",
    404: "Look for it by its name or number, or ask an administrator for the right to see it.",
    413: "Nothing was changed. Shorten it, or send it in parts, then try again.",
    429: "Nothing was changed. Wait a moment, then try again.",
    500: "Go back and try again. If it happens again, tell your administrator when it did: the log has the rest.",
    503: "Nothing was changed. Try again in a minute.",
    507: "Nothing was changed. Your administrator has to make room first.",
}


def page(request: HttpRequest, status: int, message: str) -> HttpResponse:
    """A whole error page, or for HTMX a notice in the corner: what is on the page stays, with all that was typed. A
    fault of ours is shown without context processors, so without queries."""
    is_part = bool(request.headers.get("HX-Request"))
    template = "errors/fragment.html" if is_part else "errors/page.html"
    context = {"status": status, "message": message, "next": NEXT.get(status, "")}
    answer = render(request if status < 500 else None, template, context, status=status)
    if is_part:
        retarget(answer, "#toasts")
        reswap(answer, "beforeend")
    return answer


def refused_status(error: CountersignError) -> int:
    """Of a page that comes back with what was typed: the state has moved meanwhile, or it cannot be taken."""
    return 409 if isinstance(error, Conflict) else 422


# -- What Django itself raises -----------------------------------------------------------------------------------------


def _plain(request: HttpRequest, status: int, mlflow_code: str, own_code: str, message: str) -> HttpResponse:
    if is_own_api(request.path):
        return JsonResponse({"error": {"code": own_code, "message": message}}, status=status)
    if is_api(request.path):
        return mlflow_body(status, mlflow_code, message)
    return page(request, status, message)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if is_api(request.path):
        return _plain(request, 404, "ENDPOINT_NOT_FOUND", "not_found", f"There is no endpoint {request.path}.")
    return _plain(request, 404, "", "", "There is no such page, or it is not for you to see.")


def not_allowed(request: HttpRequest, refused: HttpResponse) -> HttpResponse:
    """Django's 405 has an empty body: the same with words."""
    allowed = refused.get("Allow", "")
    message = f"{request.method} does not work on this address; it takes {allowed}."
    answer = _plain(request, 405, "BAD_REQUEST", "method_not_allowed", message)
    answer["Allow"] = allowed
    return answer


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _plain(request, 403, "PERMISSION_DENIED", "not_permitted", "You may not do this.")


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return response(request, TooLarge("This request is larger than the server takes."))
    return _plain(request, 400, "BAD_REQUEST", "invalid", "This request cannot be read.")


def server_error(request: HttpRequest) -> HttpResponse:
    message = "Something went wrong on our side. It was logged; nothing was changed by this request."
    return _plain(request, 500, "INTERNAL_ERROR", "internal", message)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    message = "This form has expired; nothing was changed. Your browser keeps what you wrote: reload and try again."
    return _plain(request, 403, "PERMISSION_DENIED", "not_permitted", message)


def api_exception_handler(exception: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's errors and ours in the one shape of /api/v1."""
    if isinstance(exception, CountersignError):
        return Response(own_body(exception), status=_shape(exception)[2])
    answer = drf_exception_handler(exception, context)
    if answer is None:
        return None
    if isinstance(exception, drf.ValidationError):
        field, message = _first_fault(answer.data)
        body = {"code": "invalid", "message": f"{field}: {message}" if field else message}
        answer.data = {"error": {**body, **({"field": field} if field else {}), "details": answer.data}}
    elif isinstance(exception, Http404 | drf.NotFound):
        answer.data = {
            "error": {"code": "not_found", "message": "There is no such thing, or it is not for you to see."}
        }
    elif isinstance(exception, PermissionDenied | drf.PermissionDenied):
        answer.data = {"error": {"code": "not_permitted", "message": _said(exception) or "You may not do this."}}
    else:
        code = getattr(exception, "default_code", "invalid")
        answer.data = {"error": {"code": code, "message": _said(exception)}}
    return answer


def _said(exception: Exception) -> str:
    return str(getattr(exception, "detail", ""))


def _first_fault(data: Any, path: tuple[str, ...] = ()) -> tuple[str, str]:
    """The first complaint of a serializer: the field it is about ("" for the whole) and its sentence."""
    if isinstance(data, dict):
        key, value = next(iter(data.items()))
        return _first_fault(value, path if key == "non_field_errors" else (*path, str(key)))
    if isinstance(data, list):
        return _first_fault(data[0], path)
    return ".".join(path), str(data)
