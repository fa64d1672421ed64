"""manage.py start web|worker|beat: becomes that process. For images and service managers; `up` starts them all."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from config.processes import PROCESSES


class Command(BaseCommand):
    help = "Become one of Countersign's processes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("process", choices=sorted(PROCESSES))

    def handle(self, *args: Any, **options: Any) -> None:
        command = PROCESSES[options["process"]]().command
        os.execv(command[0], command)
