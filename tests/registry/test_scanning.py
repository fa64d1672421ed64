"""Reading the files of versions: by content, once, and again when the reading has learned something."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.core.files.storage import default_storage
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from core import jobs, pickles
from registry import services, tasks
from registry.models import ArtifactFile, FileScan, ModelVersion
from registry.queries import get_known_version
from registry.scanning import scan_of, scans_of
from tests.core.pickles.hostile import by_stack_global
from tests.factories import make_files, make_model, make_run, make_version

GOOD = pickle.dumps(OrderedDict(a=1))
EVIL = by_stack_global(Path("canary"))
BROKEN = GOOD[:-2]


@pytest.fixture(autouse=True)
def _begun_anew(db: None) -> None:
    cache.clear()


def scanned(version: ModelVersion) -> dict[str, str]:
    scan = scan_of(version)
    assert scan is not None
    return {file.path: file.verdict for file in scan.files}


def test_every_file_of_a_version_gets_its_verdict() -> None:
    files = {"MLmodel": b"flavors:\n", "model.pkl": GOOD, "data/x.bin": EVIL, "broken.pkl": BROKEN}
    version = make_version(files=files)
    assert set(scanned(version).values()) == {""}

    tasks.scan_version(version.pk)

    assert scanned(version) == {
        "MLmodel": "plain", "model.pkl": "clean", "data/x.bin": "unsafe", "broken.pkl": "unread",
    }  # fmt: skip
    scan = scan_of(version)
    assert scan is not None
    assert (scan.verdict, scan.pending) == ("unsafe", 0)
    assert scan.findings("unsafe") == (("data/x.bin", "It imports os.system, which may run anything."),)
    assert scan.findings("unread") == (("broken.pkl", "It breaks off."),)


def test_the_same_bytes_are_read_once_however_many_versions_share_them() -> None:
    one, other = make_version(files={"a.pkl": GOOD, "b.pkl": GOOD}), make_version(files={"c.pkl": GOOD})
    tasks.scan_version(one.pk)
    default_storage.delete(ArtifactFile.objects.get(owner_id=other.artifact_owner).storage_key)  # nobody needs it

    assert scanned(other) == {"c.pkl": "clean"}
    assert FileScan.objects.count() == 1


def test_what_is_known_of_the_files_comes_along_with_the_version(
    mira: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    files = {"MLmodel": b"flavors:\n", "model.pkl": GOOD, "again.pkl": GOOD, "x 'é'.bin": EVIL, "broken.pkl": BROKEN}
    read, unread = make_version("churn", user=mira, files=files), make_version("churn", files={"new.bin": b"new"})
    elsewhere = make_version("churn", files={})
    tasks.scan_version(read.pk)
    outdated = {"sha256": ArtifactFile.objects.get(owner_id=unread.artifact_owner).sha256, "verdict": "clean"}
    FileScan.objects.create(**outdated, reader=pickles.READER - 1)
    get_known_version(mira, "churn", read.version, with_scans=True)

    for version in (read, unread, elsewhere):
        with django_assert_num_queries(1):
            found = scan_of(get_known_version(mira, "churn", version.version, with_scans=True))
        assert found == scan_of(version)
    assert scanned(get_known_version(mira, "churn", unread.version, with_scans=True)) == {"new.bin": ""}


def test_a_newer_reading_reads_again() -> None:
    version = make_version(files={"a.pkl": EVIL})
    FileScan.objects.create(
        sha256=ArtifactFile.objects.get(owner_id=version.artifact_owner).sha256,
        verdict="clean",
        reader=pickles.READER - 1,
    )
    assert scanned(version) == {"a.pkl": ""}

    tasks.scan_missed()

    assert scanned(version) == {"a.pkl": "unsafe"}


def test_files_that_lie_elsewhere_are_not_scanned() -> None:
    version = make_version(files={})

    tasks.scan_version(version.pk)

    assert scan_of(version) is None and not FileScan.objects.exists()


def test_files_whose_bytes_are_gone_stay_to_be_read() -> None:
    version = make_version(files={"a.pkl": GOOD, "b.pkl": EVIL})
    default_storage.delete(ArtifactFile.objects.get(path__endswith="/a.pkl").storage_key)

    tasks.scan_version(version.pk)

    assert scanned(version) == {"a.pkl": "", "b.pkl": "unsafe"}


def test_registering_a_version_has_its_files_read_after_the_commit(
    admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr(jobs, "after_commit", lambda *job: sent.append(job))
    run = make_run(user=admin)
    make_files(run.run_id, {"model/model.pkl": GOOD})

    version = services.create_version(
        actor=admin, model=make_model(user=admin), source=f"runs:/{run.run_id}/model", run_id=run.run_id
    )

    assert ("registry.tasks.scan_version", version.pk) in sent


def test_the_sweep_finds_what_no_wake_up_led_to_and_goes_over_nothing_twice() -> None:
    versions = [make_version(files={"a.pkl": pickle.dumps(number)}) for number in range(3)]
    tasks.scan_missed()
    assert [scanned(version) for version in versions] == [{"a.pkl": "clean"}] * 3

    with CaptureQueriesContext(connection) as found:
        tasks.scan_missed()
    assert len(found) == 1

    later = make_version(files={"b.pkl": EVIL})
    tasks.scan_missed()
    assert scanned(later) == {"b.pkl": "unsafe"}


def test_many_versions_are_looked_up_in_one_statement() -> None:
    versions = [make_version(files={"a.pkl": pickle.dumps(number)}) for number in range(5)]

    with CaptureQueriesContext(connection) as found:
        scans_of(versions)

    assert len(found) == 1


def test_a_file_of_several_mebibytes_is_read_from_the_store_bit_by_bit() -> None:
    behind = bytes(3 * 1024 * 1024 + 17) + EVIL
    version = make_version(files={"weights.bin": behind, "model.pkl": pickle.dumps([b"x" * 2_500_000, EVIL]) + EVIL})

    tasks.scan_version(version.pk)

    assert scanned(version) == {"weights.bin": "unsafe", "model.pkl": "unsafe"}
