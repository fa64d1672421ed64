"""Evidence: what is kept of a run and its files, and when it counts as new."""

from __future__ import annotations

import time

import pytest
from django.db import transaction

from accounts.models import User
from core.digests import sha256_json
from registry import evidence, services
from registry.models import ArtifactFile, Evidence, ModelVersion
from tests.factories import make_files, make_logged_model, make_model, make_run, make_version
from tracking.models import Run, RunDataset
from tracking.services import runs

pytestmark = pytest.mark.django_db

MLMODEL = b"""
artifact_path: model
flavors:
  python_function: {loader_module: mlflow.sklearn}
  sklearn: {pickled_model: model.skops}
signature:
  inputs: '[{"name": "tenure", "type": "long"}]'
  outputs: '[{"type": "double"}]'
  params: null
"""


def test_a_snapshot_holds_what_a_reviewer_asks_about() -> None:
    run = make_run(
        metrics={"accuracy": 0.9, "loss": 0.1},
        params={"depth": "3"},
        tags={"mlflow.source.git.commit": "abc", "team": "risk"},
    )
    RunDataset.objects.create(
        run=run, name="train", digest="d1", source_type="local", tags={"mlflow.data.context": "training"}
    )

    version = make_version(run=run, files={"MLmodel": MLMODEL, "model.skops": b"w"})

    data = version.evidence.data  # type: ignore[union-attr]
    assert data["run"]["run_id"] == run.run_id and data["params"] == {"depth": "3"} and data["commit"] == "abc"
    assert data["metrics"] == {"accuracy": {"value": 0.9, "step": 0}, "loss": {"value": 0.1, "step": 0}}
    assert data["tags"]["team"] == "risk"
    assert data["datasets"] == [{"name": "train", "digest": "d1", "context": "training", "source_type": "local"}]
    assert data["signature"]["inputs"] == '[{"name": "tenure", "type": "long"}]'
    assert data["flavors"] == ["python_function", "sklearn"]
    assert [file[0] for file in data["files"]] == ["MLmodel", "model.skops"]
    assert version.evidence.digest == sha256_json(data)  # type: ignore[union-attr]


def test_where_nothing_is_known_there_is_no_evidence_until_a_decision_needs_one(editor: User) -> None:
    version = services.create_version(actor=editor, model=make_model(), source="s3://bucket/x", run_id="elsewhere")
    assert version.evidence is None and not Evidence.objects.exists()

    data = evidence.refresh(version).data

    assert data["run"] is None and data["metrics"] == {} and data["files"] == [] and data["signature"] is None
    assert ModelVersion.objects.get().evidence == Evidence.objects.get() == version.evidence


def test_nothing_new_keeps_the_evidence() -> None:
    version = make_version(metrics={"accuracy": 0.9})
    before = version.evidence

    with transaction.atomic():
        assert evidence.refresh(version) == before
    assert Evidence.objects.count() == 1


def test_a_new_metric_is_new_evidence_and_the_old_one_stays() -> None:
    version = make_version(metrics={"accuracy": 0.9})
    before = version.evidence
    runs.log_batch(actor=User(is_superuser=True), run_id=version.run_id, metrics=[runs.Metric("accuracy", 0.95, 2**41)])

    with transaction.atomic():
        after = evidence.refresh(version)

    assert after != before and after.data["metrics"]["accuracy"]["value"] == 0.95
    assert Evidence.objects.get(pk=before.pk).data["metrics"]["accuracy"]["value"] == 0.9  # type: ignore[union-attr]
    assert ModelVersion.objects.get().evidence == after


def test_going_back_to_an_earlier_state_finds_the_earlier_evidence() -> None:
    version = make_version(metrics={"accuracy": 0.9})
    first, kept = version.evidence, version.evidence.data["params"]  # type: ignore[union-attr]
    for params in ({"depth": "9"}, kept):
        Run.objects.update(params=params)
        last = evidence.refresh(version)

    assert last == first and Evidence.objects.count() == 2


def test_a_deleted_run_leaves_the_evidence_as_it_was() -> None:
    version = make_version(metrics={"accuracy": 0.9}, files={})
    before = version.evidence
    Run.objects.all().delete()

    assert evidence.refresh(version) == before


@pytest.mark.parametrize(
    "mlmodel",
    [
        b"\xff\xfe not text",
        b"- a list",
        b"",
        b"{unclosed",
        b"signature: text\nflavors: text",
        b"signature: {inputs: [1, 2]}\nflavors: [1]",
        b"!!python/object/apply:os.system ['touch /tmp/owned']",
        b"a: &a [x,x]\nb: &b [*a,*a]\n" + b"".join(b"c%d: &c%d [*b,*b]\n" % (i, i) for i in range(200)),
        b"[" * 100_000,
        b"x" * 300_000,
        b"signature: {inputs: 'a\\u0000b'}",
        b"1: 2\nnull: 3\nflavors: {1: a, x: b, null: c}",
    ],
    ids=range(12),
)
def test_a_strange_mlmodel_file_is_evidence_without_a_signature(mlmodel: bytes) -> None:
    version = make_version(files={"MLmodel": mlmodel})

    data = version.evidence.data  # type: ignore[union-attr]
    assert not (data["signature"] or {}).get("outputs")
    assert data["files"][0][0] == "MLmodel"


def test_only_files_below_the_folder_count_and_letter_case_matters(editor: User) -> None:
    run = make_run()
    make_files(run.run_id, {"model/a": b"1", "Model/b": b"2", "model2/c": b"3", "model": b"4", "x/model/d": b"5"})

    files = evidence.folder_files(run.run_id, "model")

    assert [file.path for file in files] == ["model/a"]


def test_signs_of_patterns_in_a_folder_are_plain(editor: User) -> None:
    run = make_run()
    make_files(run.run_id, {"a_b/1": b"1", "axb/2": b"2", "a%/3": b"3", "a*/4": b"4", "a[b]/5": b"5"})

    assert [[f.path for f in evidence.folder_files(run.run_id, folder)] for folder in ("a_b", "a%", "a*", "a[b]")] == [
        ["a_b/1"], ["a%/3"], ["a*/4"], ["a[b]/5"]
    ]  # fmt: skip


def test_a_logged_model_without_a_run_brings_its_parameters(editor: User) -> None:
    logged = make_logged_model(params={"depth": "3"})
    make_files(logged.model_id, {"MLmodel": MLMODEL})

    version = services.create_version(
        actor=editor, model=make_model(), source=f"models:/{logged.model_id}", model_id=logged.model_id
    )

    data = version.evidence.data  # type: ignore[union-attr]
    assert (
        data["run"] is None and data["params"] == {"depth": "3"} and data["flavors"] == ["python_function", "sklearn"]
    )
    assert ArtifactFile.objects.get().sha256 == data["files"][0][2]


@pytest.mark.parametrize(
    "mlmodel",
    [
        b"a: 2001-13-45",
        b"a: 0b_",
        b"a: " + b"9" * 5000,
        b"a: !!float x",
        b"flavors: {'\\0': 1}".replace(b"'", b'"'),
        b'flavors: {"\\uD800": 1}',
        b'signature: {inputs: "\\0"}',
        b'signature: {inputs: "\\uD800"}',
        b"signature: {inputs: [1], outputs: {a: b}}",
        b"flavors: \xff\xfe",
        b"a: &a [*a]",
        b"[" * 200_000,
        b"- " * 100_000,
        b"? " * 100_000,
        b"- a: {b: [c, d]}\n" * 15_000,
        b"!!python/object/apply:os.abort []",
    ],
    ids=lambda text: repr(text[:30]),
)
def test_no_mlmodel_hinders_a_registration_or_holds_it_up(editor: User, mlmodel: bytes) -> None:
    run = make_run(user=editor)
    make_files(run.run_id, {"model/MLmodel": mlmodel})

    started = time.monotonic()
    version = services.create_version(
        actor=editor, model=make_model(), source=f"runs:/{run.run_id}/model", run_id=run.run_id
    )

    assert time.monotonic() - started < 2  # the model is locked meanwhile
    data = version.evidence.data  # type: ignore[union-attr]
    assert (data["signature"], data["flavors"]) in ((None, []), ({}, []))
    assert [file[0] for file in data["files"]] == ["MLmodel"]
