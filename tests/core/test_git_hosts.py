"""Where commits are seen on known hosts, and that nothing else becomes a link."""

from __future__ import annotations

import pytest

from core.git_hosts import commit_url, comparison_url, repository

A, B = "a" * 40, "b" * 40


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://github.com/acme/churn", "https://github.com/acme/churn"),
        ("https://github.com/acme/churn.git", "https://github.com/acme/churn"),
        ("https://bot:secret@github.com/acme/churn.git", "https://github.com/acme/churn"),
        ("git@github.com:acme/churn.git", "https://github.com/acme/churn"),
        ("ssh://git@gitlab.com/acme/ml/churn.git", "https://gitlab.com/acme/ml/churn"),
        ("http://github.com/acme/churn", ""),
        ("https://github.com.evil.example/acme/churn", ""),
        ("https://evil.example/github.com/acme", ""),
        ("https://github.com/acme/../../logout", ""),
        ("https://github.com/acme", ""),
        ("https://github.com/acme/churn?x=1", ""),
        ('https://github.com/acme/churn"onclick="x', ""),
        ("javascript:alert(1)//github.com/a/b", ""),
        ("https://github.com/" + "a/" * 400 + "b", ""),
        ("", ""),
    ],
)
def test_only_known_hosts_are_led_to(url: str, found: str) -> None:
    assert repository(url) == found


@pytest.mark.parametrize(
    ("host", "range_path", "commit_path"),
    [
        ("github.com", f"compare/{A}...{B}", f"commit/{A}"),
        ("gitlab.com", f"-/compare/{A}...{B}", f"-/commit/{A}"),
        ("codeberg.org", f"compare/{A}...{B}", f"commit/{A}"),
        ("bitbucket.org", f"branches/compare/{B}..{A}", f"commits/{A}"),
    ],
)
def test_each_host_writes_a_range_its_own_way(host: str, range_path: str, commit_path: str) -> None:
    url = f"https://{host}/acme/churn"

    assert comparison_url(url, A, B) == f"{url}/{range_path}"
    assert commit_url(url, A) == f"{url}/{commit_path}"


@pytest.mark.parametrize("commit", ["", "main", "../../x", "A" * 40, "a" * 65, "a" * 6])
def test_what_is_no_commit_is_no_link(commit: str) -> None:
    assert commit_url("https://github.com/acme/churn", commit) == ""
    assert comparison_url("https://github.com/acme/churn", A, commit) == ""
