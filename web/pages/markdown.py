"""/markdown/: what somebody is writing, as it will look. Nothing is kept."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from core.errors import TooLarge
from web.signed_in import SignedInRequest

MOST_SHOWN = 65_536


@require_POST
def preview(request: SignedInRequest) -> HttpResponse:
    """``field`` names the field of the form that holds the text."""
    text = request.POST.get(request.POST.get("field", ""), "")
    if len(text) > MOST_SHOWN:
        raise TooLarge(f"A preview shows up to {MOST_SHOWN} characters, this text has {len(text)}.")
    context = {"text": text, "mentions": bool(request.POST.get("mentions")), "empty": "Nothing to preview yet."}
    return render(request, "components/prose.html", context)


preview.only_reads = True  # type: ignore[attr-defined]
