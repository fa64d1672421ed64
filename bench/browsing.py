"""What ``bench.pages`` has the server's own code do: fill a database, and ask each page as a browser would."""

from __future__ import annotations

import gc
import gzip
import json
import logging
import os
import random
import re
import statistics
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from django.contrib.staticfiles import finders
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Membership, Team, User
from approvals import services as approvals
from approvals.models import TransitionRequest
from config.celery import app as celery_app
from config.processes import load_shared
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
OF_THE_BIG = 5  # it has a fifth of all versions; the others share the rest
METRICS = ("accuracy", "auc", "f1", "latency_p95_ms", "log_loss")
ASSET = re.compile(r'<(?:script|link rel="stylesheet")[^>]* (?:src|href)="/static/([^"?]+)"')
POLICY = """\
name: production-gate
match: {models: ["model-*"]}
guards: [stage:Production]
requirements:
  - metric: {name: auc, min: 0.5}
  - metric: {name: accuracy, baseline: production, max_drop: 0.1}
  - metric: {name: latency_p95_ms, max: 60}
  - check: {name: integration-tests, from: ci-bot}
  - signature: {compatible_with: production}
  - tags: [team, build]
  - run: {finished: true, commit: recorded}
  - scan: {vouched_by: risk}
  - description: {min_length: 10}
  - approvals: {count: 2, teams: {risk: 1}}
reviews: {threads_resolved: true}
"""


def fill(versions: int) -> None:
    """So many versions of 2,000 models, each with a run, five metrics and an event."""
    celery_app.conf.update(broker_url="memory://", broker_transport_options={})  # nobody waits for what is sent
    chance = random.Random(7)
    User.objects.create(username="admin", is_superuser=True)
    mira, alice = (User.objects.create(username=name) for name in ("mira", "alice"))
    User.objects.create(username="ci-bot", is_service=True, owner=mira)
    Membership.objects.create(user=alice, team=Team.objects.create(name="risk"))
    approvals.publish_policy(actor=None, text=POLICY)
    moment = int(now().timestamp() * 1000) - versions * 60_000
    big = versions // OF_THE_BIG
    others = (versions - big) // (MODELS - 1)
    registered = _made(
        RegisteredModel(
            name=BIG if number == 0 else f"model-{number:04}",
            description=f"What model {number} is for.",
            user=mira,
            last_version=others if number else big,
            last_updated_timestamp=moment + number,
            tags={"team": f"team-{number % 20}"},
        )
        for number in range(MODELS)
    )
    owners = [(model, number + 1) for model in registered for number in range(model.last_version)]
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
            version=version,
            current_stage="Production" if version == model.last_version else "None",
            description=f"Trained on the data of week {number % 52}.",
            user=mira,
            run_id=run.run_id,
            source=f"s3://models/{number}",
            storage_location=f"s3://models/{number}",
            creation_timestamp=moment + number * 60_000,
            tags={"team": f"team-{number % 20}", "build": str(number)},
        )
        for number, ((model, version), run) in enumerate(zip(owners, runs, strict=True))
    )
    taken = _made(
        Evidence(version=version, digest=f"{number:064x}", data=_data(run))
        for number, (version, run) in enumerate(zip(registered_versions, runs, strict=True))
    )
    for version, evidence in zip(registered_versions, taken, strict=True):
        version.evidence = evidence
    ModelVersion.objects.bulk_update(registered_versions, ["evidence"], batch_size=BATCH)
    _made(row for evidence in taken for row in metric_rows(evidence.version, figures_of(evidence.data)))
    live = [version for version in registered_versions if version.current_stage == "Production"]
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
            kind="registered_model.created",
            actor=mira,
            model_name=model.name,
            summary=f"mira registered {model}.",
            created_at=began,
            fanned_out_at=began,
        )
        for model in registered
    )
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
    for version in registered_versions[big - 40 : big - 1]:
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
    run, other = (f"{uuid.UUID(int=number).hex}" for number in (0, 1))
    experiment = Experiment.objects.get(name="bench")
    yield "inbox", "/reviews/"
    yield "all open requests", "/reviews/?tab=open"
    yield "open requests, filtered", "/reviews/?tab=open&model=model-*&target=Production&requester=mira&text=week"
    yield "decided requests", "/reviews/?tab=decided"
    yield "review page", asked.get_absolute_url()
    yield "models", "/models/"
    yield "models, searched and filtered", "/models/?q=model-1&stage=Production&tag=team-1&sort=name"
    yield "the big model", big
    yield "the big model, sorted by a metric", f"{big}?sort=-auc"
    yield "the same, a page in the middle", f"{big}?sort=-auc&before=0.5:{versions // 2}"
    yield "the big model, sorted and filtered", f"{big}?sort=auc&stage=None&q=week+7"
    yield "the big model, by a tag", f"{big}?q=team%3Dteam-7"
    yield "the big model, earlier dots", f"{big}?until={versions // 2}"
    yield "a version", f"{big}versions/{versions}/"
    yield "lineage of a version", f"{big}versions/{versions}/lineage/"
    yield "asking for a transition", f"{big}versions/{versions // 2}/request/"
    yield "two versions compared", f"{big}compare/?a={versions}&b={versions - 1}"
    yield "history of holders", f"{big}history/"
    yield "people of a model", f"{big}people/"
    yield "deployments of a model", f"{big}deployments/"
    yield "runs", "/runs/"
    yield "runs by a metric", f"/runs/?filter=metrics.auc>0.99&experiment={experiment.pk}"
    yield "a run", f"/runs/{run}/"
    yield "two runs compared", f"/runs/compare/?run={run}&run={other}"
    yield "experiments", "/experiments/"
    yield "an experiment", f"/experiments/{experiment.pk}/"
    yield "search", "/search/?q=model-12"
    yield "policies", "/policies/"
    yield "a policy", "/policies/production-gate/"
    yield "editing a policy", "/policies/production-gate/edit/"
    yield "activity", "/activity/"
    yield "activity, filtered", f"/activity/?model={BIG}&actor=mira&kind=model_version.created"
    yield "channels", "/channels/"
    yield "deliveries", "/deliveries/"
    yield "people", "/people/"
    yield "account", "/account/"


def measure(turns: int, file: str) -> None:
    """Into the file: what each page costs (asked by alice, with one client)."""
    logging.disable(logging.CRITICAL)
    load_shared()  # and with it the web server's ways with garbage
    gc.freeze()
    client = Client(SERVER_NAME="127.0.0.1", headers={"accept-encoding": "identity"})
    client.force_login(User.objects.get(username="alice"))
    found = [{"page": title, **_figures(client, address, turns)} for title, address in pages()]
    Path(file).write_text(json.dumps({"database": connection.vendor, "load": os.getloadavg()[1], "pages": found}))


def _figures(client: Client, address: str, turns: int) -> dict[str, Any]:
    """Milliseconds by the clock and of CPU (ours and PostgreSQL's), statements, compressed bytes: of the page, and of
    the scripts and styles that a first visit to it loads."""
    for _ in range(WARM):
        answer = client.get(address)
        if answer.status_code != 200:
            raise RuntimeError(f"{address} answers {answer.status_code}.")
    gc.collect()
    before = _cpu()
    times = [_timed(lambda: client.get(address)) for _ in range(turns)]
    ours, database = (after - since for after, since in zip(_cpu(), before, strict=True))
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(address)
    return {
        "p50": statistics.median(times),
        "p95": statistics.quantiles(times, n=20)[18],
        "cpu": (ours + database) * 1000 / turns,
        "database_cpu": database * 1000 / turns,
        "statements": len(asked),
        "bytes": len(gzip.compress(answer.content, 6)),
        "assets": sum(_weight(path) for path in ASSET.findall(answer.content.decode())),
    }


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


def _cpu() -> tuple[float, float]:
    """Seconds so far, of this process and of the one that serves it in PostgreSQL, which is on this machine."""
    if connection.vendor != "postgresql":
        return time.process_time(), 0.0
    connection.ensure_connection()
    spent = Path(f"/proc/{connection.connection.info.backend_pid}/stat").read_text().rpartition(")")[2].split()
    return time.process_time(), (int(spent[11]) + int(spent[12])) / os.sysconf("SC_CLK_TCK")


@cache
def _weight(path: str) -> int:
    place = finders.find(path)
    if not isinstance(place, str):
        raise RuntimeError(f"There is no {path}.")
    return len(gzip.compress(Path(place).read_bytes(), 9))
