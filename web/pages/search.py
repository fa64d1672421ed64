"""/search/: one field for everything, on a page and, while somebody types, under the bar."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_safe

from web.pages.finding import MOST_TYPED, SHOWN, find, named_by
from web.pages.parts import part_or_page
from web.signed_in import SignedInRequest

SUGGESTED = 4  # of each kind


@require_safe
def index(request: SignedInRequest) -> HttpResponse:
    """What was found; or at once the one thing that was named, unless ``all`` is asked for."""
    typed = request.GET.get("q", "").strip()[:MOST_TYPED]
    groups = find(request.user, typed, most=SUGGESTED if request.htmx else SHOWN)
    if not request.htmx and "all" not in request.GET and (named := named_by(typed, groups)):
        return redirect(named.url)
    context = {"query": typed, "search": typed, "groups": groups}
    return part_or_page(request, "search/index.html", context, part="search/suggestions.html")
