"""What SQLite knows of its tables. PostgreSQL gathers that by itself."""

from __future__ import annotations

from django.db import connection


def refresh() -> None:
    """Count anew what has changed much: a filter on several columns is then answered by the index that leaves least.

    https://www.sqlite.org/lang_analyze.html recommends it to whoever keeps a database open, when it is opened and every
    few hours.
    """
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA analysis_limit = 1000")  # rows of each index: milliseconds, however large it is
            cursor.execute("PRAGMA optimize = 0x10002")
