"""Where commits are seen on the code hosts whose addresses are known. Pure: nothing here asks anybody."""

from __future__ import annotations

import re

# How each host writes a comparison of two commits after the address of a repository.
_COMPARISONS = {
    "github.com": "compare/{before}...{after}",
    "gitlab.com": "-/compare/{before}...{after}",
    "codeberg.org": "compare/{before}...{after}",
    "bitbucket.org": "branches/compare/{after}..{before}",
}
_COMMITS = {"gitlab.com": "-/commit/{commit}", "bitbucket.org": "commits/{commit}"}
_ADDRESS = re.compile(
    r"(?:https://(?:[^/@\s]*@)?|ssh://git@|git@)(?P<host>[a-z.]+)[/:](?P<path>[\w.-]+(?:/[\w.-]+)+)/?", re.ASCII
)
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def repository(url: str) -> str:
    """The https address of a repository on a known host, without user or password; else empty."""
    match = _ADDRESS.fullmatch(url.strip()) if len(url) <= 500 else None
    if match is None or match["host"] not in _COMPARISONS or ".." in match["path"]:
        return ""
    return f"https://{match['host']}/{match['path'].removesuffix('.git')}"


def commit_url(url: str, commit: str) -> str:
    """The page of a commit; empty where the host is not known or this is no commit."""
    address = repository(url)
    if not address or not _COMMIT.fullmatch(commit):
        return ""
    return f"{address}/{_COMMITS.get(_host(address), 'commit/{commit}').format(commit=commit)}"


def comparison_url(url: str, before: str, after: str) -> str:
    """The page that shows what changed from one commit to another; empty likewise."""
    address = repository(url)
    if not address or not (_COMMIT.fullmatch(before) and _COMMIT.fullmatch(after)):
        return ""
    return f"{address}/{_COMPARISONS[_host(address)].format(before=before, after=after)}"


def _host(address: str) -> str:
    return address.split("/")[2]
