"""Secrets stay where they were shown."""

from __future__ import annotations

import logging

import pytest
from django.test import Client

from accounts import services
from accounts.models import User

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("query", ["", "?next=/models/"])
def test_the_log_holds_no_sign_in_link(mira: User, caplog: pytest.LogCaptureFixture, query: str) -> None:
    """Mail scanners open it first: who reads the log then would come before the person does."""
    link = services.create_sign_in_link(actor=None, user=mira)
    secret = link.strip("/").rpartition("/")[2]

    with caplog.at_level(logging.INFO):
        assert Client().get(link + query).status_code == 200
        assert Client().get(link.rstrip("/")).status_code == 404

    assert "/sign-in/link/" in caplog.text
    assert secret not in caplog.text
