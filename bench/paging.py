"""Whether a late page costs more than the first: what the keyset tokens are for."""

from __future__ import annotations

import json
import statistics

from bench.dataset import Size
from bench.operations import Request, Session
from bench.servers import Server

PAGE, REPEATS = 100, 30


def deep_pages(server: Server, size: Size) -> dict[str, float]:
    """Milliseconds (median) of the first page and of the last whole one, up to page 1,000, of all versions."""
    session = Session(server)
    last = min(1000, size.versions // PAGE - 1)
    token, requests = "", [_page("")]
    for _ in range(last - 1):
        token = json.loads(session.ask(_page(token)))["next_page_token"]
    requests.append(_page(token))
    medians = []
    for request in requests:
        session.seconds.clear()
        for _ in range(REPEATS):
            session.ask(request)
        medians.append(statistics.median(session.seconds) * 1000)
    session.close()
    return {"number": last, "first": medians[0], "last": medians[1]}


def _page(token: str) -> Request:
    return Request.get("model-versions/search", max_results=PAGE, page_token=token)
