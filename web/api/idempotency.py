"""Idempotency-Key: a call that a client repeats because it never heard the answer is done once and answered twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.http import HttpResponse, HttpResponseBase
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from accounts.models import IdempotencyRecord
from core.clock import now
from core.errors import Conflict, Invalid
from web import errors
from web.signed_in import SignedInRequest

LIFETIME = timedelta(hours=24)


def answer_once(
    request: SignedInRequest, key: str, call: Callable[[], HttpResponseBase], *, keeps_answer: bool
) -> HttpResponseBase:
    """``call()``, or what it answered the first time.

    The record is written in the call's own transaction, so a process that dies leaves neither; a second call at the
    same moment waits at the unique key until the first is done. Refusals changed nothing and are not kept: repeated,
    they are looked at anew.
    """
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
        raise Invalid("An Idempotency-Key has 1 to 255 printable ASCII characters.", field="Idempotency-Key")
    digest = _digest(request)
    with transaction.atomic():
        record = _claim(request, key, digest)
        if record is None:
            return _answer_again(request, key, digest)
        response = call()
        if response.status_code >= 400:
            record.delete()
            return response
        record.status = response.status_code
        if keeps_answer and isinstance(response, Response):
            record.answer = JSONRenderer().render(response.data).decode()
        record.save(update_fields=["status", "answer"])
        return response


def _claim(request: SignedInRequest, key: str, digest: str) -> IdempotencyRecord | None:
    """A new record, or None when the key is taken. What is older than a day is forgotten first."""
    IdempotencyRecord.objects.filter(user=request.user, created_at__lt=now() - LIFETIME).delete()
    try:
        with transaction.atomic():
            return IdempotencyRecord.objects.create(user=request.user, key=key, call=digest)
    except IntegrityError:
        return None


def _answer_again(request: SignedInRequest, key: str, digest: str) -> HttpResponse:
    record = IdempotencyRecord.objects.get(user=request.user, key=key)
    if record.call != digest:
        return errors.response(request, Conflict("This Idempotency-Key belongs to another call: take a new one."))
    if not record.answer and record.status != 204:
        return errors.response(request, Conflict("This call is done. Its answer held a secret and is shown once only."))
    answer = HttpResponse(record.answer, status=record.status, content_type="application/json")
    answer["Idempotency-Replayed"] = "true"
    return answer


def _digest(request: SignedInRequest) -> str:
    """By a token for other models it is another call: it must not hear what this one was told."""
    body = hashlib.sha256(request.body).hexdigest()
    parts = (request.method or "", request.get_full_path(), body, request.user.reach)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
