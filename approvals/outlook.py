"""What a list says of a pending request, as it stood at the last look.

To judge a page of requests anew takes as many statements as a review page and most of its time. So every look at a
request under its lock leaves this beside it, together with who is awaited; whatever moves has it looked at again within
seconds (approvals/tasks.py). Nothing is decided on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from approvals.models import TransitionRequest
from approvals.standing import Standing, standings_of
from registry.comparison import Changed, number


@dataclass(frozen=True, slots=True)
class Outlook:
    """``worst``: the metric that got worst against the holder of the target."""

    sentence: str
    met: int
    total: int
    worst: Changed | None

    @classmethod
    def of(cls, standing: Standing) -> Outlook:
        met, total = standing.verdict.counts
        return cls(standing.verdict.sentence, met, total, _worst_change(standing))

    @classmethod
    def read(cls, kept: dict[str, Any]) -> Outlook:
        worst = Changed(**kept["worst"]) if kept["worst"] else None
        return cls(kept["sentence"], kept["met"], kept["total"], worst)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def outlooks_of(requests: Sequence[TransitionRequest]) -> dict[int, Outlook]:
    """By id, those of the pending ones. At some, of an earlier release, nobody may have looked yet."""
    pending = [row for row in requests if row.is_pending]
    found = {row.pk: Outlook.read(row.outlook) for row in pending if row.outlook}
    if new := [row.pk for row in pending if row.pk not in found]:
        rows = list(TransitionRequest.objects.with_rows().filter(pk__in=new))
        found |= {row.pk: Outlook.of(standing) for row, standing in zip(rows, standings_of(rows), strict=True)}
    return found


def _worst_change(standing: Standing) -> Changed | None:
    """The metric that got worst against the holder of the target, relative to what it was; None when none did.

    Only metrics that a policy asks for count: which way is better is known of no other.
    """
    baseline, version = standing.known.baseline, standing.known.question.version
    if baseline is None or baseline.evidence is None or version.evidence is None:
        return None
    rules = {asked.name: asked for rule in standing.rules for asked in rule.metrics}
    was, now = baseline.evidence.data["metrics"], version.evidence.data["metrics"]
    losses = {}
    for name, asked in rules.items():
        before, after = number(was.get(name)), number(now.get(name))
        if asked.lower_is_better is None or not before or after is None:
            continue
        gain = (after - before) / abs(before)
        losses[Changed(name, before, after)] = gain if asked.lower_is_better else -gain
    worst = max(losses, key=lambda change: losses[change], default=None)
    return worst if worst is not None and losses[worst] > 0 else None
