"""A client whose files go straight to the store: large ones in parts, all of them back by signed addresses.

Run with MLFLOW_TRACKING_URI, MLFLOW_TRACKING_TOKEN, and the sizes from which mlflow uses parts; prints OK.
"""

import hashlib
import os
import tempfile
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

client = MlflowClient()
folder = Path(tempfile.mkdtemp())
files = {"weights.bin": 11 * 2**20 + 5, "größe.bin": 6 * 2**20, "small.txt": 3, "empty": 0}
for name, size in files.items():
    (folder / name).write_bytes(os.urandom(size))


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


with mlflow.start_run() as run:
    mlflow.log_artifacts(folder, "model")
    mlflow.log_artifact(folder / "weights.bin")

listed = {file.path: file.file_size for file in client.list_artifacts(run.info.run_id, "model")}
assert listed == {f"model/{name}": size or None for name, size in files.items()}, listed
back = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="model"))
for name in files:
    assert digest(back / name) == digest(folder / name), name

client.create_registered_model("direct")
version = client.create_model_version("direct", f"runs:/{run.info.run_id}/model", run.info.run_id)
try:
    client.log_artifact(run.info.run_id, folder / "weights.bin", "model")
except MlflowException as error:
    refusal = str(error)
except Exception as error:
    refusal = str(error)
else:
    refusal = ""
assert "409" in refusal or "RESOURCE_CONFLICT" in refusal, refusal
print("OK", mlflow.__version__)
