"""Evidence: what is known of a version, taken as a snapshot that never changes and has a digest of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from accounts.permissions import administrators
from core.blobs import blobs
from core.digests import sha256_json, tree_digest
from core.prepared import Prepared, insert_or_leave, save
from notifications.events import record
from registry.events import ArtifactDrifted, about_version
from registry.metric_rows import write_metric_rows
from registry.models import ArtifactFile, Evidence, ModelVersion
from tracking.models import LoggedModel, Run, RunDataset

COMMIT_TAG = "mlflow.source.git.commit"
DIRTY_TAG = "mlflow.source.git.dirty"  # whether the working copy held changes beside the commit
_OF_RUN: dict[str, Any] = {"run": None, "params": {}, "metrics": {}, "tags": {}, "datasets": [], "commit": ""}
_OF_FILES: dict[str, Any] = {"files": [], "signature": None, "flavors": []}
NOTHING = _OF_RUN | _OF_FILES  # what is known of a version whose run and files are not here; never changed in place
MAX_MLMODEL = 256 * 1024
MAX_MLMODEL_DEPTH = 32
MAX_MLMODEL_EVENTS = 20_000
_NULLS = ("", "~", "null")
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
# Written by clients about themselves after the fact, not about the model: they would void approvals for nothing.
VOLATILE_TAGS = frozenset({"mlflow.modelVersions", "mlflow.log-model.history"})


def is_dirty(tags: Mapping[str, Any]) -> bool:
    """Whether a run says that its code was more than its commit."""
    return str(tags.get(DIRTY_TAG, "")).lower() == "true"


def folder_files(owner: str, folder: str) -> list[ArtifactFile]:
    """The files below a folder of a run or logged model, by path; the whole root for ""."""
    if not owner:
        return []
    files = ArtifactFile.objects.filter(owner_id=owner)
    if folder:
        files = files.filter(path__startswith=f"{folder}/")  # narrowed below: LIKE may ignore case on SQLite
    return sorted((f for f in files if not folder or f.path.startswith(f"{folder}/")), key=lambda f: f.path)


def relative(file: ArtifactFile, folder: str) -> str:
    return file.path.removeprefix(f"{folder}/") if folder else file.path


_EVIDENCE = Prepared(lambda version, digest: Evidence.objects.filter(version=version, digest=digest), int, str)
_RUN = Prepared(lambda run_id: Run.objects.filter(run_id=run_id), str)
_LOGGED_MODEL = Prepared(lambda model_id: LoggedModel.objects.filter(model_id=model_id), str)
_DATASETS = Prepared(lambda run: RunDataset.objects.filter(run=run).order_by("name", "digest"), str)


def refresh(version: ModelVersion, *, outside: dict[str, Any] | None = None) -> Evidence:
    """The evidence as of now; a new row, and the version pointing to it, when anything differs. In a transaction.

    ``outside`` is what another tracking server said of the version, with the name of that server under "origin"."""
    return _kept(version, snapshot(version, outside=outside))


def take_first(version: ModelVersion) -> None:
    """The evidence of a version that is being registered. Where nothing is known of it there is none, until a decision
    needs one: thousands of versions without a run here would each keep the same."""
    data = snapshot(version)
    if data != NOTHING:
        _kept(version, data)


def _kept(version: ModelVersion, data: dict[str, Any]) -> Evidence:
    digest = sha256_json(data)
    if version.evidence is not None and version.evidence.digest == digest:
        return version.evidence
    evidence = Evidence(version=version, digest=digest, data=data, packages=_packages_of_the_same(version, data))
    if not insert_or_leave(evidence, unique=["version", "digest"]):
        [evidence] = _EVIDENCE.all(version.pk, digest)
    before, version.evidence = known_of(version), evidence
    save(version, "evidence")
    write_metric_rows(version, before=before, after=data)
    _notice_drift(version)
    return evidence


def _packages_of_the_same(version: ModelVersion, data: dict[str, Any]) -> dict[str, str] | None:
    """What its files ask for, where they are those of the evidence before."""
    before = version.evidence
    return before.packages if before is not None and before.data["files"] == data["files"] else None


def _notice_drift(version: ModelVersion) -> None:
    """No door changes the files of a registered version. Should its rows say otherwise, the version is no longer the
    one that was reviewed: its digest follows the files, and administrators are told."""
    files = known_of(version)["files"]
    before, digest = version.digest, tree_digest((path, size, sha256) for path, size, sha256 in files)
    if not version.artifact_owner or digest == before:
        return
    version.digest, version.file_count, version.total_size = digest, len(files), sum(size for _, size, _ in files)
    save(version, "digest", "file_count", "total_size")
    record(
        ArtifactDrifted(
            **about_version(version),
            before=before,
            digest=digest,
        ),
        actor=None,
        audience=administrators(),
    )


def known_of(version: ModelVersion) -> dict[str, Any]:
    """What its evidence says."""
    return version.evidence.data if version.evidence else NOTHING


def lies_elsewhere(version: ModelVersion) -> bool:
    """Whether what is known of a version, if anything, is known by another tracking server."""
    known = known_of(version)
    is_ours = bool(version.artifact_owner or known.get("run")) and not known.get("origin")
    return bool(version.run_id or version.logged_model_id) and not is_ours


def snapshot(version: ModelVersion, *, outside: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a new piece of evidence would hold. A run that is gone, or elsewhere, keeps what was known of it."""
    known = outside or known_of(version)
    files = folder_files(version.artifact_owner, version.artifact_folder)
    run = _RUN.first(version.run_id) if version.run_id else None
    logged = _LOGGED_MODEL.first(version.logged_model_id) if version.logged_model_id else None
    data = NOTHING | {"params": logged.params if logged else {}}
    if run is not None:
        data |= _of_run(run)
    elif known.get("run") or known.get("origin"):
        data |= {key: known[key] for key in (*_OF_RUN, "origin") if key in known}
        data["metrics"] = _metrics(known["metrics"])
    if files or version.artifact_owner:
        data["files"] = [[relative(f, version.artifact_folder), f.size, f.sha256] for f in files]
        data |= _of_mlmodel_file(files, version, known)
    else:
        data |= {key: known.get(key, nothing) for key, nothing in _OF_FILES.items()}
    return data


def _of_run(run: Run) -> dict[str, Any]:
    return {
        "run": {
            "run_id": run.run_id,
            "run_name": run.run_name,
            "experiment_id": run.experiment_id,
            "user_id": run.user_id,
        },
        "params": run.params,
        "metrics": _metrics(run.metrics),
        "tags": {key: value for key, value in sorted(run.tags.items()) if key not in VOLATILE_TAGS},
        "datasets": [
            {
                "name": d.name,
                "digest": d.digest,
                "context": d.tags.get("mlflow.data.context", ""),
                "source_type": d.source_type,
            }
            for d in _DATASETS.all(run.pk)
        ],
        "commit": run.tags.get(COMMIT_TAG, ""),
    }


def _metrics(entries: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {key: _metric(entry) for key, entry in sorted(entries.items())}


def _metric(entry: dict[str, Any]) -> dict[str, Any]:
    value = entry["value"]
    # PostgreSQL gives a large number such as 1e22 back as an integer, which would be another digest.
    kept = {"value": value if isinstance(value, str) else float(value), "step": entry["step"]}
    if entry.get("dataset_name"):
        kept["dataset"] = entry["dataset_name"]
    return kept


def _of_mlmodel_file(files: list[ArtifactFile], version: ModelVersion, known: dict[str, Any]) -> dict[str, Any]:
    file = next((f for f in files if relative(f, version.artifact_folder) == "MLmodel"), None)
    if file is None or file.size > MAX_MLMODEL:
        return of_mlmodel(b"")
    if [row for row in known.get("files", []) if row[0] == "MLmodel" and row[2] == file.sha256]:
        return {key: known[key] for key in ("signature", "flavors")}
    return of_mlmodel(b"".join(blobs().read(file.storage_key)))


def of_mlmodel(text: bytes) -> dict[str, Any]:
    """Signature and flavors from an MLmodel file: parsed as plain YAML, never loaded as a model."""
    document = plain_yaml(text)
    if not isinstance(document, dict):
        return {"signature": None, "flavors": []}
    signature, flavors = document.get("signature"), document.get("flavors")
    return {
        "signature": {
            key: None if signature[key] in _NULLS else signature[key]
            for key in ("inputs", "outputs", "params")
            if isinstance(signature.get(key), str)
        }
        if isinstance(signature, dict)
        else None,
        "flavors": sorted(map(str, flavors)) if isinstance(flavors, dict) else [],
    }


def plain_yaml(text: bytes) -> Any:
    """Mappings, lists and strings, and nothing else: no number too long, no date of month 13, no type by its tag. None
    for what no client writes. What it holds is counted event by event first, because libyaml's trees recurse in C."""
    depth = count = 0
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            count += 1
            unstorable = isinstance(event, yaml.ScalarEvent) and "\x00" in event.value
            if depth > MAX_MLMODEL_DEPTH or count > MAX_MLMODEL_EVENTS or unstorable:
                return None
        return yaml.load(text, Loader=_LOADER)  # noqa: S506 (builds strings, lists and dicts only)
    except (yaml.YAMLError, UnicodeDecodeError):
        return None
