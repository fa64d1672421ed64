"""Numbers, sizes, times, names and digests as people read them. Pure; the template filters are in web/pages."""

from __future__ import annotations

import math
import re
import zlib
from datetime import datetime, timedelta

MINUS = "\u2212"
NOTHING = "\u2013"
HUES = 8
# Control, direction and invisible signs: they let a text read otherwise than it is.
_DECEIVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_TOO_LONG = 1e15  # from here on a figure is written with its power of ten
_STEPS = (("minute", 60), ("hour", 3600), ("day", 86_400), ("month", 2_629_800), ("year", 31_557_600))


def metric(value: float | None, *, beside: float | None = None) -> str:
    """A metric with three meaningful decimals, more when it would else read the same as the mark it is held ``beside``.

    So 0.8996 against a pass mark of 0.9 is shown as 0.8996 and never as a failed "0.900".
    """
    if value is None:
        return NOTHING
    value = float(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else f"{MINUS}∞")
    decimals = decimals_of(value)
    if beside is not None and math.isfinite(beside) and value != beside:
        while decimals < 12 and round(value, decimals) == round(beside, decimals):
            decimals += 1
    if value and not 0.5 * 10**-decimals <= abs(value) < _TOO_LONG:
        return f"{value:.2e}".replace("-", MINUS)
    return f"{value:,.{decimals}f}".replace("-", MINUS)


def decimals_of(value: float) -> int:
    """How many decimals of a metric mean something to people."""
    if value == int(value):
        return 0
    size = abs(value)
    if size < 0.01:
        return 5
    return 3 if size < 10 else 2 if size < 100 else 1


def signed(value: float | None) -> str:
    """A change: +0.028, −5, 0."""
    if value is None:
        return NOTHING
    value = round(float(value), 12)  # 0.94 - 0.912 is 0.027999999999999914
    return ("+" if value > 0 else "") + metric(value)


def filesize(size: int | None) -> str:
    """Bytes in powers of a thousand: 512 B, 18.4 MB."""
    if size is None:
        return NOTHING
    amount, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if amount < 999.95 or unit == "PB":
            break
        amount /= 1000
    return f"{int(amount)} B" if unit == "B" else f"{amount:.1f}".removesuffix(".0") + f" {unit}"


def relative_time(moment: datetime, *, now: datetime) -> str:
    """ "2 hours ago", "in 13 days", "just now". static/app.js says the same words."""
    seconds = (now - moment).total_seconds()
    distance = abs(seconds)
    if distance < 45:
        return "just now"
    word, length = "minute", 60
    for name, step in _STEPS:
        if distance >= step:
            word, length = name, step
    count = max(1, int(distance // length))
    text = f"{count} {word}" + ("" if count == 1 else "s")
    return f"{text} ago" if seconds > 0 else f"in {text}"


def duration(length: timedelta) -> str:
    """How long something went on, in its largest unit and the next: 3 days 4 hours, 45 seconds."""
    rest, parts = int(length.total_seconds()), []
    for name, step in reversed((("second", 1), *_STEPS)):
        count, rest = divmod(rest, step)
        parts.append(f"{count} {name}" + ("" if count == 1 else "s") if count else "")
    first = next((at for at, part in enumerate(parts) if part), len(parts))
    return " ".join(part for part in parts[first : first + 2] if part) or "less than a second"


def initials(name: str) -> str:
    """Two letters for an avatar: dkim is DK, Mira Chen is MC, ci-bot is CB."""
    words = re.findall(r"[^\W_]+", name.partition("@")[0])
    if not words:
        return "?"
    return (words[0][:2] if len(words) == 1 else words[0][0] + words[-1][0]).upper()


def hue(name: str) -> int:
    """One of a few colours, the same for the same name everywhere."""
    return zlib.crc32(name.encode()) % HUES


def short_digest(digest: str) -> str:
    """A digest short enough to compare by eye: 3b7e 91c0 … a4f2."""
    return digest if len(digest) <= 16 else f"{digest[:4]} {digest[4:8]} … {digest[-4:]}"


def spelled_out(text: str) -> str:
    """With what cannot be seen, or turns the order of what can, named by its number: ⟨U+202E⟩."""
    return _DECEIVING.sub(lambda found: f"\u27e8U+{ord(found[0]):04X}\u27e9", text)
