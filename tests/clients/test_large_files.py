"""Large and slow uploads against a running server: flat in memory, and no thread held by a client that stalls."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest
import requests

from tests.buckets import running_bucket
from tests.servers import Server, migrated, processes_of

pytestmark = [pytest.mark.slow, pytest.mark.embedded, pytest.mark.timeout(300)]
MIB = 2**20


def call(server: Server, verb: str, **body: object) -> dict[str, dict[str, dict[str, str]]]:
    answer = requests.post(f"{server.url}/api/2.0/mlflow/{verb}", json=body, headers=credentials(server), timeout=20)
    assert answer.status_code == 200, answer.text
    found: dict[str, dict[str, dict[str, str]]] = answer.json()
    return found


def credentials(server: Server) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.token}"}


def root_of_new_run(server: Server) -> str:
    info = call(server, "runs/create", experiment_id="0")["run"]["info"]
    return f"/api/2.0/mlflow-artifacts/artifacts/0/{info['run_id']}/artifacts"


def peak_memory(server: Server) -> int:
    """MiB that the largest process of the server has ever held: one that still starts grows for reasons of its own."""
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in processes_of(server)]
    peaks = [int(peak[1]) // 1024 for status in statuses if (peak := re.search(r"VmHWM:\s+(\d+)", status))]
    return max(peaks)


@pytest.mark.parametrize("store", ["folder", "s3"])
def test_a_large_file_goes_through_in_little_memory(tmp_path: Path, store: str) -> None:
    size = 300 * MIB
    with running_bucket() if store == "s3" else nullcontext() as bucket:
        server = Server(migrated(tmp_path / "data"), **({"STORAGE_URL": bucket.url} if bucket else {}))
        try:
            server.wait_ready()
            target = server.url + root_of_new_run(server)
            requests.put(f"{target}/small", data=b"1", headers=credentials(server), timeout=20)
            requests.get(f"{target}/small", headers=credentials(server), timeout=20)
            before = peak_memory(server)

            requests.put(f"{target}/large", data=_zeros(size), headers=credentials(server), timeout=200)
            with requests.get(f"{target}/large", headers=credentials(server), stream=True, timeout=200) as answer:
                arrived = sum(len(chunk) for chunk in answer.iter_content(MIB))
            part = requests.get(
                f"{target}/large", headers={**credentials(server), "Range": f"bytes={size - 5}-"}, timeout=20
            )

            after = peak_memory(server)
        finally:
            server.stop()

    assert arrived == size
    assert (part.status_code, part.content) == (206, bytes(5))
    assert after - before < 80, (before, after)


def _zeros(size: int) -> Iterator[bytes]:
    for _ in range(size // MIB):
        yield bytes(MIB)


def test_uploads_that_stall_are_ended_and_hold_nobody_up(tmp_path: Path) -> None:
    server = Server(migrated(tmp_path / "data"), UPLOAD_STALL_SECONDS="1")
    try:
        server.wait_ready()
        target = root_of_new_run(server)
        heads = [("Content-Length: 1000000", b"x"), ("Transfer-Encoding: chunked", b"5\r\nabc")]
        with ThreadPoolExecutor(16) as pool:
            answers = list(
                pool.map(lambda number: _stalled(server, f"{target}/{number}", *heads[number % 2]), range(16))
            )

        listed = requests.get(
            f"{server.url}/api/2.0/mlflow-artifacts/artifacts",
            params={"path": target.split("/artifacts/", 1)[1]},
            headers=credentials(server),
            timeout=10,
        )
    finally:
        server.stop()

    assert all(answer.startswith(b"HTTP/1.1 400 ") for answer in answers), answers
    assert all(b"less than 64 KiB arrived in 1 seconds" in answer for answer in answers), answers
    assert listed.json() == {}
    assert not [path for path in (tmp_path / "data" / "files").rglob("*") if path.is_file()]


def _stalled(server: Server, target: str, length: str, start: bytes) -> bytes:
    """What is answered to an upload that goes no further."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        head = f"PUT {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {server.token}\r\n{length}\r\n\r\n"
        connection.sendall(head.encode() + start)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer
