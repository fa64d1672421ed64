"""No list of runs walks through all of them: PostgreSQL's plans at 100,000 runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test import Client
from pytest_django import DjangoDbBlocker

from tests.factories import make_run, make_user
from tests.registry.test_plans import Plans
from tracking.models import Experiment, Run

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.postgres,
    pytest.mark.skipif(settings.EMBEDDED, reason="needs DATABASE_URL"),
]
RUNS = 100_000
TABLES = re.compile(r"Seq Scan on (tracking_run|tracking_metricpoint|registry_modelversion)\b")
MANY = f"""
    INSERT INTO tracking_run (run_id, experiment_id, run_name, user_id, user_id_sent, status, start_time, end_time,
        lifecycle_stage, params, tags, metrics, inputs, outputs, has_versions)
    SELECT md5(n::text), %(first)s + n %% 50, 'run-' || n, %(user)s + n %% 2, '',
        CASE WHEN n %% 5000 = 0 THEN 'RUNNING' ELSE 'FINISHED' END, n * 1000, n * 1000 + 500, 'active',
        '{{"depth": "8"}}', jsonb_build_object('mlflow.parentRunId', md5((n / 20)::text)),
        jsonb_build_object('auc', jsonb_build_object('value', n / {RUNS}.0, 'timestamp', n, 'step', 0)), '{{}}', '[]',
        false
    FROM generate_series(1, {RUNS}) AS n
"""
VERSIONS = """
    INSERT INTO registry_registeredmodel (name, description, creation_timestamp, last_updated_timestamp, last_version,
        tags, aliases, is_prompt) VALUES ('churn', '', 1, 1, 20000, '{}', '{}', false);
    INSERT INTO registry_modelversion (model_id, version, current_stage, description, creation_timestamp,
        last_updated_timestamp, source, storage_location, run_id, logged_model_id, run_link, status, status_message,
        tags, artifact_owner, artifact_folder, digest, file_count, total_size)
    SELECT (SELECT max(id) FROM registry_registeredmodel), n, 'None', '', n, n, '', '', md5(n::text), '', '', 'READY',
        '', '{}', '', '', '', 0, 0 FROM generate_series(1, 20000) AS n
"""


@pytest.fixture(scope="module")
def reader(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Client]:
    with django_db_blocker.unblock(), transaction.atomic():
        people = [make_user("mira-of-plans"), make_user("alice-of-plans")]
        assert people[1].pk == people[0].pk + 1
        experiments = [Experiment(name=f"experiment of plans {number}") for number in range(50)]
        made = Experiment.objects.bulk_create(experiments)
        with connection.cursor() as cursor:
            cursor.execute(MANY, {"first": made[0].pk, "user": people[0].pk})
            cursor.execute(VERSIONS)
            cursor.execute("ANALYZE tracking_run, tracking_experiment, registry_modelversion, registry_registeredmodel")
        connection.check_constraints()
        client = Client()
        client.force_login(people[0])
        yield client
        transaction.set_rollback(True)


def plans_of(client: Client, path: str) -> Plans:
    plans = Plans(TABLES)
    with connection.execute_wrapper(plans):
        answer = client.get(path)
    assert answer.status_code == 200, answer.content
    assert plans.all
    return plans


def middle() -> Run:
    return Run.objects.get(run_name=f"run-{RUNS // 2}")


PATHS: list[Callable[[], str]] = [
    lambda: "/runs/",
    lambda: "/runs/?status=RUNNING",
    lambda: "/runs/?user=mira-of-plans",
    lambda: "/runs/?user=nobody",
    lambda: f"/runs/?experiment={middle().experiment_id}",
    lambda: f"/runs/?experiment={middle().experiment_id}&status=FINISHED&user=mira-of-plans",
    lambda: "/runs/?filter=metrics.auc+>+0.5&metric=auc",
    lambda: middle().get_absolute_url(),
    lambda: f"{middle().get_absolute_url()}history/?metric=auc",
    lambda: f"{middle().get_absolute_url()}history/?metric=auc&format=json",
    lambda: f"/runs/compare/?run={middle().run_id}&run={make_run().run_id}",
    lambda: middle().experiment.get_absolute_url(),
]


@pytest.mark.parametrize("at", range(len(PATHS)))
def test_no_page_of_runs_walks_through_all_of_them(reader: Client, at: int) -> None:
    plans = plans_of(reader, PATHS[at]())

    assert not plans.scans, "\n\n".join(plans.scans)


def test_a_page_far_behind_starts_where_it_begins(reader: Client) -> None:
    path = "/runs/"
    for _ in range(4):
        answer = reader.get(path)
        [following] = re.findall(r'rel="next" href="([^"]+)"', answer.content.decode())
        path = "/runs/" + following.replace("&amp;", "&")

    plans = plans_of(reader, path)

    assert not plans.scans
    assert any("Index Cond: (start_time <=" in plan for plan in plans.all)


def test_the_parts_of_a_run_are_found_by_their_index(reader: Client) -> None:
    plans: Any = plans_of(reader, middle().get_absolute_url())

    assert any("run_parent_idx" in plan for plan in plans.all)
