"""The live side of the review page: its timeline, who was asked, what is new, and what a pulse answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client

from accounts.models import User
from approvals import services
from approvals.models import Check, Comment, Look, Reviewer, TransitionRequest
from core.clock import now
from notifications.models import Channel, Delivery, Event
from tests.cast import person, token_of
from tests.factories import make_version
from tests.scenes import POLICY, ask, say
from web.pages.timeline import Place

Session = Callable[[User], Client]
HTMX = {"HX-Request": "true"}


def text_of(answer: object) -> str:
    plain = re.sub(r"<[^>]+>", " ", answer.content.decode())  # type: ignore[attr-defined]
    return " ".join(plain.split())


def shown(client: Client, asked: TransitionRequest, query: str = "") -> str:
    return text_of(client.get(f"{asked.get_absolute_url()}{query}"))


def many_comments(asked: TransitionRequest, author: User, number: int) -> None:
    rows = [
        Comment(
            version=asked.version, request=asked, author=author, text=f"Remark {each}.",
            created_at=now() + timedelta(seconds=each),
        )
        for each in range(number)
    ]  # fmt: skip
    Comment.objects.bulk_create(rows)


def entries(client: Client, asked: TransitionRequest, query: str = "") -> list[str]:
    return [entry.kind for entry in client.get(f"{asked.get_absolute_url()}{query}").context["timeline"].entries]


# -- The timeline ------------------------------------------------------------------------------------------------------


def test_everything_stands_in_the_order_of_time(
    asked: TransitionRequest, mira: User, alice: User, ci_bot: User, session: Session
) -> None:
    services.report_check(actor=ci_bot, version=asked.version, name="tests", status="failed", figure="3 of 214")
    services.add_comment(actor=mira, version=asked.version, text="Looking into it.", review_request=asked)
    link = "https://ci.example.com/1"
    services.report_check(actor=ci_bot, version=asked.version, name="tests", status="passed", link=link)
    say(alice, asked, comment="Fine now.")
    services.ask_for_review(actor=mira, review_request=asked, person=person("noor"))

    page = shown(session(mira), asked)

    assert entries(session(mira), asked) == ["request", "check", "thread", "check", "review", "event"]
    assert "Check tests failed (3 of 214) · reported by ci-bot" in page and "replaced by a later report" in page
    assert "Check tests passed · reported by ci-bot · details" in page
    assert "alice Approved for risk" in page
    assert "mira asked noor for a review" in page


def test_a_check_on_other_bytes_is_shown_as_counting_for_nothing(
    asked: TransitionRequest, mira: User, ci_bot: User, session: Session
) -> None:
    services.report_check(actor=ci_bot, version=asked.version, name="tests", status="passed", digest="0" * 64)

    assert "about other files: it counts for nothing" in shown(session(mira), asked)


def test_a_message_that_was_not_delivered_is_shown_and_sent_again_by_who_may(
    asked: TransitionRequest, mira: User, admin: User, session: Session
) -> None:
    channel = Channel.objects.create(kind="slack", name="#ml-releases", target="")
    event = Event.objects.filter(request_id=asked.pk).earliest("id")
    delivery = Delivery.objects.create(event=event, channel=channel, state="failed")

    page = shown(session(mira), asked)
    assert "Slack to #ml-releases : 1 message not delivered" in page and "Send again" not in page
    assert "Send again" in shown(session(admin), asked)

    answer = session(admin).post(f"/deliveries/{delivery.pk}/again/", {"back": "request"})

    assert answer["Location"] == asked.get_absolute_url()
    assert Delivery.objects.get().state != "failed"


def test_a_long_conversation_comes_in_pages_that_miss_nothing(
    asked: TransitionRequest, mira: User, session: Session
) -> None:
    many_comments(asked, mira, 120)
    client, query, seen = session(mira), "", []

    for expected in (50, 21, 0):
        answer = client.get(f"{asked.get_absolute_url()}{query}")
        timeline = answer.context["timeline"]
        seen = [str(entry.place) for entry in timeline.entries] + seen
        assert timeline.earlier == expected
        assert (f"Show {expected} earlier" in text_of(answer)) == bool(expected)
        query = f"?before={timeline.before}"

    assert len(seen) == len(set(seen)) == 121
    assert seen == [
        str(entry.place) for entry in client.get(f"{asked.get_absolute_url()}?all=1").context["timeline"].entries
    ]
    assert "Only the newest part of this conversation is shown." in shown(client, asked)
    assert "You see an earlier part of this conversation." in shown(client, asked, query.replace("None", "1.1.1"))


def test_rows_of_one_moment_are_on_one_page_each(asked: TransitionRequest, mira: User, session: Session) -> None:
    at = now()
    Comment.objects.bulk_create(
        Comment(version=asked.version, request=asked, author=mira, text="Hm.", created_at=at) for _ in range(60)
    )
    Event.objects.bulk_create(
        Event(kind="request.updated", summary="Moved.", request_id=asked.pk, created_at=at) for _ in range(60)
    )
    client = session(mira)

    first = client.get(asked.get_absolute_url()).context["timeline"]
    second = client.get(f"{asked.get_absolute_url()}?before={first.before}").context["timeline"]
    third = client.get(f"{asked.get_absolute_url()}?before={second.before}").context["timeline"]

    places = [entry.place for timeline in (third, second, first) for entry in timeline.entries]
    assert places == sorted(set(places)) and len(places) == 121


def test_a_new_reply_brings_an_old_thread_back(
    asked: TransitionRequest, mira: User, alice: User, session: Session
) -> None:
    old = services.add_comment(actor=alice, version=asked.version, text="Which callers?", review_request=asked)
    many_comments(asked, mira, 70)
    Comment.objects.create(
        version=asked.version, request=asked, author=mira, text="All three.", parent=old,
        created_at=now() + timedelta(hours=1),
    )  # fmt: skip

    page = shown(session(mira), asked)

    assert page.index("goes on here") < page.index("Which callers?") < page.index("All three.")


@pytest.mark.parametrize(
    "before", ["x", "1.2", "-1.1.1", "9999999999999999999.1.1", "1.1.1.1", "%C2%B2.1.1", "99999999999999999.1.1"]
)
def test_a_place_of_nobodys_making_shows_the_newest(
    asked: TransitionRequest, mira: User, session: Session, before: str
) -> None:
    assert entries(session(mira), asked, f"?before={before}") == ["request"]


def test_a_place_is_read_as_it_was_written() -> None:
    place = Place(now(), 4, 17)

    assert Place.from_text(str(place)) == place


# -- Asking and stepping back ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["form", "htmx"])
def test_somebody_is_asked_for_a_review_and_no_longer(
    asked: TransitionRequest, mira: User, sam: User, session: Session, headers: dict[str, str]
) -> None:
    client, url = session(mira), asked.get_absolute_url()

    answer = client.post(f"{url}ask/", {"person": "@sam"}, headers=headers, follow=True)

    assert "sam has been told that you wait for a review." in text_of(answer)
    assert "sam asked by mira just now" in shown(client, asked)
    assert "mira asked you" in text_of(session(sam).get("/reviews/"))
    assert "mira asked you for this review." in shown(session(sam), asked)

    client.post(f"{url}withdraw-ask/", {"person": "sam"}, headers=headers)

    assert "mira asked you" not in text_of(session(sam).get("/reviews/"))


@pytest.mark.parametrize("name", ["nobody", "mira", "", "a\x00"])
def test_nobody_else_is_asked_and_the_name_stays_in_the_form(
    asked: TransitionRequest, mira: User, session: Session, name: str
) -> None:
    answer = session(mira).post(f"{asked.get_absolute_url()}ask/", {"person": name}, headers=HTMX)

    assert answer.status_code == 422
    assert not Reviewer.objects.exists()


def test_who_steps_back_is_out_and_may_step_in_again(
    asked: TransitionRequest, alice: User, sam: User, session: Session
) -> None:
    client, url = session(alice), asked.get_absolute_url()
    assert "Step back from this review" in shown(client, asked)
    assert "Step back from this review" not in shown(session(sam), asked)

    client.post(f"{url}step-back/", {"reason": "I trained the baseline."})

    page = shown(client, asked)
    assert "alice stepped back just now : I trained the baseline." in page
    assert "You stepped back from this review. Step in again to give a verdict." in page
    assert "Nothing waits for you" in text_of(client.get("/reviews/"))

    assert "You take part again." in text_of(client.post(f"{url}step-in/", follow=True))
    assert session(sam).post(f"{url}step-back/").status_code == 422


# -- Since the last look -----------------------------------------------------------------------------------------------


def test_what_others_did_since_the_last_look_is_marked(
    asked: TransitionRequest, mira: User, alice: User, session: Session
) -> None:
    client = session(mira)
    assert "New since you looked" not in shown(client, asked)
    services.add_comment(actor=mira, version=asked.version, text="My own.", review_request=asked)
    say(alice, asked)

    answer = client.get(asked.get_absolute_url())

    assert "New since you looked" in text_of(answer)
    assert [entry.kind for entry in answer.context["timeline"].entries if entry.is_new] == ["review"]
    assert "New since you looked" not in shown(client, asked)


def test_what_is_another_on_the_table_is_said_at_the_top(
    asked: TransitionRequest, alice: User, session: Session
) -> None:
    client = session(alice)
    shown(client, asked)
    services.publish_policy(actor=None, text=POLICY.replace("0.90", "0.91"))

    page = shown(client, asked)

    assert "Since you looked just now : the policy production-gate is at revision 2." in page
    assert "Since you looked" not in shown(client, asked)
    services.reconsider(asked)
    assert "changed" in text_of(client.get("/reviews/?tab=open"))


def test_only_a_person_who_opens_the_page_has_looked(
    asked: TransitionRequest, alice: User, ci_bot: User, session: Session
) -> None:
    session(ci_bot).get(asked.get_absolute_url())
    session(alice).head(asked.get_absolute_url())
    session(alice).get(asked.get_absolute_url(), headers={"sec-purpose": "prefetch;prerender"})
    session(alice).get(f"{asked.get_absolute_url()}?before=1.5.1")  # an earlier part: the newest is not seen
    session(alice).get(f"{asked.get_absolute_url()}pulse/?at=0")
    Client(headers={"authorization": f"Bearer {token_of(alice)[1]}"}).get(asked.get_absolute_url())
    assert not Look.objects.exists()

    session(alice).get(asked.get_absolute_url())

    assert Look.objects.get().person == alice


# -- While others act --------------------------------------------------------------------------------------------------


def pulse_of(client: Client, asked: TransitionRequest) -> str:
    return re.search(r'data-pulse="([^"]+)"', client.get(asked.get_absolute_url()).content.decode())[1].replace(  # type: ignore[index]
        "&amp;", "&"
    )


def test_a_pulse_says_nothing_until_something_happens(
    asked: TransitionRequest, mira: User, alice: User, session: Session, django_assert_max_num_queries: Callable
) -> None:
    client = session(mira)
    pulse = pulse_of(client, asked)
    with django_assert_max_num_queries(4):  # two, who is asking, and what they may read
        assert client.get(pulse).status_code == 204

    say(alice, asked)

    answer = client.get(pulse)
    assert answer.status_code == 200
    assert "alice approved version 2 of churn-predictor for Production." in text_of(answer)
    assert "<html" not in answer.content.decode()


def test_a_check_of_the_version_is_news_and_one_of_another_is_not(
    asked: TransitionRequest, mira: User, ci_bot: User, session: Session
) -> None:
    client = session(mira)
    pulse = pulse_of(client, asked)
    services.report_check(actor=ci_bot, version=asked.baseline, name="tests", status="passed")
    assert client.get(pulse).status_code == 204

    services.report_check(actor=ci_bot, version=asked.version, name="tests", status="passed")

    assert client.get(pulse).status_code == 200
    assert Check.objects.count() == 2


@pytest.mark.parametrize("at", ["", "x", "-1", "9" * 30])
def test_a_pulse_of_nobodys_making_has_no_news(asked: TransitionRequest, mira: User, session: Session, at: str) -> None:
    assert session(mira).get(f"{asked.get_absolute_url()}pulse/?at={at}").status_code == 204


def test_a_pulse_tells_nothing_of_what_one_may_not_see(
    asked: TransitionRequest, eve: User, settings: pytest.FixtureRequest, session: Session
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"  # type: ignore[attr-defined]

    assert session(eve).get(f"{asked.get_absolute_url()}pulse/?at=0").status_code == 404


def test_who_decided_first_is_said_and_the_text_stays(
    asked: TransitionRequest, mira: User, dkim: User, session: Session
) -> None:
    client = session(dkim)
    page = client.get(asked.get_absolute_url())
    form = {"decision": "approve", "comment": "All fine.", "seen": page.context["standing"].seen}
    services.withdraw_request(actor=mira, review_request=asked)

    answer = client.post(
        f"{asked.get_absolute_url()}review/", {**form, "at": str(page.context["newest"])}, headers=HTMX
    )

    assert answer.status_code == 409
    assert "was already withdrawn by mira on" in text_of(answer)
    assert "Since you opened this page: mira withdrew the request" in text_of(answer)
    assert "All fine.</textarea>" in answer.content.decode()


def test_a_return_is_named_as_one(
    asked: TransitionRequest, alice: User, dkim: User, mira: User, session: Session
) -> None:
    later = make_version(asked.model, user=mira, metrics={"accuracy": 0.95, "latency_p95_ms": 40})
    for request in (asked, ask(later, mira)):
        say(alice, request)
        say(dkim, request)
    back = services.request_rollback(actor=mira, model=asked.model, target=asked.asks_for, to=2)

    page = shown(session(mira), back)

    assert "Return Production to version 2" in page and "Promote version" not in page
