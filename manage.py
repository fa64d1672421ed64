#!/usr/bin/env python
"""Countersign's command line."""

import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("Countersign needs Python 3.11 or newer; this is %d.%d." % sys.version_info[:2])  # noqa: UP031

try:
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
except ModuleNotFoundError:
    sys.exit("Django is not installed in this Python: run `make run` once, then use .venv/bin/python manage.py.")

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Countersign cannot start: {error}")
