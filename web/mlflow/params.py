"""Input of the MLflow protocol: typed reading with MLflow's own error texts (mlflow/server/handlers.py).

A null field equals an absent one. Names are snake_case; camelCase is accepted, both at once are refused.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from django.http import QueryDict

from core.errors import Invalid

HINT = "See the API docs for more information about request parameters."
INT64 = 2**63 - 1


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def missing(field: str) -> Invalid:
    return Invalid(f"Missing value for required parameter '{field}'. {HINT}", field=field)


def wrong(field: str, value: Any, why: str = "") -> Invalid:
    shown = json.dumps(value, default=str)[:200]
    hint = why or f"Value was of type '{type(value).__name__}'"
    return Invalid(f"Invalid value {shown} for parameter '{field}' supplied:  Hint: {hint}. {HINT}", field=field)


class Params:
    """The fields of one request, or of one object inside it (``path`` names where, for messages)."""

    def __init__(self, fields: dict[str, Any], path: str = "", *, is_query: bool = False) -> None:
        self.fields = fields
        self.path = path
        self.is_query = is_query

    @classmethod
    def of_query(cls, query: QueryDict) -> Params:
        return cls(
            {key: values if len(values) > 1 else values[0] for key, values in query.lists() if values}, is_query=True
        )

    def name(self, field: str) -> str:
        return f"{self.path}.{field}" if self.path else field

    def raw(self, field: str) -> Any:
        """The value as sent; None when absent."""
        value = self.fields.get(field)
        camel = _camel(field)
        if camel != field and (other := self.fields.get(camel)) is not None:
            if value is not None:
                raise Invalid(f"Both {field} and {camel} were given: send one.", field=field)
            return other
        return value

    def has(self, field: str) -> bool:
        return self.raw(field) is not None

    def string(self, field: str, *, required: bool = False, default: str = "", max_length: int | None = None) -> str:
        value = self.raw(field)
        if value is None or value == "":
            if required:
                raise missing(self.name(field))
            return default if value is None else ""
        if not isinstance(value, str):
            raise wrong(self.name(field), value)
        if "\x00" in value:
            raise wrong(self.name(field), value, "it holds a NUL character")
        if _has_surrogates(value):
            raise wrong(self.name(field), "…", "it is not valid Unicode")
        if max_length is not None and len(value) > max_length:
            raise Invalid(
                f"'{self.name(field)}' is too long: {len(value)} characters, at most {max_length} are allowed.",
                field=field,
            )
        return value

    def integer(
        self, field: str, *, required: bool = False, default: int | None = None, low: int = -INT64, high: int = INT64
    ) -> int | None:
        """An int64: a JSON number or a decimal string."""
        value = self.raw(field)
        if value is None:
            if required:
                raise missing(self.name(field))
            return default
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,19}", value):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong(self.name(field), value)
        if not low <= value <= high:
            raise wrong(self.name(field), value, f"it must be between {low} and {high}")
        return value

    def page_size(self, *, most: int, default: int | None = None) -> int:
        """``max_results``: between 1 and ``most``; required when there is no default."""
        value = self.integer("max_results", required=default is None, default=default)
        if value is None or not 1 <= value <= most:
            raise Invalid(
                f"Invalid value {value} for parameter 'max_results' supplied: it must be between 1 and {most}.",
                field="max_results",
            )
        return value

    def double(self, field: str) -> float:
        """A number, or "NaN", "Infinity", "-Infinity". Required."""
        value = self.raw(field)
        if value is None:
            raise missing(self.name(field))
        if isinstance(value, str):
            try:
                value = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(value) or float(value)
            except ValueError as error:
                raise wrong(self.name(field), value) from error
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong(self.name(field), value)
        try:
            return float(value)
        except OverflowError as error:
            raise wrong(self.name(field), "…", "the number is too large") from error

    def boolean(self, field: str, *, default: bool = False, spelled: bool = False) -> bool:
        """``spelled``: "true" and "false" pass in a body as well, as clients of Databricks send them."""
        value = self.raw(field)
        if value is None:
            return default
        if (spelled or self.is_query) and isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise wrong(self.name(field), value)
        return value

    def choice(self, field: str, names: tuple[str, ...], *, default: str = "") -> str:
        """An enum: its name, or its number counted from 1."""
        value = self.raw(field)
        if value is None:
            return default
        if isinstance(value, str) and value.isdecimal() and len(value) < 4:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= len(names):
            return names[value - 1]
        if value not in names:
            raise wrong(self.name(field), value, f"it must be one of {', '.join(names)}")
        return str(value)

    def strings(self, field: str) -> list[str]:
        """A repeated field: a JSON list, or the repeated key of a query."""
        value = self.raw(field)
        if value is None:
            return []
        values = [value] if self.is_query and not isinstance(value, list) else value
        if not isinstance(values, list):
            raise wrong(self.name(field), value)
        for item in values:
            if not isinstance(item, str) or "\x00" in item or _has_surrogates(item):
                raise wrong(self.name(field), item)
        return values

    def objects(self, field: str) -> list[Params]:
        value = self.raw(field)
        if value is None:
            return []
        if not isinstance(value, list):
            raise wrong(self.name(field), value)
        found = []
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                raise wrong(f"{self.name(field)}[{index}]", item)
            found.append(Params(item, f"{self.name(field)}[{index}]"))
        return found

    def object(self, field: str) -> Params:
        value = self.raw(field)
        if value is None:
            raise missing(self.name(field))
        if not isinstance(value, dict):
            raise wrong(self.name(field), value)
        return Params(value, self.name(field))

    def tags(self, field: str = "tags") -> dict[str, str]:
        """``[{"key", "value"}]``; of equal keys the last wins."""
        return {item.string("key", required=True): item.string("value") for item in self.objects(field)}

    def version(self) -> int:
        """A version number: an integer in a string (numbers are accepted too). Unknown numbers are 0."""
        value = self.raw("version")
        if value is None or value == "":
            raise missing(self.name("version"))
        try:
            number = int(value) if isinstance(value, str) and len(value) < 40 else value
        except ValueError as error:
            raise Invalid(f"Parameter 'version' must be an integer, got '{value[:60]}'.", field="version") from error
        if isinstance(number, bool) or not isinstance(number, int):
            raise Invalid(f"Parameter 'version' must be an integer, got '{str(value)[:60]}'.", field="version")
        return number if 0 < number < 2**31 else 0


def _has_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
