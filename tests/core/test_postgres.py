"""Our PostgreSQL backend: what waits is sent in time, faults are raised with their change, connections are seen to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.db.utils import DataError, NotSupportedError, OperationalError

from accounts.models import IdempotencyRecord, User
from core.postgres.base import DatabaseWrapper
from core.prepared import MOST_PLANNED, Many, Prepared, add, ask_once, planned_anew, put, save, together, write
from registry.models import RegisteredModel
from tests.factories import make_model, make_user

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

BY_NAME = Prepared(lambda name: RegisteredModel.objects.filter(name=name), str)


@pytest.fixture(autouse=True)
def _on_postgresql(transactional_db: None) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("needs DATABASE_URL")


@pytest.fixture
def other() -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """What somebody else sees."""
    parameters = connection.get_connection_params()
    parameters.pop("cursor_factory", None)
    names = {key: parameters[key] for key in ("dbname", "user", "host", "port", "password") if key in parameters}
    with psycopg.connect(**names, autocommit=True) as other:
        yield other


def note(user: User, key: str, answer: str = "") -> IdempotencyRecord:
    return IdempotencyRecord(user=user, key=key, call="c", answer=answer)


@transaction.atomic
def add_all(user: User, *keys: str) -> None:
    for key in keys:
        add(note(user, key))


def keys() -> list[str]:
    return list(IdempotencyRecord.objects.order_by("key").values_list("key", flat=True))


def test_a_transaction_is_seen_by_others_whole_and_after_its_end(other: psycopg.Connection[tuple[int]]) -> None:
    user = make_user()

    def seen() -> int:
        row = other.execute("SELECT count(*) FROM accounts_idempotencyrecord").fetchone()
        assert row is not None
        return row[0]

    with transaction.atomic():
        add(note(user, "a"))
        assert keys() == ["a"]  # sent by now
        add(note(user, "b"))  # waits for the commit
        assert seen() == 0

    assert seen() == 2


def test_a_rollback_takes_what_waits_with_it() -> None:
    user = make_user()

    @transaction.atomic
    def change() -> None:
        add(note(user, "sent"))
        assert keys() == ["sent"]
        add(note(user, "waits"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change()

    assert keys() == []


def test_a_transaction_without_a_statement_asks_nothing() -> None:
    make_model("churn")

    with transaction.atomic():
        assert connection.connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_a_fault_of_what_waits_is_raised_at_the_end_of_its_savepoint_and_undone_alone() -> None:
    user = make_user()

    with transaction.atomic():
        add(note(user, "before"))
        with pytest.raises(IntegrityError):
            add_all(user, "inside", "before")
        add(note(user, "after"))

    assert keys() == ["after", "before"]


def test_a_fault_at_the_commit_undoes_the_whole_transaction() -> None:
    user = make_user()

    with pytest.raises(IntegrityError):
        add_all(user, "a", "b", "a", "c")

    assert keys() == []
    with transaction.atomic():
        add(note(user, "later"))
    assert keys() == ["later"]


def test_statements_that_were_skipped_after_a_fault_work_the_next_time() -> None:
    """They were not planned, and must not be taken for planned."""
    model = make_model("churn")
    user = make_user()
    fresh = Prepared(lambda pk: RegisteredModel.objects.filter(pk=pk).order_by("-name", "pk"), int)

    @transaction.atomic
    def change() -> None:
        put([note(user, "a")], unique=["user", "key"])
        add(note(user, "a"))
        fresh.first(model.pk)

    for _ in range(2):
        with pytest.raises(IntegrityError):
            change()

    with transaction.atomic():
        assert fresh.first(model.pk) == model


def planned() -> dict[str, int]:
    """How often each statement about models was carried out by the plan that is kept of it, whoever planned it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT statement, generic_plans + custom_plans FROM pg_prepared_statements"
            " WHERE statement LIKE '%registry_registeredmodel%' AND statement NOT LIKE '%pg_prepared%'"
        )
        return dict(cursor.fetchall())


def test_what_the_orm_asks_again_is_planned_once_through_rollbacks() -> None:
    make_model("churn"), make_model("fraud")
    BY_NAME.first("churn")

    for name in ("churn", "fraud", "churn", "fraud"):
        with transaction.atomic():
            [found] = RegisteredModel.objects.filter(name=name).order_by("-pk")
            assert found.name == name
            transaction.set_rollback(True)
    assert BY_NAME.first("fraud") is not None

    times = planned()
    assert [count for sql, count in times.items() if "ORDER BY" in sql] == [2]  # from the third time on
    assert [count for sql, count in times.items() if "ORDER BY" not in sql] == [2]


def test_a_list_that_somebody_filters_is_planned_for_its_values() -> None:
    make_model("churn")
    before = planned()

    for _ in range(5):
        [found] = planned_anew(RegisteredModel.objects.filter(name="churn", last_version=0))

    assert found.name == "churn"
    assert planned() == before


def test_a_look_up_by_many_values_is_planned_for_them() -> None:
    named = Prepared(lambda names: RegisteredModel.objects.filter(name__in=names), Many(str))
    names = [f"model {number}" for number in range(MOST_PLANNED + 1)]
    before = planned()

    named.all(names)
    assert planned() == before

    named.all(names[1:])
    assert len(planned()) == len(before) + 1


def test_a_table_that_changes_is_read_by_the_plans_that_were_made_before() -> None:
    model = make_model("churn")
    for _ in range(4):
        RegisteredModel.objects.get(pk=model.pk), BY_NAME.first("churn")

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE registry_registeredmodel ADD COLUMN added text")
        cursor.execute("ALTER TABLE registry_registeredmodel DROP COLUMN added")

    assert RegisteredModel.objects.get(pk=model.pk) == BY_NAME.first("churn") == model


def test_names_that_are_compared_are_compared_by_their_indexes() -> None:
    """Under two collations PostgreSQL reads the whole table for every row."""
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute(
            "EXPLAIN SELECT (SELECT max(event.id) FROM notifications_event event WHERE event.model_name = model.name)"
            " FROM registry_registeredmodel model WHERE model.id = 1"
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())
        cursor.execute("RESET enable_seqscan")

    assert "(model.name)::text)" in plan
    assert "Filter" not in plan


@pytest.mark.parametrize(
    "ask",
    [lambda: BY_NAME.first("churn"), lambda: RegisteredModel.objects.get(name="churn")],
    ids=["prepared", "by the orm"],
)
def test_a_column_of_another_type_costs_one_request_of_a_connection_and_no_more(
    other: psycopg.Connection[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch, ask: Callable[[], object]
) -> None:
    """As after an upgrade that another process has made: its plans would answer what the table has no more."""
    make_model("churn")
    for _ in range(4):
        ask()

    change = "ALTER TABLE registry_registeredmodel ALTER COLUMN last_version TYPE"
    try:
        other.execute(f"{change} bigint")
        with pytest.raises(NotSupportedError):
            ask()
        monkeypatch.setattr(connection, "close_at", None)  # as it is kept
        connection.close_if_unusable_or_obsolete()  # between two requests
        assert ask() is not None
    finally:
        other.execute(f"{change} integer")
        connection.close()


def test_a_statement_that_cannot_be_planned_is_a_fault_and_no_more() -> None:
    make_model("churn")
    for _ in range(2):
        with pytest.raises(Exception, match="no_such_column"), transaction.atomic():
            write("UPDATE registry_registeredmodel SET no_such_column = %s", [1])
    with pytest.raises(DataError):
        ask_once("SELECT %s::int", ["one"])

    assert BY_NAME.first("churn") is not None


def test_whoever_watches_sees_the_same_answers() -> None:
    make_model("churn"), make_model("fraud")

    def watch(execute: Any, *arguments: Any) -> Any:
        return execute(*arguments)

    with connection.execute_wrapper(watch), transaction.atomic():
        churn, fraud = together(BY_NAME.of("churn"), BY_NAME.of("fraud"))
    with transaction.atomic():
        assert [churn, fraud] == together(BY_NAME.of("churn"), BY_NAME.of("fraud"))

    assert [model.name for model in (*churn, *fraud)] == ["churn", "fraud"]


def test_a_fault_that_waited_for_a_savepoint_is_not_forgiven_with_it() -> None:
    user = make_user()

    with transaction.atomic():
        add(note(user, "a"))
        add(note(user, "a"))
        with suppress(IntegrityError), transaction.atomic():
            pass
        assert transaction.get_rollback()

    assert keys() == []


def test_a_value_that_cannot_be_sent_costs_its_savepoint_alone() -> None:
    user = make_user()

    with transaction.atomic():
        add(note(user, "before"))
        with pytest.raises(DataError):
            add_all(user, "inside", "b\x00")
        add(note(user, "after"))

    assert keys() == ["after", "before"]


def test_plans_of_long_inserts_are_not_kept() -> None:
    user = make_user()
    kept: Any = connections["default"]
    put([note(user, "first")], unique=["user", "key"])
    before = len(kept._planned._names)

    for rows in range(MOST_PLANNED + 1, MOST_PLANNED + 6):
        put([note(user, f"{rows}/{number}") for number in range(rows)], unique=["user", "key"])

    assert len(kept._planned._names) == before
    assert len(keys()) == 1 + sum(range(MOST_PLANNED + 1, MOST_PLANNED + 6))


def test_a_question_behind_a_lock_sees_what_its_holder_did() -> None:
    """Both travel in one message, yet the second is asked when the first has been answered."""
    model = make_model("churn")
    user = make_user()
    locked = Prepared(lambda pk: RegisteredModel.objects.select_for_update().filter(pk=pk), int)
    notes = Prepared(lambda pk: IdempotencyRecord.objects.filter(user=pk), int)
    holds, found = threading.Event(), list[str]()

    def wait_for_lock() -> None:
        try:
            holds.wait()
            with transaction.atomic():
                _, rows = together(locked.of(model.pk), notes.of(user.pk))
            found.extend(row.key for row in rows)
        finally:
            connection.close()

    waiting = threading.Thread(target=wait_for_lock)
    waiting.start()
    with transaction.atomic():
        locked.first(model.pk)
        holds.set()
        waiting.join(timeout=0.3)
        assert waiting.is_alive()
        add(note(user, "theirs"))
    waiting.join()

    assert found == ["theirs"]


def test_texts_of_any_size_and_kind_arrive_as_they_are() -> None:
    model = make_model("churn")
    user = make_user()
    model.tags = {"quotes": 'it\'s "%s" $1 \\', "long": "é" * 2_000_000, "none": ""}

    with transaction.atomic():
        save(model, "tags")
        for number in range(300):  # more than the buffers of a connection hold
            add(note(user, f"k{number}", "x" * 20_000))

    read = BY_NAME.first("churn")
    assert read is not None
    assert read.tags == model.tags
    assert len(keys()) == 300


def test_a_connection_that_the_server_has_closed_is_not_used_again(
    other: psycopg.Connection[tuple[object, ...]],
) -> None:
    make_model("churn")
    assert isinstance(connections["default"], DatabaseWrapper)
    assert connection.is_usable()

    other.execute("SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid])
    with pytest.raises(OperationalError):
        BY_NAME.first("churn")

    assert not connection.is_usable()
    connection.close_if_unusable_or_obsolete()
    assert BY_NAME.first("churn") is not None


def test_a_closed_connection_is_noticed_before_it_is_asked(other: psycopg.Connection[tuple[object, ...]]) -> None:
    make_model("churn")

    other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])

    assert not connection.is_usable()
    connection.close()


def test_a_thread_whose_connection_was_closed_meanwhile_opens_another(
    other: psycopg.Connection[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restart of the server: nobody's request fails for it."""
    monkeypatch.setitem(connection.settings_dict, "CONN_HEALTH_CHECKS", True)
    make_model("churn")
    user = make_user()

    def restart() -> None:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])
        connection.health_check_enabled, connection.health_check_done = True, False  # a new request

    restart()
    model = BY_NAME.first("churn")
    assert model is not None
    restart()
    write("UPDATE registry_registeredmodel SET description = %s WHERE id = %s", ["written", model.pk])
    restart()
    with transaction.atomic():
        add(note(user, "a"))
    assert keys() == ["a"]
    restart()
    assert ask_once("SELECT description FROM registry_registeredmodel", []) == [("written",)]


def test_what_is_written_outside_a_transaction_opens_a_connection_for_itself() -> None:
    user = make_user()
    connection.close()

    add(note(user, "a"))

    assert keys() == ["a"]


def test_a_value_that_cannot_be_sent_harms_nothing_else() -> None:
    """Neither the beginning of the transaction nor what waits goes missing with it."""
    user = make_user()

    @transaction.atomic
    def change(*, fails: bool) -> None:
        with pytest.raises(DataError):
            BY_NAME.first("a\x00b")
        add(note(user, "a"))
        with pytest.raises(DataError):
            BY_NAME.first("a\x00b")
        if fails:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change(fails=True)
    assert keys() == []

    change(fails=False)
    assert keys() == ["a"]


def test_a_written_value_that_cannot_be_sent_fails_the_transaction() -> None:
    user = make_user()

    with pytest.raises(DataError):
        add_all(user, "a", "b\x00", "c")

    assert keys() == []


def test_an_open_transaction_is_no_connection_for_somebody_else() -> None:
    make_model("churn")
    with transaction.atomic():
        BY_NAME.first("churn")

        assert not connection.is_usable()
