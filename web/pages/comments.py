"""/comments/ID/…: editing, deleting, resolving, reopening; each answers with the page that the comment is on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpResponse
from django.views.decorators.http import require_POST

from approvals import services
from approvals.models import Comment
from approvals.queries import get_comment
from core.errors import CountersignError
from web.pages import requests, versions
from web.signed_in import SignedInRequest


@require_POST
def edit(request: SignedInRequest, pk: int) -> HttpResponse:
    text = request.POST.get("comment", "")
    return _do(request, pk, services.edit_comment, {"text": text}, edits=pk, text=text)


@require_POST
def delete(request: SignedInRequest, pk: int) -> HttpResponse:
    return _do(request, pk, services.delete_comment)


@require_POST
def resolve(request: SignedInRequest, pk: int) -> HttpResponse:
    return _do(request, pk, services.resolve_thread)


@require_POST
def reopen(request: SignedInRequest, pk: int) -> HttpResponse:
    return _do(request, pk, services.reopen_thread)


def _do(
    request: SignedInRequest, pk: int, verb: Callable[..., Comment], given: dict[str, str] | None = None, **typed: Any
) -> HttpResponse:
    comment = get_comment(request.user, pk)
    error = None
    try:
        verb(actor=request.user, comment=comment, **(given or {}))
    except CountersignError as refusal:
        error = refusal
    if comment.request_id:
        return requests.answer(request, comment.request_id, error, at=comment, **typed)
    return versions.answer(request, comment.version, error, at=comment, **typed)
