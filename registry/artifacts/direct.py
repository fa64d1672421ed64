"""Files that go between a client and the store without us, where the store can be reached by clients.

The bytes are ours to know all the same: a finished upload is read once and hashed before its row makes it visible, and
by then nobody holds an address that could change it. So there is no address for an upload in one piece, which would
stay open after that; see docs/decisions/direct-uploads-are-hashed.md.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
from django.db import transaction

from accounts.models import User
from core.blobs import Direct, Part, blobs
from core.clock import now_ms
from core.errors import Conflict, CountersignError, Invalid, NotFound, NotOffered, Unavailable
from registry.artifacts.files import get_file, new_key, publish, require_writable
from registry.artifacts.paths import Place
from registry.models import ArtifactFile, DirectUpload

log = structlog.get_logger(__name__)

UPLOAD_SECONDS = 24 * 3600  # from its beginning to its end
DOWNLOAD_SECONDS = 3600
MOST_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Begun:
    upload: DirectUpload
    urls: list[str]


def is_offered() -> bool:
    return blobs().direct() is not None


def require_offered(what: str) -> Direct:
    """``what``: "upload" or "download". Raises NotOffered."""
    direct = blobs().direct()
    if direct is None:  # clients know this text, and go through us instead
        raise NotOffered(f"Multipart {what} is not supported for the current artifact repository")
    return direct


def begin_upload(*, actor: User, place: Place, parts: int) -> Begun:
    """Addresses for the parts of a file, in order."""
    direct = require_offered("upload")
    if not 1 <= parts <= MOST_PARTS:
        raise Invalid(f"A file comes in 1 to {MOST_PARTS} parts, not {parts}.", field="num_parts")
    require_writable(actor, place)
    key = new_key()
    upload = DirectUpload.objects.create(
        id=uuid.uuid4().hex,
        owner_id=place.owner,
        path=place.path,
        storage_key=key,
        store_id=direct.begin(key),
        started_by=actor,
    )
    return Begun(upload, direct.part_urls(key, upload.store_id, count=parts, seconds=UPLOAD_SECONDS))


def _find(actor: User, place: Place, upload_id: str) -> DirectUpload | None:
    """An upload is known to who began it, and at its own place."""
    uploads = DirectUpload.objects.filter(started_by=actor, owner_id=place.owner, path=place.path)
    return uploads.filter(pk=upload_id).first()


def finish_upload(*, actor: User, place: Place, upload_id: str, parts: list[Part]) -> None:
    """Put the parts together, hash the file, and make it visible. Again is fine, also while the first call is at it.

    A refusal drops the upload with its bytes; only after Invalid parts and Unavailable it can be tried again. Raises
    NotFound for an upload that was never begun or is given up.
    """
    direct = require_offered("upload")
    upload = _find(actor, place, upload_id)
    if upload is None or upload.started_at < now_ms() - UPLOAD_SECONDS * 1000:
        raise _unknown(place)
    if upload.finished_at is not None:
        return
    with _dropped_when_refused(upload, direct):
        require_writable(actor, place)
    try:
        direct.complete(upload.storage_key, upload.store_id, parts)
        sha256, size = _read_through(upload.storage_key)
    except FileNotFoundError as error:
        _drop(upload, direct)
        raise _unknown(place) from error
    with _dropped_when_refused(upload, direct):
        _publish(upload, sha256=sha256, size=size)


def _unknown(place: Place) -> NotFound:
    return NotFound(f"There is no such upload of '{place.path}' under way. Begin a new one.")


@contextmanager
def _dropped_when_refused(upload: DirectUpload, direct: Direct) -> Iterator[None]:
    try:
        yield
    except CountersignError:
        _drop(upload, direct)
        raise


def _read_through(key: str) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    for chunk in blobs().read(key):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


@transaction.atomic
def _publish(upload: DirectUpload, *, sha256: str, size: int) -> None:
    """Of two calls one publishes; what was aborted meanwhile is not published."""
    if DirectUpload.objects.filter(pk=upload.pk, finished_at=None).update(finished_at=now_ms()):
        place = Place(upload.owner_id, upload.path)
        publish(actor=upload.started_by, place=place, key=upload.storage_key, sha256=sha256, size=size)
    elif not DirectUpload.objects.filter(pk=upload.pk).exists():
        raise Conflict(f"The upload of '{upload.path}' was aborted while it was being finished.")


def abort_upload(*, actor: User, place: Place, upload_id: str) -> None:
    """Give it up; what is not under way is fine. Raises Conflict for a finished one: its file is there."""
    direct = require_offered("upload")
    upload = _find(actor, place, upload_id)
    if upload is None:
        return
    if not _drop(upload, direct):
        raise Conflict(f"'{place.path}' has arrived: it is no longer an upload. Delete the file if it is not wanted.")


def _drop(upload: DirectUpload, direct: Direct) -> bool:
    """Forget an upload and remove its bytes; False when it is finished, and nothing is removed."""
    with transaction.atomic():
        dropped = DirectUpload.objects.filter(pk=upload.pk, finished_at=None).delete()[0]
    if not dropped:
        return not DirectUpload.objects.filter(pk=upload.pk).exists()
    try:
        direct.abort(upload.storage_key, upload.store_id)
    except Unavailable:
        log.warning("upload_not_aborted", key=upload.storage_key)  # the sweep does it
    return True


def direct_download(place: Place) -> tuple[ArtifactFile, str]:
    """A file, and the address of its bytes for an hour. Raises NotOffered, NotFound, or Invalid for a folder."""
    direct = require_offered("download")
    file = get_file(place)
    name = file.path.rsplit("/", 1)[-1]
    return file, direct.download_url(file.storage_key, filename=name, seconds=DOWNLOAD_SECONDS)
