"""A request that has passed DenyByDefault: somebody known is asking."""

from __future__ import annotations

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from accounts.models import Token, User


class SignedInRequest(HttpRequest):
    """What views receive, for the type checker; ``token`` is None for a session or a password."""

    user: User
    token: Token | None
    htmx: HtmxDetails
    waiting: int  # how many requests wait for this person, where a page has counted them
