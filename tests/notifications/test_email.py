"""Mail, through a real SMTP server: what arrives, in which thread, and what a refusal means."""

from __future__ import annotations

import socket
import threading
import time
from email.message import Message

import pytest
from pytest_django import Settings

from accounts.models import User
from core.errors import Invalid
from notifications.fanout import fan_out
from notifications.models import Attempt, Channel, Delivery, Event
from notifications.tasks import drain
from notifications.transports import email
from notifications.transports.base import TransportError
from tests.notifications.conftest import happened
from tests.receivers import Mailbox
from tests.servers import free_port

pytestmark = pytest.mark.django_db
EVIL = '<script>alert(1)</script> & "quotes"\r\nBcc: eve@example.com'


def mailed(event: Event, mail_server: Mailbox) -> Message:
    drain()
    (mail,) = [mail for mail in mail_server.messages if mail["X-Countersign-Event"] == str(event.key)]
    return mail


def text(mail: Message, kind: str) -> str:
    (part,) = [part for part in mail.walk() if part.get_content_type() == kind]
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


def subject(mail: Message) -> str:
    return str(mail["Subject"]).strip()


def test_a_mail_says_what_who_why_and_where(mail_server: Mailbox, alice: User, settings: Settings) -> None:
    settings.BASE_URL = "https://models.example.com"
    event = happened(
        audience=[alice], comment="Retrained on October data.", requester="mira", target="Production",
        target_kind="stage", waiting_for=["2 approvals, one from risk"],
    )  # fmt: skip

    mail = mailed(event, mail_server)

    assert mail["To"] == "alice@example.com"
    assert subject(mail) == "[churn-predictor] mira asks to move version 3 of churn-predictor to Production."
    for kind in ("text/plain", "text/html"):
        body = text(mail, kind)
        assert "mira asks to move version 3 of churn-predictor to Production." in body
        assert "Retrained on October data." in body
        assert "2 approvals, one from risk" in body
        assert "https://models.example.com/requests/7/" in body
    sent = Delivery.objects.get()
    assert sent.state == "sent"
    assert sent.tries.get().succeeded


def test_mails_about_one_request_are_one_thread(mail_server: Mailbox, alice: User) -> None:
    opened = mailed(happened(audience=[alice]), mail_server)
    approved = mailed(happened("review.approved", audience=[alice]), mail_server)
    another = mailed(happened(audience=[alice], request_id=8), mail_server)

    assert opened["References"] == approved["References"] == approved["In-Reply-To"]
    assert opened["Message-ID"] != approved["Message-ID"]
    assert another["References"] != opened["References"]
    assert opened["List-Id"]
    assert opened["Auto-Submitted"] == "auto-generated"


def test_every_try_of_a_mail_has_the_same_message_id(mail_server: Mailbox, alice: User) -> None:
    event = happened(audience=[alice])
    mailed(event, mail_server)
    Delivery.objects.update(state="pending")
    drain()

    first, second = mail_server.messages
    assert first["Message-ID"] == second["Message-ID"]


def test_nothing_that_somebody_wrote_becomes_markup_or_a_header(mail_server: Mailbox, alice: User) -> None:
    event = happened(
        "comment.created", audience=[alice], summary=EVIL, model_name=EVIL, comment=EVIL, waiting_for=[EVIL]
    )

    mail = mailed(event, mail_server)

    assert mail["Bcc"] is None
    assert "\n" not in subject(mail)
    html = text(mail, "text/html")
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "&lt;" not in text(mail, "text/plain")


def test_a_mail_loads_nothing_from_anywhere(mail_server: Mailbox, alice: User) -> None:
    html = text(mailed(happened(audience=[alice]), mail_server), "text/html")

    for sign in ("<img", "src=", "url(", "<link", "@import"):
        assert sign not in html


def test_a_long_story_is_cut(mail_server: Mailbox, alice: User) -> None:
    mail = mailed(happened(audience=[alice], summary="x" * 5000, comment="y" * 100_000), mail_server)

    assert len(subject(mail)) <= email.LONGEST_SUBJECT
    assert len(text(mail, "text/plain")) < 10_000


def test_a_reason_that_the_sentence_repeats_is_said_once(mail_server: Mailbox, alice: User) -> None:
    event = happened(
        "request.rejected",
        audience=[alice],
        summary="dkim rejected version 3 of churn-predictor for Production: Drift in May.\nSee above.",
        comment="Drift in May.\nSee above.",
    )

    mail = mailed(event, mail_server)

    assert subject(mail).endswith("dkim rejected version 3 of churn-predictor for Production.")
    assert text(mail, "text/plain").count("Drift in May.") == 1


@pytest.mark.parametrize("comment", [".", "Production", "", "...", ": "])
def test_a_short_reason_cuts_nothing_else_off(comment: str, mail_server: Mailbox, alice: User) -> None:
    mail = mailed(happened("review.approved", audience=[alice], comment=comment), mail_server)

    assert subject(mail).endswith("mira asks to move version 3 of churn-predictor to Production.")


@pytest.mark.parametrize(
    ("refusal", "state"),
    [("550 5.1.1 no such user", "failed"), ("450 4.2.0 greylisted, come back", "pending"), ("421 busy", "pending")],
)
def test_a_refused_address_is_given_up_and_a_busy_server_is_not(
    refusal: str, state: str, mail_server: Mailbox, alice: User
) -> None:
    mail_server.refusal = refusal
    happened(audience=[alice])

    drain()

    assert Delivery.objects.get().state == state
    assert refusal[:3] in Attempt.objects.get().answer
    assert mail_server.messages == []


def test_a_server_that_is_not_there_is_tried_again(settings: Settings, alice: User) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    happened(audience=[alice])

    drain()

    waiting = Delivery.objects.get()
    assert (waiting.state, waiting.attempts) == ("pending", 0)  # nobody was bothered, so it does not count
    assert "could not be reached" in Attempt.objects.get().answer


def test_a_server_that_only_drips_is_left_after_the_total_time(
    settings: Settings, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    monkeypatch.setattr(email, "TOTAL_TIMEOUT", 0.5)
    event = happened(audience=[alice])
    fan_out()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        settings.EMAIL_HOST, settings.EMAIL_PORT = listening.getsockname()[:2]

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"220 here\r\n")
                try:
                    for _ in range(200):
                        connection.sendall(b"250-and more\r\n")
                        time.sleep(0.05)
                except OSError:
                    return  # it hung up

        threading.Thread(target=drip, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(TransportError):
            email.send(Delivery(event=event, channel=Channel.objects.get()), "alice@example.com")

    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "target", ["", "nobody", "a@b", "a@example.com\r\nBcc: b@example.com", "a@example.com, b@example.com"]
)
def test_only_one_whole_address_is_a_target(target: str) -> None:
    with pytest.raises(Invalid):
        email.check_target(target)
