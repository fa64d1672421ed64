"""/search/: one field for everything, on a page and, while somebody types, under the bar."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from web.pages.finding import MOST_TYPED, find, named_by
from web.signed_in import SignedInRequest

SUGGESTED = 4  # of each kind


@require_safe
def index(request: SignedInRequest) -> HttpResponse:
    """What was found; or at once the one thing that was named, unless ``all`` is asked for."""
    typed = request.GET.get("q", "").strip()[:MOST_TYPED]
    if request.htmx:
        context = {"query": typed, "groups": find(request.user, typed, most=SUGGESTED)}
        response = render(request, "search/index.html#suggestions", context)
    else:
        groups = find(request.user, typed)
        named = None if "all" in request.GET else named_by(typed, groups)
        page = {"query": typed, "search": typed, "groups": groups}
        response = redirect(named.url) if named else render(request, "search/index.html", page)
    patch_vary_headers(response, ["HX-Request"])  # going back, a browser must not show the part for the whole
    return response
