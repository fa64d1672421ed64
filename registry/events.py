"""What happens to models and versions, in the words that people and receivers get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from django.urls import reverse

from core.announcements import Announcement
from registry.models import ModelVersion


def about_version(version: ModelVersion) -> dict[str, Any]:
    """The fields that every announcement about this version starts from."""
    return {"model_name": version.model.name, "model_id": version.model_id, "version": version.version}


@dataclass(frozen=True, kw_only=True)
class ModelAnnouncement(Announcement):
    @property
    def path(self) -> str:
        return reverse("model", args=[self.model_name])


@dataclass(frozen=True, kw_only=True)
class VersionAnnouncement(Announcement):
    @property
    def path(self) -> str:
        return reverse("version", args=[self.model_name, self.version])

    @property
    def what(self) -> str:
        return f"version {self.version} of {self.model_name}"


@dataclass(frozen=True, kw_only=True)
class ModelCreated(ModelAnnouncement):
    kind: ClassVar[str] = "registered_model.created"

    description: str = ""
    tags: dict[str, str]
    is_prompt: bool

    def summary(self, actor: str) -> str:
        return f"{actor} created the model {self.model_name}."

    def data(self) -> dict[str, Any]:
        return {"description": self.description, "tags": self.tags, "is_prompt": self.is_prompt}


@dataclass(frozen=True, kw_only=True)
class ModelUpdated(ModelAnnouncement):
    kind: ClassVar[str] = "registered_model.updated"

    description: str

    def summary(self, actor: str) -> str:
        return f"{actor} changed the description of {self.model_name}."

    def data(self) -> dict[str, Any]:
        return {"description": self.description}


@dataclass(frozen=True, kw_only=True)
class ModelRenamed(ModelAnnouncement):
    kind: ClassVar[str] = "registered_model.renamed"

    old_name: str

    def summary(self, actor: str) -> str:
        return f"{actor} renamed the model {self.old_name} to {self.model_name}."

    def data(self) -> dict[str, Any]:
        return {"old_name": self.old_name}


@dataclass(frozen=True, kw_only=True)
class ModelDeleted(Announcement):
    kind: ClassVar[str] = "registered_model.deleted"

    versions: int

    def summary(self, actor: str) -> str:
        return f"{actor} deleted the model {self.model_name} with {self.versions} versions."

    @property
    def path(self) -> str:
        return reverse("models")

    def data(self) -> dict[str, Any]:
        return {"versions": self.versions}


@dataclass(frozen=True, kw_only=True)
class ModelImported(ModelAnnouncement):
    """A model came whole from another server, past the gate; ``stages`` and ``aliases`` say who holds what."""

    kind: ClassVar[str] = "registered_model.imported"

    server: str
    model_id: int
    versions: int
    stages: dict[str, list[int]]
    aliases: dict[str, int]

    def summary(self, actor: str) -> str:
        return f"{actor} imported {self.model_name} (versions: {self.versions}) from {self.server}."

    def data(self) -> dict[str, Any]:
        return {
            "server": self.server,
            "model_id": self.model_id,
            "versions": self.versions,
            "stages": self.stages,
            "aliases": self.aliases,
        }


@dataclass(frozen=True, kw_only=True)
class ImportFinished(Announcement):
    """``added`` counts what this run of the import wrote, by kind; models have events of their own."""

    kind: ClassVar[str] = "import.finished"

    server: str
    added: dict[str, int]
    owner: str

    def summary(self, actor: str) -> str:
        listed = ", ".join(f"{number} {what}" for what, number in self.added.items())
        return f"{actor} imported from {self.server}: {listed}."

    @property
    def path(self) -> str:
        return reverse("models")

    def data(self) -> dict[str, Any]:
        return {"server": self.server, "added": self.added, "owner": self.owner}


@dataclass(frozen=True, kw_only=True)
class VersionCreated(VersionAnnouncement):
    kind: ClassVar[str] = "model_version.created"

    source: str
    run_id: str
    digest: str
    description: str
    tags: dict[str, str]
    is_prompt: bool

    def summary(self, actor: str) -> str:
        return f"{actor} registered {self.what}."

    def data(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "run_id": self.run_id,
            "digest": self.digest,
            "description": self.description,
            "tags": self.tags,
            "is_prompt": self.is_prompt,
        }


@dataclass(frozen=True, kw_only=True)
class VersionUpdated(VersionAnnouncement):
    kind: ClassVar[str] = "model_version.updated"

    description: str

    def summary(self, actor: str) -> str:
        return f"{actor} changed the description of {self.what}."

    def data(self) -> dict[str, Any]:
        return {"description": self.description}


@dataclass(frozen=True, kw_only=True)
class VersionDeleted(ModelAnnouncement):
    kind: ClassVar[str] = "model_version.deleted"

    def summary(self, actor: str) -> str:
        return f"{actor} deleted version {self.version} of {self.model_name}."


@dataclass(frozen=True, kw_only=True)
class RunAnnouncement(VersionAnnouncement):
    """About the run of a version on another tracking server."""

    run_id: str
    server: str

    @property
    def of_run(self) -> str:
        return f"the run {self.run_id}" if self.run_id else "the logged model"

    def data(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "server": self.server}


@dataclass(frozen=True, kw_only=True)
class EvidenceRequested(RunAnnouncement):
    kind: ClassVar[str] = "evidence.requested"

    def summary(self, actor: str) -> str:
        return f"{actor} has {self.of_run} of {self.what} read from {self.server}."


@dataclass(frozen=True, kw_only=True)
class EvidenceRead(RunAnnouncement):
    kind: ClassVar[str] = "evidence.read"

    evidence: str

    def summary(self, actor: str) -> str:
        return f"{actor} read {self.of_run} of {self.what} from {self.server}."

    def data(self) -> dict[str, Any]:
        return super().data() | {"evidence": self.evidence}


@dataclass(frozen=True, kw_only=True)
class EvidenceFailed(RunAnnouncement):
    kind: ClassVar[str] = "evidence.failed"

    reason: str

    def summary(self, actor: str) -> str:
        return f"{actor} could not read {self.of_run} of {self.what}: {self.reason}"

    def data(self) -> dict[str, Any]:
        return super().data() | {"reason": self.reason}


@dataclass(frozen=True, kw_only=True)
class StageMoved(VersionAnnouncement):
    """A version changed its stage without a request; requests announce their own ``transition.applied``."""

    kind: ClassVar[str] = "transition.applied"

    from_stage: str
    to_stage: str
    digest: str
    source: str
    run_id: str
    archived_versions: tuple[int, ...] = ()
    comment: str = ""

    def summary(self, actor: str) -> str:
        sentence = f"{actor} moved {self.what} from {self.from_stage} to {self.to_stage}."
        if self.archived_versions:
            sentence += f" Archived: version {', '.join(map(str, self.archived_versions))}."
        return sentence

    def data(self) -> dict[str, Any]:
        return {
            "target_kind": "stage",
            "target": self.to_stage,
            "from_stage": self.from_stage,
            "comment": self.comment,
            "digest": self.digest,
            "source": self.source,
            "run_id": self.run_id,
            "archived_versions": list(self.archived_versions),
        }


@dataclass(frozen=True, kw_only=True)
class AliasMoved(VersionAnnouncement):
    kind: ClassVar[str] = "alias.moved"

    alias: str
    previous_version: int | None
    is_prompt: bool

    def summary(self, actor: str) -> str:
        came = f" from version {self.previous_version}" if self.previous_version else ""
        return f"{actor} moved the alias {self.alias} of {self.model_name}{came} to version {self.version}."

    def data(self) -> dict[str, Any]:
        return {"alias": self.alias, "previous_version": self.previous_version, "is_prompt": self.is_prompt}


@dataclass(frozen=True, kw_only=True)
class AliasDeleted(ModelAnnouncement):
    kind: ClassVar[str] = "alias.deleted"

    alias: str
    is_prompt: bool

    def summary(self, actor: str) -> str:
        return f"{actor} deleted the alias {self.alias} of {self.model_name}."

    def data(self) -> dict[str, Any]:
        return {"alias": self.alias, "is_prompt": self.is_prompt}


@dataclass(frozen=True, kw_only=True)
class DeploymentAnnouncement(VersionAnnouncement):
    """What deploys a model said what runs where; ``previous_version`` is the version that ran there before."""

    deployment: str
    status: str
    link: str
    previous_version: int | None

    def summary(self, actor: str) -> str:
        came = f", in place of version {self.previous_version}" if self.previous_version else ""
        return f"{actor} reported {self.what} as {self.status} at {self.deployment}{came}."

    def data(self) -> dict[str, Any]:
        return {
            "deployment": self.deployment,
            "status": self.status,
            "link": self.link,
            "previous_version": self.previous_version,
        }


@dataclass(frozen=True, kw_only=True)
class DeploymentReported(DeploymentAnnouncement):
    kind: ClassVar[str] = "deployment.reported"


@dataclass(frozen=True, kw_only=True)
class DeploymentFailed(DeploymentAnnouncement):
    """It failed, and had not before."""

    kind: ClassVar[str] = "deployment.failed"


@dataclass(frozen=True, kw_only=True)
class DeploymentDeleted(VersionAnnouncement):
    kind: ClassVar[str] = "deployment.deleted"

    deployment: str

    def summary(self, actor: str) -> str:
        return f"{actor} deleted the deployment {self.deployment} of {self.what}."

    def data(self) -> dict[str, Any]:
        return {"deployment": self.deployment}


@dataclass(frozen=True, kw_only=True)
class ArtifactDrifted(VersionAnnouncement):
    """The files of a registered version are not those that were registered."""

    kind: ClassVar[str] = "artifact.drifted"

    before: str
    digest: str

    def summary(self, actor: str) -> str:
        return f"The files of {self.what} are no longer those that were registered. Approvals of them count no more."

    def data(self) -> dict[str, Any]:
        return {"before": self.before, "digest": self.digest}


@dataclass(frozen=True, kw_only=True)
class TagSet(Announcement):
    kind: ClassVar[str] = "tag.set"

    key: str
    value: str
    is_prompt: bool

    def summary(self, actor: str) -> str:
        shown = self.value if len(self.value) <= 80 else self.value[:80] + "…"
        return f"{actor} set the tag {self.key} = {shown} on {_tagged(self)}."

    @property
    def path(self) -> str:
        return _tagged_path(self)

    def data(self) -> dict[str, Any]:
        return {"key": self.key, "value": self.value, "is_prompt": self.is_prompt}


@dataclass(frozen=True, kw_only=True)
class TagDeleted(Announcement):
    kind: ClassVar[str] = "tag.deleted"

    key: str
    is_prompt: bool

    def summary(self, actor: str) -> str:
        return f"{actor} removed the tag {self.key} from {_tagged(self)}."

    @property
    def path(self) -> str:
        return _tagged_path(self)

    def data(self) -> dict[str, Any]:
        return {"key": self.key, "is_prompt": self.is_prompt}


def _tagged(event: Announcement) -> str:
    return f"version {event.version} of {event.model_name}" if event.version else event.model_name


def _tagged_path(event: Announcement) -> str:
    if event.version:
        return reverse("version", args=[event.model_name, event.version])
    return reverse("model", args=[event.model_name])
