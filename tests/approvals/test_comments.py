"""The conversation about requests and versions: who may say, edit, delete and resolve what, and who is told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from pytest_django import Settings

from accounts import services as accounts
from accounts.models import Level, Team, User
from approvals import services
from approvals.mentions import MOST_MEMBERS, MOST_NAMES
from approvals.models import Comment, CommentRevision, TransitionRequest
from core.errors import Conflict, Invalid, NotFound, NotPermitted
from notifications.models import Event
from registry.models import ModelVersion
from tests.cast import person
from tests.factories import make_version

VERBS: dict[str, Callable[[User, Comment], Comment]] = {
    "edit": lambda user, comment: services.edit_comment(actor=user, comment=comment, text="Better."),
    "delete": lambda user, comment: services.delete_comment(actor=user, comment=comment),
    "resolve": lambda user, comment: services.resolve_thread(actor=user, comment=comment),
    "reopen": lambda user, comment: services.reopen_thread(actor=user, comment=comment),
}


def say(
    user: User, about: TransitionRequest | ModelVersion, text: str = "Why?", parent: Comment | None = None
) -> Comment:
    version, asked = (about, None) if isinstance(about, ModelVersion) else (about.version, about)
    return services.add_comment(actor=user, version=version, text=text, review_request=asked, parent=parent)


def last(kind: str) -> Event:
    return Event.objects.filter(kind=kind).latest("id")


def names_told(kind: str) -> set[str]:
    return set(User.objects.filter(pk__in=last(kind).audience).values_list("username", flat=True))


def kinds_since(count: int) -> list[str]:
    return list(Event.objects.order_by("id").values_list("kind", flat=True))[count:]


# -- Replies -----------------------------------------------------------------------------------------------------------


def test_a_reply_belongs_to_the_thread_it_answers(asked: TransitionRequest, alice: User, mira: User) -> None:
    first = say(alice, asked)

    reply = say(mira, asked, "Because.", first)

    assert list(first.replies.all()) == [reply]
    assert last("comment.created").data == {"comment_id": reply.pk, "thread_id": first.pk, "comment": "Because."}


def test_a_reply_stays_within_one_conversation(asked: TransitionRequest, mira: User, alice: User) -> None:
    on_version, reply = say(alice, asked.version), say(mira, asked, parent=(first := say(alice, asked)))
    elsewhere = say(alice, make_version(asked.model, user=mira))

    for parent in (on_version, elsewhere, reply):
        with pytest.raises(Invalid) as refused:
            say(mira, asked, parent=parent)
        assert refused.value.field == "parent"
    with pytest.raises(Invalid):
        say(mira, asked.version, parent=first)


def test_a_reply_to_a_resolved_thread_leaves_it_resolved(asked: TransitionRequest, mira: User, alice: User) -> None:
    first = services.resolve_thread(actor=mira, comment=say(alice, asked))

    say(alice, asked, "One more thing.", first)

    first.refresh_from_db()
    assert first.resolved_by == mira


def test_a_closed_request_can_be_talked_about(asked: TransitionRequest, mira: User, alice: User) -> None:
    services.withdraw_request(actor=mira, review_request=asked)

    first = say(alice, asked)
    say(mira, asked, parent=first)
    services.edit_comment(actor=alice, comment=first, text="Why so?")

    assert services.resolve_thread(actor=mira, comment=first).resolved_at


# -- Editing -----------------------------------------------------------------------------------------------------------


def test_an_edit_keeps_what_was_said_before(asked: TransitionRequest, alice: User) -> None:
    comment = say(alice, asked, "Frist.")

    once = services.edit_comment(actor=alice, comment=comment, text=" First. ")
    twice = services.edit_comment(actor=alice, comment=comment, text="First!")

    assert (once.text, twice.text) == ("First.", "First!")
    assert once.edited_at and twice.edited_at and twice.edited_at > once.edited_at
    assert list(comment.revisions.values_list("text", "written_at")) == [
        ("Frist.", comment.created_at),
        ("First.", once.edited_at),
    ]
    assert last("comment.edited").data == {"comment_id": comment.pk, "thread_id": comment.pk, "comment": "First!"}
    assert last("comment.edited").path == f"/requests/{asked.pk}/#comment-{comment.pk}"


def test_the_same_text_changes_nothing(asked: TransitionRequest, alice: User) -> None:
    comment = say(alice, asked, "One\ntwo")

    edited = services.edit_comment(actor=alice, comment=comment, text="One\r\ntwo\r\n")

    assert edited.edited_at is None
    assert not CommentRevision.objects.exists()
    assert not Event.objects.filter(kind="comment.edited").exists()


@pytest.mark.parametrize("text", ["", " \r\n", "\x00", "x" * 65_536])
def test_an_edit_needs_a_text_as_a_comment_does(asked: TransitionRequest, alice: User, text: str) -> None:
    comment = say(alice, asked)

    with pytest.raises(Invalid):
        services.edit_comment(actor=alice, comment=comment, text=text)

    comment.refresh_from_db()
    assert comment.text == "Why?"


# -- Deleting ----------------------------------------------------------------------------------------------------------


def test_deleting_erases_the_text_and_leaves_the_place(asked: TransitionRequest, alice: User, mira: User) -> None:
    comment = say(alice, asked, "A secret.")
    reply = say(mira, asked, "I see.", comment)
    services.edit_comment(actor=alice, comment=comment, text="A secret!")

    services.delete_comment(actor=alice, comment=comment)

    comment.refresh_from_db()
    reply.refresh_from_db()
    assert (comment.text, comment.author, reply.text) == ("", alice, "I see.")
    assert comment.created_at and comment.edited_at and comment.deleted_at
    assert list(comment.revisions.values_list("text", flat=True)) == [""]


def test_the_record_keeps_what_a_deleted_comment_said_and_adds_nothing(asked: TransitionRequest, alice: User) -> None:
    comment = say(alice, asked, "A secret.")

    services.delete_comment(actor=alice, comment=comment)

    assert last("comment.created").data["comment"] == "A secret."
    assert last("comment.deleted").data == {"comment_id": comment.pk, "thread_id": comment.pk}


@pytest.mark.parametrize("verb", VERBS)
def test_a_deleted_comment_is_not_there_any_more(asked: TransitionRequest, alice: User, verb: str) -> None:
    comment = services.delete_comment(actor=alice, comment=say(alice, asked))
    events = Event.objects.count()

    with pytest.raises(NotFound):
        VERBS[verb](alice, comment)

    assert Event.objects.count() == events


def test_nobody_replies_to_a_thread_that_is_gone(asked: TransitionRequest, mira: User, alice: User) -> None:
    first = say(alice, asked)
    reply = say(mira, asked, parent=first)
    services.delete_comment(actor=alice, comment=first)
    say(alice, asked, "Still here.", first)
    for left in first.replies.all():
        services.delete_comment(actor=left.author, comment=left)

    with pytest.raises(Conflict, match="was deleted"):
        say(mira, asked, parent=first)

    assert reply.request_id == asked.pk


# -- Resolving ---------------------------------------------------------------------------------------------------------


def test_a_thread_is_resolved_and_reopened_once(asked: TransitionRequest, alice: User, mira: User) -> None:
    first = say(alice, asked)

    services.resolve_thread(actor=mira, comment=first)
    with pytest.raises(Conflict, match="resolved by mira"):
        services.resolve_thread(actor=alice, comment=first)
    services.reopen_thread(actor=alice, comment=first)
    with pytest.raises(Conflict, match="open already"):
        services.reopen_thread(actor=alice, comment=first)

    first.refresh_from_db()
    assert (first.resolved_at, first.resolved_by) == (None, None)
    assert [kind for kind in kinds_since(0) if kind.startswith("thread.")] == ["thread.resolved", "thread.reopened"]


def test_a_thread_is_resolved_where_it_begins(asked: TransitionRequest, alice: User) -> None:
    reply = say(alice, asked, parent=say(alice, asked))

    for verb in ("resolve", "reopen"):
        with pytest.raises(Invalid, match="This is a reply"):
            VERBS[verb](alice, reply)


def test_a_thread_whose_beginning_is_deleted_can_be_resolved(asked: TransitionRequest, alice: User, mira: User) -> None:
    first = say(alice, asked)
    say(mira, asked, "But I have answered.", first)
    services.delete_comment(actor=alice, comment=first)

    assert services.resolve_thread(actor=mira, comment=first).resolved_by == mira


def test_who_spoke_in_a_thread_and_who_asked_hear_of_its_end(
    asked: TransitionRequest, alice: User, sam: User, dkim: User
) -> None:
    first = say(alice, asked)
    say(sam, asked, parent=first)
    say(dkim, asked, "Another thread.")

    services.resolve_thread(actor=alice, comment=first)

    assert names_told("thread.resolved") == {"mira", "sam"}
    assert last("thread.resolved").path == f"/requests/{asked.pk}/#comment-{first.pk}"


# -- Who may -----------------------------------------------------------------------------------------------------------

AUTHOR, ASKER, MOVER = {"alice"}, {"mira", "ci-bot"}, {"lead", "admin"}
MATRIX = {
    ("edit", "request"): AUTHOR,
    ("delete", "request"): AUTHOR,
    ("resolve", "request"): AUTHOR | ASKER | MOVER,
    ("reopen", "request"): AUTHOR | ASKER | MOVER,
    ("edit", "version"): AUTHOR,
    ("delete", "version"): AUTHOR,
    ("resolve", "version"): AUTHOR | MOVER | {"staging-lead"},
    ("reopen", "version"): AUTHOR | MOVER | {"staging-lead"},
}


@pytest.mark.parametrize(("verb", "place"), MATRIX)
def test_who_may_edit_delete_and_resolve(
    asked: TransitionRequest, alice: User, dkim: User, sam: User, ci_bot: User, admin: User, verb: str, place: str
) -> None:
    """On a request for Production, and on a version in no stage."""
    person("lead", level=Level.MANAGE_PRODUCTION_VERSIONS)
    person("staging-lead", level=Level.MANAGE_STAGING_VERSIONS)
    User.objects.filter(pk=person("auditor").pk).update(is_auditor=True)
    may = set()
    for user in User.objects.all():
        comment = say(alice, asked if place == "request" else asked.version)
        if verb == "reopen":
            services.resolve_thread(actor=alice, comment=comment)
        with suppress(NotPermitted):
            VERBS[verb](user, comment)
            may.add(user.username)

    assert may == MATRIX[verb, place]


@pytest.mark.parametrize("verb", VERBS)
def test_who_may_not_read_the_model_finds_no_comment(
    asked: TransitionRequest, eve: User, verb: str, settings: Settings
) -> None:
    """Not even one that they wrote while they could read it."""
    comment = say(eve, asked)
    settings.DEFAULT_MODEL_LEVEL = "NONE"

    with pytest.raises(NotFound):
        VERBS[verb](User.objects.get(pk=eve.pk), comment)


def test_the_person_behind_a_service_account_edits_what_it_wrote(
    asked: TransitionRequest, ci_bot: User, mira: User
) -> None:
    comment = say(ci_bot, asked, "Tests are gren.")

    assert services.edit_comment(actor=mira, comment=comment, text="Tests are green.").text == "Tests are green."


# -- Mentions ----------------------------------------------------------------------------------------------------------


def test_a_mention_tells_that_person_and_only_once(
    asked: TransitionRequest, alice: User, dkim: User, sam: User
) -> None:
    say(sam, asked)

    comment = say(dkim, asked, "@alice and @sam, look at @nobody's figures.")

    assert names_told("comment.mentioned") == {"alice", "sam"}
    assert names_told("comment.created") == {"mira"}
    event = last("comment.mentioned")
    assert event.summary == "dkim mentioned alice and sam in a comment on version 2 of churn-predictor."
    assert event.data["mentioned"] == ["alice", "sam"]
    assert event.path == f"/requests/{asked.pk}/#comment-{comment.pk}"


def test_a_mention_of_a_team_tells_its_members(asked: TransitionRequest, alice: User, risk: Team, sam: User) -> None:
    accounts.add_to_team(actor=None, team=risk, users=[person("ann")])

    say(sam, asked, "@risk, please.")

    assert names_told("comment.mentioned") == {"alice", "ann"}


@pytest.mark.parametrize(
    "text", ["`@alice`", "```\n@alice\n```", "Look:\n\n    @alice", "mail@alice", "mira@alice.example"]
)
def test_code_and_addresses_mention_nobody(asked: TransitionRequest, alice: User, sam: User, text: str) -> None:
    say(sam, asked, text)

    assert not Event.objects.filter(kind="comment.mentioned").exists()


def test_nobody_mentions_themselves_the_inactive_or_who_may_not_read(
    asked: TransitionRequest, mira: User, ci_bot: User, dkim: User, eve: User, settings: Settings
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    accounts.set_active(actor=None, user=dkim, is_active=False)

    say(mira, asked, "@mira @ci-bot @dkim @eve")

    assert not Event.objects.filter(kind="comment.mentioned").exists()


def test_an_edit_tells_only_who_was_not_mentioned_before(
    asked: TransitionRequest, alice: User, risk: Team, dkim: User, sam: User
) -> None:
    comment = say(sam, asked, "@risk: look.")

    services.edit_comment(actor=sam, comment=comment, text="@alice: look.")
    assert Event.objects.filter(kind="comment.mentioned").count() == 1
    services.edit_comment(actor=sam, comment=comment, text="@alice and @dkim: look.")

    assert names_told("comment.mentioned") == {"dkim"}
    assert last("comment.mentioned").data["mentioned"] == ["dkim"]


def test_more_mentions_than_a_comment_may_have_are_refused(asked: TransitionRequest, sam: User) -> None:
    people = [person(f"p{n}") for n in range(MOST_NAMES + 1)]
    text = " ".join(f"@{user.username}" for user in people)

    with pytest.raises(Invalid, match=f"at most {MOST_NAMES} people and teams, this one {MOST_NAMES + 1}"):
        say(sam, asked, text)
    assert not Comment.objects.exists()

    say(sam, asked, text.removeprefix("@p0 "))
    assert len(last("comment.mentioned").audience) == MOST_NAMES


def test_a_mention_of_a_large_team_is_refused(asked: TransitionRequest, sam: User, risk: Team) -> None:
    crowd = User.objects.bulk_create(User(username=f"m{n}", password="") for n in range(MOST_MEMBERS))
    accounts.add_to_team(actor=None, team=risk, users=list(User.objects.filter(pk__in=[user.pk for user in crowd])))
    comment = say(dkim := person("dora"), asked, "Soon.")

    with pytest.raises(Invalid, match=f"risk has {MOST_MEMBERS + 1}"):
        services.edit_comment(actor=dkim, comment=comment, text="@risk!")

    comment.refresh_from_db()
    assert comment.text == "Soon."
