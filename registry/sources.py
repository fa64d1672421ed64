"""Where a version's files come from: which sources are accepted, and what they resolve to.

A source names a run or logged model of ours, another version, or a remote store from the operator's list. Nothing else,
and never a path of the server's own disk. Rules: MLflow's ``_validate_source`` with our deviations.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from django.conf import settings

from accounts.models import User
from core.errors import Invalid, NotFound
from registry.artifacts import clean_path, parse_path
from registry.gate import Target
from registry.models import PROMPT_TAG, ModelVersion, Stage, TargetKind
from registry.queries import get_model, get_version, get_version_by_alias, holder
from tracking.models import LoggedModel, Run
from tracking.services.logged_models import get_logged_model

_LOGGED_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
_OURS = ("models", "runs", "mlflow-artifacts")
# A fragment, query or parameter is read by some clients as an end of the path, by others as a part of it.
_AMBIGUOUS = frozenset("#?;\\")


@dataclass(frozen=True, slots=True)
class Source:
    """``owner`` and ``folder`` are where the files lie with us, empty when they lie elsewhere."""

    source: str
    storage_location: str
    run_id: str = ""
    logged_model_id: str = ""
    owner: str = ""
    folder: str = ""


def resolve_source(actor: User, source: str, *, run_id: str = "", model_id: str = "") -> Source:
    """What ``source`` stands for. Raises Invalid (or NotFound for what a reference names in vain)."""
    scheme, _, rest = source.partition(":")
    _refuse_traversal(source)
    if not rest or "/" in scheme or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme) or len(scheme) == 1:
        raise _needs_run(source)
    if scheme.lower() in _OURS:
        source = f"{scheme.lower()}:{rest}"  # one spelling from here on
    match scheme.lower():
        case "models":
            return _of_models_uri(actor, source, run_id=run_id, model_id=model_id)
        case "runs":
            return _of_runs_uri(source, run_id=run_id, model_id=model_id)
        case "mlflow-artifacts":
            return _of_artifacts_uri(source, run_id=run_id, model_id=model_id)
        case "file":
            raise _needs_run(source)
        case remote:
            return _of_remote(source, remote, run_id=run_id, model_id=model_id)


def _refused(source: str, why: str) -> Invalid:
    return Invalid(f"Invalid model version source: '{source[:200]}'. {why}", field="source")


def _refuse_traversal(source: str) -> None:
    """No ``..``, NUL or control character, plain or encoded at any depth."""
    decoded = source
    for _ in range(10):
        if ".." in decoded.replace("\\", "/").split("/") or re.search(r"[\x00-\x1f]", decoded):
            raise _refused(
                source,
                "If supplying a source as an http, https, local file path, ftp, or object store, an absolute path must "
                "be provided without relative path references present. Please provide an absolute path.",
            )
        further = unquote(decoded)
        if further == decoded:
            return
        decoded = further
    raise _refused(source, "It is encoded too many times over.")


def _refuse_ambiguous(source: str) -> None:
    if not _AMBIGUOUS.isdisjoint(source):
        raise _refused(source, "It may not hold # ? ; or a backslash.")


def _needs_run(source: str) -> Invalid:
    return _refused(
        source,
        "To use a local path as a model version source, the run_id request parameter has to be specified and the local "
        "path has to be contained within the artifact directory of the run specified by the run_id; this server keeps "
        "no files at local paths.",
    )


def _no_containing_model(source: str) -> Invalid:
    return _refused(source, "The model_id request parameter must identify the resource that contains the source.")


def _of_models_uri(actor: User, source: str, *, run_id: str, model_id: str) -> Source:
    if source.startswith("models://"):
        raise _refused(source, "models:// names another host.")
    rest = source[len("models:") :].lstrip("/")
    if _LOGGED_MODEL_ID.fullmatch(rest) or (rest.startswith("m-") and "/" not in rest and "@" not in rest):
        if model_id != rest:
            raise _no_containing_model(source)
        return _of_logged_model(source, _known_logged_model(model_id), run_id=run_id)
    original = _referenced_version(actor, source, rest)
    if original.model.tags.get(PROMPT_TAG) == "true":
        raise Invalid(f"'{source[:200]}' is a prompt: it cannot be the source of a model version.", field="source")
    for field, given, kept in (("run_id", run_id, original.run_id), ("model_id", model_id, original.logged_model_id)):
        if given and given != kept:
            raise Invalid(
                f"The {field} '{given[:60]}' differs from that of {source[:200]}, which is '{kept}'.", field=field
            )
    return Source(
        source=f"models:/{original.model.name}/{original.version}",
        storage_location=original.storage_location,
        run_id=original.run_id,
        logged_model_id=original.logged_model_id,
        owner=original.artifact_owner,
        folder=original.artifact_folder,
    )


def _referenced_version(actor: User, source: str, rest: str) -> ModelVersion:
    """``name/3``, ``name/Stage``, ``name/latest``, ``name@alias``: a version that the actor may see."""
    if "/" in rest:
        name, _, which = rest.partition("/")
        if re.fullmatch(r"[0-9]+", which):
            return get_version(actor, name, int(which) if len(which) < 10 else 0)
        if which.lower() == "latest":
            return get_version_by_alias(actor, name, "latest")
        stage = next((stage for stage in Stage if stage.lower() == which.lower()), None)
        found = holder(get_model(actor, name), Target(TargetKind.STAGE, stage)) if stage else None
        if found is None:
            raise NotFound(f"No version of {name[:256]} found for {source[:200]}.")
        return found
    if "@" in rest:
        name, _, alias = rest.rpartition("@")
        return get_version_by_alias(actor, name, alias)
    raise _refused(source, "Write models:/name/version, models:/name/stage or models:/name@alias.")


def _known_logged_model(model_id: str) -> LoggedModel:
    try:
        return get_logged_model(model_id)
    except NotFound as error:
        raise Invalid(
            f"The logged model {model_id} is not known here. Log it to this server (MLFLOW_TRACKING_URI), or register "
            "its files by their own address, such as s3://.",
            field="source",
        ) from error


def _of_logged_model(source: str, logged: LoggedModel, *, run_id: str, folder: str = "") -> Source:
    if run_id and logged.source_run_id and run_id != logged.source_run_id:
        raise Invalid(
            f"The run_id '{run_id[:60]}' contradicts the logged model {logged.model_id}, which run "
            f"{logged.source_run_id} made.",
            field="run_id",
        )
    if run_id and not logged.source_run_id and Run.objects.filter(run_id=run_id).exists():
        raise Invalid(f"No run made the logged model {logged.model_id}: leave run_id out.", field="run_id")
    return Source(
        source=source,
        storage_location=f"mlflow-artifacts:/{logged.experiment_id}/models/{logged.model_id}/artifacts"
        + (f"/{folder}" if folder else ""),
        run_id=run_id or logged.source_run_id,
        logged_model_id=logged.model_id,
        owner=logged.model_id,
        folder=folder,
    )


def _of_runs_uri(source: str, *, run_id: str, model_id: str) -> Source:
    """``runs:/<id>/<path>``: its files in the run, by their own address. Clients would look up a ``runs:/`` address at
    every load, and put the files of any logged model of that name over those that were reviewed."""
    named, _, folder = source.removeprefix("runs:/").partition("/")
    _refuse_ambiguous(source)
    if model_id:
        raise _no_containing_model(source)
    if not run_id or run_id != named:
        raise _refused(source, "The run_id request parameter must be the run that the source names.")
    run = Run.objects.filter(run_id=run_id).first()
    if run is None:
        raise NotFound(f"Run with id={run_id[:60]} not found")
    folder = clean_path(folder.removesuffix("/"))
    location = f"mlflow-artifacts:/{run.experiment_id}/{run.run_id}/artifacts" + (f"/{folder}" if folder else "")
    return Source(source, location, run_id=run_id, owner=run_id, folder=folder)


def _of_artifacts_uri(source: str, *, run_id: str, model_id: str) -> Source:
    """``mlflow-artifacts:/<experiment>/…``: must lie inside the run or logged model that the request names."""
    if source.startswith("mlflow-artifacts://") and not source.startswith("mlflow-artifacts:///"):
        raise _refused(source, "It names another host.")
    _refuse_ambiguous(source)
    place = parse_path(source.removeprefix("mlflow-artifacts:").strip("/"))
    if place.owner.startswith("m-"):
        if model_id != place.owner:
            raise _no_containing_model(source)
        return _of_logged_model(source, _known_logged_model(model_id), run_id=run_id, folder=place.path)
    if model_id:
        raise _no_containing_model(source)
    if run_id != place.owner or not Run.objects.filter(run_id=run_id).exists():
        raise _refused(source, "The run_id request parameter must be the run whose artifacts contain the source.")
    return Source(source, source, run_id=run_id, owner=run_id, folder=place.path)


def _of_remote(source: str, scheme: str, *, run_id: str, model_id: str) -> Source:
    """A store that the operator allows: recorded, never read."""
    if scheme not in settings.ALLOWED_SOURCE_SCHEMES:
        allowed = ", ".join(settings.ALLOWED_SOURCE_SCHEMES)
        raise _refused(source, f"Accepted are runs:/, models:/, mlflow-artifacts:/ and {allowed}.")
    _refuse_ambiguous(source)
    if not re.fullmatch(r"[a-z0-9+.-]+:/{0,3}[^/]+/.+", source, re.IGNORECASE):
        raise _refused(source, "It needs a path.")
    if model_id:
        logged = get_logged_model(model_id)
        run_id = run_id or logged.source_run_id
    return Source(source, source, run_id=run_id, logged_model_id=model_id)
