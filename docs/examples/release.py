"""A release pipeline: train, register, report a check, ask for Production, and wait for the decision.

    MLFLOW_TRACKING_URI=https://countersign.example.com MLFLOW_TRACKING_TOKEN=cs_… python release.py churn-predictor

Ends with 0 when the version is in Production, 1 when the request was rejected or otherwise closed, and 2 when nobody
has decided in time. CHECKS_TOKEN is the token of the account that the policy names as reporter of the check.
"""

from __future__ import annotations

import os
import sys
import time

import mlflow
import requests
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

SERVER = os.environ["MLFLOW_TRACKING_URI"].rstrip("/")
PATIENCE = float(os.environ.get("PATIENCE", 24 * 3600))  # seconds


def call(method: str, path: str, *, token: str, **body: object) -> dict:
    """Our own API: an answer that is no success ends the pipeline with the sentence that says why."""
    answer = requests.request(
        method, f"{SERVER}/api/v1/{path}", json=body or None, headers={"Authorization": f"Bearer {token}"}, timeout=90
    )
    if not answer.ok:
        sys.exit(answer.json()["error"]["message"])
    return answer.json()


def train_and_register(name: str) -> tuple[str, LogisticRegression, tuple]:
    rows, labels = make_classification(400, random_state=0)
    train_rows, test_rows, train_labels, test_labels = train_test_split(rows, labels, random_state=0)
    with mlflow.start_run():
        model = LogisticRegression().fit(train_rows, train_labels)
        mlflow.log_metric("accuracy", model.score(test_rows, test_labels))
        logged = mlflow.sklearn.log_model(model, name="model", registered_model_name=name)
    return str(logged.registered_model_version), model, (test_rows, test_labels)


def report_check(name: str, version: str, model: LogisticRegression, test: tuple) -> None:
    """What was found out about these very files; here, that the model which the server hands out still predicts."""
    rows, _ = test
    served = mlflow.sklearn.load_model(f"models:/{name}/{version}")
    agreed = int((served.predict(rows) == model.predict(rows)).sum())
    call(
        "POST",
        f"versions/{name}/{version}/checks/",
        token=os.environ["CHECKS_TOKEN"],
        name="integration-tests",
        status="passed" if agreed == len(rows) else "failed",
        figure=f"{agreed} of {len(rows)}",
    )


def ask(name: str, version: str, token: str) -> dict:
    asked = call(
        "POST",
        "requests/",
        token=token,
        model=name,
        version=int(version),
        target="Production",
        comment="Nightly build.",
    )
    print(f"{SERVER}{asked['url']}: {asked['verdict']['sentence']}", flush=True)
    return asked


def wait(asked: dict, token: str) -> int:
    """The server answers as soon as the state changes, and after a minute at the latest."""
    deadline = time.monotonic() + PATIENCE
    while asked["state"] in ("open", "needs_changes"):
        left = int(deadline - time.monotonic())
        if left <= 0:
            print("Nobody has decided in time.")
            return 2
        asked = call("GET", f"requests/{asked['id']}/?wait={min(60, left)}&state={asked['state']}", token=token)
    print(f"{asked['state']}: {asked['closed_reason'] or asked['verdict']['sentence']}")
    return 0 if asked["state"] == "applied" else 1


def main() -> int:
    name, token = sys.argv[1], os.environ["MLFLOW_TRACKING_TOKEN"]
    version, model, test = train_and_register(name)
    report_check(name, version, model, test)
    return wait(ask(name, version, token), token)


if __name__ == "__main__":
    sys.exit(main())
