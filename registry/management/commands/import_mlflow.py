"""manage.py import_mlflow URL_OR_DATABASE [--dry-run] [--artifacts] [--artifacts-from FOLDER] [--owner NAME]"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import services as accounts
from accounts.models import User
from core.errors import CountersignError
from registry.importing import DatabaseSource, Import, RestSource, Source, is_database
from registry.management.progress import Progress


class Command(BaseCommand):
    help = "Take over experiments, runs, logged models, models and versions from an MLflow server."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "address",
            metavar="URL_OR_DATABASE",
            help="the server, as in MLFLOW_TRACKING_URI, or its database, as in its --backend-store-uri",
        )
        parser.add_argument("--dry-run", action="store_true", help="read and count, write nothing")
        parser.add_argument("--artifacts", action="store_true", help="fetch the files too")
        parser.add_argument(
            "--artifacts-from",
            type=Path,
            help="with a database: the folder of its files, as in the server's --artifacts-destination",
        )
        parser.add_argument("--owner", default="", help="the account that runs belong to; default: an administrator")

    def handle(self, *args: Any, **options: Any) -> None:
        is_dry = options["dry_run"]
        try:
            owner = accounts.find_user(options["owner"]) if options["owner"] else _administrator()
            source = _source(options["address"], options["artifacts_from"])
        except CountersignError as error:
            raise CommandError(error.message) from error
        progress = Progress(self)
        job = Import(source, owner=owner, with_files=options["artifacts"], is_dry=is_dry, on_step=progress.step)
        try:
            job.run()
        except (CountersignError, KeyboardInterrupt) as error:
            progress.end()
            self._tell(job, is_dry=is_dry)
            why = error.message if isinstance(error, CountersignError) else "Interrupted."
            raise CommandError(f"{why} The import is not complete: start it again, it goes on from here.") from error
        finally:
            source.close()
        progress.end()
        self._tell(job, is_dry=is_dry)

    def _tell(self, job: Import, *, is_dry: bool) -> None:
        for line in job.report.lines(is_dry=is_dry):
            self.stdout.write(line)
        if is_dry:
            self.stdout.write("Nothing was written.")


def _source(address: str, artifacts: Path | None) -> Source:
    if is_database(address):
        return DatabaseSource(address, artifacts=artifacts)
    if artifacts is not None:
        raise CommandError("--artifacts-from goes with a database: a server sends its files itself.")
    return RestSource(address, authorization=_authorization())


def _administrator() -> User:
    found = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if found is None:
        raise CommandError("There is no administrator yet: start the server once, or name an account with --owner.")
    return found


def _authorization() -> str:
    if settings.IMPORT_TOKEN:
        return f"Bearer {settings.IMPORT_TOKEN}"
    if settings.IMPORT_USER:
        pair = f"{settings.IMPORT_USER}:{settings.IMPORT_PASSWORD}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"
    return ""
