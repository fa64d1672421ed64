"""What a page may ask of the database, whatever the number of rows: 8 statements, 15 on the review page. One of them
says who is asking, and what they were granted."""

from __future__ import annotations

import gzip
import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from django.contrib.staticfiles import finders
from django.db.models import Model
from django.test import Client

from accounts.models import Token, User
from approvals.models import Check, Comment, TransitionRequest
from approvals.services import publish_policy
from core.clock import now
from notifications.models import Attempt, Channel, Delivery, Event
from registry.models import Evidence, ModelVersion, RegisteredModel, StageHolding, VersionMetric
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
from web.pages import changes, versions

Row = TypeVar("Row", bound=Model)

Session = Callable[[User], Client]

SIZE, ASSETS = 25_000, 150_000  # bytes, compressed: of a page, and of all its scripts and styles
PAGE, REVIEW_PAGE = 8, 15
MODEL = "/models/churn-predictor/"
BUDGETS = {
    "/reviews/": PAGE,
    "/reviews/?tab=mine": PAGE,
    "/reviews/?tab=open": PAGE,
    "/reviews/?tab=decided": PAGE,
    "/models/": PAGE,
    "/models/?stage=Production&open=1&tag=team&sort=name": PAGE,
    MODEL: PAGE,
    f"{MODEL}?sort=-accuracy&column=accuracy&column=latency_p95_ms&stage=None": PAGE,
    f"{MODEL}people/": PAGE,
    f"{MODEL}deployments/": PAGE,
    f"{MODEL}history/": PAGE,
    f"{MODEL}versions/2/": PAGE,
    f"{MODEL}versions/2/lineage/": PAGE,
    f"{MODEL}versions/2/request/": PAGE,
    "/requests/1/": REVIEW_PAGE,
    f"{MODEL}versions/2/?tab=files": PAGE,
    f"{MODEL}versions/2/?tab=tags": PAGE,
    f"{MODEL}compare/?a=1&b=2": PAGE,
    f"{MODEL}compare/?a=1&b=2&part=metrics": PAGE,
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
    "/search/?q=12345678&all=1": PAGE,
}


EVERY_RULE = """\
name: production-gate
match: {models: ["churn-*"]}
guards: [stage:Production]
requirements:
  - metric: {name: accuracy, min: 0.90}
  - metric: {name: accuracy, baseline: production, max_drop: 0.1, dataset: holdout}
  - metric: {name: latency_p95_ms, max: 60}
  - check: {name: integration-tests, from: ci-bot}
  - signature: {compatible_with: production}
  - tags: [owner]
  - run: {finished: true, commit: clean, datasets: true, evaluated_like: production}
  - scan: {vouched_by: risk}
  - description: {min_length: 10}
  - approvals: {count: 3, teams: {risk: 1, ml-leads: 1}}
reviews: {threads_resolved: true, expires_after: 20w, remind_after: 3d}
freeze: [{every: {from: Fri 16:00, until: Mon 08:00}, reason: "Nobody is here"}]
bypass: {teams: [risk]}
"""
# These judge by it here and now, which with every kind of rule reads more than their budget.
JUDGE = {"/requests/1/": 17, "/policies/production-gate/?tab=requests": 9}


@pytest.fixture
def many(asked: TransitionRequest, alice: User, mira: User, dkim: User) -> Callable[[int], None]:
    """Grow every list that a page shows by ``rows``: the first 30 by the services, the others as bare rows."""
    model = RegisteredModel.objects.get()
    channel = Channel.objects.create(kind="email", name="mail to alice", user=alice, target="")

    def grow(rows: int) -> None:
        for _ in range(min(rows, 30)):  # a page of versions, of models with holders and of requests, is 25
            made = make_version(
                model, user=mira, metrics={"accuracy": 0.93, "latency_p95_ms": 40}, aliases=[f"a{model.last_version}"]
            )
            say(alice, ask(made, mira))
            make_deployment(made, f"place-{made.pk}", reporter=mira)
            make_deployment(asked.version, f"home-{made.pk}", reporter=mira)
            other = make_version(make_model(f"churn-{made.pk}", user=mira), stage="Production", user=mira)
            ask(make_version(other.model, user=mira), mira)
        _heap(asked, model, channel, (mira, dkim, alice), rows)

    return grow


def _heap(
    asked: TransitionRequest, model: RegisteredModel, channel: Channel, people: Sequence[User], rows: int
) -> None:
    """``rows`` of everything that people and machines leave behind in years."""
    version, label = asked.version, uuid.uuid4().hex[:6]
    numbers = range(rows)

    def somebody(number: int) -> User:
        return people[number % 2]

    insert(RegisteredModel(name=f"model-{label}-{n}", user=somebody(n)) for n in numbers)
    insert(
        Comment(version=version, request=asked if n % 2 else None, author=somebody(n), text=f"Hm, {n}.")
        for n in numbers
    )
    about = {"actor": people[0], "model_name": model.name, "model_id": model.pk, "version": 2, "request_id": asked.pk}
    events = insert(Event(kind="request.updated", summary=f"Moved, {n}.", **about) for n in numbers)
    deliveries = insert(Delivery(event=event, channel=channel, state="failed") for event in events)
    insert(Attempt(delivery=delivery, succeeded=False) for delivery in deliveries)
    insert(Token(user=people[2], name=f"token {n}", prefix="cs_", digest=f"{label}-{n}") for n in numbers)
    insert(User(username=f"person-{label}-{n}") for n in numbers)
    insert(Check(version=version, name=f"check {n}", reporter=people[2], digest=label) for n in numbers)
    experiment = make_experiment()
    insert(Experiment(name=f"experiment-{label}-{n}", artifact_location="") for n in numbers)
    runs = insert(
        Run(
            run_id=uuid.uuid4().hex, run_name=f"run-{n}", experiment=experiment, start_time=n, user=somebody(n),
            metrics={"accuracy": {"value": n / rows, "timestamp": n, "step": 0}},
        )
        for n in numbers
    )  # fmt: skip
    first = model.last_version + 1
    made_versions = insert(
        ModelVersion(
            model=model, version=first + n, user=somebody(n), source="s3://bucket/model",
            storage_location="s3://bucket/model", run_id=run.run_id,
        )
        for n, run in enumerate(runs)
    )  # fmt: skip
    model.last_version = first + rows - 1
    model.save(update_fields=["last_version"])
    insert(
        VersionMetric(model=model, version=made, number=made.version, name="accuracy", value=made.version / 100_000)
        for made in made_versions
    )
    insert(
        StageHolding(
            model=model, version=made, target_kind="stage", target="Production", set_by=people[0],
            since=now() - timedelta(days=made.version), until=now() - timedelta(days=made.version - 1),
        )
        for made in made_versions
    )  # fmt: skip
    evidence = insert(Evidence(version=made, digest=f"{made.pk}", data=asked.evidence.data) for made in made_versions)
    insert(
        TransitionRequest(
            model=model, version=piece.version, target_kind="stage", target="Production", from_stage="None",
            requester=somebody(n), evidence=piece, digest=asked.digest, policy_revisions=asked.policy_revisions,
            outlook=asked.outlook,
            **({} if n % 2 else {"state": "rejected", "closed_at": now(), "closed_by": people[2]}),
        )
        for n, piece in enumerate(evidence)
    )  # fmt: skip


def insert(rows: Iterable[Row]) -> list[Row]:
    made = list(rows)
    return type(made[0])._default_manager.bulk_create(made, batch_size=500)


def first_visit(page: str) -> int:
    """Bytes of all scripts and styles that a page loads, compressed."""
    paths = re.findall(r'<(?:script|link rel="stylesheet")[^>]* (?:src|href)="/static/([^"?]+)"', page)
    assert len(paths) > 5
    return sum(len(gzip.compress(Path(finders.find(path)).read_bytes())) for path in paths)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Cost:
    statements: int
    size: int  # bytes of the page, compressed
    assets: int  # of what a first visit loads besides


def cost(client: Client, path: str, counter: Callable[..., Any]) -> Cost:
    assert client.get(path).status_code == 200  # warm: compiled templates, remembered policies
    with counter(1000) as counted:
        answer = client.get(path)
    assets = first_visit(answer.content.decode()) if answer["Content-Type"].startswith("text/html") else 0
    return Cost(len(counted.captured_queries), len(gzip.compress(answer.content)), assets)


def test_a_page_costs_the_same_with_ten_rows_and_with_ten_thousand(
    many: Callable[[int], None], asked: TransitionRequest, dkim: User, ci_bot: User, session: Session,
    django_assert_max_num_queries: Callable[..., Any],
) -> None:  # fmt: skip
    page = session(dkim)
    paths = {path.replace("/requests/1/", asked.get_absolute_url()): budget for path, budget in BUDGETS.items()}
    many(10)
    few = {path: cost(page, path, django_assert_max_num_queries) for path in paths}
    many(9_990)
    much = {path: cost(page, path, django_assert_max_num_queries) for path in paths}
    publish_policy(actor=None, text=EVERY_RULE)
    strict = {path: cost(page, path, django_assert_max_num_queries).statements for path in paths}
    allowed = paths | {path.replace("/requests/1/", asked.get_absolute_url()): most for path, most in JUDGE.items()}

    assert {path: found for path, found in strict.items() if found > allowed[path]} == {}
    assert {
        path: (few[path].statements, found.statements)
        for path, found in much.items()
        if found.statements > few[path].statements
    } == {}
    assert {path: found.statements for path, found in much.items() if found.statements > paths[path]} == {}
    assert {path: found.size for path, found in much.items() if found.size > SIZE} == {}
    assert {path: found.assets for path, found in much.items() if found.assets > ASSETS} == {}
    assert ModelVersion.objects.count() > 10_000


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
    page, costs = session(dkim), []
    for rows in (10, 2000):
        run, other = run_with(rows, mira), run_with(10, mira)
        paths = {path: path.replace("RUN", run.run_id).replace("OTHER", other.run_id) for path in RUNS}
        costs.append({path: cost(page, found, django_assert_max_num_queries) for path, found in paths.items()})
    few, much = costs

    assert {path: found for path, found in much.items() if found.statements > few[path].statements} == {}
    assert {path: found for path, found in much.items() if found.statements > PAGE or found.size > SIZE} == {}
    assert {path: found for path, found in much.items() if found.assets > ASSETS} == {}


def enormous(user: User, rows: int) -> ModelVersion:
    """A version with so many of everything that can be known of one; the one before it is in Production."""
    name = f"model-of-{rows}"
    known = {
        "metrics": {f"metric-{n}-{'x' * 40}": n / 7 for n in range(rows)},
        "params": {f"param-{n}": f"value {n} " * 10 for n in range(rows)},
        "tags": {f"tag-{n}": "t" * 50 for n in range(rows)},
    }
    files = {f"folder-{n % 9}/file-{n}.txt": f"{rows} {n}".encode() for n in range(min(rows, 300))}
    tags = {f"tag-{n}": f"value {n} " * 5 for n in range(min(rows, 300))}
    make_version(name, user=user, stage="Production", run=make_run(user=user, metrics={"metric-1": 1.0}))
    return make_version(name, user=user, run=make_run(user=user, **known), files=files, tags=tags)


def test_a_page_about_two_thousand_metrics_costs_what_one_about_ten_does(
    mira: User, dkim: User, session: Session, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    page, costs = session(dkim), []
    for rows in (10, 2000):
        version = enormous(mira, rows)
        review_request, model = ask(version, mira), version.model.get_absolute_url()
        paths = {
            "model": model,
            "compare": f"{model}compare/?a=1&b=2",
            "lineage": f"{version.get_absolute_url()}lineage/",
            **{f"version, {tab}": f"{version.get_absolute_url()}?tab={tab}" for tab in versions.TABS},
            **{f"request, {tab}": f"{review_request.get_absolute_url()}?tab={tab}" for tab in changes.TABS},
        }
        costs.append({name: cost(page, path, django_assert_max_num_queries) for name, path in paths.items()})
    few, much = costs

    assert {name: found for name, found in much.items() if found.statements > few[name].statements} == {}
    assert {name: found for name, found in much.items() if found.size > SIZE} == {}
    budgets = {name: REVIEW_PAGE if name.startswith("request") else PAGE for name in much}
    assert {name: found for name, found in much.items() if found.statements > budgets[name]} == {}
