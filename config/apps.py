"""What must hold before any process of Countersign serves anybody."""

from __future__ import annotations

from django.apps import AppConfig

from config.celery import app as celery_app

__all__ = ["ConfigConfig", "celery_app"]  # the import makes it the application that tasks are sent through


class ConfigConfig(AppConfig):
    name = "config"
