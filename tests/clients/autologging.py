"""Training with autologging of scikit-learn, the model registered by it, through the stock mlflow client.

Run with MLFLOW_TRACKING_URI and MLFLOW_TRACKING_TOKEN set; prints OK when every step did what it should.
"""

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

name = f"autologged-{mlflow.__version__}"
client = MlflowClient()
mlflow.set_experiment(f"autologging-{mlflow.__version__}")
mlflow.sklearn.autolog(registered_model_name=name, log_input_examples=True)
table = pd.DataFrame({"age": np.arange(60.0), "income": np.arange(60.0)[::-1] ** 2})
target = (table["age"] > 30).astype(int)

# A pipeline: its parameters, its scores, its dataset and its model
with mlflow.start_run() as run:
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.5)).fit(table, target)
    score = pipeline.score(table, target)
read = client.get_run(run.info.run_id)
assert read.data.params["logisticregression__C"] == "0.5"
assert read.data.metrics["training_accuracy_score"] == score
assert read.data.tags["estimator_name"] == "Pipeline"
assert read.inputs.dataset_inputs[0].tags[0].value == "train"
assert "estimator.html" in [file.path for file in client.list_artifacts(run.info.run_id)]
assert [v.run_id for v in client.search_model_versions(f"name = '{name}'")] == [run.info.run_id]
again = mlflow.pyfunc.load_model(f"models:/{name}/1")
assert np.array_equal(again.predict(table), pipeline.predict(table))
assert again.metadata.signature.inputs.input_names() == ["age", "income"]

# A search over parameters: a run for each candidate beneath it
with mlflow.start_run() as run:
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0, 10.0]}, cv=3).fit(table, target)
read = client.get_run(run.info.run_id)
assert read.data.params["best_C"] == str(search.best_params_["C"])
assert read.data.metrics["best_cv_score"] == search.best_score_
children = client.search_runs([read.info.experiment_id], f"tags.mlflow.parentRunId = '{run.info.run_id}'")
assert sorted(child.data.params["C"] for child in children) == ["0.1", "1.0", "10.0"]
newest, *_ = client.search_model_versions(f"name = '{name}'")
assert newest.run_id == run.info.run_id

print("OK", mlflow.__version__)
