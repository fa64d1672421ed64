"""/models/NAME/versions/N/: everything about one version, and asking for its transition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import User
from approvals import services as approvals
from approvals.facts import given_up
from approvals.models import Check, Comment
from approvals.queries import requests_about
from approvals.rulebook import Rule, Rulebook
from core.errors import CountersignError, Invalid
from core.prepared import Prepared
from registry import services
from registry.artifacts import file_of_version
from registry.evidence import known_of
from registry.gate import GateRefused, Target
from registry.lineage import brief
from registry.models import HELD_STAGES, ModelVersion, Stage, TargetKind
from registry.permissions import can_edit, can_manage, can_move
from registry.previews import picture as shown_picture
from registry.queries import canonical_stage, deployments_of, get_known_version, get_version, holder
from registry.scanning import scan_of
from web.errors import refused_status
from web.files import SHOWN_IN_A_BOX, disposition, serve
from web.gated import gated
from web.pages.conversation import kept, thread_named
from web.pages.evidence import SHARED, Subject, asked_of, query_of, tabbed
from web.pages.lineage import SMALL, picture_of
from web.pages.moments import moment_of
from web.pages.run_reading import outside_of
from web.pages.version_timeline import timeline_about
from web.signed_in import SignedInRequest

MAX_CHECKS = 100
MAX_DEPLOYMENTS = 50
MOST_METRICS = 12  # of the overview; all of them are in their tab
TABS = ("overview", "metrics", *SHARED)
SHOW_SCANS = ("overview", "files")
# As people look for them, where they choose one.
STAGES_IN_ORDER = (Stage.PRODUCTION, Stage.STAGING, Stage.ARCHIVED, Stage.NONE)
LOAD_CODE = 'import mlflow\n\nmodel = mlflow.pyfunc.load_model("models:/{name}/{version}")'
NO_MOVE = "Choose where the version should go."


@require_safe
def detail(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    return render(request, "versions/detail.html", _context(request, _version_for(request, name, number)))


def _version_for(request: SignedInRequest, name: str, number: int) -> ModelVersion:
    """With what the open tab shows."""
    shows_scans = asked_of(request.GET, TABS).tab in SHOW_SCANS
    return get_known_version(request.user, name, number, with_scans=shows_scans)


def _context(request: SignedInRequest, version: ModelVersion, *, tab: str = "") -> dict[str, Any]:
    """``tab``: to be open, whatever the address says."""
    known = known_of(version)
    moves = _moves(request.user, version)
    deployments = deployments_of(version, most=MAX_DEPLOYMENTS + 1)
    return {
        **_known(request, version, {"tab": tab} if tab else query_of(request)),
        "load_code": LOAD_CODE.format(name=version.model.name, version=version.version),
        "requests": requests_about(version),
        "timeline": timeline_about(request.user, version, before=request.GET.get("before", "")),
        "can_manage": can_manage(request.user, version.model),
        "moves": moves,
        "may_not_move": "" if any(move["answer"] for move in moves) else moves[0]["answer"].reason,
        "deployments": deployments,
        "most_deployments": MAX_DEPLOYMENTS,
        "lineage": picture_of(brief(version, known, deployments=deployments), version, SMALL),
    }


def _known(request: SignedInRequest, version: ModelVersion, query: Mapping[str, str]) -> dict[str, Any]:
    """What is known of it: the tabs, and what is in the open one."""
    asked, known = asked_of(query, TABS), known_of(version)
    part = reverse("version_evidence", args=[version.model.name, version.version])
    is_overview = asked.tab == "overview"
    return {
        "version": version,
        "model": version.model,
        "evidence": known,
        "can_edit": can_edit(request.user, version.model),
        "tabbed": tabbed(Subject(version, known), asked, TABS, url=version.get_absolute_url(), part=part, into="known"),
        **(_overview(version, known) | outside_of(request, version) if is_overview else {}),
    }


_CHECKS = Prepared(
    lambda version: (
        Check.objects.current().filter(version=version).select_related("reporter").order_by("name", "id")[:MAX_CHECKS]
    ),
    int,
)


def _overview(version: ModelVersion, known: dict[str, Any]) -> dict[str, Any]:
    metrics = sorted(known.get("metrics", {}).items())
    checks = _CHECKS.all(version.pk)
    for check in checks:
        check.version = version
    return {
        "metrics": [{"name": name, **entry} for name, entry in metrics[:MOST_METRICS]],
        "metric_count": len(metrics),
        "checks": checks,
        "scan": scan_of(version),
    }


@require_safe
def evidence(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    """The tabs alone: for HTMX, when another one is opened."""
    version = _version_for(request, name, number)
    if not request.htmx:
        return redirect(f"{version.get_absolute_url()}?{request.GET.urlencode()}#known")
    return render(request, "evidence/tabs.html", _known(request, version, request.GET))


def _moves(user: User, version: ModelVersion) -> list[dict[str, Any]]:
    """For each stage whether ``user`` may move it there, and which policies would have it asked for."""
    targets = [Target(TargetKind.STAGE, stage) for stage in STAGES_IN_ORDER if stage != version.current_stage]
    answers = [can_move(user, version, target) for target in targets]
    rulebook = Rulebook.load() if any(answers) else Rulebook(())
    return [
        {
            "stage": Stage(target.name),
            "answer": answer,
            "guarded_by": [rule.name for rule in _with_a_say(rulebook, version, target) if rule.blocks],
        }
        for target, answer in zip(targets, answers, strict=True)
    ]


def _with_a_say(rulebook: Rulebook, version: ModelVersion, target: Target) -> tuple[Rule, ...]:
    return rulebook.about(version.model, entering=target, leaving=given_up(version, target))


# -- Verbs -------------------------------------------------------------------------------------------------------------


def _refused(
    request: SignedInRequest, version: ModelVersion, error: CountersignError, *, tab: str = "overview", **typed: Any
) -> HttpResponse:
    """The page again, with what was typed and why it was not taken."""
    context = {**_context(request, version, tab=tab), "error": error.message, "typed": typed}
    return render(request, "versions/detail.html", context, status=422)


def _to_tags(version: ModelVersion) -> HttpResponse:
    return redirect(f"{version.get_absolute_url()}?tab=tags#known")


def answer(
    request: SignedInRequest,
    version: ModelVersion,
    error: CountersignError | None = None,
    *,
    at: Comment | None = None,
    **typed: Any,
) -> HttpResponse:
    """The page after somebody spoke: for HTMX its conversation, fresh; without it a redirect. A refusal keeps it."""
    if not request.htmx:
        return _refused(request, version, error, **typed) if error else redirect(at or version)
    context = {**_context(request, version), "error": error.message if error else "", "typed": typed}
    status = refused_status(error) if error else 200
    return render(request, "versions/detail.html#conversation", context, status=status)


@require_POST
def describe(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    version = get_version(request.user, name, number)
    text = request.POST.get("description", "").replace("\r\n", "\n")
    try:
        services.update_version(actor=request.user, version=version, description=text)
    except CountersignError as error:
        return _refused(request, version, error, description=text)
    messages.success(request, "The description was saved.")
    return redirect("version", name=name, number=number)


@require_POST
def set_tag(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    version = get_version(request.user, name, number)
    key, value = request.POST.get("key", "").strip(), request.POST.get("value", "")
    try:
        if not key:
            raise Invalid("A tag needs a key.", field="key")
        gated(services.set_version_tag)(actor=request.user, version=version, key=key, value=value)
    except CountersignError as error:
        return _refused(request, version, error, tab="tags", key=key, value=value)
    return _to_tags(version)


@require_POST
def delete_tag(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    version = get_version(request.user, name, number)
    try:
        gated(services.delete_version_tag)(actor=request.user, version=version, key=request.POST.get("key", ""))
    except CountersignError as error:
        return _refused(request, version, error, tab="tags")
    return _to_tags(version)


@require_POST
def comment(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    version = get_version(request.user, name, number)
    text, thread = request.POST.get("comment", ""), thread_named(request)
    try:
        said = approvals.add_comment(actor=request.user, version=version, text=text, parent=thread)
    except CountersignError as error:
        return answer(request, version, error, **kept(thread, text))
    return answer(request, version, at=said)


@require_POST
def move(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    """Move at once, for those who may; where a policy guards the stage, the refusal says where to ask."""
    version = get_version(request.user, name, number)
    try:
        stage = canonical_stage(request.POST.get("stage", ""))
        archive = stage in HELD_STAGES and request.POST.get("archive_existing") == "on"
        gated(services.move_to_stage)(actor=request.user, version=version, stage=stage, archive_existing=archive)
    except GateRefused as error:
        messages.warning(request, error.message)
        return redirect("version", name=name, number=number)
    except CountersignError as error:
        return _refused(request, version, error)
    messages.success(request, f"Version {number} is in {stage} now.")
    return redirect("version", name=name, number=number)


@require_POST
def read_run(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    """Have the run read from the other tracking server, again or for the first time."""
    version = get_version(request.user, name, number)
    try:
        reading = services.read_run_again(actor=request.user, version=version)
    except CountersignError as error:
        return _refused(request, version, error)
    messages.success(request, f"The run will be read from {reading.server} in a moment.")
    return redirect("version", name=name, number=number)


@require_safe
def picture(request: SignedInRequest, name: str, number: int, path: str) -> HttpResponse:
    """A picture of the version, shown within the preview of its files; opened by itself it is downloaded, like any file
    of somebody else's."""
    content, kind = shown_picture(get_version(request.user, name, number), path)
    as_file = {"Content-Disposition": disposition(path.rsplit("/", 1)[-1])}
    return HttpResponse(content, content_type=kind, headers=SHOWN_IN_A_BOX | as_file)


@require_safe
def download(request: SignedInRequest, name: str, number: int, path: str) -> HttpResponseBase:
    """One file of the version, as an attachment."""
    version = get_version(request.user, name, number)
    return serve(request, file_of_version(version, path))


# -- Asking ------------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
def new_request(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    """The form that asks for a stage or an alias; GET may name it (``?target=Production``, ``?target=@champion``)."""
    version = get_version(request.user, name, number)
    if request.method != "POST":
        typed = {"target": request.GET.get("target", "Production"), "archive_existing": "on"}
        return render(request, "requests/new.html", _asking(version, typed))
    typed = {key: request.POST.get(key, "") for key in ("target", "alias", "comment", "archive_existing", "not_before")}
    try:
        review_request = approvals.open_request(
            actor=request.user,
            version=version,
            target=_target(typed),
            comment=typed["comment"],
            archive_existing=typed["archive_existing"] == "on",
            not_before=moment_of(typed["not_before"]),
        )
    except CountersignError as error:
        return render(request, "requests/new.html", {**_asking(version, typed), "error": error.message}, status=422)
    if review_request.is_pending:
        messages.success(request, "The request is open, and the people who can clear it have been told.")
    return redirect("request", pk=review_request.pk)


def _target(typed: dict[str, str]) -> Target:
    chosen = typed["target"].strip()
    if chosen == "alias" or chosen.startswith("@"):
        alias = chosen[1:] if chosen.startswith("@") else typed.get("alias", "").strip().removeprefix("@")
        if not alias:
            raise Invalid("Name the alias.", field="alias")
        return Target(TargetKind.ALIAS, alias)
    if not chosen:
        raise Invalid(NO_MOVE, field="target")
    return Target(TargetKind.STAGE, canonical_stage(chosen))


def _asking(version: ModelVersion, typed: dict[str, str]) -> dict[str, Any]:
    """For each stage: who holds it now and which policies guard it, so that the asker knows what will be needed."""
    rulebook = Rulebook.load()
    choices = []
    for stage in STAGES_IN_ORDER:
        target = Target(TargetKind.STAGE, stage)
        if stage == version.current_stage:
            continue
        held = stage in HELD_STAGES
        choices.append(
            {
                "stage": stage,
                "holder": holder(version.model, target) if held else None,
                "rules": _with_a_say(rulebook, version, target),
            }
        )
    alias = typed.get("alias", "") or (typed["target"][1:] if typed.get("target", "").startswith("@") else "")
    chosen = "alias" if alias or typed.get("target") == "alias" else typed.get("target", "")
    return {
        "version": version,
        "model": version.model,
        "choices": choices,
        "typed": typed,
        "chosen": chosen,
        "alias": alias,
        "aliases": sorted(version.model.aliases.items()),
    }
