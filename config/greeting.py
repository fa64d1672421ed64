"""What a person needs to know after a start: the address, how to sign in, how to point an mlflow client here."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from django.conf import settings


def first_start(path: str, token: str) -> str:
    return f"""\
First start: an administrator "admin" was made. Sign in with this link, once, within a day:
{settings.BASE_URL}{path}

Point an mlflow client here with:
export MLFLOW_TRACKING_URI={settings.BASE_URL}
export MLFLOW_TRACKING_TOKEN={token}
"""


def later_start() -> str:
    return f"""\
A new sign-in link:  {_manage("sign_in_link NAME")}
A new token:         {_manage("create_token NAME")}
"""


def _manage(command: str) -> str:
    """A command line that reaches this very installation."""
    python = Path(sys.executable)
    shown = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    manage = settings.BASE_DIR / "manage.py"
    script = manage.relative_to(Path.cwd()) if manage.is_relative_to(Path.cwd()) else manage
    changed = {}
    if settings.EMBEDDED and settings.DATA_DIR != settings.BASE_DIR / "var":
        changed["DATA_DIR"] = str(settings.DATA_DIR)
    if settings.PORT != 8080:
        changed["PORT"] = str(settings.PORT)
    environment = "".join(f"{name}={shlex.quote(value)} " for name, value in changed.items())
    return f"{environment}{shown} {script} {command}"
