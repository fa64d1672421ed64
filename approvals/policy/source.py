"""From the text of a policy to YAML nodes that know their line, and the readers of single values.

What YAML allows and a policy has no use for is refused here, before anything is built from it: anchors and aliases
(which can grow a small text without bound), type tags, merge keys, duplicate keys, deep nesting, several documents.
Values are read as they are written: ``yes``, ``010`` and ``1:30`` mean nothing else than these characters.
"""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from functools import lru_cache
from typing import NoReturn, Protocol

import yaml

LONGEST_TEXT = 65_536  # bytes
DEEPEST = 20
MOST_PROBLEMS = 50
LONGEST_NUMBER = 40
MOST_ENTRIES = 200  # of any list or mapping

_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?", re.ASCII)
_WHOLE = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
DURATION = re.compile(r"([1-9][0-9]{0,3})([hdw])", re.ASCII)
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_EMPTY_SCALARS = ("", "~", "null", "Null", "NULL")
_JOINERS = "\u200c\u200d"  # some scripts and emoji need these two inside prose
_ALIAS_HINT = 'put quotes around a name that begins with * or &, as in "*-prod"'


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong with a text; line and column count from 1."""

    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"Line {self.line}: {self.message}"


class PolicyError(Exception):
    """A text that is no policy. ``errors`` has every problem found, by line; the first one gives the rest."""

    def __init__(self, message: str, line: int = 1, column: int = 1, *, errors: Iterable[Problem] = ()) -> None:
        self.errors = sorted(set(errors)) or [Problem(line, column, message)]
        self.message = self.errors[0].message
        self.line = self.errors[0].line
        self.column = self.errors[0].column
        super().__init__("\n".join(map(str, self.errors)))

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> PolicyError:
        return cls("", errors=problems)


@dataclass(frozen=True, slots=True)
class Number:
    """A number of the policy: ``text`` as its author wrote it, for showing; ``exact`` for comparing."""

    value: float
    text: str

    @property
    def exact(self) -> Fraction:
        return exact(self.value)


@lru_cache(maxsize=4096)  # a policy's own numbers, and a holder's figures, are asked for again and again
def exact(value: float) -> Fraction:
    """The decimal that people see, as an exact number: 0.912 and 0.907 are 0.005 apart, not a bit more."""
    return Fraction(repr(float(value)))


class Problems:
    """Collects what is wrong, so that an author hears all of it at once."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, node: yaml.Node, message: str) -> None:
        self.found.append(Problem(node.start_mark.line + 1, node.start_mark.column + 1, message))
        if len(self.found) >= MOST_PROBLEMS:
            raise PolicyError.of(self.found)

    def raise_if_any(self) -> None:
        if self.found:
            raise PolicyError.of(self.found)


def compose(text: str) -> yaml.Node:
    """The root node of a text, or PolicyError with the line of what is refused."""
    if len(text) > LONGEST_TEXT or len(text.encode("utf-8", "surrogatepass")) > LONGEST_TEXT:
        raise PolicyError(f"a policy has at most {LONGEST_TEXT} bytes")
    try:
        _refuse_what_is_dangerous(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        column = error.position - (before.rfind("\n") + 1)
        problem = f"the character U+{ord(text[error.position]):04X} has no place in a policy"
        raise PolicyError(problem, before.count("\n") + 1, column + 1) from None
    if root is None:
        raise PolicyError("the text is empty")
    return root


def _refuse_what_is_dangerous(text: str) -> None:
    """Walk the events, which are flat and come one by one: nothing has been built when this raises."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            _refuse(event, f"anchors and aliases are not allowed; {_ALIAS_HINT}")
        if isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None):
            _refuse(event, "type tags are not allowed; put quotes around a text that begins with !")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                _refuse(event, "a text holds one policy; this begins a second one")
            if event.version or event.tags:
                _refuse(event, "YAML directives are not allowed")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                _refuse(event, f"nested more than {DEEPEST} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _refuse(event: yaml.Event, message: str) -> NoReturn:
    raise _error_at(event.start_mark, message)


class _Mark(Protocol):
    line: int
    column: int


def _error_at(mark: _Mark | None, message: str) -> PolicyError:
    return PolicyError(message, mark.line + 1, mark.column + 1) if mark else PolicyError(message)


def _not_yaml(error: yaml.MarkedYAMLError) -> PolicyError:
    mark = error.problem_mark or error.context_mark
    parts = [part for part in (error.context, error.problem) if part]
    message = f"this is not YAML: {', '.join(parts)}"
    if "alias" in message or "anchor" in message:
        message += f"; {_ALIAS_HINT}"
    return _error_at(mark, message)


def quoted(text: str) -> str:
    """A piece of the author's text inside a message: short, and without characters that change how a line reads."""
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def closest(word: str, known: Iterable[str]) -> str:
    """A hint for a misspelt word, as the end of a message."""
    choices = list(known)
    by_fold = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(word[:60].lower(), by_fold, n=1, cutoff=0.6)
    if found:
        return f"; did you mean {by_fold[found[0]]}?"
    return f"; it may be {listed(choices, 'or')}" if choices else ""


def listed(words: Iterable[str], conjunction: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    items = list(words)
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {conjunction} {items[-1]}"


def is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _EMPTY_SCALARS


def kind_of(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "nothing" if is_empty(node) else quoted(node.value)


def pairs(node: yaml.Node, what: str, problems: Problems) -> list[tuple[str, yaml.ScalarNode, yaml.Node]]:
    """The entries of a mapping (key, the key's node, the value's node), duplicates refused."""
    if not isinstance(node, yaml.MappingNode):
        problems.add(node, f"{what} must be a mapping (key: value), this is {kind_of(node)}")
        return []
    if len(node.value) > MOST_ENTRIES:
        problems.add(node, f"{what} has at most {MOST_ENTRIES} entries, this has {len(node.value)}")
        return []
    found: dict[str, tuple[str, yaml.ScalarNode, yaml.Node]] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or is_empty(key):
            problems.add(key, f"a key of {what} must be a word, this is {kind_of(key)}")
        elif key.value == "<<":
            problems.add(key, "merge keys (<<) are not allowed")
        elif key.value in found:
            first = found[key.value][1].start_mark.line + 1
            problems.add(key, f"{quoted(key.value)} is given twice, first on line {first}")
        else:
            found[key.value] = (key.value, key, value)
    return list(found.values())


def fields(
    node: yaml.Node, what: str, known: Collection[str], problems: Problems, *, required: Collection[str] = ()
) -> dict[str, yaml.Node]:
    """The values of a mapping whose keys are all known; the required ones are there, or it is a problem."""
    found = {}
    for name, key, value in pairs(node, what, problems):
        if name in known:
            found[name] = value
        else:
            problems.add(key, f"unknown key {quoted(name)} in {what}{closest(name, known)}")
    if isinstance(node, yaml.MappingNode):
        for name in required:
            if name not in found:
                problems.add(node, f"{what} needs {name}")
    return found


def items(node: yaml.Node, what: str, problems: Problems, *, example: str) -> list[yaml.Node]:
    """The entries of a list that must not be empty."""
    if not isinstance(node, yaml.SequenceNode):
        problems.add(node, f"{what} must be a list, as in {example}; this is {kind_of(node)}")
        return []
    if not node.value:
        problems.add(node, f"{what} must not be empty; for example {example}")
    if len(node.value) > MOST_ENTRIES:
        problems.add(node, f"{what} has at most {MOST_ENTRIES} entries, this has {len(node.value)}")
        return []
    return list(node.value)


def text(node: yaml.Node, what: str, problems: Problems, *, longest: int, prose: bool = False) -> str:
    """A text as written. Only prose may hold line breaks; nothing invisible that could make two names look alike."""
    if not isinstance(node, yaml.ScalarNode) or is_empty(node):
        problems.add(node, f"{what} must be a text, this is {kind_of(node)}")
        return ""
    value = str(node.value)
    if not value.strip():
        problems.add(node, f"{what} must not be blank")
    elif len(value) > longest:
        problems.add(node, f"{what} has at most {longest} characters, this has {len(value)}")
    elif not prose and value != value.strip():
        problems.add(node, f"{what} must not begin or end with a space")
    else:
        allowed = f"\n\t{_JOINERS}" if prose else ""
        for character in value:
            if character not in allowed and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
                problems.add(node, f"{what} holds the invisible character U+{ord(character):04X}")
                break
    return value


def number(
    node: yaml.Node, what: str, problems: Problems, *, least: float | None = None, above: float | None = None
) -> Number:
    """A finite number, unquoted, as people write it: 60, 0.90, 1e-3."""
    value = _plain(node)
    if value is None or len(value) > LONGEST_NUMBER or not _NUMBER.fullmatch(value):
        problems.add(node, f"{what} must be a number such as 0.9 or 60, this is {kind_of(node)}")
        return Number(0.0, "0")
    found = float(value)
    if not math.isfinite(found) or (found == 0 and re.search(r"[1-9]", re.split("[eE]", value)[0])):
        problems.add(node, f"{what} is out of range: {value}")
        return Number(0.0, "0")
    if least is not None and found < least:
        problems.add(node, f"{what} must be at least {least:g}, this is {value}")
    if above is not None and found <= above:
        problems.add(node, f"{what} must be above {above:g}, this is {value}")
    return Number(found, value.lstrip("+"))


def whole(node: yaml.Node, what: str, problems: Problems, *, least: int, most: int) -> int:
    """A whole number, unquoted."""
    value = _plain(node)
    if value is None or not _WHOLE.fullmatch(value):
        problems.add(node, f"{what} must be a whole number, this is {kind_of(node)}")
        return least
    if not least <= int(value) <= most:
        problems.add(node, f"{what} must be from {least} to {most}, this is {value}")
        return least
    return int(value)


def duration(node: yaml.Node, what: str, problems: Problems) -> timedelta:
    """Hours, days or weeks: 12h, 14d, 2w."""
    value = _plain(node) or ""
    found = DURATION.fullmatch(value)
    if not found:
        problems.add(node, f"{what} must be a time such as 12h, 14d or 2w, this is {kind_of(node)}")
        return timedelta(days=1)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def truth(node: yaml.Node, what: str, problems: Problems) -> bool:
    value = _plain(node)
    if value in ("true", "True", "TRUE"):
        return True
    if value not in ("false", "False", "FALSE"):
        problems.add(node, f"{what} must be true or false, this is {kind_of(node)}")
    return False


def choice(node: yaml.Node, what: str, known: Iterable[str], problems: Problems) -> str:
    """One of the known words; the first one stands in for a word that is a problem."""
    words = list(known)
    if not isinstance(node, yaml.ScalarNode) or node.value not in words:
        hint = closest(node.value, words) if isinstance(node, yaml.ScalarNode) else f"; it may be {listed(words, 'or')}"
        problems.add(node, f"{what} cannot be {kind_of(node)}{hint}")
        return words[0]
    return str(node.value)


def _plain(node: yaml.Node) -> str | None:
    """The characters of an unquoted scalar, None for anything else: "0.9" in quotes is a text, not a number."""
    return str(node.value) if isinstance(node, yaml.ScalarNode) and node.style is None else None
