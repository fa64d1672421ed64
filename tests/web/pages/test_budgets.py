"""What a page may ask of the database, whatever the number of rows: 8 statements, 9 on that of a version (what its
files hold is known by content), 12 on that of a model (who may do what is grants on it, grants on patterns and
administrators; where it runs), 15 on the review page, and the two that say who is asking (session and user)."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from approvals.models import Comment, TransitionRequest
from notifications.models import Attempt, Channel, Delivery, Event
from registry.models import ModelVersion, RegisteredModel
from tests.cast import token_of
from tests.factories import (
    make_deployment,
    make_experiment,
    make_files,
    make_logged_model,
    make_model,
    make_run,
    make_version,
)
from tests.scenes import ask, say
from tracking.models import Experiment, MetricPoint, Run, RunDataset
from tracking.queries import PARENT_TAG

Session = Callable[[User], Client]

WHO_IS_ASKING = 2
PAGE, REVIEW_PAGE = 8 + WHO_IS_ASKING, 15 + WHO_IS_ASKING
MODEL = "/models/churn-predictor/"
BUDGETS = {
    "/reviews/": PAGE,
    "/reviews/?tab=mine": PAGE,
    "/reviews/?tab=open": PAGE,
    "/reviews/?tab=decided": PAGE,
    "/models/": PAGE,
    MODEL: PAGE + 4,
    f"{MODEL}history/": PAGE,
    f"{MODEL}versions/2/": PAGE + 1,
    f"{MODEL}versions/2/lineage/": PAGE,
    f"{MODEL}versions/2/request/": PAGE,
    "/requests/1/": REVIEW_PAGE,
    "/policies/": PAGE,
    "/reviews/?tab=open&model=churn-*&target=Production&requester=mira&text=Retrained": PAGE,
    "/policies/production-gate/": PAGE,
    "/policies/production-gate/?tab=requests": PAGE,
    "/policies/production-gate/?tab=models": PAGE,
    "/policies/production-gate/edit/": PAGE,
    "/channels/": PAGE,
    "/people/": PAGE,
    "/deliveries/": PAGE,
    "/activity/": PAGE,
    "/activity/?kind=request.updated&actor=mira&model=churn-predictor&version=2&since=2020-01-01": PAGE,
    "/account/": PAGE,
    "/search/?q=churn": PAGE,
    "/search/?q=churn 2": PAGE,
}


@pytest.fixture
def many(asked: TransitionRequest, alice: User, mira: User, dkim: User) -> Callable[[int], None]:
    """Grow every list that a page shows by ``rows``."""
    model = RegisteredModel.objects.get()
    channel = Channel.objects.create(kind="email", name="mail to alice", user=alice, target="")

    def grow(rows: int) -> None:
        for number in range(rows):
            RegisteredModel.objects.create(name=f"model-{rows}-{number}", user=mira)
            Comment.objects.create(version=asked.version, request=asked, author=(mira, dkim)[number % 2], text="Hm.")
            Comment.objects.create(version=asked.version, author=(mira, dkim)[number % 2], text="Hm.")
            event = Event.objects.create(
                kind="request.updated",
                summary="Moved.",
                actor=mira,
                model_name=model.name,
                version=2,
                request_id=asked.pk,
            )
            delivery = Delivery.objects.create(event=event, channel=channel)
            Attempt.objects.create(delivery=delivery, succeeded=True)
            token_of(alice, name=f"token {number}")
        for _ in range(min(rows, 30)):  # a page of versions, of models with holders and of requests, is 25
            made = make_version(
                model, user=mira, metrics={"accuracy": 0.93, "latency_p95_ms": 40}, aliases=[f"a{model.last_version}"]
            )
            say(alice, ask(made, mira))
            make_deployment(made, f"place-{made.pk}", reporter=mira)
            make_deployment(asked.version, f"home-{made.pk}", reporter=mira)
            other = make_version(make_model(f"churn-{made.pk}", user=mira), stage="Production", user=mira)
            ask(make_version(other.model, user=mira), mira)

    return grow


def statements(client: Client, path: str, counter: Callable[..., Any]) -> int:
    assert client.get(path).status_code == 200  # warm: compiled templates, remembered policies
    with counter(1000) as counted:
        client.get(path)
    return len(counted.captured_queries)


def test_a_page_asks_the_same_of_ten_rows_and_of_three_hundred(
    many: Callable[[int], None], asked: TransitionRequest, dkim: User, alice: User, session: Session,
    django_assert_max_num_queries: Callable[..., Any],
) -> None:  # fmt: skip
    page = session(dkim)
    paths = {path.replace("/requests/1/", asked.get_absolute_url()): budget for path, budget in BUDGETS.items()}
    many(10)
    few = {path: statements(page, path, django_assert_max_num_queries) for path in paths}
    many(290)
    much = {path: statements(page, path, django_assert_max_num_queries) for path in paths}

    assert {path: count for path, count in much.items() if count > few[path]} == {}
    assert {path: count for path, count in much.items() if count > paths[path]} == {}
    assert ModelVersion.objects.count() > 80


RUNS = [
    "/runs/",
    "/runs/?q=run&user=mira&status=FINISHED&filter=metrics.m1>=0&metric=m1&experiment=0",
    "/runs/RUN/",
    "/runs/RUN/history/?metric=m1",
    "/runs/RUN/history/?format=json&metric=m1&metric=m2",
    "/runs/compare/?run=RUN&run=OTHER",
    "/experiments/",
    "/experiments/0/",
]


def run_with(rows: int, user: User) -> Run:
    """A run of experiment 0 with so many of everything, and versions made from it."""
    names = [f"m{number}" for number in range(rows)]
    texts = {f"key-{number}": "value " * 30 for number in range(rows)}
    run = make_run(
        user=user, experiment=Experiment.objects.get(pk=0), metrics=dict.fromkeys(names, 0.5), params=texts, tags=texts
    )
    MetricPoint.objects.bulk_create(
        MetricPoint(run=run, key=name, timestamp=at, step=at, value=at) for at in range(rows) for name in ("m1", "m2")
    )
    RunDataset.objects.bulk_create(RunDataset(run=run, name=name, digest="d") for name in names[:50])
    make_files(run.run_id, {f"files/{name}.txt": b"x" for name in names[:120]})
    for _ in range(min(rows, 30)):
        make_version("churn-predictor", user=user, run=run, files={}, aliases=["champion"])
        make_logged_model(run)
        make_run(user=user, experiment=run.experiment, tags={PARENT_TAG: run.run_id})
        make_experiment()
    return run


def test_the_pages_of_runs_ask_the_same_of_ten_rows_and_of_two_thousand(
    mira: User, dkim: User, session: Session, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    page, counts, sizes = session(dkim), [], []
    for rows in (10, 2000):
        run, other = run_with(rows, mira), run_with(10, mira)
        paths = {path: path.replace("RUN", run.run_id).replace("OTHER", other.run_id) for path in RUNS}
        counts.append({path: statements(page, found, django_assert_max_num_queries) for path, found in paths.items()})
        sizes = [len(gzip.compress(page.get(found).content)) for found in paths.values()]
    few, much = counts

    assert {path: count for path, count in much.items() if count > few[path]} == {}
    assert max(much.values()) <= PAGE
    assert max(sizes) <= 25_000
