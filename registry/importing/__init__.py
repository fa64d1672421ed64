"""Taking over what another MLflow server holds: experiments, runs, logged models, files, models and their versions.

A Source says what is there, in the words of source.py; what is written here goes in whole pieces, each of which can be
found again, so that an import that was killed is started again and ends the same. The gate is not asked: what is
written is new to this server, by the hand of who runs it, and every imported model leaves an event that says who holds
what in it.
"""

from registry.importing.database import DatabaseSource, is_database
from registry.importing.report import Report
from registry.importing.rest import RestSource
from registry.importing.runner import Import
from registry.importing.source import Source, SourceError

__all__ = ["DatabaseSource", "Import", "Report", "RestSource", "Source", "SourceError", "is_database"]
