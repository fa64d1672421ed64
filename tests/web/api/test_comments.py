"""The conversation by the API."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_django import Settings

from accounts.models import User
from approvals import services
from approvals.models import Comment, TransitionRequest
from registry.models import ModelVersion
from tests.cast import Api
from tests.factories import make_version
from tests.scenes import PRODUCTION

ON_VERSION = "models/churn/versions/1/comments/"


@pytest.fixture
def version(mira: User) -> ModelVersion:
    return make_version("churn", user=mira)


@pytest.fixture
def asked(version: ModelVersion, mira: User) -> TransitionRequest:
    return services.open_request(actor=mira, version=version, target=PRODUCTION)


@pytest.fixture(params=["request", "version"])
def place(request: pytest.FixtureRequest, asked: TransitionRequest) -> str:
    return ON_VERSION if request.param == "version" else f"requests/{asked.pk}/comments/"


def test_a_thread_is_begun_answered_resolved_and_reopened(
    place: str, api: Callable[..., Api], sam: User, mira: User
) -> None:
    first = api(sam).post(place, {"text": "Why?"}).json()
    reply = api(mira).post(place, {"text": "Because.", "thread": first["id"]}).json()
    resolved = api(sam).post(f"comments/{first['id']}/resolve/")
    shown = api(mira).get(place).json()["items"]
    again = api(sam).post(f"comments/{first['id']}/resolve/")
    reopened = api(sam).post(f"comments/{first['id']}/reopen/")

    assert (first["thread"], reply["thread"], first["url"].split("#")[1]) == (
        None,
        first["id"],
        f"comment-{first['id']}",
    )
    assert (resolved.status_code, resolved.json()["resolved_by"], again.status_code) == (200, "sam", 409)
    assert [(row["text"], bool(row["resolved_at"])) for row in shown] == [("Because.", False), ("Why?", True)]
    assert (reopened.status_code, reopened.json()["resolved_at"]) == (200, None)


def test_an_author_edits_and_deletes(place: str, api: Callable[..., Api], sam: User, mira: User) -> None:
    pk = api(sam).post(place, {"text": "Frist."}).json()["id"]

    edited = api(sam).patch(f"comments/{pk}/", {"text": "First."}).json()
    refused = api(mira).patch(f"comments/{pk}/", {"text": "Taken over."})
    deleted = api(sam).delete(f"comments/{pk}/")
    shown = api(mira).get(f"comments/{pk}/").json()

    assert (edited["text"], [row["text"] for row in edited["revisions"]]) == ("First.", ["Frist."])
    assert (refused.status_code, deleted.status_code) == (403, 204)
    assert (shown["text"], [row["text"] for row in shown["revisions"]]) == ("", [""])
    assert shown["deleted_at"] and shown["author"] == "sam"
    assert api(sam).delete(f"comments/{pk}/").status_code == 404


def test_who_may_not_read_the_model_finds_nothing(
    place: str, api: Callable[..., Api], sam: User, eve: User, settings: Settings
) -> None:
    pk = api(sam).post(place, {"text": "Between us."}).json()["id"]
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    stranger = api(eve)

    answers = [
        stranger.get(place),
        stranger.post(place, {"text": "Hello"}),
        stranger.get(f"comments/{pk}/"),
        stranger.patch(f"comments/{pk}/", {"text": "Hello"}),
        stranger.delete(f"comments/{pk}/"),
        stranger.post(f"comments/{pk}/resolve/"),
        stranger.post(f"comments/{pk}/reopen/"),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert Comment.objects.get().text == "Between us."


def test_comments_of_a_version_that_is_gone_are_gone(api: Callable[..., Api], version: ModelVersion, sam: User) -> None:
    pk = api(sam).post(ON_VERSION, {"text": "Hello"}).json()["id"]
    ModelVersion.objects.filter(pk=version.pk).update(deleted_at=version.created_at)

    assert api(sam).get(f"comments/{pk}/").status_code == 404


@pytest.mark.parametrize(
    "wrong", [{}, {"text": ""}, {"text": "x", "thread": "?"}, {"text": "x", "thread": 0}, {"text": "x", "to": 1}]
)
def test_what_is_no_comment_is_refused(place: str, api: Callable[..., Api], sam: User, wrong: dict[str, str]) -> None:
    assert api(sam).post(place, wrong).status_code == 400
    assert api(sam).post(place, {"text": "x", "thread": 2**62}).status_code == 404
    assert not Comment.objects.exists()
