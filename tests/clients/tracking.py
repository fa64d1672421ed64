"""All of tracking through the stock mlflow client, 3.18 or 2.22.

Run with MLFLOW_TRACKING_URI and MLFLOW_TRACKING_TOKEN set; prints OK when every step did what it should.
"""

import math
import tempfile
from pathlib import Path

import mlflow
import mlflow.data
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from sklearn.linear_model import LogisticRegression

IS_3 = mlflow.__version__.startswith("3")
NAMED = "name" if IS_3 else "artifact_path"
client = MlflowClient()

# Experiments
experiment = mlflow.set_experiment(f"tracking-{mlflow.__version__}")
assert mlflow.set_experiment(f"tracking-{mlflow.__version__}").experiment_id == experiment.experiment_id
mlflow.set_experiment_tag("team", "risk")
assert client.get_experiment(experiment.experiment_id).tags == {"team": "risk"}
assert client.get_experiment_by_name("absent") is None
assert client.get_experiment("0").name == "Default"
spare = client.create_experiment(f"spare-{mlflow.__version__}", tags={"a": "b"})
client.rename_experiment(spare, f"renamed-{mlflow.__version__}")
client.delete_experiment(spare)
assert client.get_experiment(spare).lifecycle_stage == "deleted"
client.restore_experiment(spare)
found = client.search_experiments(filter_string="name LIKE 'renamed-%' AND tags.a = 'b'", order_by=["name DESC"])
assert spare in [e.experiment_id for e in found]
assert len(client.search_experiments(max_results=1)) == 1 and client.search_experiments(max_results=1).token

# A run with everything
frame = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "y": [0, 0, 1, 1]})
model = LogisticRegression().fit(frame[["x"]], frame["y"])
with mlflow.start_run(run_name="first", tags={"kind": "test"}) as run:
    run_id = run.info.run_id
    mlflow.log_param("lr", 0.1)
    mlflow.log_params({"depth": 3, "größe": "ü", "a b/c": "x" * 6000})
    mlflow.log_metric("auc", 0.5, step=1)
    mlflow.log_metrics({"auc": 0.7}, step=2)
    mlflow.log_metrics({"f1": 0.25, "f2": 0.5})
    mlflow.log_metric("nan", math.nan)
    mlflow.log_metric("inf", math.inf)
    mlflow.log_metric("huge", 1e22)
    mlflow.set_tags({"team": "risk", "number": 5})
    mlflow.set_tag("gone", "1")
    mlflow.delete_tag("gone")
    mlflow.log_input(mlflow.data.from_pandas(frame, name="train", targets="y"), context="training")
    mlflow.log_text("hello", "notes/hello.txt")
    mlflow.log_text("", "notes/empty.txt")
    mlflow.log_dict({"a": 1}, "notes/a b ü 100%.json")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "deep" / "er").mkdir(parents=True)
        (Path(folder) / "deep" / "er" / "big.bin").write_bytes(bytes(range(256)) * 40_000)
        (Path(folder) / "page.html").write_text("<script>alert(1)</script>")
        mlflow.log_artifacts(folder, "many")
        mlflow.log_artifact(str(Path(folder) / "page.html"))
    mlflow.sklearn.log_model(model, **{NAMED: "model"}, input_example=frame[["x"]])
    with mlflow.start_run(nested=True, run_name="child"):
        mlflow.log_metric("auc", 0.9)

read = client.get_run(run_id)
assert read.info.status == "FINISHED" and read.info.run_name == "first" and read.info.end_time >= read.info.start_time
assert read.data.params == {"lr": "0.1", "depth": "3", "größe": "ü", "a b/c": "x" * 6000}
assert read.data.metrics["auc"] == 0.7 and read.data.metrics["f1"] == 0.25 and read.data.metrics["huge"] == 1e22
assert math.isnan(read.data.metrics["nan"]) and read.data.metrics["inf"] == 1.7976931348623157e308
assert read.data.tags["team"] == "risk" and read.data.tags["number"] == "5" and "gone" not in read.data.tags
assert [(m.value, m.step) for m in client.get_metric_history(run_id, "auc")] == [(0.5, 1), (0.7, 2)]
(dataset_input,) = read.inputs.dataset_inputs
assert (dataset_input.dataset.name, dataset_input.tags[0].value) == ("train", "training")
assert dataset_input.dataset.profile and mlflow.data.get_source(dataset_input)

# Batches, and refusals that change nothing
many = [Metric(f"m{n}", n / 3, 1000 + n, n) for n in range(1000)]
client.log_batch(run_id, metrics=many)
client.log_batch(run_id, params=[Param(f"p{n}", str(n)) for n in range(100)], tags=[RunTag("last", "batch")])
assert client.get_run(run_id).data.metrics["m999"] == 333.0


def refusal(act) -> str:
    """The error code of a call that must be refused."""
    try:
        act()
    except MlflowException as error:
        return error.error_code
    raise AssertionError("it was taken")


assert refusal(lambda: client.log_param(run_id, "lr", "0.2")) == "INVALID_PARAMETER_VALUE"
assert refusal(lambda: client.log_metric(run_id, "bad\\key", 1)) == "INVALID_PARAMETER_VALUE"
assert refusal(lambda: client.get_run("f" * 32)) == "RESOURCE_DOES_NOT_EXIST"
assert refusal(lambda: client.delete_tag(run_id, "absent")) == "RESOURCE_DOES_NOT_EXIST"
assert refusal(lambda: client.create_experiment(experiment.name)) == "RESOURCE_ALREADY_EXISTS"
assert refusal(lambda: mlflow.search_runs([experiment.experiment_id], "metrics.auc ~ 5")) == "INVALID_PARAMETER_VALUE"


# Searching
def names(filter_string: str = "", **options: object) -> list[str]:
    runs = client.search_runs([experiment.experiment_id], filter_string, **options)
    return [r.info.run_name for r in runs]


assert sorted(names()) == ["child", "first"]
assert names("metrics.auc > 0.8") == ["child"] and names("metrics.auc <= 0.7 AND params.depth = '3'") == ["first"]
assert names("tags.team ILIKE 'RISK'") == ["first"] and names("params.`a b/c` LIKE 'xxx%'") == ["first"]
assert names("params.größe = 'ü'") == ["first"] and names("dataset.name = 'train'") == ["first"]
assert names("attributes.run_name LIKE 'chi%'") == names(f"tags.mlflow.parentRunId = '{run_id}'") == ["child"]
assert names(order_by=["metrics.auc DESC"]) == ["child", "first"] == names(order_by=["attributes.run_name"])
page = client.search_runs([experiment.experiment_id], max_results=1)
assert page.token and client.search_runs([experiment.experiment_id], max_results=1, page_token=page.token)[0] != page[0]
table = mlflow.search_runs([experiment.experiment_id], "metrics.f1 = 0.25")
assert table.loc[0, "params.lr"] == "0.1" and table.loc[0, "metrics.huge"] == 1e22

# Files
listed = {(f.path, f.is_dir, f.file_size) for f in client.list_artifacts(run_id)}
assert {("notes", True, None), ("many", True, None)} <= listed
assert any(path == "page.html" and size == 25 for path, _, size in listed)
assert mlflow.artifacts.load_text(f"runs:/{run_id}/notes/hello.txt") == "hello"
assert mlflow.artifacts.load_dict(f"runs:/{run_id}/notes/a b ü 100%.json") == {"a": 1}
with tempfile.TemporaryDirectory() as folder:
    path = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="many", dst_path=folder)
    assert (Path(path) / "deep/er/big.bin").read_bytes() == bytes(range(256)) * 40_000
    Path(folder, "whole").mkdir()
    whole = Path(mlflow.artifacts.download_artifacts(read.info.artifact_uri, dst_path=f"{folder}/whole"))
    assert (whole / "notes" / "empty.txt").read_bytes() == b""
    refusal(lambda: mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="absent.txt", dst_path=folder))

# Models without registering
loaded = mlflow.pyfunc.load_model(f"runs:/{run_id}/model")
assert np.array_equal(loaded.predict(frame[["x"]]), model.predict(frame[["x"]]))
assert loaded.metadata.signature is not None
if IS_3:
    (logged,) = mlflow.search_logged_models([experiment.experiment_id], "name = 'model'", output_format="list")
    assert logged.source_run_id == run_id and logged.status == "READY" and logged.params["lr"] == "0.1"
    assert {m.key: m.value for m in logged.metrics}["f1"] == 0.25
    assert client.get_run(run_id).outputs.model_outputs[0].model_id == logged.model_id
    by_metric = {"filter_string": "metrics.f1 > 0.2 AND status = 'READY'", "output_format": "list"}
    assert [m.model_id for m in mlflow.search_logged_models([experiment.experiment_id], **by_metric)] == [
        logged.model_id
    ]
    order = [{"field_name": "metrics.f1", "ascending": False}]
    assert mlflow.search_logged_models([experiment.experiment_id], order_by=order, output_format="list")
    client.set_logged_model_tags(logged.model_id, {"a": "b"})
    assert client.get_logged_model(logged.model_id).tags["a"] == "b"
    client.delete_logged_model_tag(logged.model_id, "a")
    assert np.array_equal(
        mlflow.pyfunc.load_model(f"models:/{logged.model_id}").predict(frame[["x"]]), model.predict(frame[["x"]])
    )
    with mlflow.start_run():
        mlflow.log_metric("auc", 0.99, model_id=logged.model_id)
    assert 0.99 in [m.value for m in client.get_logged_model(logged.model_id).metrics]
    mlflow.sklearn.log_model(model, name="without-run")
    external = mlflow.initialize_logged_model(name="to-delete")
    mlflow.finalize_logged_model(external.model_id, "FAILED")
    client.delete_logged_model(external.model_id)
else:
    assert "mlflow.log-model.history" in client.get_run(run_id).data.tags

# Ends
killed = client.create_run(experiment.experiment_id, run_name="killed")
client.set_terminated(killed.info.run_id, "KILLED")
client.update_run(killed.info.run_id, name="renamed")
assert (client.get_run(killed.info.run_id).info.status, client.get_run(killed.info.run_id).info.run_name) == (
    "KILLED",
    "renamed",
)
client.delete_run(killed.info.run_id)
assert "renamed" not in names() and names(run_view_type=ViewType.DELETED_ONLY) == ["renamed"]
assert refusal(lambda: client.log_metric(killed.info.run_id, "auc", 1)) == "INVALID_PARAMETER_VALUE"
client.restore_run(killed.info.run_id)
with mlflow.start_run(run_id=killed.info.run_id):
    mlflow.log_metric("auc", 1)
assert client.get_run(killed.info.run_id).info.status == "FINISHED"

print("OK", mlflow.__version__)
