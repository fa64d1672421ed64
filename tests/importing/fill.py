"""Fills an MLflow server with what a team leaves behind in a year: python fill.py MODELS VERSIONS, with
MLFLOW_TRACKING_URI set. The predictions of what it trained go to predictions.json in the working folder."""

import json
import math
import sys
import warnings
from pathlib import Path

import mlflow
import numpy
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from sklearn.linear_model import LogisticRegression

warnings.filterwarnings("ignore")
MODELS, VERSIONS = int(sys.argv[1]), int(sys.argv[2])
STAGES = ("Production", "Archived", "Staging")
client = MlflowClient()
inputs = numpy.array([[0.1, 1.0], [0.4, 0.2], [0.9, 0.8], [0.7, 0.1]])
predictions = {}


def train(name: str, number: int) -> None:
    """A version from a logged model, as a notebook of today makes it."""
    with mlflow.start_run(run_name=f"train {name}", tags={"team": "churn"}) as run:
        model = LogisticRegression(C=1 + number).fit(inputs, [0, 0, 1, number % 2])
        mlflow.log_params({"C": 1 + number, "note": "ü ✓"})
        for step in range(25):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_input(mlflow.data.from_numpy(inputs, name="customers"), context="training")
        logged = mlflow.sklearn.log_model(model, name="model", pip_requirements=["scikit-learn"])
        mlflow.log_metric("accuracy", 0.9, model_id=logged.model_id)
        mlflow.register_model(logged.model_uri, name)
    predictions[name] = model.predict_proba(inputs).tolist()
    assert run.info.run_id


def write(name: str, number: int, experiment: str) -> None:
    """A version from the files of a run, as older clients make it."""
    run = client.create_run(experiment, run_name=f"{name}-{number}")
    points = [Metric("auc", number / 100 + step / 1000, 1_700_000_000_000 + step, step) for step in range(5)]
    points.append(Metric("odd", math.nan if number % 2 else math.inf, 1_700_000_000_000, 0))
    client.log_batch(run.info.run_id, points, [Param("depth", str(number))], [RunTag("kind", "tree")])
    client.log_text(run.info.run_id, f"{name} {number}", "model/weights.txt")
    client.log_text(run.info.run_id, "äöü\n" * number, "model/deep er/größe.txt")
    client.set_terminated(run.info.run_id, "FAILED" if number % 3 == 0 else "FINISHED")
    source = f"{run.info.artifact_uri}/model"
    client.create_model_version(name, source, run.info.run_id, tags={"n": str(number)}, description=f"No. {number}")


mlflow.set_experiment("churn")
older = client.create_experiment("older", tags={"owner": "mira"})
for index in range(MODELS):
    name = f"model-{index:02d}"
    client.create_registered_model(name, tags={"tier": "gold"}, description=f"The {name}.")
    train(name, 1)
    for number in range(2, VERSIONS + 1):
        write(name, number, older)
    if VERSIONS > 3:
        client.delete_model_version(name, "3")
    for number, stage in zip((VERSIONS - 1, 1, VERSIONS), STAGES, strict=True):
        client.transition_model_version_stage(name, str(number), stage)
    client.set_registered_model_alias(name, "champion", "2")
    client.set_registered_model_alias(name, "challenger", str(VERSIONS))

client.create_registered_model("empty")
client.copy_model_version("models:/model-00/2", "copied")
mlflow.genai.register_prompt("greeting", "Hello {{name}}", tags={"lang": "en"})
gone = client.create_experiment("gone")
client.delete_run(client.create_run(gone).info.run_id)
client.create_run(older, run_name="still running")
client.delete_experiment(gone)
Path("predictions.json").write_text(json.dumps(predictions))
print("OK")
