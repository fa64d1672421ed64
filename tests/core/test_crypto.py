"""Secrets at rest."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from core.crypto import decrypt, encrypt
from core.errors import Conflict

SECRET = "https://hooks.slack.com/services/T0/B0/geheim-ä"


def test_what_is_stored_shows_nothing_and_comes_back_whole() -> None:
    stored = encrypt(SECRET)

    assert "hooks" not in stored and stored.isascii()
    assert decrypt(stored) == SECRET
    assert encrypt(SECRET) != stored


def test_a_key_that_was_rotated_out_still_reads(settings: Settings) -> None:
    stored = encrypt(SECRET)
    old, settings.SECRET_KEY = settings.SECRET_KEY, "a-new-key-of-at-least-thirty-two-characters"

    with pytest.raises(Conflict, match="Enter it anew"):
        decrypt(stored)
    settings.SECRET_KEY_FALLBACKS = [old]

    assert decrypt(stored) == SECRET


@pytest.mark.parametrize("stored", ["", "nonsense", "gAAAAAA", "\x00", "ä"])
def test_what_was_never_encrypted_is_refused(stored: str) -> None:
    with pytest.raises(Conflict):
        decrypt(stored)


def test_a_changed_sign_is_noticed() -> None:
    stored = encrypt(SECRET)
    changed = stored[:-5] + ("A" if stored[-5] != "A" else "B") + stored[-4:]

    with pytest.raises(Conflict):
        decrypt(changed)
