"""A store that fails, and what is left behind: neither a row nor, after the sweep, bytes."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import pytest
from django.db import OperationalError, models
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from accounts.models import User
from core.blobs import blobs
from core.blobs.local import LocalBlobs
from core.errors import Invalid, StorageFull, Unavailable
from registry import artifacts
from registry.artifacts import Place, files, sweep
from registry.models import ArtifactFile
from registry.tasks import sweep_storage
from tests.factories import make_run, make_user
from tracking.models import Run

pytestmark = pytest.mark.django_db
DAY = 24 * 3600


@pytest.fixture
def mira(db: None) -> User:
    return make_user("mira")


@pytest.fixture
def run(mira: User) -> Run:
    return make_run(user=mira)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Settings) -> Path:
    storage = {"BACKEND": "core.blobs.local.LocalBlobs", "OPTIONS": {"location": str(tmp_path)}}
    settings.STORAGES = {**settings.STORAGES, "default": storage}
    return tmp_path


def put(actor: User, run: Run, path: str = "a", content: bytes = b"bytes") -> ArtifactFile:
    place = Place(run.run_id, path)
    return artifacts.store(actor=actor, place=place, stream=io.BytesIO(content), length=len(content))


def orphan(folder: Path, key: str, *, age: float) -> Path:
    """Bytes without a row."""
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"left behind")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def stored(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


@pytest.mark.parametrize("error", [StorageFull("full"), Unavailable("down"), KeyboardInterrupt()])
def test_an_upload_that_the_store_fails_leaves_nothing(
    mira: User, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    put(mira, run, content=b"old")

    def fail(descriptor: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(type(error)):
        put(mira, run, content=b"new")

    assert ArtifactFile.objects.get().size == 3
    assert stored(folder) == 1


def test_a_store_that_does_not_remove_fails_no_upload(
    mira: User,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    def fail(self: LocalBlobs, keys: object) -> None:
        raise Unavailable("down")

    monkeypatch.setattr(LocalBlobs, "remove", fail)

    with django_capture_on_commit_callbacks(execute=True):
        put(mira, run, content=b"old")
        put(mira, run, content=b"newer")
        artifacts.delete_path(actor=mira, place=Place(run.run_id, ""))
    with pytest.raises(Invalid, match="broke off"):
        artifacts.store(actor=mira, place=Place(run.run_id, "b"), stream=io.BytesIO(b"1"), length=2)

    assert not ArtifactFile.objects.exists()


def test_bytes_are_kept_when_nobody_knows_whether_their_row_was_committed(
    mira: User, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is lost at the commit: the row may be there."""

    def lost(*args: object, **options: object) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(models.QuerySet, "update_or_create", lost)

    with pytest.raises(OperationalError):
        put(mira, run)

    assert stored(folder) == 1


def test_an_upload_that_never_ends_is_ended(
    mira: User, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LONGEST_UPLOAD", -1.0)

    with pytest.raises(Invalid, match="takes at most"):
        put(mira, run)

    assert stored(folder) == 0


# -- The sweep ---------------------------------------------------------------------------------------------------------


def test_bytes_without_a_row_go_after_a_day(mira: User, run: Run, folder: Path) -> None:
    kept = put(mira, run)
    os.utime(folder / kept.storage_key, (0, 0))
    young = orphan(folder, "aa/" + "a" * 32, age=DAY - 60)
    old = orphan(folder, "bb/" + "b" * 32, age=DAY + 60)

    assert sweep.remove_orphans() == 1

    assert not old.exists() and young.exists()
    assert b"".join(artifacts.open_file(kept)) == b"bytes"


def test_an_upload_ends_long_before_its_bytes_count_as_left_behind() -> None:
    assert files.LONGEST_UPLOAD * 2 <= sweep.ORPHAN_SECONDS


@pytest.mark.parametrize("key", ["notes.txt", "aa/notes", "backup/" + "a" * 32, "aa/" + "A" * 32])
def test_what_is_not_ours_stays(folder: Path, key: str) -> None:
    other = orphan(folder, key, age=9 * DAY)

    assert sweep.remove_orphans() == 0
    assert other.exists()


def test_many_orphans_go_in_pages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "AT_ONCE", 3)
    for number in range(10):
        orphan(folder, f"aa/{number:032x}", age=2 * DAY)

    assert sweep.remove_orphans() == 10
    assert stored(folder) == 0


def test_the_task_sweeps_and_waits_for_a_store_that_is_down(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = orphan(folder, "aa/" + "a" * 32, age=2 * DAY)

    with monkeypatch.context() as down:
        down.setattr(type(blobs()), "pages", _unavailable)
        sweep_storage()
    assert left.exists()

    sweep_storage()
    assert not left.exists()


def _unavailable(self: object) -> None:
    raise Unavailable("down")
