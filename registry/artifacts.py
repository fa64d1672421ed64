"""Files of runs and logged models: up and down as streams, hashed on the way, frozen once a version is made of them.

A file is a row; its bytes lie under a name of our own. So no path that a client gave reaches the disk, a file appears
whole or not at all, and a folder is a question to the database.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import unquote

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Q

from accounts.models import User
from core.answers import Answer, require
from core.errors import Conflict, Invalid, NotFound
from registry.models import ArtifactFile, ModelVersion
from tracking.models import Lifecycle, LoggedModel, Run
from tracking.permissions import can_write

CHUNK = 1024 * 1024
MAX_PATH = 1000
DELETE_AT_ONCE = 5000  # SQLite takes 32,766 parameters in a statement
INVALID_PATH = "Invalid path"
_ROOT = re.compile(r"[0-9]+/(?:(?P<run>[0-9a-f]{32})|models/(?P<model>m-[0-9a-f]{32}))/artifacts(?:/(?P<path>.+))?")
_REFUSED = re.compile(r"[\x00-\x1f\x7f\\#]|^[A-Za-z]:")


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder: ``owner`` is a run id or logged model id, ``path`` is relative to its root ("" is the root)."""

    owner: str
    path: str


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    is_dir: bool
    size: int = 0


def clean_path(path: str) -> str:
    """The path itself when it is plain; Invalid for anything that some decoding could turn into another place."""
    decoded = path
    for _ in range(20):
        if _REFUSED.search(decoded) or decoded.startswith("/") or decoded.lower().startswith("file:"):
            raise Invalid(INVALID_PATH, field="path")
        if any(part in ("", ".", "..") for part in decoded.split("/")) and decoded:
            raise Invalid(INVALID_PATH, field="path")
        further = unquote(decoded)
        if further == decoded:
            break
        decoded = further
    else:
        raise Invalid(INVALID_PATH, field="path")
    if len(path) > MAX_PATH:
        raise Invalid(f"A path has at most {MAX_PATH} characters.", field="path")
    return path


def parse_path(path: str) -> Place:
    """``<experiment>/<run>/artifacts/…`` or ``<experiment>/models/<model>/artifacts/…``. Raises Invalid."""
    match = _ROOT.fullmatch(clean_path(path))
    if match is None:
        raise Invalid(f"{INVALID_PATH}: it is not inside the artifacts of a run or logged model.", field="path")
    inside = match["path"] or ""
    return Place(match["run"] or match["model"], clean_path(inside) if inside else "")


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


def store(*, actor: User, place: Place, stream: Readable, length: int | None) -> ArtifactFile:
    """Write a file, replacing what was there. ``length`` is what the client announced, in bytes, or None.

    A broken or short upload leaves nothing.
    """
    if not place.path:
        raise Invalid(INVALID_PATH, field="path")
    require(_writable(actor, _owner(place)))
    require_thawed(place)  # asked again when the file is published; here it saves the upload
    name = uuid.uuid4().hex
    key = f"{name[:2]}/{name}"
    stored = False
    try:
        digest, size = _write(key, stream)
        if length not in (None, size):
            raise Invalid(f"The upload broke off: {size} of {length} bytes arrived. Send the file again.")
        file = _publish(actor, place, key, digest, size)
        stored = True
        return file
    finally:
        if not stored:
            default_storage.delete(key)


def _write(key: str, stream: Readable) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    _folder_ready(key)
    with default_storage.open(key, "wb") as out:
        while chunk := stream.read(CHUNK):
            out.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def _folder_ready(key: str) -> None:
    """A local storage opens for writing only where the folder exists."""
    try:
        path = default_storage.path(key)
    except NotImplementedError:
        return  # an object store has no folders
    Path(path).parent.mkdir(parents=True, exist_ok=True)


@transaction.atomic
def _publish(actor: User, place: Place, key: str, digest: str, size: int) -> ArtifactFile:
    """Make the bytes visible under the path, with the owner locked: registering a version takes the same lock."""
    _owner(place, lock=True)
    require_thawed(place)
    parents = place.path.split("/")[:-1]
    above = ["/".join(parents[: i + 1]) for i in range(len(parents))]
    if ArtifactFile.objects.filter(owner_id=place.owner, path__in=above).exists():
        raise Invalid(f"{INVALID_PATH}: a file stands where a folder is needed.", field="path")
    if list_folder(place):
        raise Invalid(f"{INVALID_PATH}: '{place.path}' is a folder.", field="path")
    old = ArtifactFile.objects.filter(owner_id=place.owner, path=place.path).first()
    values = {"storage_key": key, "sha256": digest, "size": size, "uploaded_by": actor}
    file, _ = ArtifactFile.objects.update_or_create(owner_id=place.owner, path=place.path, defaults=values)
    if old:
        _delete_bytes_after_commit(old)
    return file


def _delete_bytes_after_commit(file: ArtifactFile) -> None:
    """A store that fails here is logged: the write itself has succeeded, and a client must not repeat it."""
    transaction.on_commit(lambda: default_storage.delete(file.storage_key), robust=True)


def get_file(place: Place) -> ArtifactFile:
    """The row of a file. A folder is Invalid, anything else NotFound."""
    file = ArtifactFile.objects.filter(owner_id=place.owner, path=place.path).first()
    if file is None:
        if list_folder(place):
            raise Invalid(f"'{place.path}' is a folder: list it, and fetch its files.", field="path")
        raise NotFound(f"No such artifact: '{place.path}'")
    return file


def open_file(file: ArtifactFile) -> IO[bytes]:
    """The bytes. Raises NotFound when they have just been replaced or deleted."""
    try:
        return default_storage.open(file.storage_key, "rb")
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
    for file in files:
        _delete_bytes_after_commit(file)


def read_chunks(stream: IO[bytes], length: int) -> Iterator[bytes]:
    """At most ``length`` bytes from where the stream stands, in chunks; closes it."""
    with stream:
        while length > 0 and (chunk := stream.read(min(CHUNK, length))):
            length -= len(chunk)
            yield chunk
