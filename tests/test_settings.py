"""A wrong value stops the start with one sentence that names it; a right one means what it says."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

KEY = "k" * 50
POSTGRES = "postgres://user:password@127.0.0.1:5432/countersign"


def run(data_dir: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": os.environ["PATH"], "DATA_DIR": str(data_dir), **environment}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=settings.BASE_DIR,
        env=clean,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def read(data_dir: Path, *names: str, **environment: str) -> dict[str, object]:
    """The settings as a process with this environment sees them."""
    script = (
        f"import json; from config import settings; print(json.dumps({{n: getattr(settings, n) for n in {names!r}}}))"
    )
    answer = run(data_dir, "-c", script, **environment)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"PORT": "abc"}, "PORT is 'abc': write a whole number from 1 to 65535."),
        ({"PORT": "70000"}, "PORT is '70000': write a whole number from 1 to 65535."),
        ({"BASE_URL": "models"}, "BASE_URL is 'models': write an address like https://models.example.com."),
        (
            {"ALLOWED_HOSTS": "*"},
            "ALLOWED_HOSTS is '*': name the hosts, or set COUNTERSIGN_DEVELOPMENT=1 on your own machine.",
        ),
        ({"SECRET_KEY": "short"}, "SECRET_KEY is too short: give at least 32 random characters."),
        ({"DATABASE_URL": POSTGRES}, "SECRET_KEY is not set: with DATABASE_URL every process needs the same one."),
        (
            {"DATABASE_URL": "mysql://host/name", "SECRET_KEY": KEY},
            "DATABASE_URL must name a PostgreSQL database: write postgres://user:password@host:port/name.",
        ),
        (
            {"DATABASE_URL": "postgres://user:password@host:port/name", "SECRET_KEY": KEY},
            "DATABASE_URL cannot be read: write postgres://user:password@host:port/name.",
        ),
        ({"REDIS_URL": "localhost:6379"}, "REDIS_URL must start with redis:// or rediss://."),
        ({"STORAGE_URL": "ftp://host/x"}, "STORAGE_URL must be file:///folder or s3://key:secret@host:port/bucket."),
        (
            {"STORAGE_URL": "s3://key:secret@host/bucket?direct=yes"},
            "STORAGE_URL has a wrong direct=: write true, or the https address under which clients reach the store.",
        ),
        ({"EMAIL_URL": "pigeon://host"}, "EMAIL_URL cannot be read: write smtp://user:password@host:port."),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT is 'xml': write one of text, json."),
        ({"ANYONE_MAY_CREATE_MODELS": "perhaps"}, "ANYONE_MAY_CREATE_MODELS is 'perhaps': write true or false."),
        ({"WEB_WORKERS": "4"}, "WEB_WORKERS above 1 needs DATABASE_URL: SQLite takes one writer at a time."),
        (
            {"DEFAULT_MODEL_LEVEL": "ADMIN"},
            "DEFAULT_MODEL_LEVEL is 'ADMIN': write one of NONE, READ, EDIT, MANAGE_STAGING_VERSIONS, "
            "MANAGE_PRODUCTION_VERSIONS, MANAGE.",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_value_stops_the_start_with_its_name(
    tmp_path: Path, environment: dict[str, str], sentence: str
) -> None:
    answer = run(tmp_path, "manage.py", "check", **environment)

    assert answer.returncode == 1
    assert answer.stderr == f"Countersign cannot start: {sentence}\n"


def test_a_password_in_an_address_is_not_repeated(tmp_path: Path) -> None:
    answer = run(tmp_path, "manage.py", "check", SECRET_KEY=KEY, DATABASE_URL="postgres://user:hunter2@host:port/name")

    assert answer.returncode == 1
    assert "hunter2" not in answer.stdout + answer.stderr


def test_a_folder_that_cannot_be_made_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    answer = run(tmp_path / "file" / "data", "manage.py", "check")

    assert answer.returncode == 1
    assert answer.stderr == (
        f"Countersign cannot start: DATA_DIR {tmp_path}/file/data cannot be made: Not a directory. "
        "Name another folder.\n"
    )


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    first = read(tmp_path, "SECRET_KEY")
    second = read(tmp_path, "SECRET_KEY")

    assert first == second
    assert len(str(first["SECRET_KEY"])) >= 50
    assert stat.S_IMODE((tmp_path / "secret-key").stat().st_mode) == 0o600


def test_debug_is_off_outside_development(tmp_path: Path) -> None:
    assert read(tmp_path, "DEBUG", DEBUG="true") == {"DEBUG": False}
    assert read(tmp_path, "DEBUG", COUNTERSIGN_DEVELOPMENT="1") == {"DEBUG": True}


def test_https_makes_cookies_secure(tmp_path: Path) -> None:
    names = ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "CSRF_TRUSTED_ORIGINS", "ALLOWED_HOSTS")

    seen = read(tmp_path, *names, BASE_URL="https://models.example.com")

    assert seen["SESSION_COOKIE_SECURE"] is True
    assert seen["CSRF_COOKIE_SECURE"] is True
    assert seen["CSRF_TRUSTED_ORIGINS"] == ["https://models.example.com"]
    assert "models.example.com" in seen["ALLOWED_HOSTS"]


def test_an_s3_address_is_read_whole(tmp_path: Path) -> None:
    url = "s3://key:se%2Fcret@store.example.com:9000/models/production?region=eu-central-1&tls=false"

    storage = read(tmp_path, "STORAGES", STORAGE_URL=url)["STORAGES"]["default"]  # type: ignore[index]

    assert storage["OPTIONS"] == {
        "bucket_name": "models",
        "location": "production",
        "file_overwrite": True,
        "max_memory_size": 8 * 1024 * 1024,
        "region_name": "eu-central-1",
        "access_key": "key",
        "secret_key": "se/cret",
        "endpoint_url": "http://store.example.com:9000",
        "addressing_style": "path",
    }


@pytest.mark.parametrize(
    ("direct", "address"), [("true", ""), ("https://files.example.com/", "https://files.example.com")]
)
def test_an_s3_address_may_say_where_clients_reach_the_store(tmp_path: Path, direct: str, address: str) -> None:
    storage = read(tmp_path, "STORAGES", STORAGE_URL=f"s3://key:secret@host/bucket?direct={direct}")

    assert storage["STORAGES"]["default"]["OPTIONS"]["direct_address"] == address  # type: ignore[index]


def test_options_of_the_database_address_are_kept(tmp_path: Path) -> None:
    seen = read(tmp_path, "DATABASES", SECRET_KEY=KEY, DATABASE_URL=f"{POSTGRES}?sslmode=require&prepare_threshold=9")

    options = seen["DATABASES"]["default"]["OPTIONS"]  # type: ignore[index]
    assert (options["sslmode"], options["prepare_threshold"], options["server_side_binding"]) == ("require", 9, True)
    assert seen["DATABASES"]["default"]["CONN_HEALTH_CHECKS"] is True  # type: ignore[index]


def test_without_redis_the_processes_share_a_queue_and_a_cache_of_files(tmp_path: Path) -> None:
    seen = read(tmp_path, "CELERY_BROKER_URL", "CACHES")

    assert seen["CELERY_BROKER_URL"] == "filesystem://"
    assert seen["CACHES"]["default"]["LOCATION"] == str(tmp_path / "cache")  # type: ignore[index]


@pytest.mark.parametrize(
    ("gate", "complaint"),
    [
        ("", "cannot be imported"),
        ("approvals.gate.nobody", "cannot be imported"),
        ("approvals.gate.__doc__", "cannot check or questions"),
    ],
)
def test_no_process_starts_without_somebody_who_answers_the_gate(tmp_path: Path, gate: str, complaint: str) -> None:
    script = f"from config import settings; settings.CHANGE_GATE = {gate!r}; import config.wsgi"

    answer = run(tmp_path, "-c", script, DJANGO_SETTINGS_MODULE="config.settings")

    assert answer.returncode == 1
    assert f"CHANGE_GATE {gate!r} {complaint}" in answer.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("recorder", "complaint"),
    [("notifications.events.nobody", "cannot be imported"), ("notifications.events.__doc__", "is not a function")],
)
def test_no_process_starts_without_somebody_who_keeps_the_events(tmp_path: Path, recorder: str, complaint: str) -> None:
    script = f"from config import settings; settings.EVENT_RECORDER = {recorder!r}; import config.wsgi"

    answer = run(tmp_path, "-c", script, DJANGO_SETTINGS_MODULE="config.settings")

    assert answer.returncode == 1
    assert f"EVENT_RECORDER {recorder!r} {complaint}" in answer.stderr.splitlines()[-1]
