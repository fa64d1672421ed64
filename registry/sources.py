"""Where a version's files come from: which sources are accepted, and what they resolve to.

A source names a run or logged model of ours or of the tracking server beside us, another version, or a remote store
from the operator's list. Nothing else, and never a path of the server's own disk. Rules: MLflow's ``_validate_source``
with our deviations.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from django.conf import settings

from accounts.models import User
from core.errors import Invalid, NotFound
from registry import elsewhere
from registry.artifacts import clean_path, parse_path
from registry.elsewhere import LOGGED_MODEL_ID, SECONDS_IN_A_REQUEST, OutsideModel, OutsideRun
from registry.gate import Target
from registry.models import ModelVersion, Stage, TargetKind
from registry.queries import get_model, get_version, get_version_by_alias, holder
from tracking.models import LoggedModel, Run
from tracking.services.logged_models import get_logged_model

MAX_LOCATION = 1000
_OURS = ("models", "runs", "mlflow-artifacts")
# What the stock clients send for a prompt, whose text is a tag: the call wants a source, and nothing ever reads it.
_NO_FILES = frozenset({"dummy-source", "prompt-template"})
_NAME_IT = "If it lives on another tracking server, the operator can name that server in EXTERNAL_TRACKING_URI."
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


Outside = OutsideModel | OutsideRun


def ask_elsewhere(source: str, *, run_id: str, model_id: str) -> Outside | None:
    """What only the tracking server beside us can say of a source: where the files of its logged model, or those of a
    ``runs:/`` address, lie. None when nothing needs to be asked. Waits for that server, at most 5 s, so call it outside
    any transaction. Raises Invalid."""
    if not elsewhere.is_configured():
        return None
    try:
        if LOGGED_MODEL_ID.fullmatch(model_id):
            if not LoggedModel.objects.filter(model_id=model_id).exists():
                return elsewhere.read_logged_model(model_id, seconds=SECONDS_IN_A_REQUEST)
        elif run_id and source.lower().startswith("runs:/") and not Run.objects.filter(run_id=run_id).exists():
            return elsewhere.read_run(run_id, seconds=SECONDS_IN_A_REQUEST)
    except elsewhere.Unread as error:
        what = f"logged model {model_id}" if model_id else f"run {run_id[:60]}"
        again = "" if error.is_final else " Register it again later."
        raise Invalid(
            f"The {what} is not known here, and could not be read elsewhere: {error.message}{again}", field="source"
        ) from error
    return None


def resolve_source(
    actor: User, source: str, *, run_id: str = "", model_id: str = "", outside: Outside | None = None
) -> Source:
    """What ``source`` stands for; ``outside`` is what ``ask_elsewhere`` found. Raises Invalid (or NotFound for what a
    reference names in vain)."""
    scheme, _, rest = source.partition(":")
    _refuse_traversal(source)
    if not rest or "/" in scheme or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme) or len(scheme) == 1:
        raise _needs_run(source)
    if scheme.lower() in _OURS:
        source = f"{scheme.lower()}:{rest}"  # one spelling from here on
    match scheme.lower():
        case "models":
            return _of_models_uri(actor, source, run_id=run_id, model_id=model_id, outside=outside)
        case "runs":
            return _of_runs_uri(source, run_id=run_id, model_id=model_id, outside=outside)
        case "mlflow-artifacts":
            return _of_artifacts_uri(source, run_id=run_id, model_id=model_id, outside=outside)
        case "file":
            raise _needs_run(source)
        case remote:
            return _of_remote(source, remote, run_id=run_id, model_id=model_id, outside=outside)


def source_of_prompt(source: str, *, run_id: str = "") -> Source:
    """A prompt has no files. Raises Invalid for a source that would lead clients to some."""
    if source not in _NO_FILES:
        raise Invalid(
            f"Invalid prompt source: '{source[:200]}'. Prompt sources must use an MLflow placeholder: "
            f"{' or '.join(sorted(_NO_FILES))}.",
            field="source",
        )
    return Source(source, source, run_id=run_id)


def source_in_store(source: str, *, run_id: str = "") -> Source:
    """An address in a store of the operator's list: nobody has to be asked what it stands for. Raises Invalid."""
    _refuse_traversal(source)
    return _of_remote(source, source.partition(":")[0].lower(), run_id=run_id, model_id="", outside=None)


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


def _of_models_uri(actor: User, source: str, *, run_id: str, model_id: str, outside: Outside | None) -> Source:
    if source.startswith("models://"):
        raise _refused(source, "models:// names another host.")
    rest = source[len("models:") :].lstrip("/")
    if LOGGED_MODEL_ID.fullmatch(rest) or (rest.startswith("m-") and "/" not in rest and "@" not in rest):
        if model_id != rest:
            raise _no_containing_model(source)
        if isinstance(outside, OutsideModel):
            return _of_outside_model(source, outside, model_id=model_id, run_id=run_id)
        return _of_logged_model(source, _known_logged_model(model_id), run_id=run_id)
    original = _referenced_version(actor, source, rest)
    if original.model.is_prompt:
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
            f"its files by their own address, such as s3://. {_NAME_IT}",
            field="source",
        ) from error


def _refuse_another_run(run_id: str, *, model_id: str, made_by: str) -> None:
    if run_id and made_by and run_id != made_by:
        raise Invalid(
            f"The run_id '{run_id[:60]}' contradicts the logged model {model_id}, which run {made_by} made.",
            field="run_id",
        )


def _of_logged_model(source: str, logged: LoggedModel, *, run_id: str, folder: str = "") -> Source:
    _refuse_another_run(run_id, model_id=logged.model_id, made_by=logged.source_run_id)
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


def _of_runs_uri(source: str, *, run_id: str, model_id: str, outside: Outside | None) -> Source:
    """``runs:/<id>/<path>``: its files in the run, by their own address. Clients would look up a ``runs:/`` address at
    every load, and put the files of any logged model of that name over those that were reviewed."""
    named, _, folder = source.removeprefix("runs:/").partition("/")
    _refuse_ambiguous(source)
    if model_id:
        raise _no_containing_model(source)
    folder = clean_path(folder.removesuffix("/"))
    if not elsewhere.is_configured() and named and run_id and not _are_known(named, run_id):
        return Source(source, source, run_id=run_id)
    if not run_id or run_id != named:
        raise _refused(source, "The run_id request parameter must be the run that the source names.")
    if isinstance(outside, OutsideRun):
        location = _outside_location(source, f"{outside.artifact_uri}/{folder}".removesuffix("/"))
        return Source(source, location, run_id=run_id)
    run = Run.objects.filter(run_id=run_id).first()
    if run is None:
        raise NotFound(f"Run with id={run_id[:60]} not found.")
    location = f"mlflow-artifacts:/{run.experiment_id}/{run.run_id}/artifacts" + (f"/{folder}" if folder else "")
    return Source(source, location, run_id=run_id, owner=run_id, folder=folder)


def _are_known(*run_ids: str) -> bool:
    return Run.objects.filter(run_id__in=run_ids).exists()


def _of_artifacts_uri(source: str, *, run_id: str, model_id: str, outside: Outside | None) -> Source:
    """``mlflow-artifacts:/<experiment>/…``: must lie inside the run or logged model that the request names."""
    if source.startswith("mlflow-artifacts://") and not source.startswith("mlflow-artifacts:///"):
        raise _refused(source, "It names another host.")
    _refuse_ambiguous(source)
    if isinstance(outside, OutsideModel):
        if not lies_within(source, outside.artifact_uri):
            raise _no_containing_model(source)
        return _of_outside_model(source, outside, model_id=model_id, run_id=run_id, location=source)
    is_here = not run_id or Run.objects.filter(run_id=run_id).exists()
    if not is_here and not model_id and elsewhere.is_configured() and run_id in source.split("/"):
        # Whether that run has it is seen when its evidence is read: registering does not wait for another server.
        return Source(source, _outside_location(source, source), run_id=run_id)
    place = parse_path(source.removeprefix("mlflow-artifacts:").strip("/"))
    if place.owner.startswith("m-"):
        if model_id != place.owner:
            raise _no_containing_model(source)
        return _of_logged_model(source, _known_logged_model(model_id), run_id=run_id, folder=place.path)
    if model_id:
        raise _no_containing_model(source)
    if not is_here and run_id == place.owner:
        raise _refused(source, f"The run {run_id} is not known here. {_NAME_IT}")
    if run_id != place.owner:
        raise _refused(source, "The run_id request parameter must be the run whose artifacts contain the source.")
    return Source(source, source, run_id=run_id, owner=run_id, folder=place.path)


def _of_outside_model(source: str, found: OutsideModel, *, model_id: str, run_id: str, location: str = "") -> Source:
    """A logged model of the tracking server beside us, whose files lie where that server says or at ``location``."""
    _refuse_another_run(run_id, model_id=model_id, made_by=found.source_run_id)
    return Source(
        source=source,
        storage_location=_outside_location(source, location or found.artifact_uri),
        run_id=run_id or found.source_run_id,
        logged_model_id=model_id,
    )


def _outside_location(source: str, location: str) -> str:
    """The address itself when clients may be sent there; Invalid when it names a disk or a host that nobody allowed."""
    _refuse_traversal(location)
    scheme, _, rest = location.partition(":")
    is_proxied = scheme == "mlflow-artifacts" and not re.match(r"//[^/]", rest)
    if not is_proxied and (scheme.lower() not in settings.ALLOWED_SOURCE_SCHEMES or not _AMBIGUOUS.isdisjoint(rest)):
        raise _refused(
            source,
            f"Its files lie at {location[:200]} for {settings.EXTERNAL_TRACKING_URI}; accepted are mlflow-artifacts:/ "
            f"and {', '.join(settings.ALLOWED_SOURCE_SCHEMES)}.",
        )
    if not rest.strip("/") or len(location) > MAX_LOCATION:
        raise _refused(source, "Its files lie at an address without a path, or with too long a one.")
    return location


def lies_within(location: str, root: str) -> bool:
    """Whether one address lies inside another, however many slashes follow their scheme."""
    one, other = (re.sub(r":/+", ":/", address).rstrip("/") for address in (location, root))
    return one == other or one.startswith(f"{other}/")


def _of_remote(source: str, scheme: str, *, run_id: str, model_id: str, outside: Outside | None) -> Source:
    """A store that the operator allows: recorded, never read."""
    if scheme not in settings.ALLOWED_SOURCE_SCHEMES:
        allowed = ", ".join(settings.ALLOWED_SOURCE_SCHEMES)
        raise _refused(source, f"Accepted are runs:/, models:/, mlflow-artifacts:/ and {allowed}.")
    _refuse_ambiguous(source)
    if not re.fullmatch(r"[a-z0-9+.-]+:/{0,3}[^/]+/.+", source, re.IGNORECASE):
        raise _refused(source, "It needs a path.")
    if isinstance(outside, OutsideModel):
        return _of_outside_model(source, outside, model_id=model_id, run_id=run_id, location=source)
    if model_id:
        logged = get_logged_model(model_id)
        run_id = run_id or logged.source_run_id
    return Source(source, source, run_id=run_id, logged_model_id=model_id)
