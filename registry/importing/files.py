"""Files of runs and logged models, hashed as they stream in."""

from __future__ import annotations

from accounts.models import User
from core.blobs import blobs
from core.errors import Invalid
from registry.artifacts import clean_path
from registry.artifacts.files import Hashed, new_key, remove_quietly
from registry.importing.report import Report
from registry.importing.source import NotReadable, Source
from registry.models import ArtifactFile


class Files:
    """``incomplete``: the runs and logged models of which a file could not be had. No digest is made of theirs."""

    def __init__(self, source: Source, *, owner: User, report: Report, is_dry: bool) -> None:
        self.source, self.owner, self.report, self.is_dry = source, owner, report, is_dry
        self.incomplete: set[str] = set()

    def of(self, owner_id: str) -> None:
        """Fetch those that are not here."""
        here = set(ArtifactFile.objects.filter(owner_id=owner_id).values_list("path", flat=True))
        try:
            for path, size in self.source.files(owner_id):
                self.report.count("files", there=1)
                if path in here:
                    self.report.count("files", before=1)
                    continue
                self._fetch(owner_id, path, size)
        except NotReadable as error:
            self._miss(f"the files of {owner_id}", owner_id, error.message)

    def _fetch(self, owner_id: str, path: str, size: int) -> None:
        try:
            clean_path(path)
            if not self.is_dry:
                self._store(owner_id, path, size)
        except (NotReadable, Invalid) as error:
            self._miss(f"{path[:200]} of {owner_id}", owner_id, error.message)
            return
        self.report.count("files", added=1)

    def _store(self, owner_id: str, path: str, size: int) -> None:
        key = new_key()
        try:
            with self.source.open(owner_id, path) as stream:
                hashed = Hashed(stream)
                blobs().write(key, hashed)
            if size and hashed.size != size:
                raise NotReadable(f"it has another size than is listed ({hashed.size} bytes, not {size})")
        except BaseException:
            remove_quietly([key])
            raise
        ArtifactFile.objects.create(
            owner_id=owner_id,
            path=path,
            size=hashed.size,
            sha256=hashed.sha256,
            storage_key=key,
            uploaded_by=self.owner,
        )

    def _miss(self, what: str, owner_id: str, why: str) -> None:
        self.incomplete.add(owner_id)
        self.report.leave(what, f"a file that could not be had: {why}")
