"""For MLflow's suite of artifacts: a server that has one root of files for everything, and a folder that one can see.

Ours has a root for each run and shows no disk. So what the suite keeps at the root of the server lies in a run of its
own, and the folder is filled from the server when the suite looks at it, and emptied into it when the suite registers
what it put there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from mlflow import MlflowClient

SERVICE = "/api/2.0/mlflow-artifacts/artifacts"
OF_A_RUN = re.compile(r"[0-9]+/[0-9a-f]{32}/artifacts(/|$)")
WHOLE_ROOT = "mlflow-artifacts:"


class OneRoot:
    """``folder`` is what the suite takes for the server's disk; ``get`` and ``put`` are requests' for the suite."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.run = MlflowClient(url).create_run("0").info
        self._service = url + SERVICE

    def get(self, url: str, params: dict[str, str] | None = None, **options: Any) -> requests.Response:
        if url == self._service:
            return requests.get(url, params={"path": self._inside((params or {}).get("path", ""))}, **options)
        return requests.get(self._address(url), params=params, **options)

    def put(self, url: str, **options: Any) -> requests.Response:
        return requests.put(self._address(url), **options)

    def _address(self, url: str) -> str:
        if not url.startswith(f"{self._service}/"):
            return url
        return f"{self._service}/{self._inside(url.removeprefix(f'{self._service}/'))}"

    def _inside(self, path: str) -> str:
        """A path at the server's root as one of ours."""
        return path if OF_A_RUN.match(path) else f"0/{self.run.run_id}/artifacts/{path}".rstrip("/")

    def fetch(self, path: str) -> None:
        """Put the file of that path in the folder there, when the server has it."""
        if self.folder not in (target := Path(path)).parents:
            return
        relative = quote(target.relative_to(self.folder).as_posix())
        answer = requests.get(f"{self._service}/{self._inside(relative)}")
        if answer.ok:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(answer.content)

    def send(self) -> Any:
        """Upload what the suite has put into the folder itself, to a run of its own; that run's info."""
        run = MlflowClient(self.url).create_run("0").info
        for path in self.folder.glob("*.*"):
            self.put(f"{self._service}/0/{run.run_id}/artifacts/{path.name}", data=path.read_bytes()).raise_for_status()
        return run

    def client(self, uri: str) -> MlflowClient:
        return _Client(self, uri)


class _Client(MlflowClient):
    """A version of the server's whole root is one of a run of its own: what it holds is frozen from then on."""

    def __init__(self, root: OneRoot, uri: str) -> None:
        super().__init__(uri)
        self._one_root = root

    def create_model_version(self, name: str, source: str, run_id: object = None, **options: Any) -> Any:
        if source == WHOLE_ROOT:
            run = self._one_root.send()
            source, run_id = run.artifact_uri, run.run_id
        return super().create_model_version(name, source, run_id, **options)
