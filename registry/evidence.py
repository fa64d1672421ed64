"""Evidence: what is known of a version, taken as a snapshot that never changes and has a digest of its own."""

from __future__ import annotations

from typing import Any

import yaml
from django.core.files.storage import default_storage

from core.digests import sha256_json
from registry.models import ArtifactFile, Evidence, ModelVersion
from tracking.models import LoggedModel, Run, RunDataset

COMMIT_TAG = "mlflow.source.git.commit"
MAX_MLMODEL = 256 * 1024
MAX_MLMODEL_DEPTH = 32
MAX_MLMODEL_EVENTS = 20_000
_NULLS = ("", "~", "null")
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
# Written by clients about themselves after the fact, not about the model: they would void approvals for nothing.
VOLATILE_TAGS = frozenset({"mlflow.modelVersions", "mlflow.log-model.history"})


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


def refresh(version: ModelVersion) -> Evidence:
    """The evidence as of now; a new row, and the version pointing to it, when anything differs. In a transaction."""
    data = snapshot(version)
    digest = sha256_json(data)
    if version.evidence is not None and version.evidence.digest == digest:
        return version.evidence
    evidence, _ = Evidence.objects.get_or_create(version=version, digest=digest, defaults={"data": data})
    ModelVersion.objects.filter(pk=version.pk).update(evidence=evidence)
    version.evidence = evidence
    return evidence


def snapshot(version: ModelVersion) -> dict[str, Any]:
    """What a new piece of evidence would hold. A run that is gone keeps what was known of it."""
    known: dict[str, Any] = version.evidence.data if version.evidence else {}
    files = folder_files(version.artifact_owner, version.artifact_folder)
    run = Run.objects.filter(run_id=version.run_id).first() if version.run_id else None
    logged = LoggedModel.objects.filter(model_id=version.logged_model_id).first() if version.logged_model_id else None
    data: dict[str, Any] = {
        "run": None,
        "params": logged.params if logged else {},
        "metrics": {},
        "tags": {},
        "datasets": [],
        "commit": "",
    }
    if run is not None:
        data |= _of_run(run)
    elif known.get("run"):
        data |= {key: known[key] for key in data}
    if files:
        data["files"] = [[relative(f, version.artifact_folder), f.size, f.sha256] for f in files]
        data |= _of_mlmodel(files, version, known)
    else:
        data |= {key: known.get(key, empty) for key, empty in (("files", []), ("signature", None), ("flavors", []))}
    return data


def _of_run(run: Run) -> dict[str, Any]:
    datasets = RunDataset.objects.filter(run=run).order_by("name", "digest")
    return {
        "run": {
            "run_id": run.run_id,
            "run_name": run.run_name,
            "experiment_id": run.experiment_id,
            "user_id": run.user_id,
        },
        "params": run.params,
        "metrics": {key: _metric(entry) for key, entry in sorted(run.metrics.items())},
        "tags": {key: value for key, value in sorted(run.tags.items()) if key not in VOLATILE_TAGS},
        "datasets": [
            {
                "name": d.name,
                "digest": d.digest,
                "context": d.tags.get("mlflow.data.context", ""),
                "source_type": d.source_type,
            }
            for d in datasets
        ],
        "commit": run.tags.get(COMMIT_TAG, ""),
    }


def _metric(entry: dict[str, Any]) -> dict[str, Any]:
    kept = {"value": entry["value"], "step": entry["step"]}
    if entry.get("dataset_name"):
        kept["dataset"] = entry["dataset_name"]
    return kept


def _of_mlmodel(files: list[ArtifactFile], version: ModelVersion, known: dict[str, Any]) -> dict[str, Any]:
    """Signature and flavors from the MLmodel file: parsed as plain YAML, never loaded as a model."""
    nothing: dict[str, Any] = {"signature": None, "flavors": []}
    file = next((f for f in files if relative(f, version.artifact_folder) == "MLmodel"), None)
    if file is None or file.size > MAX_MLMODEL:
        return nothing
    if [row for row in known.get("files", []) if row[0] == "MLmodel" and row[2] == file.sha256]:
        return {key: known[key] for key in nothing}
    with default_storage.open(file.storage_key, "rb") as stream:
        text = stream.read(MAX_MLMODEL)
    document = _plain_yaml(text)
    if not isinstance(document, dict):
        return nothing
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


def _plain_yaml(text: bytes) -> Any:
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
