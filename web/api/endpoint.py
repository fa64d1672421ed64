"""The frame of every call of our own API: reading input, pages of a list, and answering a repeated call once."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import orjson
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponseBase
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from accounts.models import User
from core.errors import Invalid, TooLarge
from core.prepared import planned_anew
from core.search import decode_page_token, encode_page_token
from web import errors
from web.api.idempotency import answer_once
from web.signed_in import SignedInRequest

MAX_BODY = 1024 * 1024
MAX_PAGE = 200
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Names this call: repeated under the same name within a day, it is done once and answered as before.",
)

Row = TypeVar("Row", bound=Model)


class Json(BaseParser):
    """Strict JSON: no NaN, no broken text, no nesting without end."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        try:
            return orjson.loads(stream.read())
        except orjson.JSONDecodeError as error:
            raise ParseError(f"The body cannot be read as JSON: {error}.") from error


class Input(serializers.Serializer):
    """What a call takes. A field it does not know is refused: a misspelt one must not be passed over in silence."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError({unknown[0][:100]: ["There is no such field."]})
        return super().to_internal_value(data)


class Reference(AutoSchema):
    """What the reference says about every call without being told."""

    def get_override_parameters(self) -> list[OpenApiParameter | Serializer | type[Serializer]]:
        return [] if self.method in SAFE_METHODS or self._only_reads() else [IDEMPOTENCY_KEY]

    def get_operation_id(self) -> str:
        """A path that names no single thing is a list: models_list and models_retrieve, not two of one name."""
        name: str = super().get_operation_id()
        return re.sub("_retrieve$", "_list", name) if self._is_page() else name

    def _is_page(self) -> bool:
        answer = self.get_response_serializers()
        return isinstance(answer, type) and answer.__name__.endswith("Page")

    def _only_reads(self) -> bool:
        return getattr(self.view, "only_reads", False)


class Endpoint(APIView):
    """One path of the API; a method for each HTTP method it answers.

    A call with a secret in its answer sets ``keeps_answers`` to False: repeated, it is refused and not answered again.
    """

    keeps_answers = True
    parser_classes = [Json]
    schema = Reference()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            _check_size(request)
            key = request.headers.get("Idempotency-Key")
            if key is None or request.method in SAFE_METHODS or getattr(self, "only_reads", False):
                return super().dispatch(request, *args, **kwargs)
            call = functools.partial(super().dispatch, request, *args, **kwargs)
            return answer_once(cast(SignedInRequest, request), key, call, keeps_answer=self.keeps_answers)
        except (Invalid, TooLarge) as error:
            return errors.response(request, error)


def _check_size(request: HttpRequest) -> None:
    if request.headers.get("Transfer-Encoding"):
        raise Invalid("Send the body with a Content-Length.")
    if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_BODY:
        raise TooLarge(f"A call has at most {MAX_BODY // 2**20} MiB.")


def user_of(request: Request) -> User:
    """Who asks; nobody unknown gets past the middleware."""
    assert isinstance(request.user, User)
    return request.user


def read(kind: type[Input], request: Request) -> dict[str, Any]:
    """The validated input of a call: its query string for GET and DELETE, else its body."""
    source = _query(kind, request) if request.method in (*SAFE_METHODS, "DELETE") else request.data
    serializer = kind(data=source)
    serializer.is_valid(raise_exception=True)
    values: dict[str, Any] = serializer.validated_data
    return values


def _query(kind: type[Input], request: Request) -> dict[str, Any]:
    """Of what is said twice the last counts, except where the call takes several."""
    several = [name for name, field in kind().fields.items() if isinstance(field, serializers.ListField)]
    given = request.query_params
    return given.dict() | {name: given.getlist(name) for name in several if name in given}


# -- Pages -------------------------------------------------------------------------------------------------------------


class PageInput(Input):
    limit = serializers.IntegerField(min_value=1, max_value=MAX_PAGE, default=50, help_text="How many at most.")
    cursor = serializers.CharField(
        max_length=1000, required=False, default="", help_text="The next_cursor of the page before this one."
    )


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[Any]
    next_cursor: str | None


def page_of(rows: QuerySet[Row], *, limit: int, cursor: str, by: str = "pk") -> Page:
    """The rows with the highest ``by`` first, from where ``cursor`` says: page 1,000 costs what page 1 does."""
    if cursor:
        rows = rows.filter(**{f"{by}__lt": _position(cursor)})
    found = planned_anew(rows.order_by(f"-{by}")[: limit + 1])
    more = encode_page_token([getattr(found[limit - 1], by)]) if len(found) > limit else None
    return Page(found[:limit], more)


def _position(cursor: str) -> int:
    try:
        (value,) = decode_page_token(cursor)
    except (TypeError, ValueError, Invalid) as error:
        raise Invalid("This cursor is not one of this list.", field="cursor") from error
    if type(value) is not int or not 0 <= value < 2**63:
        raise Invalid("This cursor is not one of this list.", field="cursor")
    return value


def page_response(items: Iterable[Any], next_cursor: str | None) -> Response:
    return Response({"items": list(items), "next_cursor": next_cursor})


def paged(item: type[serializers.Serializer]) -> type[serializers.Serializer]:
    """The shape of a page of ``item``, for the reference."""
    fields = {
        "items": item(many=True),
        "next_cursor": serializers.CharField(allow_null=True, help_text="Null on the last page."),
    }
    return type(f"{item.__name__}Page", (serializers.Serializer,), fields)
