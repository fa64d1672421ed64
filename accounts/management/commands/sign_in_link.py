"""manage.py sign_in_link NAME: prints a link that signs this person in, once."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import services
from core.errors import CountersignError


class Command(BaseCommand):
    help = "Print a link that signs a person in, once, within a day."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            link = services.create_sign_in_link(actor=None, user=services.find_user(options["name"]))
        except CountersignError as error:
            raise CommandError(error.message) from error
        self.stdout.write(settings.BASE_URL + link)
