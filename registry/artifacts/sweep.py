"""What broken uploads left in the store: removed when nothing can need it any more.

The rule: bytes go when they were written more than a day ago and no row names them. A row that is about to be written
is safe, for an upload through this server ends within twelve hours of its first byte (``files.LONGEST_UPLOAD``), and
one in parts has its DirectUpload from before the first byte until its file is there.
"""

from __future__ import annotations

import re

from core.blobs import Blob, blobs
from core.clock import now, now_ms
from registry.models import ArtifactFile, DirectUpload

ORPHAN_SECONDS = 24 * 3600.0
UPLOAD_KEPT_MS = 2 * 24 * 3600 * 1000  # twice as long as one may last: finishing reads the whole file
AT_ONCE = 1000
_OURS = re.compile(r"[0-9a-f]{2}/[0-9a-f]{32}")  # other things in the same bucket are not ours to remove


def remove_orphans() -> int:
    """Remove the bytes that no row names; how many."""
    removed = 0
    for page in blobs().pages():
        for start in range(0, len(page), AT_ONCE):
            removed += _remove_orphans_of(page[start : start + AT_ONCE])
    return removed


def _remove_orphans_of(page: list[Blob]) -> int:
    before = now().timestamp() - ORPHAN_SECONDS
    old = {blob.key for blob in page if blob.written_at < before and _OURS.fullmatch(blob.key)}
    if not old:
        return 0
    for rows in (ArtifactFile.objects, DirectUpload.objects):
        old.difference_update(rows.filter(storage_key__in=old).values_list("storage_key", flat=True))
    blobs().remove(sorted(old))
    return len(old)


def drop_abandoned_uploads() -> int:
    """Forget the uploads in parts that are over or given up, and abort what the store still has of them; how many."""
    DirectUpload.objects.filter(started_at__lt=now_ms() - UPLOAD_KEPT_MS).delete()
    known = frozenset(DirectUpload.objects.values_list("storage_key", flat=True))
    return blobs().abort_unfinished(before=now().timestamp() - ORPHAN_SECONDS, known=known)
