"""How many requests one credential may make: a bucket that refills steadily, in the memory of each web process.

Asking a store that all processes share would cost more than a short call itself. So the limit holds for each process;
it is there to stop a loop that has gone wild, not to sell quotas.
"""

from __future__ import annotations

import math
import time
from hashlib import sha256

from django.conf import settings

from core.errors import TooMany

BURST = 10  # seconds of the steady rate that may be used at once
MOST_BUCKETS = 10_000
_buckets: dict[bytes, tuple[float, float]] = {}  # digest of the credential -> what is left, and when that was


def take_one(credential: str) -> None:
    """Raises TooMany when the credential, whoever it belongs to, has none left."""
    rate = settings.REQUESTS_PER_SECOND
    if not rate:
        return
    key, moment, full = sha256(credential.encode()).digest(), time.monotonic(), float(rate * BURST)
    left, then = _buckets.get(key, (full, moment))
    left = min(full, left + (moment - then) * rate)
    if left < 1:
        wait = math.ceil((1 - left) / rate)
        raise TooMany(f"This credential makes more than {rate} requests in a second. Wait {wait} s.", wait=wait)
    if len(_buckets) >= MOST_BUCKETS:
        _buckets.clear()
    _buckets[key] = (left - 1, moment)
