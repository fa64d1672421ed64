"""Trains the demo's models for real: small scikit-learn classifiers and regressors on made-up tables.

Everything goes through the stock ``mlflow`` client, as a team's own training script would do it.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, r2_score, roc_auc_score
from sklearn.model_selection import train_test_split

# Named, so that log_model does not start an interpreter to find them out.
REQUIREMENTS = ["scikit-learn", "pandas", "numpy"]
# Made here, a moment ago: the boosted trees may be read back.
TRUSTED_TYPES = ["sklearn.tree._tree.Tree"]


@dataclass(frozen=True)
class Recipe:
    """One registered model of the story and how its versions are trained."""

    name: str
    experiment: str
    description: str
    columns: tuple[str, ...]
    task: str = "classification"  # or "regression"
    noise: float = 0.02  # share of flipped labels, or the target's noise
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempt:
    """One version: which month's data, which parameters, what the author says of it."""

    month: str
    params: dict[str, float]
    description: str
    commit: str
    rows: int = 1500
    noise: float | None = None
    rename: dict[str, str] = field(default_factory=dict)  # columns that changed their name that month


def train_version(recipe: Recipe, attempt: Attempt, *, seed: int) -> str:
    """Train, log and register one version; returns its number."""
    table, target = _table(recipe, attempt, seed=seed)
    x_train, x_test, y_train, y_test = train_test_split(table, target, test_size=0.3, random_state=seed)
    kind = GradientBoostingClassifier if recipe.task == "classification" else GradientBoostingRegressor
    estimator = kind(random_state=seed, **_whole_numbers(attempt.params))

    mlflow.set_experiment(recipe.experiment)
    with mlflow.start_run(run_name=f"search-{attempt.month}"), mlflow.start_run(nested=True) as run:
        mlflow.set_tag("mlflow.source.git.commit", attempt.commit)
        mlflow.log_params({**attempt.params, "seed": seed, "rows": attempt.rows})
        dataset = mlflow.data.from_pandas(
            x_train.assign(target=y_train), name=f"{recipe.experiment}-{attempt.month}", targets="target"
        )
        mlflow.log_input(dataset, context="training")
        estimator.fit(x_train, y_train)
        for step, score in enumerate(_learning_curve(recipe, estimator, x_test, y_test)):
            mlflow.log_metric("validation_score", score, step=step)
        mlflow.log_metrics(_metrics(recipe, estimator, x_test, y_test))
        with contextlib.redirect_stderr(io.StringIO()):  # the client says again that the model exists already
            mlflow.sklearn.log_model(
                estimator,
                name="model",
                registered_model_name=recipe.name,
                signature=infer_signature(x_test, estimator.predict(x_test)),
                pip_requirements=REQUIREMENTS,
                skops_trusted_types=TRUSTED_TYPES,
            )
    client = mlflow.MlflowClient()
    version = max(
        (v for v in client.search_model_versions(f"name='{recipe.name}'") if v.run_id == run.info.run_id),
        key=lambda v: int(v.version),
    )
    client.update_model_version(recipe.name, version.version, attempt.description)
    client.set_model_version_tag(recipe.name, version.version, "trained_on", attempt.month)
    return version.version


def _whole_numbers(params: dict[str, float]) -> dict[str, float]:
    return {key: int(value) if float(value).is_integer() else value for key, value in params.items()}


def _table(recipe: Recipe, attempt: Attempt, *, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    noise = recipe.noise if attempt.noise is None else attempt.noise
    width = len(recipe.columns)
    if recipe.task == "classification":
        data, target = make_classification(
            n_samples=attempt.rows, n_features=width, n_informative=width - 1, n_redundant=0, class_sep=1.6,
            flip_y=noise, random_state=len(recipe.name) + seed % 3,
        )  # fmt: skip
    else:
        data, target = make_regression(
            n_samples=attempt.rows, n_features=width, n_informative=width, noise=noise * 100, random_state=7
        )
    columns = [attempt.rename.get(column, column) for column in recipe.columns]
    return pd.DataFrame(data, columns=columns), target.astype(float)  # a signature of whole numbers is warned of


def _learning_curve(recipe: Recipe, estimator: object, x: pd.DataFrame, y: np.ndarray) -> Iterator[float]:
    score = f1_score if recipe.task == "classification" else r2_score
    stages = list(estimator.staged_predict(x))  # type: ignore[attr-defined]
    for index in range(0, len(stages), max(1, len(stages) // 20)):
        yield float(score(y, stages[index]))


def _metrics(recipe: Recipe, estimator: object, x: pd.DataFrame, y: np.ndarray) -> dict[str, float]:
    predicted = estimator.predict(x)  # type: ignore[attr-defined]
    latency = {"latency_p95_ms": _latency_p95_ms(estimator, x)}
    if recipe.task == "regression":
        return {"mae": float(mean_absolute_error(y, predicted)), "r2": float(r2_score(y, predicted)), **latency}
    scores = estimator.predict_proba(x)[:, 1]  # type: ignore[attr-defined]
    return {
        "accuracy": float(accuracy_score(y, predicted)),
        "f1": float(f1_score(y, predicted)),
        "auc": float(roc_auc_score(y, scores)),
        **latency,
    }


def _latency_p95_ms(estimator: object, x: pd.DataFrame) -> float:
    """The 95th percentile of 40 predictions of one row each, in milliseconds, as measured here and now."""
    times = []
    for index in range(40):
        start = time.perf_counter()
        estimator.predict(x.iloc[[index]])  # type: ignore[attr-defined]
        times.append((time.perf_counter() - start) * 1000)
    return round(float(np.percentile(times, 95)), 3)
