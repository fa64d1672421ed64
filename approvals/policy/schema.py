"""The language of policies as a JSON Schema, for editors that complete and check while somebody writes.

Whatever the reader takes, the schema takes. What a schema cannot say (a min above the max, anchors, two numbers that
must fit together) the reader alone refuses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from approvals.policy import globs
from approvals.policy.document import (
    BASELINES,
    CHANGES,
    COMMITS,
    COMPARED_WITH,
    DIRECT_CHANGES,
    ENFORCEMENTS,
    PARTS,
    STAGES,
)
from approvals.policy.reading import MOMENT, MOST_FREEZES, RULES, WEEKLY
from approvals.policy.source import DURATION, MOST_ENTRIES

Shape: TypeAlias = dict[str, Any]

_UNPADDED = r"^\S([\s\S]*\S)?$"


def _told(shape: Shape, description: str) -> Shape:
    return {"description": description, **shape}


def _text(longest: int, *, pattern: str = _UNPADDED, **more: Any) -> Shape:
    """The reader takes every scalar as it is written; editors see a number where the text is one."""
    return {"type": ["string", "number", "boolean"], "pattern": pattern, "maxLength": longest, **more}


def _word(words: Iterable[str]) -> Shape:
    return {"enum": list(words)}


def _whole(most: int) -> Shape:
    return {"type": "integer", "minimum": 1, "maximum": most}


def _list(items: Shape, *, least: int = 1, **more: Any) -> Shape:
    return {"type": "array", "items": items, "minItems": least, "maxItems": MOST_ENTRIES, **more}


def _named(values: Shape, longest: int) -> Shape:
    """A mapping from names that its author chooses."""
    return {
        "type": "object",
        "propertyNames": {"maxLength": longest, "pattern": _UNPADDED, "not": {"const": "<<"}},
        "additionalProperties": values,
        "minProperties": 1,
        "maxProperties": MOST_ENTRIES,
    }


def _fields(keys: dict[str, Shape], *required: str, **more: Any) -> Shape:
    """A mapping with these keys and no other."""
    asked = {"required": list(required)} if required else {}
    return {"type": "object", "properties": keys, "additionalProperties": False, **asked, **more}


def _any_of(keys: Iterable[str]) -> Shape:
    return {"anyOf": [{"required": [key]} for key in keys]}


_NUMBER: Shape = {"type": "number"}
_TRUTH: Shape = {"type": "boolean"}
_TIME: Shape = {"type": "string", "pattern": f"^{DURATION.pattern}$"}
_GLOB = _text(globs.LONGEST, pattern=r"^[^\s\[\]{}]([^\[\]{}]*[^\s\[\]{}])?$")
_SIZES = {
    key: _told({"type": "number", "exclusiveMinimum" if bound == "min" else "minimum": 0}, f"{words} the baseline.")
    for key, (way, bound, percent) in CHANGES.items()
    for words in [f"How {'far' if bound == 'max' else 'much at least'} it may {way}{' in percent' * percent} against"]
}
_COMPARES: Shape = {"properties": {"baseline": {"enum": [word for word in BASELINES if word != "none"]}}}

# What may stand under each requirement. One without a shape here is taken as it comes; a test asks for its shape.
_RULES: dict[str, Shape] = {
    "metric": _told(
        _fields(
            {
                "name": _text(250),
                "min": _told(_NUMBER, "The least value that passes."),
                "max": _told(_NUMBER, "The largest value that passes."),
                "baseline": _told(_word(BASELINES), "What it is compared with."),
                "dataset": _told(_text(500), "Only a value measured on this dataset counts."),
                **_SIZES,
            },
            "name",
            **_any_of(("min", "max", *CHANGES)),
            allOf=[
                {"if": _any_of(CHANGES), "then": {"required": ["baseline"], **_COMPARES}},
                {"if": {"required": ["baseline"], **_COMPARES}, "then": _any_of(CHANGES)},
            ],
        ),
        "The last value of a metric of the run.",
    ),
    "check": _told(
        _fields({"name": _text(250), "from": _told(_text(150), "The account whose report counts.")}, "name", "from"),
        "A result that was reported as passed.",
    ),
    "description": _told(_fields({"min_length": _whole(5000)}, "min_length"), "What the version says of itself."),
    "signature": _told(
        _fields({"compatible_with": _word(COMPARED_WITH)}, "compatible_with"), "Callers of the baseline can go on."
    ),
    "tags": _told(_list(_text(250), uniqueItems=True), "Tags that the version has, each with a value."),
    "run": _told(
        _fields(
            {
                "finished": _TRUTH,
                "commit": _word(COMMITS),
                "datasets": _told(_TRUTH, "Each of its datasets has a digest."),
                "evaluated_like": _told(_word(COMPARED_WITH), "The baseline whose datasets it was evaluated on."),
            },
            anyOf=[
                {"required": ["finished"], "properties": {"finished": {"const": True}}},
                {"required": ["datasets"], "properties": {"datasets": {"const": True}}},
                *({"required": [key]} for key in ("commit", "evaluated_like")),
            ],
        ),
        "What the run behind the version shows.",
    ),
    "scan": _told(
        {
            **_fields(
                {"vouched_by": _told(_text(100), "The team that may clear what could not be read.")}, "vouched_by"
            ),
            "type": ["string", "object"],
            "if": {"type": "string"},
            "then": {"const": "clean"},
        },
        "No file holds a pickle that imports what is not known.",
    ),
    "approvals": _told(
        _fields({"count": _whole(100), "teams": _named(_whole(100), 100)}, "count"),
        "So many different people; teams says how many of them from each.",
    ),
}

_REVIEWS: dict[str, Shape] = {
    "author_may_approve": _told(_TRUTH, "Whether who asked, registered or trained may approve."),
    "dismiss_on": _told(_list(_word(PARTS), least=0), "What voids an approval when it changes."),
    "threads_resolved": _told(_TRUTH, "Whether open threads of comments stop it."),
    "remind_after": _told(_TIME, "How often those who are awaited are told again: 3d."),
    "expires_after": _told(_TIME, "How long a request may stay open: 12h, 14d, 2w."),
}

_POLICY: dict[str, Shape] = {
    "name": _text(100, pattern="^[A-Za-z0-9_-]+$"),
    "description": _text(2000, pattern=r"\S"),
    "match": _told(
        _fields(
            {
                "models": _told(_list(_GLOB), "Names, with * and ? as in file names."),
                "tags": _told(_named(_text(5000, pattern=r"^[^\s*]([^*]*[^\s*])?$"), 250), "Tags of the model."),
            },
            "models",
        ),
        "Which models it is about.",
    ),
    "guards": _told(
        _list(
            {"type": "string", "pattern": rf"^(stage:({'|'.join(STAGES)})|alias:[^\s/:]{{1,255}})$"}, uniqueItems=True
        ),
        "Stages and aliases: stage:Production, alias:champion.",
    ),
    "enforcement": _word(ENFORCEMENTS),
    "requirements": _told(
        _list(_fields({kind: _RULES.get(kind, {}) for kind in RULES}, minProperties=1, maxProperties=1)),
        "All must be met.",
    ),
    "reviews": _fields(_REVIEWS),
    "on_direct_change": _told(_word(DIRECT_CHANGES), "What a move without a request meets."),
    "archive_replaced": _told(_TRUTH, "Whether the version that is replaced in a stage is archived."),
}

_MOMENT: Shape = {"type": "string", "pattern": f"^{MOMENT.pattern}$"}
_WEEKLY: Shape = {"type": "string", "pattern": f"^{WEEKLY.pattern}$"}
_EVERY = _fields({"from": _WEEKLY, "until": _WEEKLY, "zone": _text(100)}, "from", "until")
_POLICY["freeze"] = _told(
    {
        **_list(
            _fields(
                {
                    "from": _told(_MOMENT, "With its offset from UTC: 2026-12-20T00:00Z."),
                    "until": _MOMENT,
                    "every": _told(_EVERY, "Every week, by the clocks of zone: Fri 16:00."),
                    "reason": _text(200),
                },
                "reason",
                oneOf=[
                    {"required": ["from", "until"], "not": {"required": ["every"]}},
                    {"required": ["every"], "properties": {"from": False, "until": False}},
                ],
            )
        ),
        "maxItems": MOST_FREEZES,
    },
    "When nothing moves in or out of what it guards.",
)

_POLICY["bypass"] = _told(
    _fields(
        {"teams": _list(_text(100), uniqueItems=True), "people": _list(_text(150), uniqueItems=True)}, minProperties=1
    ),
    "Who may carry a request out although not all is met.",
)


def schema() -> Shape:
    """The whole, in the draft that editors know best."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A policy of Countersign",
        **_fields(_POLICY, "name", "match", "guards", "requirements"),
    }
