"""manage.py team NAME --add USER..."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import services
from accounts.models import Team
from core.errors import CountersignError


class Command(BaseCommand):
    help = "Create a team if there is none of this name, and add or remove people."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--add", nargs="+", default=[], metavar="USER")
        parser.add_argument("--remove", nargs="+", default=[], metavar="USER")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            joining = [services.find_user(name) for name in options["add"]]
            leaving = [services.find_user(name) for name in options["remove"]]
            team = Team.objects.filter(name=options["name"]).first()
            team = team or services.create_team(actor=None, name=options["name"])
            services.add_to_team(actor=None, team=team, users=joining)
            services.remove_from_team(actor=None, team=team, users=leaving)
        except CountersignError as error:
            raise CommandError(error.message) from error
        names = ", ".join(team.members.order_by("username").values_list("username", flat=True)) or "nobody"
        self.stdout.write(f"{team}: {names}")
