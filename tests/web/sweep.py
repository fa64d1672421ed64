"""Every route of the URL table, a world in which each of them leads to something, and what to send to each."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db.models import Model
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from pytest_django import Settings

from accounts.models import Level, Team, User
from accounts.services import grant
from approvals import services as approvals
from approvals.standing import standing_of
from core.clock import now
from notifications import services as notifications
from notifications.models import Channel, Delivery, Event
from registry import services as registry
from registry import webhooks
from registry.models import StageHolding
from tests.cast import token_of
from tests.factories import make_experiment, make_files, make_logged_model, make_model, make_run, make_version
from tests.scenes import PRODUCTION
from tracking.models import Experiment, Lifecycle

SAFE, UNSAFE = ("GET", "HEAD"), ("POST", "PUT", "PATCH", "DELETE")
EVIL = '<script>alert("evil")</script>'
HOOK = {
    "status": "ACTIVE", "events": ["COMMENT_CREATED"], "http_url_spec": {"url": "https://intruder.invalid/hook"},
}  # fmt: skip
POLICY = """\
name: production-gate
match: {models: ["guarded-*"]}
guards: [stage:Production]
requirements: [{approvals: {count: 1, teams: {risk: 1}}}]
bypass: {people: [admin]}
"""


@dataclass(frozen=True)
class Route:
    pattern: str
    view: str
    only_reads: bool  # a POST that a token for reading may make

    @property
    def is_api(self) -> bool:
        return self.pattern.startswith(("api/", "ajax-api/"))


def _routes(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[Route]:
    for entry in patterns:
        pattern = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _routes(entry.url_patterns, pattern)
            continue
        view = getattr(entry.callback, "view_class", None) or getattr(entry.callback, "cls", None) or entry.callback
        only_reads = getattr(entry.callback, "only_reads", False) or getattr(view, "only_reads", False)
        yield Route(pattern, f"{view.__module__}.{view.__qualname__}", bool(only_reads))


ROUTES = list(_routes(get_resolver().url_patterns))


@dataclass(frozen=True)
class World:
    """One of everything, with texts and files that would like to be run.

    ``samples``: for the part of a route between < and >, a value; by the area of the table that it is in, the first
    that fits. ``body`` is what every call is sent, ``otherwise`` what single calls need to differ in: by their view, or
    by the area where one view stands for many.
    """

    samples: dict[str, dict[str, Any]]
    body: dict[str, Any]
    otherwise: dict[str, dict[str, Any]]

    def path(self, route: Route) -> str:
        """The route with each of its parts filled in; a part without a sample fails the test."""
        return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda part: str(self._sample(route, part[1])), route.pattern)

    def _sample(self, route: Route, part: str) -> Any:
        return next(known[part] for area, known in self.samples.items() if area in route.pattern and part in known)

    def body_for(self, route: Route) -> dict[str, Any]:
        """Our own API refuses fields that a call does not know, so there it is what the call takes."""
        of_area = next((body for area, body in self.otherwise.items() if f"/{area}/" in f"{route.pattern}/"), {})
        body = {**self.body, **of_area, **self.otherwise.get(route.view, {})}
        return {field: body[field] for field in TAKES.get(route.view, [])} if "api/v1/" in route.pattern else body


# What each call of our own API takes. A new one that writes belongs here, or the sweep fails.
TAKES = {
    "web.api.account.Tokens": ["name"],
    "web.api.channels.ChannelDetail": ["is_active"],
    "web.api.channels.Channels": ["kind", "name", "target"],
    "web.api.checks.Checks": ["name", "status"],
    "web.api.comments.CommentDetail": ["text"],
    "web.api.comments.VersionComments": ["text"],
    "web.api.deployments.DeploymentDetail": ["version", "status", "link"],
    "web.api.grants.ModelGrant": ["level"],
    "web.api.grants.ModelGrants": ["grants"],
    "web.api.models.Model": ["description"],
    "web.api.models.ModelAliases": ["alias", "version"],
    "web.api.models.ModelTags": ["key", "value"],
    "web.api.models.ModelRollback": ["target", "version"],
    "web.api.models.Models": ["name"],
    "web.api.people.Grants": ["level", "pattern", "user"],
    "web.api.people.Teams": ["name"],
    "web.api.people.UserDetail": ["is_active"],
    "web.api.people.Users": ["username"],
    "web.api.policies.Policies": ["text"],
    "web.api.requests.RequestComments": ["text"],
    "web.api.requests.RequestReviews": ["decision", "comment", "seen"],
    "web.api.requests.RequestRecusal": ["reason"],
    "web.api.requests.RequestReviewers": ["person"],
    "web.api.requests.RequestBypass": ["reason", "seen"],
    "web.api.requests.RequestSchedule": ["not_before"],
    "web.api.requests.RequestWithdraw": ["comment"],
    "web.api.requests.Requests": ["model", "version", "target"],
    "web.api.versions.Version": ["description"],
    "web.api.versions.VersionMove": ["stage"],
    "web.api.versions.VersionTags": ["key", "value"],
    "web.api.versions.Versions": ["source", "run_id"],
}


@pytest.fixture
def world(db: None, mira: User, sam: User, admin: User, risk: Team, settings: Settings) -> World:
    settings.EXTERNAL_TRACKING_URI = "https://mlflow.example.com"  # for a run elsewhere; nobody asks it here
    files = {"evil.html": EVIL.encode(), "evil.svg": EVIL.encode(), "plot.png": b"\x89PNG\r\n\x1a\n" + EVIL.encode()}
    run = make_run(user=mira, metrics={"accuracy": 0.9}, params={"evil": EVIL}, tags={"evil": EVIL})
    Experiment.objects.filter(pk=run.experiment_id).update(tags={"evil": EVIL})
    make_files(run.run_id, {f"loose/{path}": content for path, content in files.items()})
    logged = make_logged_model(run, tags={"evil": EVIL})
    deleted_run = make_run(user=mira, lifecycle_stage=Lifecycle.DELETED)
    deleted_experiment = make_experiment()
    Experiment.objects.filter(pk=deleted_experiment.pk).update(lifecycle_stage=Lifecycle.DELETED)
    model = make_model("churn-predictor", user=mira, description=EVIL, tags={"evil": EVIL})
    held = make_version(model, stage="Production", aliases=["champion"], user=mira, files=files)
    StageHolding.objects.create(model=model, version=held, target_kind="stage", target="Staging", until=now())
    version = make_version(model, user=mira, run=run, files=files, tags={"evil": EVIL}, description=EVIL)
    outside = make_version(model, user=mira, files={}, run_id="f" * 32)
    policy = approvals.publish_policy(actor=admin, text=POLICY).policy
    request = approvals.open_request(actor=mira, version=version, target=PRODUCTION, comment=EVIL)
    urgent = approvals.open_request(actor=mira, version=make_version("guarded-model", user=mira), target=PRODUCTION)
    approvals.add_comment(actor=mira, version=version, text=EVIL, review_request=request)
    approvals.add_comment(actor=mira, version=version, text=EVIL)
    remark = approvals.add_comment(actor=admin, version=version, text=EVIL, review_request=request)
    settled = approvals.add_comment(actor=admin, version=version, text=EVIL)
    approvals.resolve_thread(actor=admin, comment=settled)
    registry.report_deployment(actor=mira, version=version, name="eu-west", link="https://eu.example.com/")
    approvals.ask_for_review(actor=admin, review_request=request, person=sam)
    channel = notifications.create_channel(actor=admin, kind=Channel.Kind.EMAIL, name="ops", target="ops@example.com")
    mlflows = notifications.create_channel(
        actor=admin, kind=Channel.Kind.WEBHOOK, form=Channel.Form.MLFLOW, name="deploy",
        target="https://deploy.invalid/hook", kinds=["model_version.created"],
    )  # fmt: skip
    databricks = webhooks.create_webhook(
        actor=admin, model=model, target="https://deploy.invalid/hook", kinds=["COMMENT_CREATED"], description=EVIL
    )
    event = Event.objects.filter(request_id=request.pk).earliest("id")
    delivery = Delivery.objects.create(event=event, channel=channel, state=Delivery.State.FAILED)
    token, _ = token_of(admin, name="the administrator's")
    root = f"{run.experiment_id}/{run.run_id}/artifacts"
    return World(
        samples={
            "bypass/": {"pk": urgent.pk},
            "policies/": {"name": policy.name},
            "grants/users/": {"name": model.name, "holder": sam.username},
            "grants/teams/": {"name": model.name, "holder": risk.name},
            "permissions/": {"object_id": model.pk},
            "read-run/": {"number": outside.version},
            "deployments/": {"name": model.name, "deployment": "eu-west"},
            "teams/": {"name": risk.name, "username": sam.username},
            "requests/": {"pk": request.pk},
            "/reopen/": {"pk": settled.pk},
            "comments/<int:pk>/": {"pk": remark.pk},
            "tokens/": {"pk": token.pk},
            "grants/": {"pk": grant(actor=None, level=Level.READ, team=risk, pattern="nothing-*").pk},
            "channels/<int:pk>/secret/": {"pk": mlflows.pk},
            "channels/": {"pk": channel.pk},
            "deliveries/": {"pk": delivery.pk},
            "webhooks/": {"webhook_id": mlflows.key},
            "mlflow-artifacts/": {"path": f"{root}/loose/evil.html"},
            "runs/<str:run_id>/files/": {"path": "loose/evil.html"},
            "runs/": {"run_id": run.run_id},
            "experiments/": {"pk": run.experiment_id},
            "files/": {"path": "evil.html"},
            "pictures/": {"path": "plot.png"},
            "logged-models/": {"model_id": logged.model_id, "key": "evil"},
            "": {"name": model.name, "number": version.version, "username": mira.username, "secret": "nothing"},
        },
        body={
            # The registry
            "name": model.name,
            "version": str(version.version),
            "stage": "Archived",
            "new_name": "taken-over",
            "description": "taken over",
            "key": "evil",
            "value": "taken over",
            "alias": "champion",
            "tags": [{"key": "taken", "value": "over"}],
            "source": version.source,
            # Tracking
            "run_id": run.run_id,
            "experiment_id": str(run.experiment_id),
            "status": "FAILED",
            "timestamp": 1,
            "metrics": [{"key": "accuracy", "value": 1, "timestamp": 1, "step": 1}],
            "params": [{"key": "taken", "value": "over"}],
            "model_id": logged.model_id,
            "models": [{"model_id": logged.model_id}],
            "model_json": json.dumps(
                {"run_id": run.run_id, "artifact_path": "taken", "utc_time_created": "now", "flavors": {}}
            ),
            # Requests and policies
            "model": model.name,
            "target": "Staging",
            "decision": "reject",
            "reason": "Taken over by night.",
            "person": admin.username,
            "confirmed": "on",
            "not_before": (now() + timedelta(days=1)).isoformat(),
            "comment": "Taken over.",
            "seen": standing_of(request).seen,
            "text": POLICY.replace("guarded-*", "*"),
            # People and channels
            "username": "intruder",
            "user": sam.username,
            "grants": [{"user": sam.username, "level": "MANAGE"}],
            "access_control_list": [{"user_name": sam.username, "permission_level": "CAN_MANAGE"}],
            "level": "MANAGE",
            "pattern": "*",
            "is_active": False,
            "kind": "email",
            "models_glob": "*",
            "password1": "correct horse battery",
            "password2": "correct horse battery",
        },
        otherwise={
            "webhooks": {
                "status": "DISABLED",
                "url": "https://intruder.invalid/hook",
                "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}],
            },
            "registry-webhooks/create": {**HOOK, "model_name": model.name},
            "registry-webhooks/update": {**HOOK, "id": databricks.key.hex, "description": "taken over"},
            "registry-webhooks/delete": {"id": databricks.key.hex},
            "registry-webhooks/test": {"id": databricks.key.hex},
            "rollback": {"version": str(held.version)},
            "bypass": {"seen": standing_of(urgent).seen},
            "web.mlflow.registered_models.create": {"name": "new-model"},
            "transition-requests": {"stage": "Production", "creator": mira.username},
            "web.mlflow.comments.update": {"id": str(remark.pk)},
            "web.mlflow.comments.delete": {"id": str(remark.pk)},
            "web.mlflow.model_versions.create": {"model_id": None},
            "web.mlflow.experiments.restore": {"experiment_id": str(deleted_experiment.pk)},
            "web.mlflow.experiments.delete_tag": {"key": "evil"},
            "web.mlflow.runs.restore": {"run_id": deleted_run.run_id},
            "web.mlflow.runs.log_metric": {"value": 1},
            "web.mlflow.runs.log_parameter": {"key": "taken"},
            "web.api.models.Models": {"name": "new-model"},
            "web.api.channels.Channels": {"target": "intruder@example.com"},
            "web.pages.channels.create": {"target": "intruder@example.com"},
            "web.pages.channels.detail": {"target": ""},
            "web.api.checks.Checks": {"status": "failed"},
            "web.api.deployments.DeploymentDetail": {"status": "stopped", "link": "https://intruder.invalid/"},
            "web.api.people.Teams": {"name": "new-team"},
            "web.pages.people.create_team": {"name": "new-team"},
            "web.pages.people.change_team": {"username": mira.username},
            "web.pages.people.grant": {"to": f"user:{sam.username}"},
            "web.pages.models.change_grant": {"to": f"user:{sam.username}"},
            "web.pages.people.switch": {"to": "off"},
            "web.pages.requests.withdraw_ask": {"person": sam.username},
        },
    )


PASSING = ("accounts.Session", "approvals.Look")


def state() -> dict[str, str]:
    """A digest of every table, but for what merely says that somebody was here."""
    return {model._meta.label: _digest(model) for model in apps.get_models() if model._meta.label not in PASSING}


def _digest(model: type[Model]) -> str:
    fields = [
        field.attname for field in model._meta.concrete_fields if field.name not in ("last_used_at", "last_login")
    ]
    rows = list(model._default_manager.order_by("pk").values_list(*fields))
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def changed(before: dict[str, str]) -> list[str]:
    after = state()
    return [label for label in after if after[label] != before[label]]


def bearer(user: User, *, read_only: bool = False) -> Client:
    _, secret = token_of(user, read_only=read_only)
    return Client(headers={"authorization": f"Bearer {secret}"}, raise_request_exception=False)


def send(client: Client, method: str, route: Route, world: World) -> HttpResponse:
    """What is sent: as JSON, to a page as a form, in the address where there is no body."""
    path, body = world.path(route), world.body_for(route)
    texts = {key: value for key, value in body.items() if isinstance(value, str)}
    if method in SAFE:
        return client.generic(method, path, query_params=texts)  # type: ignore[return-value]
    if method == "POST" and not route.is_api:
        return client.post(path, texts)  # type: ignore[return-value]
    query = DELETES.get(route.view, {}) if method == "DELETE" else {}
    content = json.dumps(body)
    return client.generic(method, path, content, content_type="application/json", query_params=query)  # type: ignore[return-value]


# What a DELETE of our own API takes in its address.
DELETES = {
    "web.api.models.ModelTags": {"key": "evil"},
    "web.api.models.ModelAliases": {"alias": "champion"},
    "web.api.versions.VersionTags": {"key": "evil"},
    "web.api.requests.RequestReviewers": {"person": "sam"},
}
