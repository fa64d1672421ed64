"""Several statements in one message, each planned once per connection: what psycopg's own pipeline does, without its
turn through the event loop for every statement.

The pipeline mode of libpq: https://www.postgresql.org/docs/current/libpq-pipeline-mode.html
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple

from psycopg import Connection, errors, generators
from psycopg._preparing import PrepareManager
from psycopg.abc import PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

Statement = tuple[str, Sequence[Any]]


class Once(NamedTuple):
    """A statement that is planned for its values and then forgotten."""

    sql: str
    params: Sequence[Any]


Message = list[tuple[Statement, Sequence[Any]]]
Rows = list[tuple[Any, ...]]
_DONE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


class LastingPlans(PrepareManager):
    """The statements that psycopg plans by itself when they come again. Its own manager has the server forget all plans
    of the connection, ours with it, after each ROLLBACK and DROP; there is no need: PostgreSQL keeps what was prepared
    through both, and plans anew where a table has changed."""

    def __init__(self, threshold: int | None) -> None:
        super().__init__()
        self.prepare_threshold = threshold

    def clear(self) -> bool:
        return False


class Planned:
    """The statements of our own messages that a connection has planned, by their text with ``%s`` for each value."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._names: dict[str, bytes] = {}
        self._numbers = count()

    def message(self, statements: Sequence[Statement]) -> Message:
        """The statements with their values as they are sent. Raises psycopg.DataError for one that cannot be."""
        return [(statement, self._dumped(statement[1])) for statement in statements]

    def send(self, message: Message) -> list[Rows]:
        """The rows of each statement. After a fault the server does none of those that follow, and the first fault is
        raised. Values reach the server as text, and it knows their types from where they stand."""
        connection, planned = self._connection, list[str | None]()
        with connection.lock:
            try:
                connection.pgconn.enter_pipeline_mode()
                for statement, values in message:
                    planned += self._plan(statement)
                    self._execute(statement, values)
                connection.pgconn.pipeline_sync()
                found = connection.wait(_answers(connection, len(planned) + 1))
                connection.pgconn.exit_pipeline_mode()
            except BaseException:  # half a conversation: nobody may go on with it
                connection.close()
                raise
        return self._rows(planned, [results[0] for results in found[:-1]])

    def _plan(self, statement: Statement) -> list[str | None]:
        """What will be answered: the text of what is planned now, and None for what is executed."""
        sql = statement[0]
        if sql in self._names or isinstance(statement, Once):
            return [None]
        name = f"planned_{next(self._numbers)}".encode()
        self._names[sql] = name
        self._connection.pgconn.send_prepare(name, _numbered(sql))
        return [sql, None]

    def _dumped(self, values: Sequence[Any]) -> Sequence[Any]:
        return Transformer(self._connection).dump_sequence(values, [PyFormat.TEXT] * len(values)) if values else ()

    def _execute(self, statement: Statement, dumped: Sequence[Any]) -> None:
        sql, pgconn = statement[0], self._connection.pgconn
        if isinstance(statement, Once):
            pgconn.send_query_params(_numbered(sql), dumped)
        else:
            pgconn.send_query_prepared(self._names[sql], dumped)

    def _rows(self, planned: list[str | None], results: list[PGresult]) -> list[Rows]:
        fault, rows = None, []
        for sql, result in zip(planned, results, strict=True):
            if result.status not in _DONE:
                fault = fault or result
                if sql is not None:
                    del self._names[sql]  # it was not planned after all
            elif sql is None:
                rows.append(self._loaded(result))
        if fault is not None:
            raise errors.error_from_result(fault, encoding=self._connection.info.encoding)
        return rows

    def _loaded(self, result: PGresult) -> Rows:
        if not result.ntuples:
            return []
        transformer = Transformer(self._connection)
        transformer.set_pgresult(result)
        return transformer.load_rows(0, result.ntuples, tuple)


def _answers(connection: Connection[Any], number: int) -> PQGen[list[list[PGresult]]]:
    yield from generators.send(connection.pgconn)
    found: list[list[PGresult]] = []
    while len(found) < number:
        found += [(yield from generators.fetch_many(connection.pgconn))]
    return found


def _numbered(sql: str) -> bytes:
    """``%s`` as $1, $2 and so on."""
    first, *rest = sql.split("%s")
    return "".join([first, *(f"${number}{part}" for number, part in enumerate(rest, 1))]).encode()
