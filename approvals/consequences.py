"""What happens in the moment in which a request is carried out: who leaves, what moves, which channels are told."""

from __future__ import annotations

from dataclasses import dataclass

from approvals.events import TransitionApplied, about
from approvals.models import TransitionRequest
from approvals.standing import Standing
from notifications.events import event_of
from notifications.fanout import channels_told
from registry.events import AliasMoved, about_version
from registry.models import HELD_STAGES, ModelVersion, TargetKind


@dataclass(frozen=True, slots=True)
class Consequences:
    """``holders`` have the stage now, by number; ``alias_from`` is who has the alias, None where nobody has."""

    holders: tuple[int, ...]
    archives: bool
    alias_from: int | None
    channels: tuple[str, ...]


def consequences_of(review_request: TransitionRequest, standing: Standing) -> Consequences:
    """As of now, in one statement, two where several are in the stage. What ``services.decisions.apply`` does is asked
    of the same functions."""
    is_alias = review_request.target_kind == TargetKind.ALIAS
    baseline = standing.known.baseline
    holders = () if is_alias else _holders(review_request, baseline)
    archived = holders if archives(review_request, standing) else ()
    return Consequences(
        holders=holders,
        archives=bool(archived),
        alias_from=baseline.version if is_alias and baseline else None,
        channels=tuple(_told(review_request, archived)),
    )


def _holders(review_request: TransitionRequest, baseline: ModelVersion | None) -> tuple[int, ...]:
    """Those that are ``replaced``, without asking where it is known that there are none but the baseline."""
    known = (baseline.version,) if baseline else ()
    return known if review_request.others_there == len(known) else replaced(review_request)


def archives(review_request: TransitionRequest, standing: Standing) -> bool:
    """Whether those who hold the stage leave it for the version: in the stages that few are in."""
    wanted = review_request.archive_existing or standing.archives_replaced
    return wanted and review_request.target_kind == TargetKind.STAGE and review_request.target in HELD_STAGES


def replaced(review_request: TransitionRequest) -> tuple[int, ...]:
    """The others in the stage that is asked for, by number; of the stages that anybody may lie in, none."""
    if review_request.target not in HELD_STAGES:
        return ()
    others = review_request.model.versions.filter(current_stage=review_request.target, deleted_at=None)
    found = others.exclude(pk=review_request.version_id).order_by("version").values_list("version", flat=True)
    return tuple(found)


def _told(review_request: TransitionRequest, archived: tuple[int, ...]) -> list[str]:
    """The names of the channels that hear of it, each in its own form's words."""
    events = [event_of(TransitionApplied(**about(review_request), archived_versions=archived), actor=None)]
    if review_request.target_kind == TargetKind.ALIAS:
        version, is_prompt = review_request.version, review_request.model.is_prompt
        moved = AliasMoved(
            **about_version(version), alias=review_request.target, previous_version=None, is_prompt=is_prompt
        )
        events.append(event_of(moved, actor=None))
    return [channel.name for channel in channels_told(events)]
