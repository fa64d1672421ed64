"""What is known of a version in tabs, alone or beside the one it is compared with: on its own and the review page.

Only the open tab is worked out. Each tab has a template of its name in templates/evidence/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.http import QueryDict

from core.git_hosts import commit_url, comparison_url
from core.keyset import number_in
from registry.comparison import (
    Changed,
    EvidenceData,
    columns_changed,
    datasets_of,
    differing,
    files_of,
    has_signature,
    pairs,
)
from registry.dependencies import dependencies_of, known_packages, packages_changed
from registry.evidence import is_dirty
from registry.file_tree import file_lines, with_folders
from registry.line_changes import line_changes
from registry.models import ModelVersion
from registry.previews import picture_type, preview_of
from registry.scanning import scan_of
from web.signed_in import SignedInRequest

PAGE_SIZE = 50
LINES = "lines"
MOST_FINDINGS = 50
REPOSITORY_TAG, BRANCH_TAG = "mlflow.source.git.repoURL", "mlflow.source.git.branch"
LABELS = {
    "summary": "Summary",
    "overview": "Overview",
    "metrics": "Metrics",
    "params": "Parameters",
    "signature": "Signature",
    "packages": "Packages",
    "data": "Datasets",
    "code": "Code",
    "files": "Files",
    "tags": "Tags",
    "description": "Description",
}
SHARED = ("params", "signature", "packages", "data", "code", "files", "tags")


@dataclass(frozen=True, slots=True)
class Subject:
    """``known`` is the evidence of the version; ``baseline`` and ``before`` are None where nothing is compared."""

    version: ModelVersion
    known: EvidenceData
    baseline: ModelVersion | None = None
    before: EvidenceData | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address of a page asks to see. ``kept`` is what its links carry on."""

    tab: str
    page: int
    file: str
    shows_lines: bool = False  # of the file, those that differ
    kept: tuple[tuple[str, str], ...] = ()

    def query(self, **changes: object) -> str:
        """Of a link within the tabs; what is empty is left out."""
        fields = {**dict(self.kept), **changes}
        return urlencode({name: value for name, value in fields.items() if value not in ("", None)})


def query_of(request: SignedInRequest) -> Mapping[str, str]:
    """What the address of the page says; after a form that HTMX sent, that of the page it was sent from."""
    current = request.htmx.current_url_abs_path if request.htmx and request.method == "POST" else None
    return QueryDict(urlsplit(current).query) if current else request.GET


def asked_of(query: Mapping[str, str], tabs: Sequence[str], *, kept: Sequence[str] = ()) -> Asked:
    tab = query.get("tab", "")
    return Asked(
        tab=tab if tab in tabs else tabs[0],
        page=number_in(query.get("page", ""), digits=6) or 1,
        file=query.get("file", ""),
        shows_lines=query.get("view") == LINES,
        kept=tuple((name, query[name]) for name in kept if query.get(name)),
    )


def tabbed(subject: Subject, asked: Asked, tabs: Sequence[str], *, url: str, part: str, into: str) -> dict[str, Any]:
    """The tabs and what is in the open one. ``url`` is the page that they are part of, ``part`` answers with the region
    ``into`` alone."""
    panel = _PANELS[asked.tab](subject, asked) if asked.tab in _PANELS else {}
    return {
        "subject": subject,
        "asked": asked,
        "url": url,
        "part": part,
        "into": into,
        "tabs": [
            {"key": tab, "label": LABELS[tab], "count": _COUNTS.get(tab, _nothing)(subject), "active": tab == asked.tab}
            for tab in tabs
        ],
        "template": f"evidence/{asked.tab}.html",
        **panel,
    }


# -- How much there is, or how much of it differs ----------------------------------------------------------------------


def _nothing(subject: Subject) -> int | None:
    return None


def _count(read: Callable[[EvidenceData], Mapping[str, Any]]) -> Callable[[Subject], int]:
    def count(subject: Subject) -> int:
        after = read(subject.known)
        if subject.before is None:
            return len(after)
        return differing(read(subject.before), after)

    return count


def _columns(subject: Subject) -> int:
    changes = [c for part in ("inputs", "outputs") for c in columns_changed(subject.before or {}, subject.known, part)]
    return len(changes) if subject.before is None else sum(change.differs for change in changes)


def _tags(subject: Subject) -> int:
    tags = subject.version.tags
    if subject.baseline is None:
        return len(tags)
    return differing(subject.baseline.tags, tags) + _run_tags(subject)


def _package_count(subject: Subject) -> int | None:
    """From what is kept: to count what nobody has read would read files for whoever looks at another tab."""
    after = known_packages(subject.version)
    if after is None or subject.baseline is None:
        return None if after is None else len(after)
    before = known_packages(subject.baseline)
    return None if before is None else differing(before, after)


_run_tags = _count(lambda known: known.get("tags", {}))
_COUNTS: dict[str, Callable[[Subject], int | None]] = {
    "metrics": _count(lambda known: known.get("metrics", {})),
    "params": _count(lambda known: known.get("params", {})),
    "signature": _columns,
    "packages": _package_count,
    "data": _count(datasets_of),
    "files": _count(files_of),
    "tags": _tags,
}


# -- What is in each ---------------------------------------------------------------------------------------------------


def _page(lines: Sequence[Any], asked: Asked, **more: object) -> dict[str, Any]:
    """Some of the lines, and the queries of the pages beside this one."""
    last = max(1, -(-len(lines) // PAGE_SIZE))
    page = min(max(1, asked.page), last)
    start = (page - 1) * PAGE_SIZE
    return {
        "lines": lines[start : start + PAGE_SIZE],
        "total": len(lines),
        "summary": f"{start + 1}\u2013{min(start + PAGE_SIZE, len(lines))} of {len(lines)}",
        "previous": page - 1 if page > 1 else None,
        "next": page + 1 if page < last else None,
        **more,
    }


def _changed(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Changed]:
    """What differs first, each group by name; without a version before, simply what there is."""
    if before is None:
        return [Changed(name, None, value) for name, value in sorted(after.items())]
    return sorted(pairs(dict(before), dict(after)), key=lambda change: change.kind == "same")


def _before(subject: Subject, key: str) -> dict[str, Any] | None:
    return None if subject.before is None else subject.before.get(key, {})


def _params(subject: Subject, asked: Asked) -> dict[str, Any]:
    return _page(_changed(_before(subject, "params"), subject.known.get("params", {})), asked)


def _metrics(subject: Subject, asked: Asked) -> dict[str, Any]:
    entries = subject.known.get("metrics", {})
    return _page([{"name": name, **entry} for name, entry in sorted(entries.items())], asked)


def _signature(subject: Subject, asked: Asked) -> dict[str, Any]:
    before = subject.before or {}
    parts = [(title, columns_changed(before, subject.known, key)[:300]) for title, key in _SIGNED]
    return {
        "parts": [(title, changes) for title, changes in parts if changes],
        "is_judged": subject.before is not None and has_signature(before) and has_signature(subject.known),
        "breaking": sum(bool(change.breaks) for _, changes in parts for change in changes),
        "lacks": [
            version.version
            for version, known in ((subject.baseline, before), (subject.version, subject.known))
            if version and not has_signature(known)
        ],
    }


_SIGNED = (("Inputs", "inputs"), ("Outputs", "outputs"))


def _packages(subject: Subject, asked: Asked) -> dict[str, Any]:
    compared = [subject.version, *([subject.baseline] if subject.baseline else [])]
    found = dependencies_of(compared)
    problems = [dependencies.problem for dependencies in found if dependencies.problem]
    after, before = found[0].packages, found[1].packages if subject.baseline else None
    unnamed = [
        v.version for v, named in zip(compared, found, strict=True) if named.packages is None and not named.problem
    ]
    if before is None or after is None:
        alone = [Changed(name, None, version) for name, version in (after or {}).items()]
        return _page(alone, asked, problems=problems, unnamed=unnamed, is_compared=False)
    return _page(packages_changed(before, after), asked, problems=problems, unnamed=unnamed, is_compared=True)


def _data(subject: Subject, asked: Asked) -> dict[str, Any]:
    before = None if subject.before is None else datasets_of(subject.before)
    return _page(_changed(before, datasets_of(subject.known)), asked)


def _code(subject: Subject, asked: Asked) -> dict[str, Any]:
    known, before = subject.known, subject.before or {}
    tags, tags_before = known.get("tags", {}), before.get("tags", {})
    address, commit, commit_before = tags.get(REPOSITORY_TAG, ""), known.get("commit", ""), before.get("commit", "")
    is_range = bool(commit and commit_before and commit != commit_before)
    is_one_repository = tags_before.get(REPOSITORY_TAG, "") == address
    facts = [
        Changed(title, read(before) or None, read(known) or None)
        for title, read in _CODE.items()
        if read(known) or read(before)
    ]
    return {
        "commit": commit,
        "commit_before": commit_before,
        "is_range": is_range,
        "commit_url": commit_url(address, commit),
        "range_url": comparison_url(address, commit_before, commit) if is_range and is_one_repository else "",
        "is_dirty": is_dirty(tags),
        "facts": facts,
    }


def _tag(key: str) -> Callable[[EvidenceData], str]:
    return lambda known: known.get("tags", {}).get(key, "")


_CODE: dict[str, Callable[[EvidenceData], str]] = {
    "Branch": _tag(BRANCH_TAG),
    "Repository": _tag(REPOSITORY_TAG),
    "Entry": _tag("mlflow.source.name"),
    "Run": lambda known: (known.get("run") or {}).get("run_name", ""),
    "Flavors": lambda known: ", ".join(known.get("flavors", [])),
}


def _files(subject: Subject, asked: Asked) -> dict[str, Any]:
    after = files_of(subject.known)
    before = None if subject.before is None else files_of(subject.before)
    scan = scan_of(subject.version)
    lines = file_lines(before, after, {file.path: file.verdict for file in scan.files} if scan else {})
    paged = _page(lines, asked)
    baseline = subject.baseline if asked.file in after and asked.file in (before or {}) else None
    differs = baseline is not None and (before or {})[asked.file] != after[asked.file]
    shows_lines = asked.shows_lines and baseline is not None
    gone = bool(asked.file) and asked.file not in after
    owner = subject.baseline if gone and subject.baseline and before and asked.file in before else subject.version
    return {
        **paged,
        "lines": with_folders(paged["lines"]),
        "has_scan": scan is not None,
        "unread": scan.pending if scan else 0,
        "findings": (scan.findings("unsafe") + scan.findings("unread"))[:MOST_FINDINGS] if scan else (),
        "preview": preview_of(owner, asked.file) if asked.file and not shows_lines else None,
        "changed": line_changes(baseline, subject.version, asked.file) if baseline and shows_lines else None,
        "has_lines": differs and not picture_type(asked.file),
        "owner": owner,
        "counts": {kind: sum(line.kind == kind for line in lines) for kind in ("added", "changed", "removed", "same")},
    }


def _tags_of(subject: Subject, asked: Asked) -> dict[str, Any]:
    before = None if subject.baseline is None else subject.baseline.tags
    of_run = _changed(_before(subject, "tags"), subject.known.get("tags", {}))
    return {**_page(of_run, asked), "own": _changed(before, subject.version.tags)}


_PANELS: dict[str, Callable[[Subject, Asked], dict[str, Any]]] = {
    "metrics": _metrics,
    "params": _params,
    "signature": _signature,
    "packages": _packages,
    "data": _data,
    "code": _code,
    "files": _files,
    "tags": _tags_of,
}
