"""Querysets compiled once: the same rows as by the usual way, with whatever values come later."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Count, FilteredRelation, Q, QuerySet

from accounts.models import IdempotencyRecord, Token
from core.clock import now
from core.errors import Unauthenticated
from core.prepared import (
    MOST_PLANNED,
    Compiled,
    Many,
    Prepared,
    PreparedUpdate,
    accompany,
    ask_once,
    insert,
    insert_or_leave,
    planned_anew,
    put,
    save,
    together,
)
from notifications.models import Event
from registry.models import ModelVersion, RegisteredModel, StageHolding
from tests.factories import make_model, make_user, make_version

pytestmark = pytest.mark.django_db


def test_values_take_their_places_at_every_run() -> None:
    make_version("churn", tags={"a": "1"}), make_version("fraud", tags={"a": "2"})
    by_name = Prepared(lambda name: ModelVersion.objects.select_related("model").filter(model__name=name), str)

    found = [by_name.first(name) for name in ("fraud", "churn", "x' OR '1'='1", "%s")]

    assert [version and (version.model.name, version.tags) for version in found] == [
        ("fraud", {"a": "2"}),
        ("churn", {"a": "1"}),
        None,
        None,
    ]


def test_questions_are_asked_together_in_their_order() -> None:
    make_version("churn"), make_version("fraud")
    model = Prepared(lambda name: RegisteredModel.objects.filter(name=name), str)
    number = Prepared(lambda number: ModelVersion.objects.filter(version=number), int)

    models, none, too_large, versions = together(
        model.of("fraud"), model.of("nothing"), number.of(10**30), number.of(1)
    )

    assert [model.name for model in models] == ["fraud"]
    assert (none, too_large, len(versions)) == ([], [], 2)


def test_a_companion_travels_once_and_may_turn_everybody_back() -> None:
    make_model("churn"), make_model("fraud")
    by_name = Prepared(lambda name: RegisteredModel.objects.filter(name=name), str)
    taken: list[list[RegisteredModel]] = []

    accompany(by_name.of("fraud"), taken.append)
    found = by_name.first("churn")
    again = by_name.first("churn")

    assert found == again == RegisteredModel.objects.get(name="churn")
    assert [[model.name for model in rows] for rows in taken] == [["fraud"]]

    def refuse(_rows: list[RegisteredModel]) -> None:
        raise Unauthenticated("nobody")

    accompany(by_name.of("nothing"), refuse)
    with pytest.raises(Unauthenticated):
        by_name.first("churn")
    assert by_name.first("churn") == found


def test_what_is_left_out_of_a_row_is_read_when_it_is_asked_for() -> None:
    make_version("churn", tags={"a": "1"})

    version = Prepared(lambda pk: ModelVersion.objects.defer("tags").filter(version=pk), int).first(1)

    assert version is not None
    assert (version.get_deferred_fields(), version.tags) == ({"tags"}, {"a": "1"})


def test_annotations_come_along_as_attributes() -> None:
    make_version("churn"), make_version("churn"), make_model("fraud")
    counted = Prepared(
        lambda name: RegisteredModel.objects.filter(name=name).annotate(
            count=Count("versions"), first_of=FilteredRelation("versions", condition=Q(versions__version=1))
        ).select_related("first_of"),
        str,
    )  # fmt: skip

    churn, fraud = counted.first("churn"), counted.first("fraud")

    assert churn is not None and fraud is not None
    assert (churn.count, churn.first_of.version) == (2, 1)  # type: ignore[attr-defined]
    assert (fraud.count, hasattr(fraud, "first_of")) == (0, False)  # type: ignore[attr-defined]  # as by the ORM


def test_a_statement_asked_once_tells_rows_with_json_as_text() -> None:
    make_model("churn", tags={"k": "é"})

    [(name, tags)] = ask_once("SELECT name, tags FROM registry_registeredmodel WHERE name = %s", ["churn"])

    assert (name, json.loads(tags)) == ("churn", {"k": "é"})


def test_a_number_that_no_column_holds_finds_nothing() -> None:
    make_version("churn")
    by_number = Prepared(lambda number: ModelVersion.objects.filter(version=number), int)

    assert [by_number.first(number) for number in (2**31, 2**63, -(2**63), 10**30)] == [None] * 4
    assert by_number.first(1) is not None


def test_rows_are_as_the_orm_reads_them(django_assert_num_queries: Any) -> None:
    version = make_version("churn", tags={"k": "é"}, user=make_user("mira"))
    queryset = ModelVersion.objects.select_related("model", "user", "evidence")
    usual = queryset.get(pk=version.pk)

    with django_assert_num_queries(1):
        found = Prepared(lambda pk: queryset.filter(pk=pk), int).first(version.pk)
        assert found is not None

        for field in ModelVersion._meta.concrete_fields:
            assert getattr(found, field.attname) == getattr(usual, field.attname)
        assert (found.model, found.user, found.evidence) == (usual.model, usual.user, usual.evidence)
    assert found._state.adding is False


def test_moments_are_compared_as_moments() -> None:
    user = make_user("mira")
    Token.objects.create(user=user, name="t", prefix="p", digest="d", expires_at=datetime(2030, 1, 1, tzinfo=UTC))
    usable = Prepared(lambda digest, moment: Token.objects.usable(moment).filter(digest=digest), str, datetime)

    assert usable.first("d", datetime(2029, 12, 31, 23, 59, tzinfo=UTC)) is not None
    assert usable.first("d", datetime(2030, 1, 1, 0, 1, tzinfo=UTC)) is None


@pytest.mark.django_db(transaction=True)
def test_a_lock_needs_a_transaction() -> None:
    model = make_model()
    locked = Prepared(lambda pk: RegisteredModel.objects.select_for_update().filter(pk=pk), int)
    with transaction.atomic():
        assert locked.first(model.pk) == model

    with pytest.raises(transaction.TransactionManagementError):
        locked.first(model.pk)


def test_a_value_that_would_be_changed_on_its_way_is_refused() -> None:
    with pytest.raises(RuntimeError, match="does not reach"):
        Prepared(lambda name: RegisteredModel.objects.filter(name__contains=name), str).first("churn")


def test_a_list_of_values_may_have_any_length() -> None:
    versions = [make_version("churn") for _ in range(MOST_PLANNED + 2)]
    numbered = Prepared(
        lambda model, numbers: ModelVersion.objects.filter(model__name=model, version__in=numbers).order_by("version"),
        *(str, Many(int)),
    )

    for wanted in ([2], [3, 1], [1, 1], range(1, len(versions) + 1), []):
        found = numbered.all("churn", wanted)
        assert [version.version for version in found] == sorted(set(wanted))
    assert numbered.all("churn", [10**30]) == []
    assert numbered.all("fraud", {1}) == []


def test_a_moment_may_come_after_a_long_list() -> None:
    model, moment = make_model("churn"), now()
    held = Prepared(
        lambda names, since: RegisteredModel.objects.filter(
            Q(deleted_at=None) | Q(deleted_at__gt=since), name__in=names
        ),
        *(Many(str), datetime),
    )

    assert held.all([f"m{number}" for number in range(40)] + ["churn"], moment) == [model]


def test_the_values_of_two_lists_are_not_mixed() -> None:
    make_version("churn", stage="Staging"), make_version("fraud", stage="Production")
    either = Prepared(
        lambda names, stages: ModelVersion.objects.filter(Q(model__name__in=names) | Q(current_stage__in=stages)),
        *(Many(str), Many(str)),
    )

    assert [version.model.name for version in either.all(["churn", "x"], ["Staging"])] == ["churn"]
    assert [version.model.name for version in either.all(["x"], ["None", "Production", "y"])] == ["fraud"]


def test_the_rows_of_a_list_of_values_are_tuples_in_its_order() -> None:
    make_version("churn", tags={"a": "1"}), make_version("churn")
    rows = Prepared(
        lambda name: (
            ModelVersion.objects.filter(model__name=name)
            .order_by("version")
            .annotate(others=Count("model__versions"))
            .values_list("others", "tags", "model__name", "version")
        ),
        str,
    )

    assert rows.all("churn") == [(2, {"a": "1"}, "churn", 1), (2, {}, "churn", 2)]


def test_what_is_compiled_for_a_key_is_asked_anew_each_time() -> None:
    compiled, built = Compiled(most=2), list[str]()

    def named(name: str) -> list[RegisteredModel]:
        def build() -> QuerySet[RegisteredModel]:
            built.append(name)
            return RegisteredModel.objects.filter(name=name)

        return compiled.rows(name, build)

    assert named("churn") == []
    model = make_model("churn")
    assert named("churn") == [model]
    assert (named("a"), named("b"), named("churn")) == ([], [], [model])
    assert built == ["churn", "a", "b", "churn"]  # two are kept, then all are forgotten
    assert compiled.rows("none", RegisteredModel.objects.none) == []


def test_rows_that_are_planned_anew_are_those_of_the_queryset() -> None:
    mira = make_user("mira")
    model = make_version("churn", tags={"a": "1"}, user=mira).model
    make_version("churn")
    rows = ModelVersion.objects.order_by("-version").annotate(others=Count("model__versions"))

    first, second = planned_anew(rows.select_related("user", "model").defer("description"))

    assert (first.version, first.user, first.tags, first.description) == (2, None, {}, "")
    assert (second.version, second.user, second.tags, second.model) == (1, mira, {"a": "1"}, model)
    assert [row.others for row in (first, second)] == [2, 2]  # type: ignore[attr-defined]
    assert planned_anew(rows.none()) == []


def test_rows_that_are_planned_anew_bring_others_along(django_assert_num_queries: Any) -> None:
    version = make_version("churn")

    with django_assert_num_queries(3):
        [row] = planned_anew(version.model.versions.all())  # type: ignore[attr-defined]
        [model] = planned_anew(RegisteredModel.objects.prefetch_related("versions"))
        versions = list(model.versions.all())  # type: ignore[attr-defined]

        assert (row.model is version.model, versions) == (True, [version])


# -- Writing -----------------------------------------------------------------------------------------------------------


def test_an_update_writes_the_rows_of_its_queryset() -> None:
    one, other = make_version("churn"), make_version("fraud")
    describe = PreparedUpdate(
        lambda text, pk: (ModelVersion.objects.filter(pk=pk), {"description": text, "run_link": ""}), str, int
    )

    describe.run("it's %s", one.pk), describe.run("two", other.pk), describe.run("none", 0)

    assert list(ModelVersion.objects.order_by("pk").values_list("description", flat=True)) == ["it's %s", "two"]


def test_saving_writes_the_named_fields_and_no_others() -> None:
    version = make_version("churn", tags={"a": "1"})
    version.tags, version.description, version.deleted_at = {"k": "é \"'%s"}, "not saved", now()

    save(version, "tags", "deleted_at")

    kept = ModelVersion.objects.get(pk=version.pk)
    assert (kept.tags, kept.description, kept.deleted_at) == ({"k": "é \"'%s"}, "", version.deleted_at)


def test_an_inserted_row_is_as_the_orm_would_have_written_it() -> None:
    user = make_user("mira")
    event = Event(kind="k", actor=user, summary="s", data={"a": [1, None, "é"]}, audience=[1])

    insert(event)

    kept = Event.objects.get()
    assert (event.pk, event._state.adding) == (kept.pk, False)
    for field in Event._meta.concrete_fields:
        assert getattr(event, field.attname) == getattr(kept, field.attname)


def test_putting_inserts_or_writes_what_is_named() -> None:
    user = make_user()

    def note(key: str, number: int) -> IdempotencyRecord:
        return IdempotencyRecord(user=user, key=key, answer=str(number), status=number)

    def kept() -> list[tuple[str, str, int]]:
        return list(IdempotencyRecord.objects.order_by("key").values_list("key", "answer", "status"))

    put([note(key, 1) for key in "ab"], unique=["user", "key"])
    put([note("a", 2)], unique=["user", "key"])
    assert kept() == [("a", "1", 1), ("b", "1", 1)]

    put([note(key, 3) for key in "bc"], unique=["user", "key"], update=["answer"])
    put([], unique=["user", "key"])
    assert kept() == [("a", "1", 1), ("b", "3", 1), ("c", "3", 3)]


def test_putting_minds_the_condition_of_a_partial_index() -> None:
    version = make_version("churn")

    def hold() -> None:
        row = StageHolding(model=version.model, version=version, target_kind="stage", target="Staging")
        put([row], unique=["version", "target_kind", "target"], where="until IS NULL")

    hold(), hold()
    assert StageHolding.objects.count() == 1
    StageHolding.objects.update(until=now())
    hold()
    assert StageHolding.objects.count() == 2


def test_inserting_leaves_what_is_there_alone() -> None:
    user = make_user()
    first, second = (IdempotencyRecord(user=user, key="a", answer=answer) for answer in "12")

    assert insert_or_leave(first, unique=["user", "key"])
    assert not insert_or_leave(second, unique=["user", "key"])

    kept = IdempotencyRecord.objects.get()
    assert (kept.pk, kept.answer, second.pk) == (first.pk, "1", None)
