"""Another tracking server, as far as Countersign asks one: it answers GETs with what a test put there."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

ABSENT = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Not here."}
MLMODEL = """\
flavors:
  python_function: {loader_module: mlflow.sklearn}
signature:
  inputs: '[{"name": "tenure", "type": "long"}]'
  outputs: '[{"type": "double"}]'
"""


class OtherServer:
    """``answers``: path with query -> status, body and headers; what is not there is absent as MLflow says it.

    ``seconds`` is how long it thinks before each answer; ``asked`` keeps the paths and Authorization headers.
    """

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str, dict[str, str]]] = {}
        self.asked: list[str] = []
        self.authorizations: list[str | None] = []
        self.seconds = 0.0
        other = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                other.asked.append(self.path)
                other.authorizations.append(self.headers.get("Authorization"))
                time.sleep(other.seconds)
                absent = (404, json.dumps(ABSENT), {})
                status, body, headers = other.answers.get(unquote(self.path), absent)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body.encode())), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(body.encode())
                except OSError:
                    return  # who asked has hung up: it was too long

            def log_message(self, format: str, *args: object) -> None:
                """Keep the tests' output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> OtherServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, body: object, status: int = 200, **headers: str) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.answers[path] = (status, text, headers)

    def has_run(self, *, metrics: dict[str, Any] | None = None, **info: Any) -> str:
        """A run with a parameter, a commit, a dataset and an MLmodel file in the folder ``model``; its id."""
        run_id = uuid.uuid4().hex
        root = f"mlflow-artifacts:/7/{run_id}/artifacts"
        run = {
            "info": {
                "run_id": run_id, "run_name": "bold-finch-1", "experiment_id": "7", "user_id": "mira",
                "status": "FINISHED",
                "artifact_uri": root, **info,
            },
            "data": {
                "metrics": [{"key": k, "value": v, "timestamp": 1, "step": 3} for k, v in (metrics or {}).items()],
                "params": [{"key": "depth", "value": "3"}],
                "tags": [
                    {"key": "mlflow.source.git.commit", "value": "abc123"},
                    {"key": "mlflow.log-model.history", "value": "[]"},
                ],
            },
            "inputs": {
                "dataset_inputs": [
                    {
                        "tags": [{"key": "mlflow.data.context", "value": "training"}],
                        "dataset": {"name": "train", "digest": "d1", "source_type": "local", "source": "{}"},
                    }
                ]
            },
        }  # fmt: skip
        self.answer(run_path(run_id), {"run": run})
        self.answer(f"/api/2.0/mlflow-artifacts/artifacts/7/{run_id}/artifacts/model/MLmodel", MLMODEL)
        return run_id

    def has_logged_model(self, *, run_id: str = "", location: str = "") -> str:
        """A logged model with its files where 3.x puts them, or at ``location``; its id."""
        model_id = f"m-{uuid.uuid4().hex}"
        root = f"mlflow-artifacts:/7/models/{model_id}/artifacts"
        info = {"model_id": model_id, "artifact_uri": location or root, "source_run_id": run_id}
        data = {"params": [{"key": "C", "value": "0.5"}]}
        self.answer(f"/api/2.0/mlflow/logged-models/{model_id}", {"model": {"info": info, "data": data}})
        self.answer(f"/api/2.0/mlflow-artifacts/artifacts/7/models/{model_id}/artifacts/MLmodel", MLMODEL)
        return model_id


def run_path(run_id: str) -> str:
    return f"/api/2.0/mlflow/runs/get?run_id={run_id}"


def nobody_listens() -> str:
    """An address that refuses connections."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
