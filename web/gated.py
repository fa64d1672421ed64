"""What a door does when the gate refuses and the policy wants a request in its place (``open_request``)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.conf import settings

from approvals.services import request_after_refusal
from registry.gate import GateRefused

P = ParamSpec("P")
R = TypeVar("R")


def gated(view: Callable[P, R]) -> Callable[P, R]:
    """After the rollback, open the request in a transaction of its own and name it in the refusal."""

    @functools.wraps(view)
    def answer(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return view(*args, **kwargs)
        except GateRefused as refusal:
            if not refusal.open_request or refusal.change is None:
                raise
            review_request = request_after_refusal(refusal.change)
            url = settings.BASE_URL + review_request.get_absolute_url()
            raise GateRefused(
                f"{refusal.message} Request {review_request.pk} asks for it in your name: {url}",
                unmet=refusal.unmet,
                ask_url=url,
            ) from refusal

    return answer
