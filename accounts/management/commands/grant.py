"""manage.py grant LEVEL PATTERN --user NAME|--team NAME"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import services
from accounts.models import Level
from core.errors import CountersignError


class Command(BaseCommand):
    help = "Give a user or a team a level on the models whose name matches a pattern (* and ?)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("level", choices=[level.name for level in Level if level])
        parser.add_argument("pattern")
        holder = parser.add_mutually_exclusive_group(required=True)
        holder.add_argument("--user")
        holder.add_argument("--team")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user = services.find_user(options["user"]) if options["user"] else None
            team = services.find_team(options["team"]) if options["team"] else None
            services.grant(actor=None, level=Level[options["level"]], user=user, team=team, pattern=options["pattern"])
        except CountersignError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{user or team} has {options['level']} on {options['pattern']}.")
