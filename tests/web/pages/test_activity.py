"""/activity/: what happened, as far as somebody may know, by filters that stand in the address, and as a file."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from notifications.models import Event
from registry import services as registry
from tests.cast import Api
from tests.factories import make_model
from web.exports import CHUNK, export

Session = Callable[[User], Client]


def happen(summary: str, **fields: Any) -> Event:
    return Event.objects.create(**{"kind": "comment.created", "model_name": "churn", "summary": summary, **fields})


@pytest.fixture
def record(mira: User, alice: User) -> list[Event]:
    """Five events, each of which differs from the others in what is filtered by."""
    make_model("churn", user=mira)
    make_model("fraud", user=mira)
    days = [datetime(2026, 5, day, 23, 59, 59, tzinfo=UTC) for day in range(1, 6)]
    return [
        happen("first", actor=mira, version=1, request_id=7, created_at=days[0]),
        happen("second", actor=alice, version=2, created_at=days[1]),
        happen("third", actor=alice, version=2, kind="tag.set", created_at=days[2]),
        happen("fourth", model_name="fraud", version=2, request_id=8, created_at=days[3]),
        happen("fifth", actor=mira, kind="thread.resolved", created_at=days[4]),
    ]


def told(page: HttpResponse) -> list[str]:
    return re.findall(r'<li><div class="grow">(?:<a[^>]*>)?(\w+)', page.content.decode())


def file_of(answer: Any) -> str:
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content).decode()


def lines_of(answer: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file_of(answer).splitlines()]


FILTERS = [
    ({}, ["fifth", "fourth", "third", "second", "first"]),
    ({"kind": "tag.set"}, ["third"]),
    ({"actor": "alice"}, ["third", "second"]),
    ({"actor": "nobody-of-this-name"}, []),
    ({"model": "fraud"}, ["fourth"]),
    ({"model": "chur"}, []),
    ({"model": "churn", "version": "2"}, ["third", "second"]),
    ({"request": "7"}, ["first"]),
    ({"since": "2026-05-03"}, ["fifth", "fourth", "third"]),
    ({"until": "2026-05-03"}, ["third", "second", "first"]),
    ({"since": "2026-05-02", "until": "2026-05-04", "actor": "alice", "kind": "comment.created"}, ["second"]),
    ({"since": "2999-12-31"}, []),
    ({"until": "2000-01-01"}, []),
]


@pytest.mark.parametrize(("asked", "fits"), FILTERS)
def test_page_api_and_files_answer_a_filter_alike(
    asked: dict[str, str], fits: list[str], record: list[Event], sam: User, session: Session, api: Callable[..., Api]
) -> None:
    page, by_token = session(sam), api(sam)

    assert told(page.get("/activity/", asked)) == fits
    assert [item["summary"] for item in by_token.get("events/", **asked).json()["items"]] == fits
    assert [line["summary"] for line in lines_of(page.get("/activity/export/", {**asked, "format": "jsonl"}))] == fits
    assert [line["summary"] for line in lines_of(by_token.get("events/export/", **asked, format="jsonl"))] == fits


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"version": "2"}, "Name the model too"),
        ({"version": "two", "model": "churn"}, "The version is a number."),
        ({"request": "-1"}, "The request is a number."),
        ({"since": "yesterday"}, "Write a day as in"),
        ({"until": "2026-02-30"}, "Write a day as in"),
        ({"since": "0001-01-01"}, "between the years 2000 and 2999"),
        ({"until": "9999-12-31"}, "between the years 2000 and 2999"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_sentence_and_shows_nothing(
    asked: dict[str, str], sentence: str, record: list[Event], sam: User, session: Session, api: Callable[..., Api]
) -> None:
    page = session(sam)
    refused = page.get("/activity/", asked)

    assert refused.status_code == 422 and sentence in refused.content.decode()
    assert told(refused) == []
    assert page.get("/activity/export/", {**asked, "format": "csv"}).status_code == 400
    assert api(sam).get("events/", **asked).status_code == 400
    assert api(sam).get("events/export/", **asked, format="csv").status_code == 400


@pytest.mark.parametrize("given", [{}, {"format": "xlsx"}])
def test_a_file_has_a_format_that_is_known(
    given: dict[str, str], record: list[Event], sam: User, session: Session, api: Callable[..., Api]
) -> None:
    assert session(sam).get("/activity/export/", given).status_code == 400
    assert api(sam).get("events/export/", **given).status_code == 400


# -- Who sees what -----------------------------------------------------------------------------------------------------


def seen_through_every_door(user: User, session: Session, by_token: Api) -> Iterable[list[str]]:
    page = session(user)
    yield told(page.get("/activity/"))
    yield [line["summary"] for line in lines_of(page.get("/activity/export/", {"format": "jsonl"}))]
    yield [item["summary"] for item in by_token.get("events/").json()["items"]]
    yield [line["summary"] for line in lines_of(by_token.get("events/export/", format="jsonl"))]


@pytest.mark.parametrize(
    ("who", "sees"),
    [
        ("admin", ["house", "fourth", "third"]),
        ("auditor", ["house", "fourth", "third"]),
        ("sam", ["fourth", "third"]),
        ("eve", []),
    ],
)
def test_every_door_shows_what_somebody_may_know_and_no_more(
    who: str, sees: list[str], mira: User, admin: User, sam: User, eve: User, session: Session,
    api: Callable[..., Api], settings: Any,
) -> None:  # fmt: skip
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    make_model("churn", user=mira)
    happen("third")
    happen("fourth")
    happen("house", kind="policy.published", model_name="")
    auditor = User.objects.create_user("auditor", is_auditor=True)
    user = {"admin": admin, "auditor": auditor, "sam": sam, "eve": eve}[who]

    assert list(seen_through_every_door(user, session, api(user))) == [sees] * 4


def test_a_token_for_some_models_exports_what_happened_to_those(
    record: list[Event], admin: User, api: Callable[..., Api]
) -> None:
    happen("house", kind="policy.published", model_name="")
    limited = api(admin, models="fra*")

    assert [line["summary"] for line in lines_of(limited.get("events/export/", format="jsonl"))] == ["fourth"]
    assert lines_of(limited.get("events/export/", format="jsonl", model="churn")) == []


def test_a_name_that_changed_hands_does_not_tell_of_who_had_it_before(
    mira: User, admin: User, sam: User, session: Session
) -> None:
    registry.delete_model(actor=admin, model=registry.create_model(actor=mira, name="churn", description="secret"))
    registry.create_model(actor=mira, name="churn")

    shown = file_of(session(sam).get("/activity/export/", {"format": "csv"}))

    assert shown.count("registered_model.created") == 1
    assert "secret" not in shown


# -- The page ----------------------------------------------------------------------------------------------------------


def test_nothing_yet_and_nothing_that_fits_are_told_apart(sam: User, session: Session) -> None:
    page = session(sam)

    assert "Nothing has happened yet" in page.get("/activity/").content.decode()
    assert "Nothing fits these filters" in page.get("/activity/?kind=tag.set").content.decode()


def test_events_are_paged_without_a_gap_and_keep_the_filter(record: list[Event], sam: User, session: Session) -> None:
    for number in range(120):
        happen(f"n{number:03}", kind=("tag.set", "tag.deleted")[number % 2])
    page, address, shown = session(sam), "/activity/?kind=tag.set&model=churn", []
    while address:
        answer = page.get(address)
        shown += told(answer)
        older = re.search(r'rel="next" href="([^"]+)"', answer.content.decode())
        address = f"/activity/{html.unescape(older[1])}" if older else ""

    assert shown == [f"n{number:03}" for number in range(118, -1, -2)] + ["third"]
    assert ">Newest<" in answer.content.decode()


def test_a_change_of_the_filter_sends_the_list_and_its_address(
    record: list[Event], sam: User, session: Session
) -> None:
    answer = session(sam).get("/activity/?kind=tag.set&actor=&since=", headers={"HX-Request": "true"})

    assert told(answer) == ["third"]
    assert "<html" not in answer.content.decode()
    assert answer["HX-Replace-Url"] == "/activity/?kind=tag.set"
    assert "HX-Request" in answer["Vary"]
    assert "/activity/export/?kind=tag.set&amp;format=csv" in answer.content.decode()


def test_what_was_written_is_text(record: list[Event], sam: User, session: Session) -> None:
    happen("<script>alert(1)</script>")

    assert "<script>alert" not in session(sam).get("/activity/", {"actor": "<script>alert(1)"}).content.decode()
    assert "<script>alert" not in session(sam).get("/activity/").content.decode()


# -- Files -------------------------------------------------------------------------------------------------------------


def test_a_line_of_json_is_what_the_api_lists(record: list[Event], sam: User, api: Callable[..., Api]) -> None:
    happen("now", data={"teams": ["risk"], "name": "Größe"})

    by_token = api(sam)

    assert lines_of(by_token.get("events/export/", format="jsonl")) == by_token.get("events/").json()["items"]


def test_a_file_is_an_attachment_that_no_browser_guesses_about(
    record: list[Event], sam: User, session: Session
) -> None:
    page = session(sam)
    for form, content_type in (("csv", "text/csv; charset=utf-8"), ("jsonl", "application/x-ndjson")):
        whole = page.get("/activity/export/", {"format": form})
        head = page.head("/activity/export/", {"format": form})

        assert re.fullmatch(rf"attachment; filename=countersign-events-[\d-]+\.{form}", whole["Content-Disposition"])
        assert (whole["Content-Type"], whole["X-Content-Type-Options"]) == (content_type, "nosniff")
        assert isinstance(whole, StreamingHttpResponse)
        assert (head.status_code, head["Content-Type"]) == (200, content_type)


def test_a_table_has_a_row_of_names_and_a_row_for_each_event(record: list[Event], sam: User, session: Session) -> None:
    happen('She said "no", and\nleft.', data={"a": 1})

    rows = list(
        csv.DictReader(io.StringIO(file_of(session(sam).get("/activity/export/", {"format": "csv"})), newline=""))
    )

    assert rows[0]["summary"] == 'She said "no", and\nleft.'
    assert (rows[0]["actor"], rows[0]["version"], json.loads(rows[0]["data"])) == ("", "", {"a": 1})
    assert rows[-1] == {
        "key": str(record[0].key), "kind": "comment.created", "actor": "mira", "model": "churn", "version": "1",
        "request": "7", "summary": "first", "path": "", "data": "{}", "created_at": "2026-05-01T23:59:59Z",
    }  # fmt: skip


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_a_spreadsheet_runs_nothing(first: str, mira: User, sam: User, session: Session) -> None:
    make_model(f"{first}churn", user=mira)
    happen(f"{first}HYPERLINK(1)", model_name=f"{first}churn")

    text = file_of(session(sam).get("/activity/export/", {"format": "csv"}))

    [row] = csv.DictReader(io.StringIO(text, newline=""))
    assert (row["summary"], row["model"]) == (f"'{first}HYPERLINK(1)", f"'{first}churn")


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_ten_thousand_events_are_one_statement_for_each_chunk_as_it_is_read(
    form: str, sam: User, rf: Any, mira: User
) -> None:
    make_model("churn", user=mira)
    Event.objects.bulk_create(
        Event(kind="tag.set", model_name="churn", actor=mira, summary=f"n{number}") for number in range(10_000)
    )
    sent: Any = export(rf.get("/"), Event.objects.all(), form)
    pieces = (piece for piece in sent.streaming_content if piece.count(b"\n") > 1)  # without the names of the columns

    with CaptureQueriesContext(connection) as counted:
        lines = 0
        for number, piece in enumerate(pieces, start=1):
            lines += piece.count(b"\n")
            assert piece.count(b"\n") == CHUNK  # nothing gathers
            assert len(counted) == number  # and nothing is read ahead

    assert lines == 10_000
    assert len(counted) == 10_000 // CHUNK + 1
