"""The URL table: three doors and the health checks."""

from __future__ import annotations

from web import urls

urlpatterns = urls.urlpatterns

handler400 = "web.errors.bad_request"
handler403 = "web.errors.forbidden"
handler404 = "web.errors.not_found"
handler500 = "web.errors.server_error"
