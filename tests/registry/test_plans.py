"""No read walks through a whole table: PostgreSQL's plans at 100,000 versions for every call that reads them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from psycopg import ClientCursor
from pytest_django import DjangoDbBlocker, Settings

from accounts import services as accounts
from accounts.models import Level, User
from core.pickles import READER
from registry.metric_rows import metric_history
from registry.models import RegisteredModel
from registry.version_order import Filters, Order, page_of
from tests.cast import token_of
from tests.factories import make_user

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.postgres,
    pytest.mark.skipif(settings.EMBEDDED, reason="needs DATABASE_URL"),
]
MODELS, BIGGEST, ORDINARY = 10_000, "churn-0000", "pricing-0711"
TOPICS = ("churn", "fraud", "credit", "demand", "search", "vision", "speech", "pricing")
TABLES = re.compile(r"Seq Scan on (registry_\w+|notifications_event)\b")
EVENTS = """
    INSERT INTO notifications_event
        (key, kind, actor_id, model_name, version, summary, path, data, audience, created_at, fanned_out_at)
    SELECT gen_random_uuid(), 'model_version.created', u.id, m.name, v.version, '', '', '{}', '[]', now(), now()
    FROM registry_modelversion v JOIN registry_registeredmodel m ON m.id = v.model_id
    JOIN accounts_user u ON u.username = 'admin'
"""
EVIDENCE = """
    INSERT INTO registry_evidence (version_id, digest, data, taken_at)
    SELECT id, md5(id::text), '{}', now() FROM registry_modelversion
"""
SCANS = f"""
    INSERT INTO registry_filescan (sha256, verdict, findings, reader, scanned_at)
    SELECT md5(file::text) || md5('of ' || file), 'clean', '[]', {READER}, now() FROM generate_series(1, 50000) file
"""
METRICS = """
    INSERT INTO registry_versionmetric (model_id, version_id, number, name, value)
    SELECT model_id, id, version, name, version * 7919 % 10007
    FROM registry_modelversion, (VALUES ('auc'), ('f1')) named (name)
"""


def _lines() -> Iterator[dict[str, Any]]:
    """10,000 models with 100,000 versions, of which the first has a fifth."""
    for index in range(MODELS):
        name, versions = f"{TOPICS[index % len(TOPICS)]}-{index:04}", 8 if index else 20_008
        tags = {"team": f"team-{index % 40}", "tier": "gold" if index % 10 == 0 else "silver"}
        moments = {"creation_timestamp": index, "last_updated_timestamp": index * 7919 % MODELS}
        yield {"model": name, "tags": tags, "aliases": {"champion": versions}, **moments}
        for number in range(1, versions + 1):
            moment = number * MODELS + index
            stage = "Archived" if number % 4 else "None"
            yield {
                "version": number,
                "source": f"s3://models/{name}/{number}",
                "run_id": run_id(name, number),
                "stage": "Production" if number == versions else stage,
                "tags": {
                    "framework": ("sklearn", "xgboost", "pytorch")[number % 3],
                    "trained_by": f"engineer-{moment % 500}",
                    "dataset": f"s3://data/{name}/week={number}",
                },
                "creation_timestamp": moment,
                "last_updated_timestamp": moment,
            }


def run_id(name: str, number: int) -> str:
    return hashlib.md5(f"{name}/{number}".encode(), usedforsecurity=False).hexdigest()


@pytest.fixture(scope="module")
def readers(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Client]]:
    """Somebody whom everything is shown, somebody who was granted a pattern of names, and an administrator."""
    file = tmp_path_factory.mktemp("plans") / "models.jsonl"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in _lines()))
    with django_db_blocker.unblock(), transaction.atomic():
        admin, granted = make_user("admin", is_superuser=True), make_user("granted")
        accounts.grant(actor=None, level=Level.READ, user=granted, pattern="churn-0*")
        call_command("load_dataset", str(file), stdout=StringIO())
        with connection.cursor() as cursor:
            cursor.execute(EVENTS)
            cursor.execute(EVIDENCE)
            cursor.execute(METRICS)
            cursor.execute(SCANS)
            cursor.execute("ANALYZE notifications_event, registry_evidence, registry_filescan, registry_versionmetric")
        connection.check_constraints()  # now, once; else after each test
        yield {user.username: _client(user) for user in (make_user("reader"), granted, admin)}
        transaction.set_rollback(True)


def _client(user: User) -> Client:
    return Client(headers={"authorization": f"Bearer {token_of(user)[1]}"})


class Plans:
    """Has every SELECT explained before it is carried out; ``scans`` has the plans that walk through a table."""

    def __init__(self, tables: re.Pattern[str] = TABLES) -> None:
        self.tables = tables
        self.all: list[str] = []
        self.generic = 0
        self.scans: list[str] = []

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if sql.lstrip().startswith("SELECT"):
            is_prepared = context["connection"].connection.prepare_threshold is not None
            self.generic += is_prepared
            plan = _generic_plan(sql, params) if is_prepared else _plan("EXPLAIN " + sql, params)
            self.all.append(plan)
            if self.tables.search(plan):
                self.scans.append(f"{sql}\n{params}\n{plan}")
        return execute(sql, params, many, context)


def _plan(sql: str, params: Any) -> str:
    with ClientCursor(connection.connection) as cursor:
        cursor.execute(sql, params)
        return "\n".join(line for (line,) in cursor.fetchall())


def _generic_plan(sql: str, params: Any) -> str:
    """The plan for whatever values, as PostgreSQL may keep it for a statement that comes often."""
    numbers = iter(range(1, len(params) + 1))
    statement = re.sub("%s|%%", lambda hole: "%" if hole[0] == "%%" else f"${next(numbers)}", sql)
    with ClientCursor(connection.connection) as cursor:
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute(f"PREPARE explained AS {statement.replace('%', '%%')}", [])
        holes = ", ".join(["%s"] * len(params))
        plan = _plan(f"EXPLAIN EXECUTE explained{f'({holes})' if params else ''}", params)
        cursor.execute("DEALLOCATE explained")
        cursor.execute("SET LOCAL plan_cache_mode = auto")
    return plan


def _versions(filter_text: str = "", *order_by: str, most: int = 100) -> tuple[str, dict[str, Any]]:
    fields = {"filter": filter_text, "order_by": order_by, "max_results": most}
    return "/api/2.0/mlflow/model-versions/search", fields


def _models(filter_text: str = "", *order_by: str, most: int = 100) -> tuple[str, dict[str, Any]]:
    fields = {"filter": filter_text, "order_by": order_by, "max_results": most}
    return "/api/2.0/mlflow/registered-models/search", fields


NO_PROMPTS = "tag.`mlflow.prompt.is_prompt` != 'true'"
RUN = run_id(ORDINARY, 7)
LOOK_UPS = [
    ("/api/2.0/mlflow/registered-models/get", {"name": BIGGEST}),
    ("/api/2.0/mlflow/registered-models/get", {"name": "nobody"}),
    ("/api/2.0/mlflow/registered-models/get-latest-versions", {"name": BIGGEST}),
    ("/api/2.0/mlflow/registered-models/alias", {"name": BIGGEST, "alias": "champion"}),
    ("/api/2.0/mlflow/registered-models/alias", {"name": BIGGEST, "alias": "latest"}),
    ("/api/2.0/mlflow/model-versions/get", {"name": BIGGEST, "version": "7"}),
    ("/api/2.0/mlflow/model-versions/get-download-uri", {"name": BIGGEST, "version": "7"}),
]
SEARCHES = [
    *(
        _models(filter_text, *order_by)
        for filter_text in ("", NO_PROMPTS)
        for order_by in ((), ("name DESC",), ("timestamp",), ("last_updated_timestamp DESC",))
    ),
    _models(f"name = '{ORDINARY}'"),
    _models(f"name IN ('{ORDINARY}', '{BIGGEST}')"),
    _models(f"name LIKE '%0711%' AND {NO_PROMPTS}"),
    _models("name LIKE 'pricing-07%'"),
    _models(f"name LIKE '%churn%' AND {NO_PROMPTS}"),
    _models("name ILIKE 'PRICING-07%'"),
    _models("name != 'churn-0000'"),
    _models("tags.tier = 'gold'"),
    _models("tags.team = 'team-7' AND tags.tier = 'gold'"),
    _models("tags.tier != 'gold'"),
    _models("tags.nothing = 'there'"),
    *(
        _versions(filter_text, *order_by)
        for filter_text in ("", f"name = '{BIGGEST}'", f"name = '{ORDINARY}'")
        for order_by in (
            (),
            ("last_updated_timestamp",),
            ("creation_timestamp",),
            ("creation_timestamp DESC",),
            ("version_number",),
            ("version_number DESC",),
            ("name", "version_number DESC"),
            ("name DESC",),
        )
    ),
    _versions(f"name = '{BIGGEST}'", most=10_000),
    _versions(f"run_id = '{RUN}'"),
    _versions(f"run_id IN ('{RUN}', '{run_id(BIGGEST, 1)}')"),
    _versions(f"name = '{BIGGEST}' AND run_id = '{run_id(BIGGEST, 7)}'"),
    _versions(f"name = '{BIGGEST}' AND version_number > 19000"),
    _versions("name LIKE 'pricing-07%'"),
    _versions(f"name IN ('{ORDINARY}', '{BIGGEST}')"),
    _versions("tags.framework = 'sklearn'"),
    _versions("tags.framework = 'sklearn'", "name", "version_number"),
    _versions("tags.framework = 'nothing'"),
    _versions(f"tags.dataset = 's3://data/{ORDINARY}/week=7'"),
    _versions(f"name = '{ORDINARY}' AND tags.dataset LIKE 's3://data/%'"),
    _versions("tags.framework != 'sklearn'"),
    _versions("tags.nothing != 'there'"),
    _versions(f"name = '{BIGGEST}' AND tags.framework = 'xgboost' AND tags.trained_by = 'engineer-7'"),
]
OTHERS = [
    ("/api/v1/models/", {}),
    (f"/api/v1/models/{BIGGEST}/", {}),
    (f"/api/v1/models/{BIGGEST}/versions/", {}),
    (f"/api/v1/models/{BIGGEST}/versions/", {"stage": "Archived"}),
    (f"/api/v1/models/{BIGGEST}/versions/7/", {}),
    ("/api/v1/events/", {}),
    ("/api/v1/events/", {"kind": "registered_model.created"}),
    ("/api/v1/events/", {"model": BIGGEST}),
    ("/api/v1/events/", {"model": BIGGEST, "version": 7}),
    ("/api/v1/events/", {"actor": "admin"}),
    ("/api/v1/events/", {"request": 7}),
    ("/api/v1/events/", {"since": "2026-01-01"}),
    ("/api/v1/events/", {"until": "2026-01-01"}),
    ("/models/", {}),
    ("/models/", {"q": "0711"}),
    (f"/models/{BIGGEST}/", {}),
    (f"/models/{BIGGEST}/", {"q": "nothing"}),
    (f"/models/{BIGGEST}/", {"q": "framework=sklearn"}),
    (f"/models/{BIGGEST}/", {"by": "reader"}),
    (f"/models/{BIGGEST}/versions/7/", {}),
    ("/reviews/", {}),
]


def _plans(client: Client, path: str, fields: dict[str, Any]) -> tuple[Plans, Any]:
    plans = Plans()
    with connection.execute_wrapper(plans):
        answer = client.get(path, query_params=fields)
    assert answer.status_code in (200, 404), answer.content
    assert plans.all
    return plans, answer


def _id(value: Any) -> str:
    return "" if isinstance(value, dict) and not value else str(value)[:150]


@pytest.mark.parametrize(("path", "fields"), [*LOOK_UPS, *SEARCHES, *OTHERS], ids=_id)
def test_no_read_walks_through_a_table(readers: dict[str, Client], path: str, fields: dict[str, Any]) -> None:
    plans, _ = _plans(readers["reader"], path, fields)

    assert not plans.scans, "\n\n".join(plans.scans)


def test_what_is_planned_once_is_looked_at_for_whatever_values(readers: dict[str, Client]) -> None:
    look_up, _ = _plans(readers["reader"], *LOOK_UPS[0])
    usual, _ = _plans(readers["reader"], *_models())
    search, _ = _plans(readers["reader"], *_models("tags.tier = 'gold'"))

    assert look_up.generic == len(look_up.all) > 2
    assert usual.generic == len(usual.all) > 2
    assert search.generic == len(search.all) - 1  # the search itself is planned for its values


def test_a_common_tag_is_looked_for_among_the_newest_versions(readers: dict[str, Client]) -> None:
    """And not among all that have it, which would have to be sorted."""
    plans, _ = _plans(readers["reader"], *_versions("tags.framework = 'sklearn'"))

    assert "version_updated_idx" in plans.all[-1]


@pytest.mark.parametrize("order_by", [(), ("name",), ("creation_timestamp",), ("version_number DESC",)])
def test_the_pages_behind_walk_through_no_table_either(readers: dict[str, Client], order_by: tuple[str, ...]) -> None:
    token = ""
    for _ in range(3):
        path, fields = _versions("", *order_by, most=1000)
        plans, answer = _plans(readers["reader"], path, fields | {"page_token": token})
        token = answer.json()["next_page_token"]
        assert not plans.scans, "\n\n".join(plans.scans)


@pytest.mark.parametrize("who", ["granted", "admin"])
@pytest.mark.parametrize(
    ("path", "fields"),
    [_models(), _versions(), _versions(f"name = '{BIGGEST}'"), _versions("tags.framework = 'sklearn'")],
    ids=_id,
)
def test_whoever_asks_walks_through_no_table(
    readers: dict[str, Client], settings: Settings, who: str, path: str, fields: dict[str, Any]
) -> None:
    """Where nobody sees more than was granted."""
    settings.DEFAULT_MODEL_LEVEL = "NONE"

    plans, answer = _plans(readers[who], path, fields)

    assert answer.json() and not plans.scans, "\n\n".join(plans.scans)


SORTED = "Index Scan.* using metric_order_idx"
ALONG, BEYOND = "Index Only Scan.* using metric_order_idx", "Index Only Scan.* using metric_o"


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    ("filters", "metric", "indexes"),
    [
        (Filters(), "auc", [SORTED]),
        (Filters(text="framework=sklearn"), "auc", [ALONG]),
        (Filters(stage="None", by="reader"), "auc", [ALONG, BEYOND, "version_stage_idx"]),
        (Filters(stage="Production"), "auc", ["version_stage_idx"]),
        (Filters(stage="Production", text="nothing"), "auc", ["version_stage_idx"]),
        (Filters(alias="champion"), "auc", ["one_number_per_model"]),
        (Filters(text=f"dataset=s3://data/{BIGGEST}/week=7"), "auc", [ALONG, BEYOND, "version_tags_idx"]),
        (Filters(text="framework=nothing"), "auc", [ALONG, BEYOND, "version_tags_idx"]),
        (Filters(text="nothing"), "auc", [ALONG, BEYOND, "one_number_per_model"]),
        (Filters(by="nobody"), "auc", [ALONG, BEYOND, "one_number_per_model"]),
        (Filters(), "nothing", [SORTED, "one_number_per_model"]),
    ],
    ids=_id,
)
def test_each_filter_of_a_table_sorted_by_a_metric_has_its_way(
    readers: dict[str, Client], descending: bool, filters: Filters, metric: str, indexes: list[str]
) -> None:
    """Along the metric where a page is soon full; else the few that fit are found first."""
    model, plans = RegisteredModel.objects.get(name=BIGGEST), Plans()

    with connection.execute_wrapper(plans):
        page_of(model, filters, Order(metric, descending), limit=25)

    assert not plans.scans, "\n\n".join(plans.scans)
    assert len(plans.all) == len(indexes)
    assert all(re.search(index, plan) for index, plan in zip(indexes, plans.all, strict=True)), "\n\n".join(plans.all)
    assert not any("Hash" in plan.replace("HashAggregate", "") or "Gather" in plan for plan in plans.all)


def test_the_last_values_of_metrics_are_read_from_the_last_versions(readers: dict[str, Client]) -> None:
    """By one plan, which does not know the model's size."""
    model, plans = RegisteredModel.objects.get(name=BIGGEST), Plans()

    with connection.execute_wrapper(plans):
        history = metric_history(model, ["auc", "f1", "nothing"], last=20, until=20_000)

    assert [len(history[name]) for name in ("auc", "f1", "nothing")] == [20, 20, 0]
    [plan] = plans.all
    assert plans.generic and "Index Scan using one_number_per_model" in plan and "one_value_per_metric" in plan


@pytest.mark.parametrize(("actor", "index"), [("admin", "notifications_event_pkey"), ("granted", "event_actor_idx")])
def test_who_did_all_is_looked_for_otherwise_than_who_did_nothing(
    readers: dict[str, Client], actor: str, index: str
) -> None:
    plans, _ = _plans(readers["reader"], "/api/v1/events/", {"actor": actor})

    assert f"using {index} on notifications_event\n" in re.sub(r"  \(cost.*", "", plans.all[-1])


def test_a_rare_tag_is_found_by_the_index_of_tags(readers: dict[str, Client]) -> None:
    of_versions, _ = _plans(readers["reader"], *_versions(f"tags.dataset = 's3://data/{ORDINARY}/week=7'"))
    of_models, _ = _plans(readers["reader"], *_models("tags.nothing = 'there'"))

    assert "version_tags_idx" in of_versions.all[-1]
    assert "model_tags_idx" in of_models.all[-1]
