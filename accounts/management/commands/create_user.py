"""manage.py create_user NAME [--email E] [--admin] [--service [--owner NAME]]"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import services
from core.errors import CountersignError


class Command(BaseCommand):
    help = "Create a person (prints a sign-in link) or a service account."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--email", default="")
        parser.add_argument("--admin", action="store_true")
        parser.add_argument("--service", action="store_true")
        parser.add_argument("--owner", help="the person behind a service account")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user = services.create_user(
                actor=None,
                username=options["name"],
                email=options["email"],
                is_admin=options["admin"],
                is_service=options["service"],
                owner=services.find_user(options["owner"]) if options["owner"] else None,
            )
        except CountersignError as error:
            raise CommandError(error.message) from error
        if user.is_service:
            self.stdout.write(
                f"Created the service account {user.username}. Give it a token: manage.py create_token {user.username}"
            )
        else:
            link = settings.BASE_URL + services.create_sign_in_link(actor=None, user=user)
            self.stdout.write(f"Created {user.username}. They sign in once with {link}")
