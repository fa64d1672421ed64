"""Django's backend for PostgreSQL, with fewer messages to and fro: each costs both sides a change of context, which is
more than what most statements cost themselves.

* A transaction begins in the message of its first statement, and not at all when it has none.
* What is only written (``write``) waits for the next statement or the commit, and goes with it. A fault of it is
  raised there, at the latest where the innermost ``atomic`` ends.
* ``ask`` sends several statements at once.
* A statement is planned once for each connection; the ORM's own when it comes again (``OPTIONS`` in the settings). One
  whose best plan depends on its values says so (``planning_anew``).
* The server plans as for rows that lie in memory (``random_page_cost``), and compiles no plan (``jit``).
* A connection stays with its thread. Whether the server has closed it is seen on the socket, without asking. One whose
  plans answer otherwise than their tables do by now, as after a migration under it, is given up.

docs/decisions/fewer-messages.md and planned-once.md say why. Meant for ``core.prepared``; everything else is as Django
has it.
"""

from __future__ import annotations

import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from django.db.backends.postgresql import base
from django.db.backends.utils import debug_transaction
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property
from psycopg.errors import FeatureNotSupported
from psycopg.pq import TransactionStatus

from core.postgres.messages import LastingPlans, Message, Once, Planned, Rows, Statement

_BEGIN: Statement = ("BEGIN", ())
_COMMIT: Statement = ("COMMIT", ())


class _Faults(DatabaseErrorWrapper):
    wrapper: DatabaseWrapper

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if isinstance(error, FeatureNotSupported):  # "cached plan must not change result type", in any language
            self.wrapper.has_stale_plans = True
        super().__exit__(kind, error, traceback)


class DatabaseWrapper(base.DatabaseWrapper):
    """psycopg's own connection is in autocommit always; BEGIN and COMMIT are said here."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._must_begin = False
        self._waiting: Message = []
        self.has_stale_plans = False

    @cached_property
    def wrap_database_errors(self) -> _Faults:
        return _Faults(self)

    def ask(self, statements: Sequence[Statement]) -> list[Rows]:
        """The rows of each statement; all of them in one message, with whatever waits."""
        self._be_connected()
        return self._send(statements)

    def write(self, statement: Statement) -> None:
        """In a transaction, with the next message; else at once. How many rows it reaches is not told. A value that
        cannot be sent is found here."""
        self._be_connected()
        with self.wrap_database_errors:
            self._waiting += self._planned.message([statement])
        if not self.in_atomic_block:
            self._send([])

    @contextmanager
    def planning_anew(self) -> Iterator[None]:
        """What the ORM asks meanwhile is planned for its values."""
        self._be_connected()
        connection = self.connection
        threshold, connection.prepare_threshold = connection.prepare_threshold, None
        try:
            yield
        finally:
            connection.prepare_threshold = threshold

    def _be_connected(self) -> None:
        """As Django is before it makes a cursor."""
        self.close_if_health_check_failed()
        self.ensure_connection()

    def _send(self, statements: Sequence[Statement], *, commit: bool = False) -> list[Rows]:
        self.validate_thread_sharing()
        self.validate_no_broken_transaction()
        begin, end = [_BEGIN] if self._must_begin else [], [_COMMIT] if commit else []
        with self.wrap_database_errors:
            # A value that cannot be sent leaves everything as it was.
            asked = self._planned.message([*statements, *end])
            before = [*self._planned.message(begin), *self._waiting]
            self._must_begin, self._waiting = False, []
            message = [*before, *asked]
            watched = self.queries_logged or self.execute_wrappers
            return (self._send_singly(message) if watched else self._planned.send(message))[len(before) :]

    def _send_singly(self, message: Message) -> list[Rows]:
        """One after the other, through cursors: where somebody watches or counts them."""
        found: list[Rows] = []
        for statement, _ in message:
            sql, params = statement
            if statement in (_BEGIN, _COMMIT):
                self.connection.execute(sql)  # Django has its own note of these
                found.append([])
                continue
            anew = self.planning_anew() if isinstance(statement, Once) else nullcontext()
            with anew, self._prepare_cursor(super().create_cursor()) as cursor:  # type: ignore[attr-defined]
                cursor.execute(sql, params)
                found.append(cursor.fetchall() if cursor.description else [])
        return found

    def _catch_up(self) -> None:
        """Begin, if that is due, and send what waits."""
        if self._must_begin or self._waiting:
            self._send([])

    def create_cursor(self, name: str | None = None) -> Any:
        self._catch_up()
        return super().create_cursor(name)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        connection._prepared = LastingPlans(connection.prepare_threshold)
        connection.autocommit = True
        # No disk turns any more, and what is asked for is in memory. To compile a plan, as the server does by its
        # estimate, takes longer than all that is asked here.
        connection.execute("SET random_page_cost = 1.1; SET jit = off")
        self._planned, self._waiting, self._must_begin = Planned(connection), [], False
        self.has_stale_plans = False
        return connection

    def _set_autocommit(self, autocommit: bool) -> None:
        with self.wrap_database_errors:
            if not self.connection.autocommit:
                self.connection.autocommit = True
        self._must_begin = not autocommit

    def _savepoint(self, sid: str) -> None:
        """A fault of what waits belongs to the transaction around the savepoint, not to what comes in it."""
        try:
            self._catch_up()
        except Exception as error:
            self.needs_rollback, self.rollback_exc = True, error
            raise
        super()._savepoint(sid)  # type: ignore[misc]

    def _commit(self) -> None:
        if self.connection is None or (self._must_begin and not self._waiting):
            return
        with debug_transaction(self, "COMMIT"):
            self._send([], commit=True)
        self._must_begin = not self.autocommit

    def _rollback(self) -> None:
        self._waiting = []
        if not self._must_begin:
            super()._rollback()  # type: ignore[misc]
            self._must_begin = not self.autocommit

    def is_usable(self) -> bool:
        """Between requests the server says nothing, unless it takes its leave."""
        if self.connection is None or self.connection.closed or self.has_stale_plans:
            return False
        if self.connection.pgconn.transaction_status != TransactionStatus.IDLE:
            return False
        socket = select.poll()
        socket.register(self.connection.fileno(), select.POLLIN)
        return not socket.poll(0)
