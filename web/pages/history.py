"""/models/NAME/history/: who held which stage and alias, and who held it at one moment."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from approvals.history import (
    MOST_HOLDERS,
    explained,
    first_after,
    holders_at,
    last_ones,
    page_of,
    target_held,
    targets_of,
)
from core.clock import now
from core.errors import Invalid
from registry.queries import get_model
from web.pages.band import band_of
from web.pages.moments import moment_of
from web.signed_in import SignedInRequest

PAGE_SIZE = 50
MOST_DRAWN = 300


@require_safe
def history(request: SignedInRequest, name: str) -> HttpResponse:
    model = get_model(request.user, name)
    before = request.GET.get("before", "")
    error, target, asked, held, after = "", None, None, [], None
    try:
        target = target_held(request.GET.get("target", ""))
        asked = moment_of(request.GET.get("at", ""), field="at")
        if asked:
            held = holders_at(model, target, asked)
            after = first_after(model, target, asked) if target and not held else None
    except Invalid as refusal:
        error, asked = refusal.message, None
    last = last_ones(model, target, limit=MOST_DRAWN + 1)
    drawn, is_cut = last[:MOST_DRAWN], len(last) > MOST_DRAWN
    rows, next_token = page_of(model, target, cursor=before, limit=PAGE_SIZE)
    of = explained([*held, *([after] if after else []), *drawn, *rows])
    targets = targets_of(model)
    context: dict[str, Any] = {
        "model": model,
        "target": target,
        "targets": targets if target is None or target in targets else [*targets, target],
        "asked": asked,
        "typed": request.GET.get("at", ""),
        "error": error,
        "held": [of[row.pk] for row in held],
        "most": MOST_HOLDERS,
        "after": of[after.pk] if after else None,
        "band": band_of(model, [of[row.pk] for row in drawn], is_cut=is_cut, at=now()),
        "drawn": MOST_DRAWN if is_cut else 0,
        "rows": [of[row.pk] for row in rows],
        "next_token": next_token,
    }
    return render(request, "models/history.html", context, status=400 if error else 200)
