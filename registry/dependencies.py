"""The packages that a version says it needs, from the files that MLflow logs beside its MLmodel, and how two differ.

They are read from the storage after a version is registered, in bounded size, and kept beside its evidence: in it they
would void the approvals that were given without them. Whoever looks sooner has them read then, each content once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache

from core.blobs import blobs
from core.errors import Unavailable
from registry.evidence import known_of, plain_yaml
from registry.models import ArtifactFile, Evidence, ModelVersion

MOST_BYTES = 256 * 1024
MOST_PACKAGES = 2000
FILES = ("requirements.txt", "conda.yaml", "python_env.yaml")  # where two name a package, the first has the word
UNREADABLE = "The file storage cannot be read now, so the packages are not known. Open this again later."
_READER = 1  # another number reads again what is remembered
_REMEMBERED = 30 * 24 * 3600  # seconds
_PINNED = re.compile(r"={1,3}\s*(\S+)")
_PACKAGE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(.*)")
_RELEASE = re.compile(r"v?(\d{1,9}(?:\.\d{1,9})*)")

Packages = dict[str, str]  # by normalised name the version, or the condition where none is pinned


@dataclass(frozen=True, slots=True)
class Dependencies:
    """``packages`` is None where no file names any; ``problem`` says in a sentence what could not be read."""

    packages: Packages | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PackageChange:
    """``kind`` is added, removed, major, minor, patch, changed (where no release numbers tell) or same."""

    name: str
    before: str | None
    after: str | None
    kind: str


def known_packages(version: ModelVersion) -> Packages | None:
    """Those that are kept; None until somebody has read them, and where no file names any."""
    kept = version.evidence.packages if version.evidence else None
    return kept if kept is None else dict(sorted(kept.items()))


def keep_packages(version: ModelVersion) -> None:
    """Read them, unless they are kept or there are none. Raises Unavailable for a storage that fails."""
    files = _files_of(version)
    if version.evidence is None or version.evidence.packages is not None or not files:
        return
    found = _merged(files, _read([version], frozenset(files)), "")
    if found.packages is not None:
        version.evidence.packages = found.packages
        Evidence.objects.filter(pk=version.evidence.pk).update(packages=found.packages)


def dependencies_of(versions: Sequence[ModelVersion]) -> list[Dependencies]:
    """Of each version, in one statement at most; a storage that fails is told as a problem, never raised."""
    kept = [known_packages(version) for version in versions]
    read = iter(_read_or_remembered([v for v, packages in zip(versions, kept, strict=True) if packages is None]))
    return [next(read) if packages is None else Dependencies(packages) for packages in kept]


def _read_or_remembered(versions: Sequence[ModelVersion]) -> list[Dependencies]:
    wanted = [_files_of(version) for version in versions]
    remembered = remembered_of(versions)
    missing = [name_and_digest for files in wanted for name_and_digest in files if name_and_digest not in remembered]
    problem = ""
    if missing:
        try:
            read = _read(versions, frozenset(missing))
        except Unavailable:
            read, problem = {}, UNREADABLE
        remembered |= read
        if not problem and any(key not in remembered for key in missing):
            problem = "The files that name the packages are not in the storage any more."
    return [_merged(files, remembered, problem) for files in wanted]


def remembered_of(versions: Sequence[ModelVersion]) -> dict[tuple[str, str], Packages]:
    """What is known of their files already, by name and SHA-256."""
    keys = {_key(*file): file for version in versions for file in _files_of(version)}
    return {keys[key]: packages for key, packages in cache.get_many(keys).items()} if keys else {}


def _files_of(version: ModelVersion) -> list[tuple[str, str]]:
    """(name, SHA-256) of those that are small enough to be what they say."""
    listed = {path: (size, sha256) for path, size, sha256 in known_of(version)["files"] if path in FILES}
    return [(name, listed[name][1]) for name in FILES if name in listed and listed[name][0] <= MOST_BYTES]


def _key(name: str, sha256: str) -> str:
    return f"packages:{_READER}:{name}:{sha256}"


def _read(versions: Sequence[ModelVersion], wanted: frozenset[tuple[str, str]]) -> dict[tuple[str, str], Packages]:
    owners = {version.artifact_owner for version in versions if version.artifact_owner}
    folders = {version.artifact_folder for version in versions}  # two versions of one run lie in folders of their own
    paths = {f"{folder}/{name}" if folder else name for folder in folders for name, _ in wanted}
    found: dict[tuple[str, str], Packages] = {}
    for row in ArtifactFile.objects.filter(owner_id__in=owners, path__in=paths):
        file = (row.path.rsplit("/", 1)[-1], row.sha256)
        if file not in wanted or file in found:
            continue
        try:
            with closing(blobs().read(row.storage_key, length=MOST_BYTES)) as stream:
                found[file] = packages_in(file[0], b"".join(stream))
        except FileNotFoundError:
            continue
    cache.set_many({_key(*file): packages for file, packages in found.items()}, timeout=_REMEMBERED)
    return found


def _merged(files: list[tuple[str, str]], read: dict[tuple[str, str], Packages], problem: str) -> Dependencies:
    if not files:
        return Dependencies(None)
    if any(file not in read for file in files):
        return Dependencies(None, problem)
    packages: Packages = {}
    for file in reversed(files):
        packages |= read[file]
    return Dependencies(dict(sorted(packages.items())))


# -- What the files say ------------------------------------------------------------------------------------------------


def packages_in(name: str, content: bytes) -> Packages:
    """From one of ``FILES``, read as text: what is no requirement is passed over."""
    if name == "requirements.txt":
        return _packages(content.decode("utf-8", "replace").splitlines())
    document = plain_yaml(content)
    if not isinstance(document, dict):
        return {}
    if name == "python_env.yaml":
        return {"python": document["python"]} if isinstance(document.get("python"), str) else {}
    listed = _list(document.get("dependencies"))
    by_pip = [line for entry in listed if isinstance(entry, dict) for line in _list(entry.get("pip"))]
    return _packages([*listed, *by_pip])


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def _packages(lines: list[Any]) -> Packages:
    found: Packages = {}
    for line in lines[: 4 * MOST_PACKAGES]:
        text = line.partition("#")[0].partition(";")[0].strip() if isinstance(line, str) else ""
        match = _PACKAGE.fullmatch(text.replace("\x00", "")[:500])
        if match is None or len(found) >= MOST_PACKAGES:
            continue
        pinned = _PINNED.fullmatch(match[2])
        found[re.sub(r"[-_.]+", "-", match[1]).lower()] = pinned[1] if pinned else match[2] or "any"
    return found


def packages_changed(before: Packages, after: Packages) -> tuple[PackageChange, ...]:
    """What differs first, the greatest step on top; each group by name."""
    pairs = [(name, before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys())]
    changes = [PackageChange(name, old, new, _kind(old, new)) for name, old, new in pairs]
    return tuple(sorted(changes, key=lambda change: _ORDER.index(change.kind)))


_ORDER = ("removed", "added", "major", "changed", "minor", "patch", "same")


def _kind(before: str | None, after: str | None) -> str:
    if before == after:
        return "same"
    if before is None or after is None:
        return "added" if before is None else "removed"
    old, new = _RELEASE.match(before), _RELEASE.match(after)
    if old is None or new is None:
        return "changed"
    one, two = (tuple(map(int, f"{found[1]}.0.0".split(".")[:3])) for found in (old, new))
    place = next((at for at in range(3) if one[at] != two[at]), 2)
    return ("major", "minor", "patch")[place]
