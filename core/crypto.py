"""Secrets at rest: encrypted with a key derived from SECRET_KEY. Older keys (SECRET_KEY_FALLBACKS) still decrypt."""

from __future__ import annotations

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.utils.encoding import force_bytes

from core.errors import Conflict


def _fernet() -> MultiFernet:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet(
        [Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"secrets:" + force_bytes(key)).digest())) for key in keys]
    )


def encrypt(text: str) -> str:
    return _fernet().encrypt(text.encode()).decode()


def decrypt(token: str) -> str:
    """The text; Conflict when the key it was encrypted with is gone."""
    try:
        return _fernet().decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise Conflict("A stored secret cannot be read with the present SECRET_KEY. Enter it anew.") from error
