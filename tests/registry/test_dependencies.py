"""The packages of a version: read from its own files, in bounded size, each content once."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from pytest_django import DjangoAssertNumQueries

from core.errors import Unavailable
from registry import evidence, tasks
from registry.dependencies import (
    MOST_BYTES,
    MOST_PACKAGES,
    UNREADABLE,
    dependencies_of,
    keep_packages,
    known_packages,
    packages_changed,
    packages_in,
    remembered_of,
)
from registry.models import ArtifactFile, ModelVersion
from tests.factories import make_run, make_version
from tracking.models import Run

CONDA = b"""\
dependencies:
- python=3.11.4
- pip<=23
- pip: [mlflow==3.6.0, "scikit-learn==1.4.0"]
name: mlflow-env
"""


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("mlflow==3.6.0", {"mlflow": "3.6.0"}),
        ("Scikit_Learn[alldeps] == 1.7.2 ; python_version > '3.9'", {"scikit-learn": "1.7.2"}),
        ("numpy<3,>=2  # pinned by hand", {"numpy": "<3,>=2"}),
        ("numpy", {"numpy": "any"}),
        ("wheels @ https://host/w-1.0.whl", {"wheels": "@ https://host/w-1.0.whl"}),
        ("-r other.txt", {}),
        ("--hash=sha256:00", {}),
        ("# nothing", {}),
        ("\x00numpy==1", {"numpy": "1"}),
        ("\xff\xfe", {}),
    ],
)
def test_a_line_of_requirements(line: str, found: dict[str, str]) -> None:
    assert packages_in("requirements.txt", line.encode("utf-8", "surrogateescape")) == found


def test_what_conda_and_python_say() -> None:
    assert packages_in("conda.yaml", CONDA) == {
        "python": "3.11.4", "pip": "<=23", "mlflow": "3.6.0", "scikit-learn": "1.4.0",
    }  # fmt: skip
    assert packages_in("python_env.yaml", b"python: 3.11.4\nbuild_dependencies: [pip==23]") == {"python": "3.11.4"}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"- a", b"dependencies: 5", b"dependencies: [[a]]", b"dependencies: [{pip: {a: b}}]", b"python: [1]"],
)
def test_what_is_no_such_file_names_nothing(content: bytes) -> None:
    assert packages_in("conda.yaml", content) in ({}, {"a": "any"}) and packages_in("python_env.yaml", content) == {}


def test_very_many_packages_are_cut() -> None:
    content = "\n".join(f"p{number}==1" for number in range(5 * MOST_PACKAGES)).encode()

    assert len(packages_in("requirements.txt", content)) == MOST_PACKAGES


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("1.2.3", "2.0", "major"), ("1.2.3", "1.3.0", "minor"), ("1.2.3", "1.2.4", "patch"),
        ("1.2", "1.2.0.post1", "patch"),
        ("2.0", "1.9", "major"), ("1.2.3", "1.2.3", "same"), ("<2", "<3", "changed"), ("any", "1.0", "changed"),
        (None, "1.0", "added"), ("1.0", None, "removed"), ("9" * 20, "1", "major"),
    ],
)  # fmt: skip
def test_how_far_two_releases_are_apart(before: str | None, after: str | None, kind: str) -> None:
    [change] = packages_changed(*({"numpy": version} if version else {} for version in (before, after)))

    assert (change.kind, change.before, change.after) == (kind, before, after)


def test_what_changes_most_comes_first() -> None:
    before = {"a": "1.0.0", "b": "1.0.0", "c": "1.0.0", "d": "1.0.0"}
    after = {"a": "1.0.0", "b": "1.0.1", "c": "2.0.0", "e": "1"}

    assert [(c.name, c.kind) for c in packages_changed(before, after)] == [
        ("d", "removed"), ("e", "added"), ("c", "major"), ("b", "patch"), ("a", "same"),
    ]  # fmt: skip


# -- From the storage --------------------------------------------------------------------------------------------------


def files(requirements: bytes) -> dict[str, bytes]:
    return {"MLmodel": b"", "requirements.txt": requirements, "conda.yaml": CONDA, "code/requirements.txt": b"other==1"}


@pytest.mark.django_db
def test_the_plainest_file_has_the_word_and_the_others_add() -> None:
    [found] = dependencies_of([make_version(files=files(b"scikit-learn==1.7.2\n"))])

    assert found.packages == {"mlflow": "3.6.0", "pip": "<=23", "python": "3.11.4", "scikit-learn": "1.7.2"}


@pytest.mark.django_db
def test_each_content_is_read_once(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    versions = [make_version("churn", files=files(b"numpy==1.0")), make_version("churn", files=files(b"numpy==2.0"))]

    with django_assert_num_queries(1):
        first = dependencies_of(versions)
    with django_assert_num_queries(0):
        again = dependencies_of(versions)

    assert first == again and len(remembered_of(versions)) == 3


@pytest.mark.django_db
def test_no_file_says_nothing() -> None:
    elsewhere = make_version(files={})

    assert [found.packages for found in dependencies_of([make_version(), elsewhere])] == [None, None]


@pytest.mark.django_db
def test_a_file_too_large_to_be_one_is_left_alone() -> None:
    [found] = dependencies_of([make_version(files={"requirements.txt": b"a" * (MOST_BYTES + 1)})])

    assert (found.packages, found.problem) == (None, "")


@pytest.mark.django_db
def test_bytes_that_are_gone_are_a_sentence() -> None:
    version = make_version(files={"requirements.txt": b"numpy==1.0"})
    default_storage.delete(ArtifactFile.objects.get().storage_key)

    [found] = dependencies_of([version])

    assert found.packages is None and "not in the storage any more" in found.problem


@pytest.mark.django_db
def test_a_storage_that_fails_is_a_sentence_and_is_asked_again() -> None:
    version = make_version(files={"requirements.txt": b"numpy==1.0"})
    place = Path(default_storage.path(ArtifactFile.objects.get().storage_key))
    place.unlink()
    place.mkdir()  # a folder cannot be read as a file

    [broken] = dependencies_of([version])
    place.rmdir()
    place.write_bytes(b"numpy==1.0")
    [mended] = dependencies_of([version])

    assert (broken.packages, broken.problem) == (None, UNREADABLE)
    assert mended.packages == {"numpy": "1.0"}


@pytest.mark.django_db
def test_two_versions_of_one_run_have_their_own_files() -> None:
    run = make_run()
    versions = [
        make_version("churn", run=run, files={"requirements.txt": f"numpy=={number}".encode()}) for number in (1, 2)
    ]

    assert [found.packages for found in dependencies_of(versions)] == [{"numpy": "1"}, {"numpy": "2"}]


# -- Kept beside the evidence ------------------------------------------------------------------------------------------


def again(version: ModelVersion) -> ModelVersion:
    return ModelVersion.objects.select_related("evidence").get(pk=version.pk)


@pytest.mark.django_db
def test_after_a_version_is_registered_its_packages_are_kept_and_no_file_is_read_again(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    version = make_version(files=files(b"scikit-learn==1.7.2"))
    digest = version.evidence.digest  # type: ignore[union-attr]
    tasks.scan_version(version.pk)
    for file in ArtifactFile.objects.all():
        default_storage.delete(file.storage_key)

    kept = again(version)
    with django_assert_num_queries(0):
        [found] = dependencies_of([kept])

    assert found.packages == {"mlflow": "3.6.0", "pip": "<=23", "python": "3.11.4", "scikit-learn": "1.7.2"}
    assert kept.evidence is not None and kept.evidence.digest == digest


@pytest.mark.django_db
def test_new_evidence_over_the_same_files_keeps_them() -> None:
    version = make_version(files={"requirements.txt": b"numpy==1.0"})
    tasks.scan_version(version.pk)
    Run.objects.filter(pk=version.run_id).update(params={"depth": "9"})

    refreshed = evidence.refresh(again(version))

    assert refreshed.pk != version.evidence_id and refreshed.packages == {"numpy": "1.0"}


@pytest.mark.django_db
def test_the_sweep_keeps_what_no_wake_up_did() -> None:
    version = make_version(files={"requirements.txt": b"numpy==1.0"})
    assert known_packages(again(version)) is None

    tasks.scan_missed()

    assert known_packages(again(version)) == {"numpy": "1.0"}


@pytest.mark.django_db
def test_a_storage_that_fails_keeps_nothing_and_is_asked_again() -> None:
    version = make_version(files={"requirements.txt": b"numpy==1.0"})
    place = Path(default_storage.path(ArtifactFile.objects.get().storage_key))
    place.unlink()
    place.mkdir()
    with pytest.raises(Unavailable):
        keep_packages(again(version))
    place.rmdir()
    keep_packages(again(version))
    assert known_packages(again(version)) is None
    place.write_bytes(b"numpy==1.0")

    keep_packages(again(version))

    assert known_packages(again(version)) == {"numpy": "1.0"}


@pytest.mark.django_db
def test_a_version_without_such_files_has_nothing_to_keep(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    version = again(make_version())

    with django_assert_num_queries(0):
        keep_packages(version)
