"""Scenes that pages are shown and played in: a guarded model with a request under review."""

from __future__ import annotations

from accounts.models import User
from approvals import services
from approvals.models import TransitionRequest
from approvals.standing import standing_of
from registry.gate import Target
from registry.models import ModelVersion, TargetKind
from tests.factories import make_model, make_run, make_version

PRODUCTION = Target(TargetKind.STAGE, "Production")
STAGING = Target(TargetKind.STAGE, "Staging")
ARCHIVED = Target(TargetKind.STAGE, "Archived")
POLICY = """\
name: production-gate
match: {models: ["churn-*"]}
guards: [stage:Production]
requirements:
  - metric: {name: accuracy, min: 0.90}
  - metric: {name: latency_p95_ms, max: 60}
  - approvals: {count: 2, teams: {risk: 1, ml-leads: 1}}
"""
SIGNATURE = 'signature:\n  inputs: \'[{"name": "%s", "type": "double"}]\'\n  outputs: \'[{"type": "long"}]\'\n'


def churn_predictor(owner: User) -> ModelVersion:
    """Version 1 is in Production, version 2 is better and asked for by nobody yet; a policy guards Production."""
    services.publish_policy(actor=None, text=POLICY)
    model = make_model(
        "churn-predictor", user=owner, description="Who **leaves** within 30 days.", tags={"tier": "critical"}
    )
    _version(model, owner, "tenure", stage="Production", aliases=["champion"], accuracy=0.931, latency_p95_ms=41)
    return _version(model, owner, "tenure_days", stage="Staging", accuracy=0.947, latency_p95_ms=46)


def _version(
    model: object, owner: User, column: str, *, stage: str, aliases: tuple = (), **metrics: float
) -> ModelVersion:
    run = make_run(
        user=owner,
        run_name=f"run-on-{column}",
        metrics=metrics,
        params={"max_depth": str(len(column))},
        tags={"mlflow.source.git.commit": f"9f2c1ab{len(column):033d}"},
    )
    files = {"MLmodel": (SIGNATURE % column).encode(), "model.skops": column.encode()}
    return make_version(
        model, stage=stage, aliases=aliases, user=owner, run=run, files=files, description=f"Trained on {column}."
    )


def ugly(name: str, owner: User) -> ModelVersion:
    """What nobody would call a model, with more of everything than fits on a page."""
    model = make_model(
        name, user=owner, description="<script>alert(1)</script> " + "w" * 4000, tags={"<b>": "<img src=x>"}
    )
    run = make_run(
        user=owner,
        run_name="r" * 250,
        metrics={f"metric-{number}-{'x' * 60}": number * 1e9 for number in range(300)},
        params={f"param-{number}": "v" * 500 for number in range(100)},
        tags={"mlflow.source.git.commit": "f" * 40},
    )
    tags = {f"tag-{number}": "value " * 50 for number in range(300)}
    return make_version(model, user=owner, run=run, tags=tags, description="# Title\n\n" + "text " * 900)


def ask(
    version: ModelVersion, requester: User, target: Target = PRODUCTION, comment: str = "Retrained."
) -> TransitionRequest:
    return services.open_request(actor=requester, version=version, target=target, comment=comment)


def seen(review_request: TransitionRequest) -> str:
    """What a reviewer has before their eyes who looks at the page now."""
    return standing_of(TransitionRequest.objects.with_rows().get(pk=review_request.pk)).seen


def say(reviewer: User, review_request: TransitionRequest, decision: str = "approve", comment: str = "") -> None:
    services.submit_review(
        actor=reviewer, review_request=review_request, decision=decision, comment=comment, seen=seen(review_request)
    )
