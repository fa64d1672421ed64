"""How many requests one credential may make: a bucket that refills steadily, in the memory of each web process.

Asking a store that all processes share would cost more than a short call itself. So the limit holds for each process;
it is there to stop a loop that has gone wild, not to sell quotas.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from hashlib import sha256

from django.conf import settings

from core.errors import TooMany

BURST = 10  # seconds of the steady rate that may be used at once
MOST_BUCKETS = 10_000
_buckets: OrderedDict[bytes, tuple[float, float]] = OrderedDict()  # digest -> what is left, and when that was
_lock = threading.Lock()


def take_one(credential: str) -> None:
    """Raises TooMany when the credential, whoever it belongs to, has none left."""
    rate = settings.REQUESTS_PER_SECOND
    if not rate:
        return
    key, full = sha256(credential.encode()).digest(), float(rate * BURST)
    with _lock:
        moment = time.monotonic()
        left, then = _buckets.get(key, (full, moment))
        left = min(full, left + (moment - then) * rate)
        _buckets[key] = (left - 1 if left >= 1 else left, moment)
        _buckets.move_to_end(key)
        if len(_buckets) > MOST_BUCKETS:  # whoever has not asked for the longest time
            _buckets.popitem(last=False)
    if left < 1:
        wait = math.ceil((1 - left) / rate)
        raise TooMany(f"This credential makes more than {rate} requests in a second. Wait {wait} s.", wait=wait)
