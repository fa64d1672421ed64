"""Slack, through a real HTTP server: what arrives, and what each answer means."""

from __future__ import annotations

import json
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from pytest_django import Settings

from core.clock import now
from core.errors import Invalid
from notifications.delivery import SCHEDULE
from notifications.models import Attempt, Channel, Delivery
from notifications.tasks import drain
from notifications.transports import http
from notifications.transports import slack as transport
from tests.notifications.conftest import happened, slack_channel
from tests.receivers import Receiver

pytestmark = pytest.mark.django_db
EVIL = "<!channel> <@U123> <https://evil.example.com|click> & *bold*"


def texts(post: dict[str, Any]) -> str:
    return "\n".join(block["text"]["text"] for block in post["blocks"])


def test_a_message_says_what_who_why_and_where(slack: Receiver, settings: Settings) -> None:
    settings.BASE_URL = "https://models.example.com"
    slack_channel(slack.url)
    event = happened(comment="Retrained on\nOctober data.", waiting_for=["2 approvals, one from risk"])

    drain()

    (post,) = slack.posts
    assert post["text"] == "mira asks to move version 3 of churn-predictor to Production."
    shown = texts(post)
    assert "*Review wanted*" in shown
    assert "> Retrained on\n> October data." in shown
    assert "2 approvals, one from risk" in shown
    assert "<https://models.example.com/requests/7/|Open the request>" in shown
    assert slack.keys == [str(event.key)]
    assert (Delivery.objects.get().state, Attempt.objects.get().status_code) == ("sent", 200)


def test_no_text_mentions_a_channel_or_makes_a_link(slack: Receiver) -> None:
    slack_channel(slack.url)
    happened("comment.created", summary=EVIL, comment=EVIL, waiting_for=[EVIL])

    drain()

    said = json.dumps(slack.posts)
    for sign in ("<!", "<@", "<https://evil"):
        assert sign not in said
    assert "&lt;!channel&gt;" in said
    assert all(block["text"]["verbatim"] for block in slack.posts[0]["blocks"])


def test_a_long_story_fits_into_what_slack_takes() -> None:
    message = transport.message(happened(summary="<" * 5000, comment="&\n" * 50_000, waiting_for=["x" * 900] * 100))

    for text in [message["text"], *(block["text"]["text"] for block in message["blocks"])]:
        assert len(text) <= 3000
        assert not text.rstrip("…").endswith(("&", "&l", "&lt", "&g", "&a", "&am", "&amp"))
    assert len(message["blocks"]) <= 50


@pytest.mark.parametrize(
    ("status", "said", "state", "is_on"),
    [
        (200, "ok", "sent", True),
        (302, "", "failed", True),
        (400, "invalid_payload", "failed", True),
        (403, "action_prohibited", "failed", True),
        (404, "no_service", "failed", False),
        (404, "not found", "failed", True),
        (410, "channel_is_archived", "failed", False),
        (429, "rate_limited", "pending", True),
        (500, "rollup_error", "pending", True),
        (503, "", "pending", True),
    ],
)
def test_what_an_answer_means(status: int, said: str, state: str, is_on: bool, slack: Receiver) -> None:
    slack_channel(slack.url)
    slack.status, slack.said = status, said
    happened()

    drain()

    assert (Delivery.objects.get().state, Channel.objects.get().is_active) == (state, is_on)
    assert Attempt.objects.get().status_code == status
    assert said in Attempt.objects.get().answer


def test_a_page_that_repeats_the_secret_address_is_kept_without_it(slack: Receiver) -> None:
    slack_channel(slack.url)
    slack.status, slack.said = 500, f"Cannot POST {slack.url} /services/T0/B0/secret"
    happened()

    drain()

    assert "secret" not in Attempt.objects.get().answer


def test_retry_after_is_honoured_as_seconds_and_as_a_date(slack: Receiver) -> None:
    slack_channel(slack.url)
    slack.status = 429
    at = now() + timedelta(seconds=600)
    for value in ("600", format_datetime(at, usegmt=True)):
        slack.headers = {"Retry-After": value}
        happened()

        drain()

        wait = (Delivery.objects.latest("id").next_attempt_at - now()).total_seconds()
        assert 590 <= wait <= 660


@pytest.mark.parametrize(
    "value", ["", "soon", "-5", "1e9", "٣", "99999999999999999999", "Mon, 99 Nov 2026 00:00:00 GMT"]
)
def test_a_retry_after_that_says_nothing_leaves_the_schedule(value: str, slack: Receiver) -> None:
    assert http.seconds_of(value) is None
    assert SCHEDULE[0] == 5


def test_an_inner_address_is_not_called_and_given_up(settings: Settings) -> None:
    settings.OUTBOUND_ALLOW = []
    with Receiver() as inner:
        slack_channel(inner.url.replace("http:", "https:"))
        happened()

        drain()

    assert inner.posts == []
    assert Delivery.objects.get().state == "failed"
    assert "OUTBOUND_ALLOW" in Attempt.objects.get().answer


def test_a_receiver_that_is_down_is_tried_again_and_delays_no_other(settings: Settings, slack: Receiver) -> None:
    with Receiver() as gone:
        down = slack_channel(gone.url)
    for _ in range(5):
        happened()
    slack_channel(slack.url)

    drain()

    assert len(slack.posts) == 5
    assert list(Delivery.objects.filter(channel=down).values_list("state", flat=True)) == ["pending"] * 5
    assert Attempt.objects.filter(succeeded=False).count() == 1  # one asks for all


@pytest.mark.parametrize(
    "target", ["http://hooks.example.com/x", "hooks.example.com", "mailto:a@example.com", "https://u:p@h/"]
)
def test_only_a_whole_https_address_is_a_target(target: str) -> None:
    with pytest.raises(Invalid) as refused:
        http.check_target(target)

    assert refused.value.field == "target"
