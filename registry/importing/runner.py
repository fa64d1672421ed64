"""The import from its beginning to its end."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction

from accounts.models import User
from notifications.events import record
from registry.events import ImportFinished
from registry.importing.files import Files
from registry.importing.models import Registry
from registry.importing.report import Report
from registry.importing.runs import Tracking
from registry.importing.source import Source, TheirExperiment

Step = Callable[[str, int, int], None]


class Import:
    """``owner`` is the account that experiments, runs and logged models belong to. ``on_step`` is told what is being
    read, how much of it is done, and of how much (0 for unknown)."""

    def __init__(self, source: Source, *, owner: User, with_files: bool, is_dry: bool, on_step: Step) -> None:
        self.source, self.owner, self.with_files, self.is_dry = source, owner, with_files, is_dry
        self.on_step = on_step
        self.report = Report()

    def run(self) -> Report:
        """Raises SourceError, StorageFull or Unavailable; started again it goes on where it stopped. What was counted
        until then is in ``report``."""
        tracking = Tracking(self.source, owner=self.owner, report=self.report, is_dry=self.is_dry)
        files = Files(self.source, owner=self.owner, report=self.report, is_dry=self.is_dry)
        experiments = list(self.source.experiments())
        for number, theirs in enumerate(experiments, 1):
            self._experiment(theirs, tracking, files)
            self.on_step("experiments", number, len(experiments))
        registry = Registry(
            self.source,
            report=self.report,
            is_dry=self.is_dry,
            with_files=self.with_files,
            incomplete=files.incomplete,
        )
        models = list(self.source.models())
        for number, model in enumerate(models, 1):
            registry.model(model)
            self.on_step("models", number, len(models))
        self._record()
        return self.report

    def _experiment(self, theirs: TheirExperiment, tracking: Tracking, files: Files) -> None:
        ours = tracking.experiment(theirs)
        for runs in self.source.runs(theirs.experiment_id):
            self._files(files, tracking.runs(runs, ours))
        for models in self.source.logged_models(theirs.experiment_id):
            self._files(files, tracking.logged_models(models, ours))

    def _files(self, files: Files, owners: list[str]) -> None:
        for owner in owners:
            if self.with_files:
                files.of(owner)
            done = self.report.counts
            self.on_step("runs and logged models", done["runs"].there + done["logged models"].there, 0)

    @transaction.atomic
    def _record(self) -> None:
        if self.report.added and not self.is_dry:
            server, added = self.source.name, self.report.added
            record(ImportFinished(server=server, added=added, owner=self.owner.username), actor=None)
