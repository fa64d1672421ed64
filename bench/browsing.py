"""What ``bench.pages`` has the server's own code do: fill a database, and ask each page as a browser would."""

from __future__ import annotations

import gzip
import json
import logging
import random
import statistics
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Membership, Team, User
from approvals import services as approvals
from approvals.models import TransitionRequest
from config.celery import app as celery_app
from core.clock import now
from notifications.models import Event
from registry.gate import Target
from registry.metric_rows import figures_of, metric_rows
from registry.models import (
    Alias,
    Evidence,
    LatestVersion,
    ModelVersion,
    RegisteredModel,
    StageHolding,
    TargetKind,
)
from tracking.models import Experiment, MetricPoint, Run

BIG, MODELS = "model-big", 2_000
BATCH = 1000
WARM = 3
METRICS = ("accuracy", "auc", "f1", "latency_p95_ms", "log_loss")
POLICY = """\
name: production-gate
match: {models: ["model-*"]}
guards: [stage:Production]
requirements:
  - metric: {name: auc, min: 0.5}
  - metric: {name: latency_p95_ms, max: 60}
  - approvals: {count: 2, teams: {risk: 1}}
"""


def fill(versions: int) -> None:
    """2,000 models; one of them has ``versions`` versions, each with a run, five metrics and an event."""
    celery_app.conf.update(broker_url="memory://", broker_transport_options={})  # nobody waits for what is sent
    chance = random.Random(7)
    User.objects.create(username="admin", is_superuser=True)
    mira, alice = (User.objects.create(username=name) for name in ("mira", "alice"))
    Membership.objects.create(user=alice, team=Team.objects.create(name="risk"))
    approvals.publish_policy(actor=None, text=POLICY)
    moment = int(now().timestamp() * 1000) - versions * 60_000
    registered = _made(
        RegisteredModel(
            name=BIG if number == 0 else f"model-{number:04}",
            description=f"What model {number} is for.",
            user=mira,
            last_version=versions if number == 0 else 1,
            last_updated_timestamp=moment + number,
            tags={"team": f"team-{number % 20}"},
        )
        for number in range(MODELS)
    )
    owners = [registered[0]] * versions + registered[1:]
    experiment = Experiment.objects.create(name="bench", artifact_location="mlflow-artifacts:/bench")
    runs = _made(
        Run(
            run_id=uuid.UUID(int=number).hex,
            run_name=f"run-{number}",
            experiment=experiment,
            user=mira,
            status="FINISHED",
            start_time=moment + number,
            end_time=moment + number + 1,
            metrics={name: {"value": chance.random(), "timestamp": moment, "step": 0} for name in METRICS},
            params={"depth": str(number % 9)},
            has_versions=True,
        )
        for number in range(len(owners))
    )
    _made(
        MetricPoint(run=run, key=name, value=entry["value"], timestamp=moment)
        for run in runs[:2000]
        for name, entry in run.metrics.items()
    )
    registered_versions = _made(
        ModelVersion(
            model=model,
            version=number + 1 if number < versions else 1,
            current_stage="Production" if number >= versions - 1 else "None",
            description=f"Trained on the data of week {number % 52}.",
            user=mira,
            run_id=run.run_id,
            source=f"s3://models/{number}",
            storage_location=f"s3://models/{number}",
            creation_timestamp=moment + number * 60_000,
            tags={"team": f"team-{number % 20}", "build": str(number)},
        )
        for number, (model, run) in enumerate(zip(owners, runs, strict=True))
    )
    taken = _made(
        Evidence(version=version, digest=f"{number:064x}", data=_data(run))
        for number, (version, run) in enumerate(zip(registered_versions, runs, strict=True))
    )
    for version, evidence in zip(registered_versions, taken, strict=True):
        version.evidence = evidence
    ModelVersion.objects.bulk_update(registered_versions, ["evidence"], batch_size=BATCH)
    _made(row for evidence in taken for row in metric_rows(evidence.version, figures_of(evidence.data)))
    live = registered_versions[versions - 1 :]
    _made(LatestVersion(model=version.model, stage="Production", version=version) for version in live)
    _made(
        StageHolding(
            model=version.model, version=version, target_kind=TargetKind.STAGE, target="Production", set_by=mira
        )
        for version in live
    )
    newest = live[0]
    Alias.objects.create(model=newest.model, name="champion", version=newest)
    RegisteredModel.objects.filter(pk=newest.model_id).update(aliases={"champion": newest.version})
    began = now() - timedelta(days=30)
    _made(
        Event(
            key=uuid.uuid4(),
            kind="model_version.created",
            actor=mira,
            model_name=version.model.name,
            version=version.version,
            summary=f"mira registered {version}.",
            created_at=began,
            fanned_out_at=began,
        )
        for version in registered_versions
    )
    for version in registered_versions[versions - 40 : versions - 1]:
        version.refresh_from_db()
        approvals.open_request(actor=mira, version=version, target=Target(TargetKind.STAGE, "Production"))


def _made(rows: Iterable[models.Model]) -> list[Any]:
    rows = list(rows)
    return list(type(rows[0])._base_manager.bulk_create(rows, batch_size=BATCH))


def _data(run: Run) -> dict[str, Any]:
    return {
        "run": {"run_id": run.run_id, "run_name": run.run_name, "experiment_id": run.experiment_id, "user_id": 1},
        "params": run.params,
        "metrics": {name: {"value": entry["value"], "step": 0} for name, entry in run.metrics.items()},
        "tags": {},
        "datasets": [],
        "commit": "",
        "signature": None,
        "files": [],
        "flavors": [],
    }


def pages() -> Iterator[tuple[str, str]]:
    """What each is called in the report, and its address."""
    big, asked = f"/models/{BIG}/", TransitionRequest.objects.order_by("-id")[0]
    versions = RegisteredModel.objects.get(name=BIG).last_version
    yield "inbox", "/reviews/"
    yield "all open requests", "/reviews/?tab=open"
    yield "models", "/models/"
    yield "models, searched and filtered", "/models/?q=model-1&stage=Production&tag=team-1&sort=name"
    yield "the big model", big
    yield "the big model, sorted by a metric", f"{big}?sort=-auc"
    yield "the same, a page in the middle", f"{big}?sort=-auc&before=0.5:{versions // 2}"
    yield "the big model, sorted and filtered", f"{big}?sort=auc&stage=None&q=week+7"
    yield "the big model, by a tag", f"{big}?q=team%3Dteam-7"
    yield "the big model, earlier dots", f"{big}?until={versions // 2}"
    yield "a version", f"{big}versions/{versions}/"
    yield "two versions compared", f"{big}compare/?a={versions}&b={versions - 1}"
    yield "review page", asked.get_absolute_url()
    yield "history of holders", f"{big}history/"
    yield "activity", "/activity/"
    yield "runs", "/runs/"
    yield "a run", f"/runs/{uuid.UUID(int=0).hex}/"


def measure(turns: int, file: str) -> None:
    """Into the file: of each page the milliseconds (of alice, with one client), its statements and compressed bytes."""
    logging.disable(logging.CRITICAL)
    client = Client(SERVER_NAME="127.0.0.1", headers={"accept-encoding": "identity"})
    client.force_login(User.objects.get(username="alice"), backend="django.contrib.auth.backends.ModelBackend")
    found = [{"page": title, **_figures(client, address, turns)} for title, address in pages()]
    Path(file).write_text(json.dumps({"database": connection.vendor, "pages": found}))


def _figures(client: Client, address: str, turns: int) -> dict[str, Any]:
    for _ in range(WARM):
        answer = client.get(address)
        if answer.status_code != 200:
            raise RuntimeError(f"{address} answers {answer.status_code}.")
    times = [_timed(lambda: client.get(address)) for _ in range(turns)]
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(address)
    return {
        "p50": statistics.median(times),
        "p95": statistics.quantiles(times, n=20)[18],
        "statements": len(asked),
        "bytes": len(gzip.compress(answer.content, 6)),
    }


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000
