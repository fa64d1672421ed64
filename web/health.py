"""Is this process alive, and can it serve? No login; says nothing else."""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe


@require_safe
def live(request: HttpRequest) -> HttpResponse:
    return HttpResponse("OK", content_type="text/plain")


@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """200 once the database answers and is migrated, else 503."""
    try:
        executor = MigrationExecutor(connection)
        behind = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return HttpResponse("The database does not answer.", status=503, content_type="text/plain")
    if behind:
        return HttpResponse("The database is not migrated.", status=503, content_type="text/plain")
    return HttpResponse("OK", content_type="text/plain")
