"""The gunicorn worker: it ends with its parent, and its threads stay with a connection while its client asks on."""

from __future__ import annotations

import select
from threading import Semaphore
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from config.linux import end_with

LINGER_MS = 100
ALWAYS_FREE = 2  # threads that never stay, so that a new connection is served at once


class LingeringThreadWorker(ThreadWorker):
    """Gunicorn's own hands a connection back to its main thread after each request and to a pool for the next: two
    changes of thread, which cost as much as the reading and writing of the request. A client that has just been
    answered mostly asks again at once, so the thread waits for it a moment first; not while anybody else waits for a
    thread, and never all threads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._may_stay = Semaphore(max(0, self.cfg.threads - ALWAYS_FREE))

    def init_process(self) -> None:
        """Gunicorn's own looks for its parent each second, and then still waits for its threads: as long as an upload
        stalls."""
        end_with(self.ppid)
        super().init_process()

    def handle(self, conn: TConn) -> Any:
        kept = super().handle(conn)
        if kept is not True or not self._may_stay.acquire(blocking=False):
            return kept
        try:
            while kept is True and self.alive and self._asks_again(conn):
                kept = super().handle(conn)
        finally:
            self._may_stay.release()
        return kept

    def _asks_again(self, conn: TConn) -> bool:
        if self.tpool._work_queue.qsize():
            return False
        if conn.parser.unreader.buf.getvalue():
            return False  # read ahead into the next request: the main thread knows what to do
        waiting = select.poll()
        waiting.register(conn.sock, select.POLLIN)
        return bool(waiting.poll(LINGER_MS))
