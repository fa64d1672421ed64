"""Reporting what machines found out about a version."""

from __future__ import annotations

import re

from django.db import transaction

from accounts.models import User
from approvals.audience import askers, who_may_read
from approvals.events import CheckAnnouncement, CheckFailed, CheckRecovered, CheckReported
from approvals.models import Check, TransitionRequest
from approvals.permissions import can_report_check
from approvals.policy import SCAN
from approvals.services.decisions import RECONSIDER_MODEL
from core import jobs
from core.answers import require
from core.errors import Invalid
from core.lines import check_line, check_link
from notifications.events import record
from registry.events import about_version
from registry.models import ModelVersion, RegisteredModel

Status = Check.Status
LONGEST_SUMMARY = 65_535
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BAD, _GOOD = (Status.FAILED, Status.ERROR), (Status.PASSED,)


@transaction.atomic
def report_check(
    *,
    actor: User,
    version: ModelVersion,
    name: str,
    status: str,
    figure: str = "",
    link: str = "",
    summary: str = "",
    digest: str | None = None,
) -> Check:
    """Say how a check of a version stands. ``digest`` names the bytes that were looked at, by default those that the
    version has, but whoever vouches for files names them; a report on other bytes is kept, and counts for nothing."""
    require(can_report_check(actor, version, name))
    _refuse_what_nobody_can_read(name=name, figure=figure, link=link, summary=summary)
    # In the order of their commits: the last report is the one with the highest id.
    version.model = RegisteredModel.objects.select_for_update().get(pk=version.model_id)
    version.refresh_from_db(fields=["digest"])
    if name == SCAN:
        _check_vouch(version, status=status, digest=digest, summary=summary)
    if digest is not None and not _SHA256.fullmatch(digest):
        raise Invalid("A digest is 64 hexadecimal digits, as the version shows it.", field="digest")
    digest = version.digest if digest is None else digest
    reports = Check.objects.filter(version=version, name=name, reporter=actor)
    ended = reports.exclude(status__in=(Status.QUEUED, Status.RUNNING)).order_by("-id")
    told_before = ended.values_list("status", flat=True).first()
    reports.current().filter(digest=digest).update(is_current=False)
    check = Check.objects.create(
        version=version,
        name=name,
        reporter=actor,
        status=Status(status),
        digest=digest,
        figure=figure,
        link=link,
        summary=summary,
    )
    announcement = _announcement(check, told_before)
    waiting = list(TransitionRequest.objects.pending().filter(version=version).select_related("requester"))
    concerned = {person for review_request in waiting for person in askers(review_request)}
    audience = () if announcement is CheckReported else who_may_read(version.model, concerned)
    record(
        announcement(
            **about_version(version),
            check=name,
            status=check.status,
            figure=figure,
            link=link,
            digest=digest,
        ),
        actor=actor,
        audience=audience,
    )
    if waiting:
        jobs.after_commit(RECONSIDER_MODEL, version.model_id)
    return check


def _check_vouch(version: ModelVersion, *, status: str, digest: str | None, summary: str) -> None:
    if status not in (Status.PASSED, Status.FAILED):
        raise Invalid("Whoever looked at files says passed or failed.", field="status")
    if not version.digest:
        raise Invalid("The files of this version lie elsewhere: nobody can vouch for their bytes.", field="digest")
    if not digest:
        raise Invalid("Say which files you looked at: send the digest that the version shows.", field="digest")
    if not summary.strip():
        raise Invalid("Say what you looked at.", field="summary")


def _announcement(check: Check, told_before: str | None) -> type[CheckAnnouncement]:
    if check.status in _BAD and told_before not in _BAD:
        return CheckFailed
    if check.status in _GOOD and told_before in _BAD:
        return CheckRecovered
    return CheckReported


def _refuse_what_nobody_can_read(*, name: str, figure: str, link: str, summary: str) -> None:
    if not name.strip() or name != name.strip():
        raise Invalid("A check has a name, without space around it.", field="name")
    check_line(name, field="name", most=250)
    check_line(figure, field="figure", most=100)
    check_link(link)
    if len(summary) > LONGEST_SUMMARY or "\x00" in summary:
        raise Invalid(f"A summary is a text of at most {LONGEST_SUMMARY} characters.", field="summary")
