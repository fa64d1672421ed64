"""Mail: plain text and HTML, one thread for each request."""

from __future__ import annotations

import socket
from smtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException, SMTPServerDisconnected
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.validators import validate_email
from django.template.loader import render_to_string
from django.urls import reverse

from core.errors import Invalid
from core.outbound import time_limit
from notifications.models import Channel, Delivery, Event
from notifications.transports.base import Sent, TransportError
from notifications.transports.wording import Wording, wording_of

TOTAL_TIMEOUT = 60.0  # seconds, for the whole talk with the mail server: less than the lease of a delivery
LONGEST_SUBJECT = 150


def check_target(target: str) -> None:
    try:
        validate_email(target)
    except ValidationError as error:
        raise Invalid("This is not a mail address.", field="target") from error


def send(delivery: Delivery, target: str) -> Sent:
    event, channel = delivery.event, delivery.channel
    wording = wording_of(event)
    context = {
        "wording": wording,
        "channel": channel,
        "about_url": settings.BASE_URL + reverse("account" if channel.user_id else "channels"),
    }
    connection = get_connection()
    message = EmailMultiAlternatives(
        subject=_subject(event, wording),
        body=render_to_string("notifications/email.txt", context),
        to=[target],
        headers=_headers(event, channel),
        connection=connection,
    )
    message.attach_alternative(render_to_string("notifications/email.html", context), "text/html")

    def find_socket() -> socket.socket | None:
        return getattr(getattr(connection, "connection", None), "sock", None)

    try:
        with time_limit(TOTAL_TIMEOUT, find_socket):
            message.send()
    except SMTPRecipientsRefused as error:
        code = max(code for code, _ in error.recipients.values())
        said = f"The mail server refused the address ({code})."
        raise TransportError(said, give_up=code >= 500, status_code=code) from error
    except SMTPResponseException as error:
        code = error.smtp_code  # below 550 it is about us, such as signing in: an operator can mend that meanwhile
        raise TransportError(f"The mail server answered {code}.", give_up=code >= 550, status_code=code) from error
    except SMTPServerDisconnected as error:
        raise TransportError("The mail server hung up.") from error
    except (SMTPException, OSError) as error:
        raise TransportError(f"The mail server could not be reached: {type(error).__name__}.", is_down=True) from error
    return Sent("Handed to the mail server.")


def _subject(event: Event, wording: Wording) -> str:
    about = f"[{event.model_name}] " if event.model_name else ""
    line = " ".join((about + wording.sentence).split())  # no line break can start a header
    return line if len(line) <= LONGEST_SUBJECT else line[: LONGEST_SUBJECT - 1] + "…"


def _headers(event: Event, channel: Channel) -> dict[str, str]:
    host = urlsplit(settings.BASE_URL).hostname or "countersign"
    headers = {
        "Message-ID": f"<{event.key}.{channel.pk}@{host}>",  # the same for every try, so that a mailbox can tell
        "List-Id": f"Countersign <countersign.{host}>",
        "Auto-Submitted": "auto-generated",  # no out-of-office answers
        "X-Countersign-Event": str(event.key),
        "X-Countersign-Kind": event.kind,
    }
    if event.request_id:
        thread = f"<request-{event.request_id}@{host}>"
        headers |= {"References": thread, "In-Reply-To": thread}
    return headers
