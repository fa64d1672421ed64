"""A running Countersign with a database that can be emptied: ``python -m tests.conformance.served FOLDER``.

It writes one JSON line that says where the server is, and then ``{}`` each time it has carried out a line "reset".
It stops the server when its input ends. On SQLite in FOLDER, or, where DATABASE_URL and REDIS_URL are set, on a
PostgreSQL database of its own that goes with it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import django
import psycopg
from django.core.management import call_command
from django.db import connection

from tests.servers import Server, wait_until_gone

# Their receivers of webhooks listen on this machine.
ENVIRONMENT = {"OUTBOUND_ALLOW": "localhost,127.0.0.1", "SECRET_KEY": "k" * 50}


def main(folder: Path) -> None:
    with _database() as services:
        files = folder / "files"
        environment = {**ENVIRONMENT, **services, "STORAGE_URL": f"file://{files}"}
        os.environ.update(environment, DATA_DIR=str(folder), DJANGO_SETTINGS_MODULE="config.settings")
        django.setup()
        server = Server(folder, *(["--production"] if services else []), **environment)
        try:
            server.wait_ready()
            _serve(server, files)
        finally:
            server.stop(signal.SIGTERM)
            wait_until_gone(server)


@contextmanager
def _database() -> Iterator[dict[str, str]]:
    """The settings that name the services; none for the embedded form."""
    given = os.environ.pop("DATABASE_URL", "")
    if not given:
        yield {}
        return
    name = f"conformance_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(urlsplit(given)._replace(path="/postgres").geturl(), autocommit=True) as postgres:
        postgres.execute(f"CREATE DATABASE {name}")
        try:
            url = urlsplit(given)._replace(path=f"/{name}").geturl()
            yield {"DATABASE_URL": url, "REDIS_URL": os.environ["REDIS_URL"]}
        finally:
            postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _serve(server: Server, files: Path) -> None:
    """Until the input ends. The rows of the first start, the administrator's token among them, outlive a reset."""
    first_rows = connection.creation.serialize_db_to_string()
    _say({"url": server.url, "token": server.token, "files": str(files)})
    for line in sys.stdin:
        assert line == "reset\n", line
        call_command("flush", interactive=False, verbosity=0, reset_sequences=False, inhibit_post_migrate=True)
        connection.creation.deserialize_db_from_string(first_rows)
        _say({})


def _say(answer: dict[str, str]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
