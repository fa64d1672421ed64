from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core import formatting

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.947, "0.947"),
        (0.94, "0.940"),
        (46, "46"),
        (46.0, "46"),
        (41.27, "41.27"),
        (123.456, "123.5"),
        (12_400, "12,400"),
        (0.00012, "0.00012"),
        (1.5e-9, "1.50e\u221209"),
        (-0.5, "\u22120.500"),
        (0, "0"),
        (float("nan"), "NaN"),
        (float("-inf"), "\u2212∞"),
        (None, "–"),
    ],
)
def test_metric_reads_well_at_every_size(value: float | None, text: str) -> None:
    assert formatting.metric(value) == text


def test_metric_never_reads_the_same_as_the_mark_it_missed() -> None:
    assert formatting.metric(0.8996, beside=0.9) == "0.8996"
    assert formatting.metric(0.9, beside=0.9) == "0.900"
    assert formatting.metric(60.004, beside=60) == "60.004"


@pytest.mark.parametrize(
    ("value", "text"), [(0.94 - 0.912, "+0.028"), (5, "+5"), (-5, "\u22125"), (0.0, "0"), (0.1 + 0.2 - 0.3, "0")]
)
def test_change_carries_its_sign(value: float, text: str) -> None:
    assert formatting.signed(value) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (18_400_000, "18.4 MB"), (999_960, "1 MB"), (5 * 10**15, "5 PB")],
)
def test_sizes_are_in_thousands(size: int, text: str) -> None:
    assert formatting.filesize(size) == text


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (timedelta(seconds=20), "just now"),
        (timedelta(seconds=50), "1 minute ago"),
        (timedelta(minutes=40), "40 minutes ago"),
        (timedelta(hours=2, minutes=59), "2 hours ago"),
        (timedelta(days=29), "29 days ago"),
        (timedelta(days=400), "1 year ago"),
        (timedelta(days=-13), "in 13 days"),
    ],
)
def test_moments_are_told_by_their_distance(ago: timedelta, text: str) -> None:
    assert formatting.relative_time(NOW - ago, now=NOW) == text


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(milliseconds=80), "less than a second"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(minutes=1, seconds=30), "1 minute 30 seconds"),
        (timedelta(days=3, minutes=5), "3 days"),
        (timedelta(days=1, hours=4, minutes=59), "1 day 4 hours"),
        (timedelta(days=800), "2 years 2 months"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(length: timedelta, text: str) -> None:
    assert formatting.duration(length) == text


@pytest.mark.parametrize(
    ("name", "letters"),
    [("dkim", "DK"), ("Mira Chen", "MC"), ("ci-bot", "CB"), ("ana.b@example.com", "AB"), ("é", "É"), ("", "?")],
)
def test_initials_are_two_letters_of_the_name(name: str, letters: str) -> None:
    assert formatting.initials(name) == letters


def test_a_person_keeps_the_same_hue() -> None:
    assert formatting.hue("mira") == formatting.hue("mira")
    assert {formatting.hue(f"person-{number}") for number in range(200)} == set(range(formatting.HUES))


def test_digest_is_shortened_from_both_ends() -> None:
    assert formatting.short_digest("3b7e91c0" + "0" * 52 + "a4f2") == "3b7e 91c0 … a4f2"
    assert formatting.short_digest("9f2c1ab") == "9f2c1ab"
