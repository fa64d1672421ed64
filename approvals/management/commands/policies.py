"""``policies apply FILE [--dry-run]``, ``policies simulate FILE MODEL VERSION``, ``policies replay FILE``,
``policies list``, ``policies show NAME``, ``policies schema``: policies from the command line."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from approvals import services
from approvals.models import Policy
from approvals.policy.schema import schema
from approvals.services.policies import checked_policy
from approvals.simulation import MOST_REPLAYED, Edits, Outcome, edits, replay, simulate, target_of_draft
from core.errors import CountersignError
from registry.models import ModelVersion


class Command(BaseCommand):
    help = "Publish a policy from a YAML file, list the policies, or show the text in force."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        apply = verbs.add_parser("apply", help="Publish the policy in FILE; the same text again changes nothing.")
        apply.add_argument("file", type=Path)
        apply.add_argument("--dry-run", action="store_true", help="Read it and say what would happen; change nothing.")
        simulate = verbs.add_parser("simulate", help="What the text in FILE would make of a version; change nothing.")
        simulate.add_argument("file", type=Path)
        simulate.add_argument("model")
        simulate.add_argument("version", type=int)
        simulate.add_argument("--asker", help="Whose request it would be; who registered the version if left out.")
        again = verbs.add_parser("replay", help="What the text in FILE would have decided in the past.")
        again.add_argument("file", type=Path)
        verbs.add_parser("list", help="One line per policy.")
        verbs.add_parser("schema", help="The language of policies as a JSON Schema, for editors.")
        show = verbs.add_parser("show", help="The text in force.")
        show.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['verb']}")(options)
        except CountersignError as error:
            raise CommandError(error.message) from error

    def _apply(self, options: dict[str, Any]) -> None:
        file: Path = options["file"]
        text = _text_of(file)
        if options["dry_run"]:
            read = checked_policy(text)
            self.stdout.write(f"{file} is a valid policy: {_what_would_happen(read.name, text)} Nothing was changed.")
            if changes := edits(read, text):
                self._tell(changes)
            return
        before = Policy.objects.filter(name=checked_policy(text).name).values_list("current_id", "archived_at").first()
        revision = services.publish_policy(actor=None, text=text)
        if before == (revision.pk, None):
            self.stdout.write(f"{revision} is in force already; nothing was changed.")
        else:
            self.stdout.write(f"{revision} is in force.")

    def _tell(self, changes: Edits) -> None:
        difference = changes.difference
        if difference.hunks:
            self.stdout.write(f"--- {changes.revision}\n+++ the file\n{difference.unified}", ending="")
        for told, sentences in (("It would no longer say", difference.gone), ("It would say", difference.added)):
            self.stdout.writelines(f"{told}: {sentence}\n" for sentence in sentences)

    def _simulate(self, options: dict[str, Any]) -> None:
        text = _text_of(options["file"])
        read = checked_policy(text)
        version = (
            ModelVersion.objects.live()
            .select_related("model", "user", "evidence")
            .filter(model__name=options["model"], model__deleted_at=None, version=options["version"])
            .first()
        )
        if version is None:
            raise CommandError(f"There is no version {options['version']} of {options['model']}.")
        asker = User.objects.filter(username=options["asker"]).first() if options["asker"] else version.user
        if asker is None:
            raise CommandError("Say whose request it would be: --asker USERNAME.")
        target = target_of_draft(read)
        standing = simulate(read, text, asker=asker, version=version, target=target)
        self.stdout.write(f"{version} to {target}: {standing.verdict.sentence}")
        for node in standing.verdict.requirements:
            self.stdout.write(f"  {node.status:8} {node.title}: {node.reason}")

    def _replay(self, options: dict[str, Any]) -> None:
        text = _text_of(options["file"])
        somebody = User(is_superuser=True)  # the command line reads everything
        found = replay(checked_policy(text), text, user=somebody)
        newest = f" of the newest {MOST_REPLAYED} decisions" if found.is_cut else ""
        self.stdout.write(f"It would have stopped {len(found.stopped)} of {found.moves} moves{newest}.")
        self._tell_outcomes(found.stopped)
        self.stdout.write(f"It was satisfied by {len(found.satisfied)} of {found.unmade} requests that ended unmade.")
        self._tell_outcomes(found.satisfied)

    def _tell_outcomes(self, outcomes: list[Outcome]) -> None:
        self.stdout.writelines(f"  request {row.request.pk}: {row.request}: {row.sentence}\n" for row in outcomes)

    def _list(self, _options: dict[str, Any]) -> None:
        policies = Policy.objects.select_related("current")
        for policy in policies:
            state = "out of force" if policy.archived_at else "in force"
            number = policy.current.number if policy.current else "-"
            self.stdout.write(f"{policy.name}  revision {number}  {state}")
        if not policies:
            self.stdout.write("There is no policy yet: policies apply FILE publishes one.")

    def _schema(self, _options: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(schema(), indent=2))

    def _show(self, options: dict[str, Any]) -> None:
        policy = Policy.objects.select_related("current").filter(name=options["name"]).first()
        if policy is None or policy.current is None:
            raise CommandError(f"There is no policy {options['name']}.")
        self.stdout.write(policy.current.text, ending="")


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from error


def _what_would_happen(name: str, text: str) -> str:
    policy = Policy.objects.select_related("current").filter(name=name).first()
    if policy is None or policy.current is None:
        return f"{name} is new and would become revision 1."
    if policy.current.text == text and policy.archived_at is None:
        return f"it is in force already, as revision {policy.current.number}."
    return f"it would become revision {policy.current.number + 1} of {name}."
