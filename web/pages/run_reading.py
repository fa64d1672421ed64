"""What the pages say of a run on another tracking server, for templates/components/run_reading.html."""

from __future__ import annotations

from typing import Any

from registry.evidence import lies_elsewhere
from registry.models import ModelVersion
from registry.permissions import can_read_again
from registry.queries import reading_of
from web.signed_in import SignedInRequest


def outside_of(request: SignedInRequest, version: ModelVersion) -> dict[str, Any]:
    """Nothing where the run is ours or there is none. One statement."""
    if not lies_elsewhere(version):
        return {}
    return {"is_elsewhere": True, "reading": reading_of(version), "read_again": can_read_again(request.user, version)}
