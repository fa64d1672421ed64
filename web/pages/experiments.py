"""/experiments/ and /experiments/ID/: the folders of runs."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from tracking.models import Experiment
from tracking.queries import get_experiment
from web.signed_in import SignedInRequest

PAGE_SIZE = 25


@require_safe
def index(request: SignedInRequest) -> HttpResponse:
    rows = Experiment.objects.visible_to(request.user).order_by("-creation_time", "id")[:PAGE_SIZE]
    return render(request, "experiments/index.html", {"experiments": rows})


@require_safe
def detail(request: SignedInRequest, pk: int) -> HttpResponse:
    return render(request, "experiments/detail.html", {"experiment": get_experiment(request.user, pk)})
