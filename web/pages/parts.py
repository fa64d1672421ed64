"""Pages of which HTMX asks for a part: a list without its filters, figures without what stands around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django_htmx.http import replace_url

from web.signed_in import SignedInRequest


def part_or_page(
    request: SignedInRequest,
    page: str,
    context: dict[str, Any],
    *,
    part: str,
    url: str = "",
    tell: Callable[[HttpResponse, str], HttpResponse] = replace_url,
) -> HttpResponse:
    """``url`` is the address of the page that shows the same: the browser shows it above the part, too. An ``error`` in
    the context is a refusal."""
    response = render(request, part if request.htmx else page, context, status=422 if context.get("error") else 200)
    # Going back, a browser must not show the part for the whole, nor one part for another.
    patch_vary_headers(response, ["HX-Request", "HX-Target"])
    return tell(response, url) if request.htmx and url else response
