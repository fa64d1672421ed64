"""/models/NAME/compare/: up to five versions of a model beside one another; the address says which."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, QueryDict
from django.views.decorators.http import require_safe

from core.errors import Invalid
from core.keyset import number_in
from registry.compared import MOST, compared, versions_to_compare
from registry.file_tree import reads_as_text
from registry.line_changes import LineChanges, line_changes
from registry.models import LatestVersion, ModelVersion, RegisteredModel, Stage
from registry.queries import get_model
from registry.side_by_side import MOST_ROWS, Part, Row
from web.pages.addresses import with_fields
from web.pages.parts import part_or_page
from web.signed_in import SignedInRequest

LINES = "models/compare.html#lines"
TWO = "The lines of a file are compared between two versions: leave the others out."
TITLES = {
    "metrics": "Metrics",
    "params": "Parameters",
    "inputs": "Inputs of the signature",
    "outputs": "Outputs of the signature",
    "packages": "Packages",
    "data": "Datasets",
    "code": "Code",
    "tags": "Tags of the run",
    "version_tags": "Tags of the version",
    "files": "Files",
}


@require_safe
def compare(request: SignedInRequest, name: str) -> HttpResponse:
    model = get_model(request.user, name)
    numbers = _two_at_least(model, _asked(request))
    versions = versions_to_compare(model, numbers)
    only = request.GET.get("only") == "differences"
    part, containing = request.GET.get("part", ""), request.GET.get("containing", "").strip()
    part = part if part in TITLES else ""
    start = (number_in(request.GET.get("start", ""), digits=6) or 0) if part else 0
    found = compared(versions, only_differences=only, kind=part, containing=containing if part else "", start=start)
    context: dict[str, Any] = {
        "model": model,
        "versions": versions,
        "fields": [*numbers, *[""] * (MOST - len(numbers))],
        "only": only,
        "parts": [
            {
                "title": TITLES[shown.kind],
                "part": shown,
                "whole": with_fields(request.GET, part=shown.kind, start=""),
                "previous": with_fields(request.GET, start=max(0, start - MOST_ROWS)) if start else "",
                "next": with_fields(request.GET, start=start + MOST_ROWS) if part and shown.left_out else "",
                "rows": [(row, _lines_url(request.GET, shown, row)) for row in shown.rows],
            }
            for shown in found.parts
        ],
        "problems": found.problems,
        "chosen": part,
        "title": TITLES.get(part, ""),
        "containing": containing,
        "every_part": with_fields(request.GET, part="", start="", containing=""),
        "newest": model.last_version,
        "lines": _lines(request, versions),
        "without_lines": with_fields(request.GET, lines=""),
    }
    return part_or_page(request, "models/compare.html", context, part=LINES)


def _lines(request: SignedInRequest, versions: list[ModelVersion]) -> dict[str, Any]:
    """The lines of a file that differ between two versions, where the address names one."""
    path = request.GET.get("lines", "")
    if len(versions) != 2 or not path:
        return {"file": "", "changed": LineChanges(problem=TWO) if path else None}
    return {"file": path, "changed": line_changes(versions[0], versions[1], path)}


def _lines_url(asked: QueryDict, part: Part, row: Row) -> str:
    """Of a file that both have, that differs and reads as text."""
    is_shown = part.kind == "files" and len(row.cells) == 2 and row.differs and None not in row.cells
    return with_fields(asked, lines=row.name) if is_shown and reads_as_text(row.name) else ""


def _asked(request: SignedInRequest) -> list[int]:
    """The versions of the address: ``a``, ``b``, then every ``also``; what is empty is left out, each once."""
    given = [request.GET.get("a", ""), request.GET.get("b", ""), *request.GET.getlist("also")]
    typed = [text.strip() for text in given if text.strip()]
    if wrong := [text for text in typed if number_in(text, digits=9) is None]:
        raise Invalid(f"A version is a number, as in ?a=3&b=5; this is {wrong[0][:40]!r}.", field="a")
    return list(dict.fromkeys(map(int, typed)))


def _two_at_least(model: RegisteredModel, asked: list[int]) -> list[int]:
    """Where the address names fewer: who is in Production before them, or the newest."""
    if len(asked) >= 2:
        return asked
    held = LatestVersion.objects.filter(model=model, stage=Stage.PRODUCTION).values_list("version__version", flat=True)
    newest = ModelVersion.objects.live().filter(model=model).order_by("-version").values_list("version", flat=True)
    others = [number for number in dict.fromkeys([*held, *newest[:2]]) if number not in asked]
    return [*others[: 2 - len(asked)], *asked]
