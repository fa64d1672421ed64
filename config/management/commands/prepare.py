"""manage.py prepare: migrate, and on the very first start make the administrator and print how to sign in."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from config import greeting
from config.preparation import prepare


class Command(BaseCommand):
    help = "Migrate the database; on the very first start, make the administrator and print how to sign in."

    def handle(self, *args: Any, **options: Any) -> None:
        first = prepare()
        self.stdout.write(greeting.first_start(*first) if first else "The database is up to date.")
