"""manage.py create_token NAME [--days N] [--models GLOB] [--read-only]: prints the token and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import services
from accounts.models import EVERY_MODEL
from core.errors import CountersignError


class Command(BaseCommand):
    help = "Make an API token for a user and print it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--models", default=EVERY_MODEL, help="the names of the models that it is for, as churn-*")
        parser.add_argument("--read-only", action="store_true")
        parser.add_argument("--days", type=int, default=90, help="until it expires; 0 means never")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 <= options["days"] <= services.LONGEST_LIFETIME.days:
            raise CommandError(f"--days must be 0 (never expires) to {services.LONGEST_LIFETIME.days}.")
        lifetime = timedelta(days=options["days"]) if options["days"] else None
        try:
            user = services.find_user(options["name"])
            _, secret = services.create_token(
                actor=None,
                user=user,
                name="command line",
                expires_in=lifetime,
                read_only=options["read_only"],
                pattern=options["models"],
            )
        except CountersignError as error:
            raise CommandError(error.message) from error
        self.stdout.write(secret)
