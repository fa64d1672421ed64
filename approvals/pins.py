"""What a verdict is about: the bytes, the evidence, the policies in force and who holds the target now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from approvals.models import Review, TransitionRequest
from core.errors import Invalid

ARTIFACTS, EVIDENCE, POLICY, BASELINE = "artifacts", "evidence", "policy", "baseline"

ALL_PARTS = frozenset({ARTIFACTS, EVIDENCE, POLICY, BASELINE})

WORDS = {
    ARTIFACTS: "the files have changed",
    EVIDENCE: "the metrics, parameters or tags of its run have changed",
    POLICY: "the policy has changed",
    BASELINE: "another version has taken the target",
}


@dataclass(frozen=True, slots=True)
class Pins:
    """One state of the table. Requests pin it when they open, reviews keep the one their author saw."""

    digest: str
    evidence: str
    policy_revisions: tuple[int, ...]
    baseline_id: int | None

    @classmethod
    def of_request(cls, review_request: TransitionRequest) -> Pins:
        return cls(
            digest=review_request.digest,
            evidence=review_request.evidence.digest,
            policy_revisions=tuple(review_request.policy_revisions),
            baseline_id=review_request.baseline_id,
        )

    @classmethod
    def of_review(cls, review: Review) -> Pins:
        return cls(
            digest=review.seen_digest,
            evidence=review.seen_evidence,
            policy_revisions=tuple(review.seen_policy_revisions),
            baseline_id=review.seen_baseline_id,
        )

    @classmethod
    def from_token(cls, token: str) -> Pins:
        """Read back what ``token`` wrote; Invalid when it is something else."""
        try:
            digest, evidence, revisions, baseline = token.split(".")
            return cls(
                digest=digest,
                evidence=evidence,
                policy_revisions=tuple(int(revision) for revision in revisions.split("-") if revision),
                baseline_id=int(baseline) if baseline else None,
            )
        except ValueError:
            raise Invalid(
                "The field 'seen' must be the text that the request's page or its API answer carries.", field="seen"
            ) from None

    @property
    def token(self) -> str:
        """One line that a form carries back, so that the server knows what its sender had before their eyes."""
        revisions = "-".join(map(str, self.policy_revisions))
        return f"{self.digest}.{self.evidence}.{revisions}.{self.baseline_id or ''}"

    def moved(self, since: Pins) -> tuple[str, ...]:
        """The parts in which this state differs from an earlier one."""
        pairs = {
            ARTIFACTS: (self.digest, since.digest),
            EVIDENCE: (self.evidence, since.evidence),
            POLICY: (self.policy_revisions, since.policy_revisions),
            BASELINE: (self.baseline_id, since.baseline_id),
        }
        return tuple(part for part, (now, then) in pairs.items() if now != then)

    def as_json(self) -> dict[str, Any]:
        return {
            "digest": self.digest,
            "evidence": self.evidence,
            "policy_revisions": list(self.policy_revisions),
            "baseline_id": self.baseline_id,
        }


def in_words(parts: tuple[str, ...]) -> str:
    return "; ".join(WORDS[part] for part in parts)
