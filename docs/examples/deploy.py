"""A receiver that deploys what was approved: it listens for ``transition.applied``, loads the very version it names,
and reports what runs, which the pages of the model and of the version show.

    WEBHOOK_SECRET=whsec_… PORT=8765 PLACE=eu-west MLFLOW_TRACKING_URI=… MLFLOW_TRACKING_TOKEN=cs_… python deploy.py

The mlflow client and what it brings along, no more. Behind a proxy with a certificate: webhooks go to https addresses.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import mlflow
import requests

done: set[str] = set()  # keys of events that were acted on: the same one may arrive twice


def is_from_countersign(headers: dict[str, str], body: bytes, secret: str) -> bool:
    timestamp = headers.get("webhook-timestamp", "0")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > 300:
        return False  # somebody plays back what they overheard
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers.get('webhook-id')}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(expected, given) for given in headers.get("webhook-signature", "").split())


def deploy(name: str, version: int, digest: str) -> None:
    """By number and not by stage: what was approved, whatever has become of the stage meanwhile."""
    report(name, version, "deploying")
    try:
        model = mlflow.pyfunc.load_model(f"models:/{name}/{version}")
    except Exception:
        report(name, version, "failed")
        raise
    report(name, version, "running")
    print(
        f"deployed {name} version {version} ({digest[:12]}): {model.metadata.flavors.keys() - {'python_function'}}",
        flush=True,
    )


def report(name: str, version: int, status: str) -> None:
    """Said again without news, it changes nothing: a deployment may report itself as often as it likes."""
    place = os.environ.get("PLACE", "eu-west")
    path = f"/api/v1/models/{quote(name, safe='')}/deployments/{quote(place, safe='')}/"
    said = {"version": version, "status": status, "link": os.environ.get("PLACE_URL", "")}
    headers = {"Authorization": f"Bearer {os.environ['MLFLOW_TRACKING_TOKEN']}"}
    requests.put(os.environ["MLFLOW_TRACKING_URI"] + path, json=said, headers=headers, timeout=30).raise_for_status()


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not is_from_countersign(headers, body, os.environ["WEBHOOK_SECRET"]):
            return self.answer(401)
        event = json.loads(body)
        if event["key"] not in done and event["type"] == "transition.applied":
            data = event["data"]
            if (data["target_kind"], data["target"]) == ("stage", "Production"):
                deploy(event["model"], event["version"], data["digest"])
            done.add(event["key"])
        return self.answer(204)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", 8765))), Hook).serve_forever()
