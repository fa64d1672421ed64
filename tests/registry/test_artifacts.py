"""Files: hashed while they stream, whole or not at all, frozen once registered, and never outside their owner."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from accounts.models import User
from core.blobs import CHUNK
from core.errors import Conflict, Invalid, NotFound, NotPermitted
from registry import artifacts
from registry.artifacts import Entry, Place, clean_path, parse_path
from registry.models import ArtifactFile, ModelVersion
from tests.factories import make_files, make_logged_model, make_run, make_user, make_version
from tracking.models import Lifecycle, Run

pytestmark = pytest.mark.django_db
RUN, MODEL = "a" * 32, "m-" + "b" * 32


@pytest.fixture
def mira(db: None) -> User:
    return make_user("mira")


@pytest.fixture
def run(mira: User) -> Run:
    return make_run(user=mira)


@pytest.fixture(autouse=True)
def blobs(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """A storage of this test's own."""
    storages = {**settings.STORAGES}
    storages["default"] = {
        "BACKEND": "core.blobs.local.LocalBlobs",
        "OPTIONS": {"location": str(tmp_path)},
    }
    settings.STORAGES = storages
    return tmp_path


def stored(folder: Path) -> list[bytes]:
    """The contents of all blobs."""
    return sorted(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def put(actor: User, owner: str, path: str, content: bytes = b"bytes", *, length: int | None = -1) -> ArtifactFile:
    length = len(content) if length == -1 else length
    return artifacts.store(actor=actor, place=Place(owner, path), stream=io.BytesIO(content), length=length)


def content_of(file: ArtifactFile) -> bytes:
    return b"".join(artifacts.open_file(file))


# -- Paths -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (f"0/{RUN}/artifacts/model/MLmodel", Place(RUN, "model/MLmodel")),
        (f"12/{RUN}/artifacts", Place(RUN, "")),
        (f"0/models/{MODEL}/artifacts/a b/ü.txt", Place(MODEL, "a b/ü.txt")),
        (f"0/{RUN}/artifacts/a%b", Place(RUN, "a%b")),
        (f"0/{RUN}/artifacts/images/dog%step%100%0a5c", Place(RUN, "images/dog%step%100%0a5c")),
        (f"0/{RUN}/artifacts/images/dog%5c%00.png", Place(RUN, "images/dog%5c%00.png")),
        (f"0/{RUN}/artifacts/..a/b..c/...", Place(RUN, "..a/b..c/...")),
        (f"0/{RUN}/artifacts/what?.txt", Place(RUN, "what?.txt")),
    ],
)
def test_a_path_leads_to_its_owner(path: str, place: Place) -> None:
    assert parse_path(path) == place


HOSTILE = [
    "..",
    "../x",
    "a/..",
    "a/../b",
    "/etc/passwd",
    "//etc/passwd",
    "a//b",
    "a/./b",
    "./a",
    "a/",
    ".",
    "\\..\\x",
    "a\\b",
    "C:/x",
    "c:x",
    "C:\\x",
    "file:///etc/passwd",
    "FILE:x",
    "a#b",
    "#../x",
    "a\x00b",
    "a\nb",
    "a\x7fb",
    "%2e%2e/x",
    "%2e%2e%2fx",
    "..%2fx",
    "a%2f..%2fb",
    "%252e%252e%252fx",
    "%25252e%25252e/x",
    "%2fetc",
    "a%2f%2fb",
    "a%5c..%5cb",
    "%5cetc",
    "a%2523b",
    "%43:x",
    "file%3ax",
    "%" + "25" * 30 + "2e",
    "x" * 1001,
]


@pytest.mark.parametrize("path", HOSTILE)
def test_a_path_that_could_mean_another_place_is_refused(path: str) -> None:
    with pytest.raises(Invalid):
        clean_path(path)
    with pytest.raises(Invalid):
        parse_path(f"0/{RUN}/artifacts/{path}")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "0",
        f"0/{RUN}",
        f"0/{RUN}/other/x",
        f"x/{RUN}/artifacts/x",
        f"0/{RUN[:-1]}/artifacts/x",
        f"0/{RUN.upper()}/artifacts/x",
        f"0/models/{MODEL}/x",
        f"0/models/{RUN}/artifacts/x",
        f"0/{MODEL}/artifacts/x",
        "etc/passwd",
        f"²/{RUN}/artifacts",
    ],
)
def test_a_path_outside_runs_and_models_is_refused(path: str) -> None:
    with pytest.raises(Invalid):
        parse_path(path)


# -- Up and down -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, 3 * CHUNK + 7])
def test_a_file_comes_back_as_it_went_with_its_digest(mira: User, run: Run, blobs: Path, size: int) -> None:
    content = bytes(n % 251 for n in range(size))

    put(mira, run.run_id, "model/model.pkl", content)

    file = artifacts.get_file(Place(run.run_id, "model/model.pkl"))
    assert (file.size, file.sha256, file.uploaded_by) == (size, hashlib.sha256(content).hexdigest(), mira)
    assert content_of(file) == content
    assert "model.pkl" not in file.storage_key and run.run_id not in file.storage_key


def test_memory_holds_one_chunk_at_a_time(mira: User, run: Run) -> None:
    class Endless:
        left, largest = 20 * CHUNK, 0

        def read(self, size: int, /) -> bytes:
            self.largest = max(self.largest, size)
            taken = min(size, self.left)
            self.left -= taken
            return b"x" * taken

    stream = Endless()
    file = artifacts.store(actor=mira, place=Place(run.run_id, "big"), stream=stream, length=20 * CHUNK)

    assert (file.size, stream.largest) == (20 * CHUNK, CHUNK)
    assert max(len(chunk) for chunk in artifacts.open_file(file)) == CHUNK


def test_a_new_upload_replaces_the_old(
    mira: User, run: Run, blobs: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        put(mira, run.run_id, "a.txt", b"old")
        put(mira, run.run_id, "a.txt", b"new and longer")

    assert ArtifactFile.objects.get().size == 14
    assert stored(blobs) == [b"new and longer"]


@pytest.mark.parametrize("length", [4, 6, 0])
def test_a_broken_upload_leaves_nothing(mira: User, run: Run, blobs: Path, length: int) -> None:
    put(mira, run.run_id, "a.txt", b"old")

    with pytest.raises(Invalid, match="broke off"):
        put(mira, run.run_id, "a.txt", b"12345", length=length)

    assert content_of(artifacts.get_file(Place(run.run_id, "a.txt"))) == b"old"
    assert stored(blobs) == [b"old"]


def test_a_stream_that_fails_leaves_nothing(mira: User, run: Run, blobs: Path) -> None:
    class Failing:
        reads = 0

        def read(self, size: int, /) -> bytes:
            self.reads += 1
            if self.reads > 2:
                raise ConnectionResetError
            return b"x" * size

    with pytest.raises(ConnectionResetError):
        artifacts.store(actor=mira, place=Place(run.run_id, "a"), stream=Failing(), length=None)

    assert stored(blobs) == [] and not ArtifactFile.objects.exists()


def test_a_name_is_a_file_or_a_folder(mira: User, run: Run, blobs: Path) -> None:
    put(mira, run.run_id, "d/file")

    for path in ("d/file/below", "d/file/far/below", "d"):
        with pytest.raises(Invalid, match="Invalid path"):
            put(mira, run.run_id, path)
    with pytest.raises(Invalid, match="is a folder"):
        artifacts.get_file(Place(run.run_id, "d"))
    for absent in ("D", "d/FILE", "x", "d/fil"):
        with pytest.raises(NotFound, match="No such artifact"):
            artifacts.get_file(Place(run.run_id, absent))
    assert len(stored(blobs)) == 1


def test_bytes_that_are_gone_are_not_found(mira: User, run: Run) -> None:
    file = put(mira, run.run_id, "a.txt")
    default_storage.delete(file.storage_key)

    with pytest.raises(NotFound):
        artifacts.open_file(file)


# -- Listing -----------------------------------------------------------------------------------------------------------


def test_a_folder_is_listed_by_name(mira: User, run: Run) -> None:
    for path in ("b.txt", "a/one", "a/deep/two", "A", "a.txt", "a_b/x", "aXb/x", "a%/x", "empty"):
        put(mira, run.run_id, path, b"" if path == "empty" else b"12")

    def listed(path: str) -> list[Entry]:
        return artifacts.list_folder(Place(run.run_id, path))

    assert [entry.name for entry in listed("")] == ["A", "a", "a%", "a.txt", "aXb", "a_b", "b.txt", "empty"]
    assert listed("a") == [Entry("deep", is_dir=True), Entry("one", is_dir=False, size=2)]
    assert listed("a/deep") == [Entry("two", is_dir=False, size=2)]
    assert listed("a_b") == listed("a%") == [Entry("x", is_dir=False, size=2)]
    assert listed("A") == listed("absent") == listed("b.txt") == listed("a/dee") == []


def test_a_listing_is_one_statement(mira: User, run: Run) -> None:
    make_files(run.run_id, {f"a/{number}/x": b"" for number in range(50)})

    with CaptureQueriesContext(connection) as captured:
        assert len(artifacts.list_folder(Place(run.run_id, "a"))) == 50

    assert len(captured) == 1


# -- Deleting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("a", ["A/x", "a.txt", "ab/x"]),
        ("a.txt", ["A/x", "a/b/c", "a/x", "ab/x"]),
        ("", []),
        ("absent", None),
        ("a/b", ["A/x", "a.txt", "a/x", "ab/x"]),
    ],
)
def test_deleting_takes_a_file_or_a_folder_with_all_in_it(
    mira: User,
    run: Run,
    blobs: Path,
    path: str,
    left: list[str] | None,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    paths = ["A/x", "a.txt", "a/b/c", "a/x", "ab/x"]
    for each in paths:
        put(mira, run.run_id, each)

    with django_capture_on_commit_callbacks(execute=True):
        artifacts.delete_path(actor=mira, place=Place(run.run_id, path))

    rows = sorted(ArtifactFile.objects.values_list("path", flat=True))
    assert rows == sorted(paths if left is None else left)
    assert len(stored(blobs)) == len(rows)


# -- Who may, and when -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["run", "logged model"])
def test_only_its_maker_and_administrators_write_files(mira: User, run: Run, blobs: Path, kind: str) -> None:
    owner = run.run_id if kind == "run" else make_logged_model(run).model_id
    sam, admin = make_user("sam"), make_user("admin", is_superuser=True)
    bot = make_user("bot", is_service=True, owner=mira)
    put(mira, owner, "a.txt")

    for act in (
        lambda: put(sam, owner, "b.txt"),
        lambda: artifacts.delete_path(actor=sam, place=Place(owner, "a.txt")),
    ):
        with pytest.raises(NotPermitted, match="mira"):
            act()
    put(bot, owner, "c.txt")
    put(admin, owner, "d.txt")

    assert sorted(ArtifactFile.objects.values_list("path", flat=True)) == ["a.txt", "c.txt", "d.txt"]
    assert len(stored(blobs)) == 3


@pytest.mark.parametrize("owner", [RUN, MODEL])
def test_files_belong_to_something(mira: User, blobs: Path, owner: str) -> None:
    with pytest.raises(NotFound):
        put(mira, owner, "a.txt")

    assert stored(blobs) == []


def test_a_deleted_run_takes_no_files(mira: User, run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(lifecycle_stage=Lifecycle.DELETED)

    with pytest.raises(Invalid, match="must be in the 'active' state"):
        put(mira, run.run_id, "a.txt")


def test_files_of_a_version_are_frozen_and_no_others(mira: User, run: Run, blobs: Path) -> None:
    for path in ("model/MLmodel", "model2/MLmodel", "plot.png"):
        put(mira, run.run_id, path)
    version = make_version(run=run, files={})
    ModelVersion.objects.filter(pk=version.pk).update(artifact_owner=run.run_id, artifact_folder="model")
    before = stored(blobs)

    for path in ("model/MLmodel", "model/new", "model/deep/new", "model"):
        with pytest.raises(Conflict, match="version 1 of"):
            put(mira, run.run_id, path, b"other")
    for path in ("model/MLmodel", "model/absent", "model", ""):
        with pytest.raises(Conflict):
            artifacts.delete_path(actor=mira, place=Place(run.run_id, path))
    assert stored(blobs) == before

    put(mira, run.run_id, "model2/MLmodel", b"other")
    put(mira, run.run_id, "Model/MLmodel", b"other")
    artifacts.delete_path(actor=mira, place=Place(run.run_id, "plot.png"))


def test_a_version_of_a_whole_logged_model_freezes_all_of_it(mira: User, run: Run) -> None:
    model = make_logged_model(run)
    put(mira, model.model_id, "MLmodel")
    version = make_version(run=run, files={})
    ModelVersion.objects.filter(pk=version.pk).update(artifact_owner=model.model_id, artifact_folder="")

    for path in ("MLmodel", "new", "deep/new"):
        with pytest.raises(Conflict):
            put(mira, model.model_id, path)


def test_files_thaw_when_their_last_version_is_deleted(mira: User, run: Run) -> None:
    put(mira, run.run_id, "model/MLmodel")
    versions = [make_version(run=run, files={}) for _ in range(2)]
    rows = ModelVersion.objects.filter(pk__in=[version.pk for version in versions])
    rows.update(artifact_owner=run.run_id, artifact_folder="model")

    rows.filter(pk=versions[0].pk).update(deleted_at="2026-01-01T00:00Z")
    with pytest.raises(Conflict):
        put(mira, run.run_id, "model/MLmodel")

    rows.update(deleted_at="2026-01-01T00:00Z")
    put(mira, run.run_id, "model/MLmodel")


def test_an_upload_that_is_overtaken_by_a_registration_changes_nothing(mira: User, run: Run, blobs: Path) -> None:
    put(mira, run.run_id, "model/MLmodel", b"registered")

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            version = make_version(run=run, files={})
            ModelVersion.objects.filter(pk=version.pk).update(artifact_owner=run.run_id, artifact_folder="model")
            return super().read(size)

    with pytest.raises(Conflict):
        artifacts.store(actor=mira, place=Place(run.run_id, "model/MLmodel"), stream=Slow(b"late"), length=4)

    assert stored(blobs) == [b"registered"]
