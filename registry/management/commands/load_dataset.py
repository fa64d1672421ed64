"""manage.py load_dataset FILE.jsonl"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from core.errors import CountersignError
from registry.loading import Loading
from registry.management.progress import Progress

HELP = """\
Load models and their versions from a file of JSON lines into PostgreSQL, all of them or none. A model's line is
followed by the lines of its versions, with rising numbers; times are milliseconds since 1970, and all but the name,
the number and the source may be left out:
{"model": "churn", "description": "", "tags": {"team": "risk"}, "aliases": {"champion": 1}, "creation_timestamp": 0}
{"version": 1, "stage": "Production", "source": "s3://models/churn/1", "run_id": "", "run_link": "", "tags": {}}
"""


class Command(BaseCommand):
    help = HELP

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        progress, started, path = Progress(self), time.monotonic(), options["file"]
        loading = Loading(path.name, on_step=lambda done: progress.step("versions", done, 0))
        try:
            with path.open("rb") as lines:
                loading.run(lines)
        except OSError as error:
            raise CommandError(f"The file cannot be read: {error}") from error
        except CountersignError as error:
            raise CommandError(f"{error.message} Nothing was loaded.") from error
        finally:
            progress.end()
        self.stdout.write(
            f"Loaded {loading.models} models with {loading.versions} versions in {time.monotonic() - started:.1f} s."
        )
