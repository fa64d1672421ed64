"""A team's script, as a model-registry tutorial has it: nothing in it knows which server it talks to.

Run with MLFLOW_TRACKING_URI and MLFLOW_TRACKING_TOKEN set; prints OK when every step did what it should.
"""

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression

NAME = "churn-predictor"
table = pd.DataFrame(np.random.RandomState(0).rand(80, 3), columns=["tenure", "charges", "calls"])
target = (table.tenure + table.charges > 1).astype(int)
client = MlflowClient()


def expect(seen, wanted):
    assert seen == wanted, f"{seen!r} is not {wanted!r}"


# Registering models
models, runs = [], []
for index in range(3):
    with mlflow.start_run() as run:
        mlflow.log_param("C", 0.5 + index)
        mlflow.log_metric("accuracy", 0.90 + index / 100)
        for step, f1 in enumerate((0.80, 0.85, 0.90)):
            mlflow.log_metric("f1", f1, step=step)
        model = LogisticRegression(C=0.5 + index).fit(table, target)
        mlflow.sklearn.log_model(
            model, artifact_path="model", registered_model_name=NAME, pip_requirements=["scikit-learn"]
        )
        models.append(model)
        runs.append(run.info.run_id)
registered = mlflow.register_model(f"runs:/{runs[0]}/model", NAME)
expect(registered.version, "4")

# Model versions
versions = client.search_model_versions(f"name='{NAME}'")
expect(sorted(int(v.version) for v in versions), [1, 2, 3, 4])
expect({v.version: v.run_id for v in versions}["3"], runs[2])
client.update_model_version(name=NAME, version=3, description="Improved model with new features. F1: 0.94")
expect(client.get_model_version(NAME, "3").description, "Improved model with new features. F1: 0.94")

# Stage transitions
client.transition_model_version_stage(NAME, 2, "Production")
client.transition_model_version_stage(NAME, 3, "Staging")
moved = client.transition_model_version_stage(NAME, 3, "Production", archive_existing_versions=True)
expect(moved.current_stage, "Production")
expect(client.get_model_version(NAME, "2").current_stage, "Archived")
expect([v.version for v in client.get_latest_versions(NAME, stages=["Production"])], ["3"])

# Loading, in every way a service may name it
client.set_registered_model_alias(NAME, "champion", "3")
expect(client.get_model_version_by_alias(NAME, "champion").version, "3")
wanted = models[2].predict(table)
for uri in (f"models:/{NAME}/3", f"models:/{NAME}/Production", f"models:/{NAME}@champion", f"runs:/{runs[2]}/model"):
    assert (mlflow.pyfunc.load_model(uri).predict(table) == wanted).all(), uri

# Tags, descriptions, lineage
client.set_model_version_tag(NAME, "3", "validation", "passed")
expect(client.get_model_version(NAME, "3").tags["validation"], "passed")
run = client.get_run(client.get_model_version(NAME, "3").run_id)
expect(run.data.params, {"C": "2.5"})
expect(run.data.metrics, {"accuracy": 0.92, "f1": 0.90})
expect([point.value for point in client.get_metric_history(run.info.run_id, "f1")], [0.80, 0.85, 0.90])

# Programmatic registry management
client.create_registered_model(
    "fraud-detector", description="Real-time fraud detection", tags={"team": "payments", "priority": "critical"}
)
expect(client.get_registered_model("fraud-detector").tags, {"team": "payments", "priority": "critical"})
expect([m.name for m in client.search_registered_models("name LIKE '%churn%'")], [NAME])
client.delete_model_version(NAME, "1")
expect(sorted(int(v.version) for v in client.search_model_versions(f"name='{NAME}'")), [2, 3, 4])
print("OK", mlflow.__version__)
