"""Mail: plain text and HTML, one thread for each request."""

from __future__ import annotations

from smtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email
from django.template.loader import render_to_string

from core.errors import Invalid
from notifications.models import Channel, Event
from notifications.transports.base import Sent, TransportError


def check_target(target: str) -> None:
    try:
        validate_email(target)
    except ValidationError as error:
        raise Invalid("This is not a mail address.", field="target") from error


def send(event: Event, channel: Channel, target: str) -> Sent:
    context = {
        "event": event,
        "url": f"{settings.BASE_URL}{event.path}" if event.path else settings.BASE_URL,
        "reason": str(event.data.get("comment", ""))[:2000],
        "waiting_for": event.data.get("waiting_for", []),
        "settings_url": f"{settings.BASE_URL}/account/",
    }
    message = EmailMultiAlternatives(
        subject=_subject(event),
        body=render_to_string("notifications/email.txt", context),
        to=[target],
        headers=_headers(event, channel),
    )
    message.attach_alternative(render_to_string("notifications/email.html", context), "text/html")
    try:
        message.send()
    except SMTPRecipientsRefused as error:
        code = max(code for code, _ in error.recipients.values())
        raise TransportError(f"The mail server refused the address ({code}).", give_up=code >= 500, status_code=code) from error
    except SMTPResponseException as error:
        code = error.smtp_code
        raise TransportError(f"The mail server answered {code}.", give_up=code >= 550, status_code=code) from error
    except (SMTPException, OSError) as error:
        raise TransportError(f"The mail server could not be reached: {type(error).__name__}.") from error
    return Sent("handed to the mail server")


def _subject(event: Event) -> str:
    about = f"[{event.model_name}] " if event.model_name else ""
    line = " ".join((about + event.summary).split())  # no line break can start a header
    return line if len(line) <= 150 else line[:149] + "…"


def _headers(event: Event, channel: Channel) -> dict[str, str]:
    host = urlsplit(settings.BASE_URL).hostname or "countersign"
    headers = {"Message-ID": f"<{event.key}.{channel.pk}@{host}>", "X-Countersign-Event": str(event.key)}
    if event.request_id:
        thread = f"<request-{event.request_id}@{host}>"
        headers |= {"References": thread, "In-Reply-To": thread}
    return headers
