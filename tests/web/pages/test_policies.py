"""/policies/: what must hold, read and written as text."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import User
from approvals import services
from approvals.models import Policy, PolicyRevision, TransitionRequest
from tests.scenes import POLICY, say
from web.pages import policies

Session = Callable[[User], Client]
BROKEN = POLICY.replace("min: 0.90", "mni: 0.90")


@pytest.fixture
def policy(db: None) -> Policy:
    services.publish_policy(actor=None, text=POLICY)
    return services.publish_policy(actor=None, text=POLICY.replace("0.90", "0.92")).policy


def test_policies_are_read_in_plain_words(policy: Policy, sam: User, session: Session) -> None:
    for path in ("/policies/", policy.get_absolute_url()):
        assert "accuracy must be at least 0.92." in session(sam).get(path).content.decode()


def test_an_older_revision_stays_readable(policy: Policy, sam: User, session: Session) -> None:
    page = session(sam).get(f"{policy.get_absolute_url()}?revision=1").content.decode()

    assert "min: 0.90" in page
    assert "not in force" in page


def test_two_revisions_are_compared_line_by_line_and_in_plain_words(
    policy: Policy, sam: User, session: Session
) -> None:
    page = session(sam).get(f"{policy.get_absolute_url()}?from=1&to=2").content.decode()

    assert "Revision 1 → 2" in page and "<del>accuracy must be at least 0.90.</del>" in page
    assert "<ins>accuracy must be at least 0.92.</ins>" in page
    assert page.count(">removed</span>") == page.count(">added</span>") == 1
    assert "?from=1&amp;to=2" in session(sam).get(policy.get_absolute_url()).content.decode()


@pytest.mark.parametrize("query", ["from=1", "from=1&to=9", "from=x&to=2"])
def test_revisions_that_are_not_there_are_not_compared(query: str, policy: Policy, sam: User, session: Session) -> None:
    answer = session(sam).get(f"{policy.get_absolute_url()}?{query}")

    assert answer.status_code == 200 and 'class="diff"' not in answer.content.decode()


def test_a_check_shows_what_the_text_changes(policy: Policy, admin: User, session: Session) -> None:
    form = {"text": POLICY.replace("0.90", "0.95").replace("\n", "\r\n"), "action": "check"}

    page = session(admin).post(f"/policies/{policy.name}/edit/", form).content.decode()

    assert "against revision 2" in page and "<ins>accuracy must be at least 0.95.</ins>" in page
    form["text"] = POLICY.replace("0.90", "0.92")
    assert "The texts are the same." in session(admin).post(f"/policies/{policy.name}/edit/", form).content.decode()


def test_a_check_of_many_decisions_looks_at_some_and_offers_all(
    asked: TransitionRequest, sam: User, admin: User, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.open_request(actor=sam, version=asked.version, target=asked.asks_for)
    monkeypatch.setattr(policies, "SOON", 1)
    form = {"text": POLICY.replace("min: 0.90", "min: 0.99")}

    some, every = (
        session(admin).post("/policies/new/", {**form, "action": action}).content.decode()
        for action in ("check", "check_all")
    )

    assert "1 of 1 open requests" in some and 'value="check_all"' in some
    assert "2 of 2 open requests" in every and 'value="check_all"' not in every


def test_without_a_policy_the_page_says_what_that_means(sam: User, session: Session) -> None:
    assert "Nothing is guarded yet" in session(sam).get("/policies/").content.decode()


def test_an_administrator_publishes_a_text(admin: User, session: Session) -> None:
    page = session(admin).post("/policies/new/", {"text": POLICY.replace("\n", "\r\n")}, follow=True)

    assert "Revision 1 is in force." in page.content.decode()
    assert PolicyRevision.objects.get().text == POLICY


def test_a_check_reads_the_text_back_and_publishes_nothing(admin: User, session: Session) -> None:
    page = session(admin).post("/policies/new/", {"text": POLICY, "action": "check"})

    assert "accuracy must be at least 0.90." in page.content.decode()
    assert not Policy.objects.exists()


def test_a_check_says_what_publishing_would_change(
    asked: TransitionRequest, alice: User, dkim: User, admin: User, sam: User, session: Session
) -> None:
    stricter = POLICY.replace("min: 0.90", "min: 0.99") + "reviews: {expires_after: 1h}\n"
    form = {"text": stricter, "action": "check"}

    open_still = session(admin).post("/policies/new/", form).content.decode()
    for person in (alice, dkim):
        say(person, asked)
    applied = session(admin).post("/policies/new/", form).content.decode()
    unchanged = session(admin).post("/policies/new/", {"text": POLICY, "action": "check"}).content.decode()
    reader = session(sam).post("/policies/new/", form).content.decode()

    assert "1 open request" in open_still and "but it must be at least 0.99" in open_still
    assert "It would expire" in open_still and "No move by a request was made yet" in open_still
    assert "1 of 1 past move" in applied and "No open request would stand differently." in applied
    assert "it would have let 1 past move through as well" in unchanged
    assert "It would have stopped" not in reader and "accuracy must be at least 0.99." in reader
    assert PolicyRevision.objects.count() == 1


@pytest.mark.parametrize("action", ["publish", "check"])
def test_an_error_names_its_line_and_keeps_the_text(admin: User, session: Session, action: str) -> None:
    answer = session(admin).post("/policies/new/", {"text": BROKEN, "action": action})

    page = answer.content.decode()
    assert answer.status_code == 422
    assert "ine 5" in page
    assert "mni: 0.90" in page
    assert 'aria-invalid="true"' in page
    assert not Policy.objects.exists()


@pytest.mark.parametrize("text", ["", "- a list", "name: [", "name: x\n" * 20_000, "name: !!python/object:os.system x"])
def test_a_text_that_is_no_policy_is_refused(admin: User, session: Session, text: str) -> None:
    assert session(admin).post("/policies/new/", {"text": text}).status_code == 422


def test_a_policy_keeps_its_name(policy: Policy, admin: User, session: Session) -> None:
    answer = session(admin).post(
        f"{policy.get_absolute_url()}edit/", {"text": POLICY.replace("production-gate", "other")}
    )

    assert answer.status_code == 422
    assert "a policy keeps its name" in answer.content.decode()


def test_only_administrators_publish_and_others_see_why(policy: Policy, mira: User, session: Session) -> None:
    page = session(mira)
    answer = page.post("/policies/new/", {"text": POLICY.replace("production-gate", "mine")})

    assert answer.status_code == 422
    assert not Policy.objects.filter(name="mine").exists()
    assert "Only an administrator publishes policies." in page.get("/policies/").content.decode()


def test_a_policy_taken_out_of_force_is_said_to_be(policy: Policy, admin: User, mira: User, session: Session) -> None:
    refused = session(mira).post(f"{policy.get_absolute_url()}archive/")
    page = session(admin).post(f"{policy.get_absolute_url()}archive/", follow=True)

    assert refused.status_code == 403
    assert "out of force" in page.content.decode()


def test_an_unknown_policy_is_not_found(sam: User, session: Session) -> None:
    assert session(sam).get("/policies/nothing/").status_code == 404
