"""An MLflow server, read by its own protocol as released with 3.18."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import orjson

from core import outbound
from core.blobs import Readable
from registry.importing.source import (
    NotReadable,
    SourceError,
    TheirExperiment,
    TheirLoggedModel,
    TheirMetric,
    TheirModel,
    TheirRun,
    TheirVersion,
)
from registry.models import PROMPT_TAG, says_prompt

API = "/api/2.0/mlflow"
SECONDS = 120.0
MOST = 256 * 1024 * 1024
PAGE, RUNS_PAGE, POINTS_PAGE = 500, 100, 25_000
MAX_DEPTH = 40  # of folders
MODELS = "", f"tags.`{PROMPT_TAG}` = 'true'"  # ordinary searches leave prompts out
Read = TypeVar("Read")


class RestSource:
    def __init__(self, url: str, *, authorization: str = "") -> None:
        headers = {"Accept": "*/*", "Content-Type": "application/json"}
        if authorization:
            headers["Authorization"] = authorization
        self.name = url.rstrip("/")
        try:
            self._server = outbound.Conversation(self.name, headers=headers)
        except outbound.Unreachable as error:
            raise SourceError(error.message) from error

    def close(self) -> None:
        self._server.close()

    # -- Asking ---------------------------------------------------------------------------------------------------

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        sent = orjson.dumps(body) if body is not None else None
        try:
            answer = self._server.ask(method, path, body=sent, seconds=SECONDS, most=MOST)
        except outbound.Unreachable as error:
            raise SourceError(error.message) from error
        self._require_fine(answer.status, answer.text)
        try:
            content = orjson.loads(answer.text)
        except orjson.JSONDecodeError as error:
            raise self._no_mlflow() from error
        if not isinstance(content, dict):
            raise self._no_mlflow()
        return content

    def _require_fine(self, status: int, text: str) -> None:
        if status == 200:
            return
        if 300 <= status < 400:
            raise SourceError(f"{self.name} answers with a redirect ({status}): name the final address.")
        if status in (401, 403):
            raise SourceError(
                f"{self.name} does not let itself be read ({status}). Set MLFLOW_TRACKING_TOKEN, or "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, to those of an account that may read all of it."
            )
        try:
            content = orjson.loads(text)
            message = f"{content['error_code']}: {content.get('message', '')}"[:300]
        except (orjson.JSONDecodeError, TypeError, KeyError) as error:
            if status in (404, 405):
                raise self._no_mlflow() from error
            raise SourceError(f"{self.name} answers {status}.") from error
        raise NotReadable(f"{self.name} answers {status}, {message}")

    def _no_mlflow(self) -> SourceError:
        return SourceError(f"{self.name} does not answer as an MLflow server does.")

    def _pages(
        self, method: str, path: str, params: dict[str, Any], key: str, read: Callable[[Any], Read]
    ) -> Iterator[list[Read]]:
        seen, token = {""}, ""
        while True:
            asked = {**params, "page_token": token} if token else params
            if method == "GET":
                answer = self._call(method, f"{path}?{urlencode(asked)}")
            else:
                answer = self._call(method, path, asked)
            try:
                rows = [read(entry) for entry in answer.get(key) or ()]
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise self._no_mlflow() from error
            yield rows
            token = str(answer.get("next_page_token") or "")
            if token in seen:
                return
            seen.add(token)

    # -- Tracking -------------------------------------------------------------------------------------------------

    def experiments(self) -> Iterator[TheirExperiment]:
        asked = {"view_type": "ALL", "max_results": PAGE}
        for page in self._pages("POST", f"{API}/experiments/search", asked, "experiments", _experiment):
            yield from page

    def runs(self, experiment_id: str) -> Iterator[list[TheirRun]]:
        asked = {"experiment_ids": [experiment_id], "run_view_type": "ALL", "max_results": RUNS_PAGE}
        return self._pages("POST", f"{API}/runs/search", asked, "runs", _run)

    def history(self, run_id: str, key: str) -> Iterator[list[TheirMetric]]:
        asked = {"run_id": run_id, "metric_key": key, "max_results": POINTS_PAGE}
        return self._pages("GET", f"{API}/metrics/get-history", asked, "metrics", _metric)

    def logged_models(self, experiment_id: str) -> Iterator[list[TheirLoggedModel]]:
        asked = {"experiment_ids": [experiment_id], "max_results": 50}
        return self._pages("POST", f"{API}/logged-models/search", asked, "models", _logged_model)

    # -- Registry -------------------------------------------------------------------------------------------------

    def models(self) -> Iterator[TheirModel]:
        for filter_text in MODELS:
            asked = {"filter": filter_text, "max_results": 100}
            for page in self._pages("GET", f"{API}/registered-models/search", asked, "registered_models", _model):
                yield from page

    def versions(self, model: TheirModel) -> Iterator[list[TheirVersion]]:
        text = f"name = '{model.name}'" if "'" not in model.name else f'name = "{model.name}"'
        if says_prompt(model.tags):
            text += f" AND {MODELS[1]}"
        asked = {"filter": text, "max_results": PAGE}

        def read(entry: dict[str, Any]) -> TheirVersion:
            return _version(entry, self._location(model.name, entry))

        return self._pages("GET", f"{API}/model-versions/search", asked, "model_versions", read)

    def _location(self, name: str, entry: dict[str, Any]) -> str:
        """Where its files lie: asked for where the source only names what has them."""
        if not str(entry.get("source", "")).startswith(("models:/", "runs:/")):
            return str(entry.get("source", ""))
        asked = urlencode({"name": name, "version": entry["version"]})
        try:
            answer = self._call("GET", f"{API}/model-versions/get-download-uri?{asked}")
        except NotReadable:
            return str(entry.get("source", ""))
        return str(answer.get("artifact_uri") or entry.get("source", ""))

    # -- Files ----------------------------------------------------------------------------------------------------

    def files(self, owner: str) -> Iterator[tuple[str, int]]:
        yield from self._files_below(owner, "", depth=0)

    def _files_below(self, owner: str, folder: str, *, depth: int) -> Iterator[tuple[str, int]]:
        if depth > MAX_DEPTH:
            raise NotReadable(f"The folders of {owner} lie too deep in each other.")
        if owner.startswith("m-"):
            path, asked = f"{API}/logged-models/{quote(owner)}/artifacts/directories", {}
            if folder:
                asked["artifact_directory_path"] = folder
        else:
            path, asked = f"{API}/artifacts/list", {"run_id": owner, **({"path": folder} if folder else {})}
        for page in self._pages("GET", path, asked, "files", _entry):
            for name, is_dir, size in page:
                if not is_dir:
                    yield name, size
                elif name != folder:
                    yield from self._files_below(owner, name, depth=depth + 1)

    @contextmanager
    def open(self, owner: str, path: str) -> Iterator[Readable]:
        if owner.startswith("m-"):
            asked = urlencode({"artifact_file_path": path})
            address = f"/ajax-api/2.0/mlflow/logged-models/{quote(owner)}/artifacts/files?{asked}"
        else:
            address = f"/get-artifact?{urlencode({'run_uuid': owner, 'path': path})}"
        try:
            with self._server.stream(address, seconds=SECONDS) as response:
                if response.status != 200:
                    self._require_fine(response.status, response.read(100_000).decode("utf-8", "replace"))
                yield response
        except outbound.Unreachable as error:
            raise SourceError(error.message) from error


# -- What it says ------------------------------------------------------------------------------------------------------


def _pairs(entries: Any) -> dict[str, str]:
    return {str(entry["key"]): str(entry.get("value", "")) for entry in entries or ()}


def _experiment(entry: dict[str, Any]) -> TheirExperiment:
    return TheirExperiment(
        experiment_id=str(entry["experiment_id"]),
        name=str(entry["name"]),
        lifecycle_stage=str(entry.get("lifecycle_stage") or "active"),
        creation_time=int(entry.get("creation_time") or 0),
        last_update_time=int(entry.get("last_update_time") or 0),
        tags=_pairs(entry.get("tags")),
    )


def _metric(entry: dict[str, Any]) -> TheirMetric:
    return TheirMetric(
        key=str(entry["key"]),
        value=entry.get("value", 0.0),
        timestamp=int(entry.get("timestamp") or 0),
        step=int(entry.get("step") or 0),
        run_id=str(entry.get("run_id") or ""),
        model_id=str(entry.get("model_id") or ""),
        dataset_name=str(entry.get("dataset_name") or ""),
        dataset_digest=str(entry.get("dataset_digest") or ""),
    )


def _run(entry: dict[str, Any]) -> TheirRun:
    info, data = entry["info"], entry.get("data") or {}
    inputs, outputs = entry.get("inputs") or {}, entry.get("outputs") or {}
    tags = _pairs(data.get("tags"))
    return TheirRun(
        run_id=str(info["run_id"]),
        run_name=str(info.get("run_name") or tags.get("mlflow.runName", "")),
        user_id=str(info.get("user_id") or tags.get("mlflow.user", "")),
        status=str(info.get("status") or ""),
        start_time=int(info.get("start_time") or 0),
        end_time=int(info["end_time"]) if info.get("end_time") else None,
        lifecycle_stage=str(info.get("lifecycle_stage") or "active"),
        params=_pairs(data.get("params")),
        tags=tags,
        metrics=[_metric(metric) for metric in data.get("metrics") or ()],
        datasets=[
            {"dataset": dict(d["dataset"]), "tags": _pairs(d.get("tags"))} for d in inputs.get("dataset_inputs") or ()
        ],
        inputs=[str(model["model_id"]) for model in inputs.get("model_inputs") or ()],
        outputs=[
            {"model_id": str(model["model_id"]), "step": int(model.get("step") or 0)}
            for model in outputs.get("model_outputs") or ()
        ],
    )


def _logged_model(entry: dict[str, Any]) -> TheirLoggedModel:
    info, data = entry["info"], entry.get("data") or {}
    return TheirLoggedModel(
        model_id=str(info["model_id"]),
        name=str(info.get("name") or ""),
        model_type=str(info.get("model_type") or ""),
        source_run_id=str(info.get("source_run_id") or ""),
        status=str(info.get("status") or ""),
        status_message=str(info.get("status_message") or ""),
        creation_timestamp=int(info.get("creation_timestamp_ms") or 0),
        last_updated_timestamp=int(info.get("last_updated_timestamp_ms") or 0),
        params=_pairs(data.get("params")),
        tags=_pairs(info.get("tags")),
        metrics=[_metric(metric) for metric in data.get("metrics") or ()],
    )


def _model(entry: dict[str, Any]) -> TheirModel:
    return TheirModel(
        name=str(entry["name"]),
        description=str(entry.get("description") or ""),
        creation_timestamp=int(entry.get("creation_timestamp") or 0),
        last_updated_timestamp=int(entry.get("last_updated_timestamp") or 0),
        tags=_pairs(entry.get("tags")),
        aliases={str(alias["alias"]): int(alias["version"]) for alias in entry.get("aliases") or ()},
    )


def _version(entry: dict[str, Any], location: str) -> TheirVersion:
    return TheirVersion(
        version=int(entry["version"]),
        stage=str(entry.get("current_stage") or "None"),
        description=str(entry.get("description") or ""),
        user_id=str(entry.get("user_id") or ""),
        creation_timestamp=int(entry.get("creation_timestamp") or 0),
        last_updated_timestamp=int(entry.get("last_updated_timestamp") or 0),
        source=str(entry.get("source") or ""),
        location=location,
        run_id=str(entry.get("run_id") or ""),
        model_id=str(entry.get("model_id") or ""),
        run_link=str(entry.get("run_link") or ""),
        status=str(entry.get("status") or "READY"),
        status_message=str(entry.get("status_message") or ""),
        tags=_pairs(entry.get("tags")),
    )


def _entry(entry: dict[str, Any]) -> tuple[str, bool, int]:
    return str(entry["path"]), bool(entry.get("is_dir")), int(entry.get("file_size") or 0)
