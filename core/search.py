"""MLflow's search language: ``condition (AND condition)*`` and ``key [ASC|DESC]``, read once per text.

Only the grammar lives here. What a key means, and on which table, is the business of each room's ``search.py``.
Source: ``mlflow/utils/search_utils.py`` of MLflow 3.18, by behaviour.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from core.errors import Invalid

MAX_FILTER_LENGTH = 20_000
MAX_CLAUSES = 100
MAX_ORDER_LENGTH = 1000
MAX_PATTERN_LENGTH = 5000  # of LIKE; SQLite refuses patterns of 50,000 bytes with an error

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>'[^']*')
    | (?P<dquoted>"[^"]*")
    | (?P<backtick>`[^`]*`)
    | (?P<number>-?(?:[0-9]+\.?[0-9]*|(?<![\w`"])\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))
    | (?P<op><=|>=|!=|=|<|>)
    | (?P<paren>[(),])
    | (?P<dot>\.)
    | (?P<word>[^\s'"`=<>!(),.;]+)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Condition:
    """``kind`` is the prefix as written in the singular ("attribute", "tag", "metric", "param", "dataset"…)."""

    kind: str
    key: str
    comparator: str
    value: str | float | int | tuple[str, ...] | None = None
    is_quoted: bool = True  # the value came in quotes


@dataclass(frozen=True, slots=True)
class Order:
    kind: str
    key: str
    descending: bool = False


_KINDS = {
    "attribute": "attribute", "attributes": "attribute", "attr": "attribute", "run": "attribute",
    "tag": "tag", "tags": "tag", "metric": "metric", "metrics": "metric",
    "param": "param", "params": "param", "parameter": "param", "parameters": "param",
    "dataset": "dataset", "datasets": "dataset",
}  # fmt: skip


@dataclass(slots=True)
class _Token:
    kind: str
    text: str


def _tokens(text: str) -> list[_Token]:
    position, found = 0, []
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            rest = text[position:].strip()
            if not rest:
                break
            raise Invalid(f"Invalid clause(s) in filter string: {rest[:60]!r} cannot be read.", field="filter")
        position = match.end()
        assert match.lastgroup is not None
        found.append(_Token(match.lastgroup, match.group(match.lastgroup)))
    return found


class _Reader:
    """Reads tokens from the left. Every refusal names the clause."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.at = 0

    def refuse(self, why: str) -> Invalid:
        return Invalid(f"Invalid filter {self.text[:200]!r}: {why[:200]}", field="filter")

    def peek(self) -> _Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def next(self) -> _Token:
        token = self.peek()
        if token is None:
            raise self.refuse("it ends too early.")
        self.at += 1
        return token

    def keyword(self, *words: str) -> bool:
        """Take these words, in any case, if they come next."""
        ahead = self.tokens[self.at : self.at + len(words)]
        if [t.text.upper() for t in ahead if t.kind == "word"] == list(words):
            self.at += len(words)
            return True
        return False

    def condition(self) -> Condition:
        kind, key = self.identifier()
        if self.keyword("IS", "NOT", "NULL"):
            return Condition(kind, key, "IS NOT NULL")
        if self.keyword("IS", "NULL"):
            return Condition(kind, key, "IS NULL")
        if self.keyword("NOT", "IN"):
            return Condition(kind, key, "NOT IN", self.string_list())
        if self.keyword("IN"):
            return Condition(kind, key, "IN", self.string_list())
        for word in ("LIKE", "ILIKE"):
            if self.keyword(word):
                value, quoted = self.value()
                if isinstance(value, str) and len(value) > MAX_PATTERN_LENGTH:
                    raise Invalid(f"A pattern of {word} has at most {MAX_PATTERN_LENGTH} characters.", field="filter")
                return Condition(kind, key, word, value, quoted)
        token = self.next()
        if token.kind != "op":
            raise self.refuse(f"expected a comparator after {key!r}, found {token.text!r}.")
        value, quoted = self.value()
        return Condition(kind, key, token.text, value, quoted)

    def identifier(self) -> tuple[str, str]:
        """``name``, ``attribute.name``, ``tags.a.b``, ``tags.`a b```: the kind and the key."""
        first = self.next()
        if first.kind not in ("word", "backtick", "dquoted"):
            raise self.refuse(f"expected a name, found {first.text!r}.")
        follows = self.peek()
        if follows is None or follows.kind != "dot":
            if first.kind == "backtick" and " " in first.text:  # `Run name`, as tables of runs are headed
                return "", first.text[1:-1]
            if first.kind != "word":
                raise self.refuse(f"{first.text} is not an attribute: write it without quotes.")
            return "", first.text
        kind = _KINDS.get(first.text.lower(), first.text)
        self.next()
        part = self.next()
        if part.kind in ("backtick", "dquoted"):
            return kind, part.text[1:-1]
        if part.kind not in ("word", "number"):
            raise self.refuse(f"expected a key after {first.text}., found {part.text!r}.")
        key = part.text
        while (token := self.peek()) is not None and token.kind == "dot":
            self.next()
            part = self.next()
            if part.kind not in ("word", "number"):
                raise self.refuse(f"expected a name after {key}., found {part.text!r}.")
            key += "." + part.text
        return kind, key

    def value(self) -> tuple[str | float | int, bool]:
        token = self.next()
        if token.kind in ("string", "dquoted"):
            return token.text[1:-1], True
        if token.kind == "number":
            is_whole = re.fullmatch(r"-?[0-9]{1,100}", token.text) is not None
            return (int(token.text) if is_whole else float(token.text)), False
        raise self.refuse(f"expected a quoted string or a number, found {token.text!r}.")

    def string_list(self) -> tuple[str, ...]:
        if self.next().text != "(":
            raise self.refuse("IN needs a list in parentheses.")
        values: list[str] = []
        while True:
            token = self.next()
            if values and token.text == ")":  # ('a',): a Python tuple of one, put into a filter as it prints
                return tuple(values)
            if token.kind not in ("string", "dquoted"):
                raise self.refuse("a list holds quoted strings, at least one.")
            values.append(token.text[1:-1])
            separator = self.next()
            if separator.text == ")":
                return tuple(values)
            if separator.text != ",":
                raise self.refuse("separate the list's strings by commas.")


@lru_cache(maxsize=1024)
def parse_filter(text: str) -> tuple[Condition, ...]:
    """The conditions of a filter, all of which must hold; empty means all. Raises Invalid, naming the clause."""
    if not text:
        return ()
    if len(text) > MAX_FILTER_LENGTH:
        raise Invalid(f"A filter has at most {MAX_FILTER_LENGTH} characters.", field="filter")
    if not text.strip():
        raise Invalid(f"Invalid filter {text[:60]!r}: it is blank.", field="filter")
    reader = _Reader(text)
    conditions = [reader.condition()]
    while reader.peek() is not None:
        if not reader.keyword("AND"):
            raise reader.refuse(f"expected AND, found {reader.next().text!r}. Only AND joins conditions.")
        conditions.append(reader.condition())
        if len(conditions) > MAX_CLAUSES:
            raise Invalid(f"A filter has at most {MAX_CLAUSES} conditions.", field="filter")
    return tuple(conditions)


@lru_cache(maxsize=256)
def parse_order(text: str) -> Order:
    """``key [ASC|DESC]``; the kind is "" for a bare key. Raises Invalid."""
    if len(text) > MAX_ORDER_LENGTH:
        raise Invalid(f"An order_by clause has at most {MAX_ORDER_LENGTH} characters.", field="order_by")
    reader = _Reader(text)
    if not reader.tokens:
        raise Invalid(f"Invalid order_by clause {text!r}: it is empty.", field="order_by")
    try:
        kind, key = reader.identifier()
        descending = reader.keyword("DESC")
        if not descending:
            reader.keyword("ASC")
    except Invalid as error:
        raise Invalid(f"Invalid order_by clause {text[:100]!r}.", field="order_by") from error
    if reader.peek() is not None:
        raise Invalid(f"Invalid order_by clause {text[:100]!r}: one key, then ASC or DESC.", field="order_by")
    return Order(kind, key, descending)


# -- Page tokens -------------------------------------------------------------------------------------------------------


def encode_page_token(position: Any) -> str:
    """A token that only we read: the JSON of ``position``, in base64."""
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode()


def decode_page_token(token: str) -> Any:
    """The position of a token, None for the first page. Raises Invalid for what is not one of ours."""
    if not token:
        return None
    try:
        return json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise Invalid("Invalid page token, could not base64-decode", field="page_token") from error
