"""Writing, reading, listing and deleting files: the rows, and the bytes behind them."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import structlog
from django.db import transaction
from django.db.models import Q

from accounts.models import User
from core.answers import Answer, require
from core.blobs import Readable, Stream, blobs
from core.clock import now_ms
from core.errors import Conflict, CountersignError, Invalid, NotFound, Unavailable
from registry.artifacts.paths import INVALID_PATH, Place
from registry.models import ArtifactFile, ModelVersion
from tracking.models import Lifecycle, LoggedModel, Run
from tracking.permissions import can_write

log = structlog.get_logger(__name__)

LONGEST_UPLOAD = 12 * 3600.0  # seconds; the sweep of orphans counts on it
DELETE_AT_ONCE = 5000  # SQLite takes 32,766 parameters in a statement


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    is_dir: bool
    size: int = 0


def _owner(place: Place, *, lock: bool = False) -> Run | LoggedModel:
    rows = LoggedModel.objects.all() if place.owner.startswith("m-") else Run.objects.all()
    if lock:
        rows = rows.select_for_update(of=("self",))
    owner = rows.select_related("user").filter(pk=place.owner).first()
    if owner is None:
        raise NotFound(f"No such artifact: there is no run or logged model {place.owner}.")
    return owner


def _writable(actor: User, owner: Run | LoggedModel) -> Answer:
    """Whether the actor may change its files. Raises Invalid when it is deleted."""
    if isinstance(owner, Run) and owner.lifecycle_stage != Lifecycle.ACTIVE:
        raise Invalid(
            f"The run {owner.run_id} must be in the 'active' state. Current state is {owner.lifecycle_stage}."
        )
    if isinstance(owner, LoggedModel) and owner.deleted_at:
        raise NotFound(f"Logged model with ID '{owner.model_id}' not found.")
    return can_write(actor, owner)


def _below(place: Place) -> Q:
    """The file at the place, and all files in the folder of that name."""
    condition = Q(owner_id=place.owner)
    return condition & (Q(path=place.path) | Q(path__startswith=f"{place.path}/")) if place.path else condition


def require_thawed(place: Place) -> None:
    """Raise Conflict when a registered version has the place among its files. The owner's row must be locked."""
    frozen = ModelVersion.objects.live().filter(artifact_owner=place.owner).select_related("model")
    for version in frozen:
        folder = version.artifact_folder
        inside = not folder or place.path == folder or place.path.startswith(f"{folder}/")
        around = not place.path or folder.startswith(f"{place.path}/")
        if inside or around:
            raise Conflict(
                f"'{place.path or '/'}' holds files of version {version.version} of {version.model.name}. The files "
                "of a registered version do not change: log them again and register a new version."
            )


def require_writable(actor: User, place: Place) -> None:
    """Raise unless the actor may write a file there now. It is asked again when the file is published; before that, it
    saves an upload in vain."""
    if not place.path:
        raise Invalid(INVALID_PATH, field="path")
    require(_writable(actor, _owner(place)))
    require_thawed(place)


def new_key() -> str:
    name = uuid.uuid4().hex
    return f"{name[:2]}/{name}"


class Hashed:
    """A stream that counts and hashes what is read from it, and ends with Invalid when it takes too long."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self._ends_at = time.monotonic() + LONGEST_UPLOAD
        self.size = 0

    def read(self, size: int, /) -> bytes:
        if time.monotonic() > self._ends_at:
            raise Invalid(f"An upload takes at most {LONGEST_UPLOAD / 3600:.0f} hours.")
        chunk = self._stream.read(size)
        self._digest.update(chunk)
        self.size += len(chunk)
        return chunk

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def store(*, actor: User, place: Place, stream: Readable, length: int | None) -> ArtifactFile:
    """Write a file, replacing what was there. ``length`` is what the client announced, in bytes, or None.

    A broken or short upload leaves nothing. Raises Unavailable or StorageFull for a store that fails.
    """
    require_writable(actor, place)
    key, hashed = new_key(), Hashed(stream)
    try:
        blobs().write(key, hashed)
        if length not in (None, hashed.size):
            raise Invalid(f"The upload broke off: {hashed.size} of {length} bytes arrived. Send the file again.")
    except BaseException:
        remove_quietly([key])
        raise
    try:
        return publish(actor=actor, place=place, key=key, sha256=hashed.sha256, size=hashed.size)
    except CountersignError:
        remove_quietly([key])
        raise
    # After any other error the row may have been committed all the same: the sweep finds out.


def remove_quietly(keys: Iterable[str]) -> None:
    """Remove bytes that no row names. What a failing store keeps of them is found by the sweep."""
    try:
        blobs().remove(keys)
    except Unavailable:
        log.warning("blobs_not_removed")


@transaction.atomic
def publish(*, actor: User, place: Place, key: str, sha256: str, size: int) -> ArtifactFile:
    """Make the bytes visible under the path, with the owner locked: registering a version takes the same lock."""
    require(_writable(actor, _owner(place, lock=True)))
    require_thawed(place)
    parents = place.path.split("/")[:-1]
    above = ["/".join(parents[: i + 1]) for i in range(len(parents))]
    if ArtifactFile.objects.filter(owner_id=place.owner, path__in=above).exists():
        raise Invalid(f"{INVALID_PATH}: a file stands where a folder is needed.", field="path")
    if list_folder(place):
        raise Invalid(f"{INVALID_PATH}: '{place.path}' is a folder.", field="path")
    old = ArtifactFile.objects.filter(owner_id=place.owner, path=place.path).first()
    values = {"storage_key": key, "sha256": sha256, "size": size, "uploaded_by": actor, "uploaded_at": now_ms()}
    file, _ = ArtifactFile.objects.update_or_create(owner_id=place.owner, path=place.path, defaults=values)
    if old:
        transaction.on_commit(lambda: remove_quietly([old.storage_key]), robust=True)
    return file


def get_file(place: Place) -> ArtifactFile:
    """The row of a file. A folder is Invalid, anything else NotFound."""
    file = ArtifactFile.objects.filter(owner_id=place.owner, path=place.path).first()
    if file is None:
        if list_folder(place):
            raise Invalid(f"'{place.path}' is a folder: list it, and fetch its files.", field="path")
        raise NotFound(f"No such artifact: '{place.path}'")
    return file


def file_of_version(version: ModelVersion, path: str) -> ArtifactFile:
    """One of its files, ``path`` being relative to the version's root."""
    if not version.artifact_owner:
        raise NotFound("The files of this version do not lie here.")
    return get_file(Place(version.artifact_owner, version.artifact_folder).at(path))


def files_of_versions(versions: Sequence[ModelVersion], path: str) -> list[ArtifactFile | None]:
    """The file of this path of each, in one statement; None where a version has none."""
    places = [Place(version.artifact_owner, version.artifact_folder).at(path) for version in versions]
    wanted = Q()
    for place in places:
        wanted |= Q(owner_id=place.owner, path=place.path)
    found = {(file.owner_id, file.path): file for file in ArtifactFile.objects.filter(wanted)}
    return [found.get((place.owner, place.path)) for place in places]


def open_file(file: ArtifactFile, *, start: int = 0, length: int | None = None) -> Stream:
    """The bytes, or ``length`` of them. Raises NotFound when they have just been replaced or deleted."""
    try:
        return blobs().read(file.storage_key, start=start, length=length)
    except FileNotFoundError as error:
        raise NotFound(f"No such artifact: '{file.path}'") from error


def list_folder(place: Place) -> list[Entry]:
    """What lies directly in a folder, by name; nothing for a file or for what is not there."""
    prefix = f"{place.path}/" if place.path else ""
    entries: dict[str, Entry] = {}
    for path, size in ArtifactFile.objects.filter(_below(place)).values_list("path", "size"):
        if not path.startswith(prefix):
            continue
        name, slash, _ = path[len(prefix) :].partition("/")
        entries[name] = Entry(name, is_dir=bool(slash), size=0 if slash else size)
    return [entries[name] for name in sorted(entries)]


@transaction.atomic
def delete_path(*, actor: User, place: Place) -> None:
    """Delete a file or a folder with all in it; what is not there is fine."""
    require(can_write(actor, _owner(place, lock=True)))
    require_thawed(place)
    files = list(ArtifactFile.objects.filter(_below(place)))
    files = [f for f in files if not place.path or f.path == place.path or f.path.startswith(f"{place.path}/")]
    for start in range(0, len(files), DELETE_AT_ONCE):
        ArtifactFile.objects.filter(pk__in=[f.pk for f in files[start : start + DELETE_AT_ONCE]]).delete()
    transaction.on_commit(lambda: remove_quietly(file.storage_key for file in files), robust=True)
