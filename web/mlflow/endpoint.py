"""The frame of every call of the MLflow protocol: read the input, call the view, answer JSON.

Views take ``(request, params)`` and return what the answer's JSON object holds. Success is always 200 with an object,
errors are always JSON, and no client text reaches a log or an error beyond what it sent itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse, HttpResponseBase, UnreadablePostError

from core.errors import CountersignError, Invalid, TooLarge
from web import errors
from web.mlflow.params import Params

MAX_BODY = 32 * 1024 * 1024  # a dataset's profile reaches 16 MB
MAX_DEPTH = 64

View = Callable[..., dict[str, Any]]


def endpoint(
    *methods: str, only_reads: bool = False, looks_up: bool = False
) -> Callable[[View], Callable[..., HttpResponseBase]]:
    """Make a view of the protocol out of a function. ``only_reads`` marks POSTs that a read-only token may make,
    ``looks_up`` views that begin with a look-up, or ask who the caller is: whether the caller is somebody who may do
    this is then looked up along with it (``web.authentication.Caller``)."""

    def decorate(view: View) -> Callable[..., HttpResponseBase]:
        @functools.wraps(view)
        def answer(request: HttpRequest, **kwargs: str) -> HttpResponseBase:
            if request.method not in methods:
                return method_not_allowed(request, *methods)
            try:
                body = view(request, read_params(request), **kwargs)
            except CountersignError as error:
                return errors.response(request, error)
            return HttpResponse(orjson.dumps(body), content_type="application/json")

        answer.only_reads = only_reads  # type: ignore[attr-defined]
        answer.looks_up_by = frozenset(methods if looks_up else ())  # type: ignore[attr-defined]
        return answer

    return decorate


def by_method(**views: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """One path, a view for each HTTP method."""

    def dispatch(request: HttpRequest, **kwargs: str) -> HttpResponseBase:
        view = views.get("GET" if request.method == "HEAD" else request.method or "")
        return view(request, **kwargs) if view else method_not_allowed(request, *views)

    dispatch.looks_up_by = frozenset(  # type: ignore[attr-defined]
        method for method, view in views.items() if method in getattr(view, "looks_up_by", ())
    )
    return dispatch


def method_not_allowed(request: HttpRequest, *methods: str) -> HttpResponse:
    response = errors.mlflow_body(
        405, "BAD_REQUEST", f"{request.path} takes {' or '.join(methods)}, not {request.method}."
    )
    response["Allow"] = ", ".join(methods)
    return response


def read_params(request: HttpRequest) -> Params:
    """GET has a query string; the other methods a JSON body. DELETE takes either (the Databricks SDK sends a query)."""
    if request.method == "GET":
        return Params.of_query(request.GET)
    body = _read_body(request)
    if not body and request.method == "DELETE":
        return Params.of_query(request.GET)
    if request.content_type != "application/json":
        raise Invalid(f"Bad Request. Content-Type must be application/json, not {(request.content_type or '')[:60]!r}.")
    return Params(_object(body))


def _read_body(request: HttpRequest) -> bytes:
    """The body, up to the limit. Read as a stream, so that Django's own limit for forms does not apply."""
    announced = int(request.META.get("CONTENT_LENGTH") or 0)
    if announced > MAX_BODY:
        raise TooLarge(f"A request has at most {MAX_BODY // 2**20} MiB.")
    try:
        body = request.read(MAX_BODY + 1)
    except UnreadablePostError as error:
        raise Invalid("The request broke off. Send it again.") from error
    if len(body) > MAX_BODY:
        raise TooLarge(f"A request has at most {MAX_BODY // 2**20} MiB.")
    if len(body) < announced:  # what arrived could pass for a shorter request
        raise Invalid("The request broke off. Send it again.")
    return body


def _object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body. Empty or unparsable counts as {}, as in MLflow; a JSON string is decoded once more."""
    try:
        value = orjson.loads(body) if body else {}
        if isinstance(value, str):
            value = orjson.loads(value)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(value, dict):
        raise Invalid("The body must be a JSON object.")
    if _depth(value) > MAX_DEPTH:
        raise Invalid(f"The body is nested deeper than {MAX_DEPTH} levels.")
    return value


def _depth(value: Any) -> int:
    """How deep lists and objects are nested; level by level, so that no input exhausts the stack."""
    level, depth = [value], 0
    while level and depth <= MAX_DEPTH:
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        depth += 1
    return depth
