"""Loading a file by COPY: what is there afterwards is what the services would have written, or nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from accounts.models import User
from bench.dataset import Size, lines
from notifications.models import Event
from registry import services
from registry.loading import COLUMNS
from registry.models import (
    Alias,
    Evidence,
    LatestVersion,
    ModelVersion,
    RegisteredModel,
    Stage,
    StageHolding,
    VersionMetric,
)
from tests.factories import make_model, make_run
from tracking.models import Run

pytestmark = pytest.mark.django_db
needs_copy = [
    pytest.mark.postgres,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="datasets are loaded into PostgreSQL only"),
]

CHURN = [
    {"model": "churn", "description": "Who leaves", "tags": {"team": "risk"}, "aliases": {"champion": 3, "old": 1}},
    {"version": 1, "stage": "Archived", "source": "s3://models/churn/1", "tags": {"auc": "0.7"}},
    {"version": 2, "stage": "Production", "source": "s3://models/churn/2", "run_link": "https://ci/2"},
    {
        "version": 3,
        "stage": "Production",
        "source": "S3://models/churn/3",
        "description": "better",
        "run_id": "elsewhere",
    },
    {"model": "empty"},
]


def load(folder: Path, content: list[Any]) -> None:
    path = folder / "data.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in content))
    call_command("load_dataset", str(path))


def contents() -> dict[str, list[dict[str, Any]]]:
    """Every row of the registry in the words of its keys; without times, who did it, and surrogate numbers."""
    left_out = {
        "id",
        "user_id",
        "set_by_id",
        "creation_timestamp",
        "last_updated_timestamp",
        "since",
        "set_at",
        "taken_at",
    }
    names = dict(RegisteredModel.objects.values_list("pk", "name"))
    versions = {v.pk: f"{names[v.model_id]}/{v.version}" for v in ModelVersion.objects.all()}
    digests = dict(Evidence.objects.values_list("pk", "digest"))
    spoken = {"model_id": names, "version_id": versions, "evidence_id": digests | {None: "nothing is known"}}
    found = {}
    for table in (RegisteredModel, ModelVersion, Evidence, LatestVersion, Alias, StageHolding, VersionMetric):
        rows = [
            {key: spoken[key][value] if key in spoken else value for key, value in row.items() if key not in left_out}
            for row in table.objects.values()
        ]
        found[table.__name__] = sorted(rows, key=repr)
    return found


def test_every_column_is_written() -> None:
    for table, columns in COLUMNS.items():
        everything = {field.column for field in table._meta.concrete_fields}
        assert set(columns) | {"id"} == everything, table


@pytest.mark.usefixtures("the_gate")
class TestOnPostgreSQL:
    pytestmark = needs_copy

    def test_the_rows_are_those_that_the_services_write(self, tmp_path: Path, manager: User) -> None:
        with transaction.atomic():
            load(tmp_path, CHURN)
            loaded = contents()
            transaction.set_rollback(True)
        churn = services.create_model(actor=manager, name="churn", description="Who leaves", tags={"team": "risk"})
        services.create_model(actor=manager, name="empty")
        made = [
            services.create_version(
                actor=manager,
                model=churn,
                source=line["source"],
                run_id=line.get("run_id", ""),
                run_link=line.get("run_link", ""),
                description=line.get("description", ""),
                tags=line.get("tags"),
            )
            for line in CHURN
            if "version" in line
        ]
        for version, stage in zip(made, (Stage.ARCHIVED, Stage.PRODUCTION, Stage.PRODUCTION), strict=True):
            services.move_to_stage(actor=manager, version=version, stage=stage)
        services.set_alias(actor=manager, version=made[2], alias="champion")
        services.set_alias(actor=manager, version=made[0], alias="old")

        assert loaded == contents()

    def test_a_run_that_is_here_gives_its_evidence(self, tmp_path: Path, manager: User) -> None:
        run = make_run(metrics={"auc": 0.9}, params={"depth": "3"})
        load(tmp_path, [{"model": "churn"}, {"version": 4, "source": "s3://models/churn/4", "run_id": run.run_id}])

        version = ModelVersion.objects.select_related("evidence").get()
        assert version.version == 4 and version.evidence.data["params"] == {"depth": "3"}
        assert Run.objects.get().has_versions
        made = services.create_version(
            actor=manager, model=make_model(), source="s3://models/churn/4", run_id=run.run_id
        )
        assert made.evidence and made.evidence.digest == version.evidence.digest
        metrics = VersionMetric.objects.order_by("pk").values_list("number", "name", "value")
        assert list(metrics) == [(4, "auc", 0.9), (1, "auc", 0.9)]

    def test_a_model_goes_on_where_the_file_ended(self, tmp_path: Path, manager: User) -> None:
        load(tmp_path, CHURN)

        version = services.create_version(
            actor=manager, model=RegisteredModel.objects.get(name="churn"), source="s3://models/churn/4"
        )
        assert version.version == 4

    def test_an_event_says_who_holds_what(self, tmp_path: Path) -> None:
        load(tmp_path, CHURN)

        event = Event.objects.get(kind="registered_model.imported", model_name="churn")
        assert event.data["server"] == "data.jsonl" and event.data["versions"] == 3
        assert (event.data["stages"], event.data["aliases"]) == ({"Production": [2, 3]}, {"champion": 3, "old": 1})

    def test_indexes_and_constraints_are_as_before(self, tmp_path: Path) -> None:
        before = _schema()
        load(tmp_path, CHURN)
        assert _schema() == before
        load(tmp_path, [{"model": "another"}])  # into a registry that is not empty
        assert _schema() == before

    def test_the_data_of_the_benchmark_loads(self, tmp_path: Path) -> None:
        load(tmp_path, list(lines(Size.of(1000))))

        assert RegisteredModel.objects.count() == 20 and ModelVersion.objects.count() == 1000
        assert ModelVersion.objects.filter(model__name="model-big").count() == 200
        assert {len(tags) for tags in ModelVersion.objects.values_list("tags", flat=True)} == {5}

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            ([{"version": 1, "source": "s3://m/1"}], "Line 1: The first line is a model's"),
            (["{"], "Line 1: This is no JSON"),
            (["[]"], "Line 1: Each line is a JSON object"),
            ([{"model": "a/b"}], "Line 1: Invalid model name"),
            ([{"model": 5}], "Line 1: model is not of type str"),
            ([{"model": "a", "owner": "me"}], "Line 1: 'owner' is none of model"),
            ([{"model": "a"}, {"model": "a"}], "Line 2: There is a model a already"),
            ([{"model": "a", "tags": {"k": 1}}], "Line 1: The value of tag 'k' is no text"),
            ([{"model": "a", "tags": {"../k": "v"}}], "Line 1: "),
            ([{"model": "a", "aliases": {"v1": 1}}], "Line 1: Version alias name 'v1' is reserved"),
            ([{"model": "a", "aliases": {"b": "1"}}], "Line 1: The alias b belongs to a version, which is a number"),
            ([{"model": "a", "aliases": {"b": 1}}], "The alias b of a belongs to version 1, which is not there"),
            ([{"model": "a", "creation_timestamp": -1}], "Line 1: creation_timestamp holds what cannot be stored"),
            ([{"model": "a", "creation_timestamp": 10**15}], "Line 1: creation_timestamp holds what cannot be stored"),
            ([{"model": "a", "creation_timestamp": True}], "Line 1: creation_timestamp is not of type int"),
            ([{"model": "a"}, {"source": "s3://m/1"}], "Line 2: version is missing"),
            ([{"model": "a"}, {"version": 0, "source": "s3://m/1"}], "Line 2: Version 0 does not follow 0"),
            ([{"model": "a"}, {"version": 2**31, "source": "s3://m/1"}], "Line 2: Version 2147483648 does not follow"),
            (
                [{"model": "a"}, {"version": 1, "source": "s3://m/1", "stage": "Live"}],
                "Line 2: There is no stage 'Live'",
            ),
            ([{"model": "a"}, {"version": 1, "source": "file:///etc/passwd"}], "Line 2: Invalid model version source"),
            ([{"model": "a"}, {"version": 1, "source": "s3://m/../1"}], "Line 2: Invalid model version source"),
            ([{"model": "a"}, {"version": 1, "source": "models:/b/1"}], "Line 2: Invalid model version source"),
            ([{"model": "a"}, {"version": 1}], "Line 2: Invalid model version source"),
            ([{"model": "a"}, {"version": 1, "source": "s3://m/1", "run_link": "\x00"}], "Line 2: run_link holds"),
            (
                [{"model": "a"}, {"version": 1, "source": "s3://m/1", "run_id": "r" * 33}],
                "Line 2: 'run_id' has at most",
            ),
        ],
    )
    def test_a_wrong_line_is_named_and_nothing_is_loaded(self, tmp_path: Path, content: list[Any], why: str) -> None:
        with pytest.raises(CommandError) as error:
            load(tmp_path, [{"model": "good"}, *content] if "Line 1" not in why else content)

        message = str(error.value).replace("Line 3", "Line 2") if "Line 2" in why else str(error.value)
        assert message.startswith(why) and message.endswith("Nothing was loaded.")
        assert not RegisteredModel.objects.exists() and not Event.objects.exists()

    def test_a_name_that_is_taken_is_left_alone(self, tmp_path: Path) -> None:
        make_model("churn", description="ours")

        with pytest.raises(CommandError, match="There is a model churn already"):
            load(tmp_path, CHURN)
        assert RegisteredModel.objects.get().description == "ours"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("load_dataset", str(tmp_path / "absent.jsonl"))


@pytest.mark.embedded
@pytest.mark.skipif(connection.vendor == "postgresql", reason="PostgreSQL loads it")
def test_another_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="into PostgreSQL only"):
        load(tmp_path, CHURN)


def _schema() -> list[tuple[str, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
            UNION SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2, 3"""
        )
        return cursor.fetchall()
