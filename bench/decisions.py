"""What ``bench.replay`` has the server's own code do: fill a database with decided requests, and replay a draft."""

from __future__ import annotations

import random
import resource
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import connection

from accounts.models import Membership, Team, User
from approvals.models import Check, Review, TransitionRequest
from approvals.policy import parse
from approvals.services import publish_policy
from approvals.simulation import Effects, Replay, effects, replay
from bench.servers import cpu_of
from core.clock import now
from registry.models import Evidence, ModelVersion, RegisteredModel, StageHolding, TargetKind
from tracking.models import Experiment, Run

MODELS = 20
METRICS = 20
BATCH = 1000
TEXT = """\
name: production-gate
match: {models: ["model-*"]}
guards: [stage:Production]
requirements:
  - metric: {name: m0, min: 0.05}
  - metric: {name: m1, baseline: production, max_drop: 0.9}
  - metric: {name: m2, max: 0.99}
  - check: {name: integration-tests, from: ci-bot}
  - run: {finished: true, commit: recorded, datasets: true}
  - approvals: {count: 2, teams: {risk: 1, ml-leads: 1}}
reviews: {expires_after: 14d}
"""
DRAFT = TEXT.replace("min: 0.05", "min: 0.15")
_SIGNATURE = {"inputs": '[{"name": "x", "type": "double"}]', "outputs": '[{"type": "double"}]', "params": None}


def fill(decisions: int, still_open: int) -> None:
    """Nine of ten were applied; each has two reviews, two reports of a check, a run, and evidence of its own."""
    chance = random.Random(7)
    mira, ci_bot = (User.objects.create(username=name, is_service=name == "ci-bot") for name in ("mira", "ci-bot"))
    members = {name: User.objects.create(username=name) for name in ("alice", "dkim")}
    for name, team in (("alice", "risk"), ("dkim", "ml-leads")):
        Membership.objects.create(user=members[name], team=Team.objects.create(name=team))
    revision = publish_policy(actor=None, text=TEXT)
    experiment = Experiment.objects.create(name="bench", artifact_location="mlflow-artifacts:/bench")
    models = RegisteredModel.objects.bulk_create(RegisteredModel(name=f"model-{n}", user=mira) for n in range(MODELS))
    began, count = now() - timedelta(days=300), decisions + still_open
    runs = Run.objects.bulk_create(
        (
            Run(run_id=uuid.UUID(int=n).hex, experiment=experiment, user=mira, status="FINISHED", has_versions=True)
            for n in range(count)
        ),
        batch_size=BATCH,
    )
    versions = ModelVersion.objects.bulk_create(
        (
            ModelVersion(
                model=models[n % MODELS], version=n // MODELS + 1, run_id=run.run_id, user=mira, digest=f"{n:064x}"
            )
            for n, run in enumerate(runs)
        ),
        batch_size=BATCH,
    )
    evidence = Evidence.objects.bulk_create(
        (Evidence(version=version, digest=f"{n:064x}", data=_data(chance, n)) for n, version in enumerate(versions)),
        batch_size=BATCH,
    )
    for version, taken in zip(versions, evidence, strict=True):
        version.evidence = taken
    ModelVersion.objects.bulk_update(versions, ["evidence"], batch_size=BATCH)
    requests = TransitionRequest.objects.bulk_create(
        (
            TransitionRequest(
                model=version.model,
                version=version,
                target="Production",
                from_stage="None",
                requester=mira,
                state="open" if n >= decisions else "expired" if n % 10 == 9 else "applied",
                policy_revisions=[revision.pk],
                digest=version.digest,
                evidence=version.evidence,
                baseline=versions[n - MODELS] if n >= MODELS else None,
                created_at=began + timedelta(minutes=n),
                closed_at=None if n >= decisions else began + timedelta(minutes=n + 600),
                closed_by=members["alice"],
                verdict={"tree": "x" * 4000},
            )
            for n, version in enumerate(versions)
        ),
        batch_size=BATCH,
    )
    Review.objects.bulk_create(
        (
            Review(
                request=row,
                reviewer=person,
                person=person,
                decision="approve",
                teams=[team],
                seen_digest=row.digest,
                seen_evidence=row.evidence.digest,
                seen_policy_revisions=row.policy_revisions,
                seen_baseline_id=row.baseline_id,
            )
            for row in requests
            for person, team in ((members["alice"], "risk"), (members["dkim"], "ml-leads"))
        ),
        batch_size=BATCH,
    )
    Check.objects.bulk_create(
        (
            Check(
                version=row.version,
                name="integration-tests",
                reporter=ci_bot,
                status=status,
                digest=row.digest,
                reported_at=row.created_at,
                is_current=status == "passed",
                summary="All went well.\n" * 50,
            )
            for row in requests
            for status in ("running", "passed")
        ),
        batch_size=BATCH,
    )
    StageHolding.objects.bulk_create(
        (
            StageHolding(
                model=row.model,
                version=row.version,
                target_kind=TargetKind.STAGE,
                target="Production",
                since=row.closed_at,
                until=row.closed_at + timedelta(minutes=MODELS),
            )
            for row in requests
            if row.state == "applied" and row.closed_at is not None
        ),
        batch_size=BATCH,
    )


def _data(chance: random.Random, n: int) -> dict[str, Any]:
    return {
        "run": {"run_id": uuid.UUID(int=n).hex, "run_name": f"run {n}", "experiment_id": 1, "user_id": "mira"},
        "params": {f"p{k}": str(chance.random()) for k in range(METRICS)},
        "metrics": {f"m{k}": {"value": chance.random(), "step": 1} for k in range(METRICS)},
        "tags": {f"t{k}": "value" for k in range(METRICS)},
        "datasets": [{"name": "test", "digest": "d1", "context": "evaluation", "source_type": "local"}],
        "commit": "0123abcd",
        "files": [[f"model/{k}", 1000, f"{k:064x}"] for k in range(10)],
        "signature": _SIGNATURE,
        "flavors": ["sklearn"],
    }


def measure(what: str) -> None:
    user, draft = User(is_superuser=True), parse(DRAFT)
    ask: dict[str, Callable[[], Replay | Effects]] = {
        "the newest 1,000 decisions": lambda: replay(draft, DRAFT, user=user, most=1000),
        "all decisions": lambda: replay(draft, DRAFT, user=user),
        "all open requests": lambda: effects(draft, DRAFT, user=user),
    }
    connection.ensure_connection()
    database = connection.connection.info.backend_pid
    before, began, worked = _peak(), time.perf_counter(), (time.process_time(), cpu_of(database))
    found = ask[what]()
    taken, own, theirs = time.perf_counter() - began, time.process_time() - worked[0], cpu_of(database) - worked[1]
    print(f"{what}: {taken:.2f} s; CPU {own:.2f} s here, {theirs:.2f} s in PostgreSQL; {_peak() - before:.0f} MiB more")
    print(f"  {_told(found)}")


def _told(found: Replay | Effects) -> str:
    if isinstance(found, Effects):
        return f"{len(found.changed)} of {found.looked_at} would stand differently"
    return f"{len(found.stopped)} of {found.moves} stopped, {len(found.satisfied)} of {found.unmade} satisfied"


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
