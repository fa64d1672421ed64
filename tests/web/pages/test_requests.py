"""/requests/ID/: the review page, and its verbs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import User
from approvals import services
from approvals.models import TransitionRequest
from core.clock import now
from registry.models import ModelVersion
from tests.scenes import ARCHIVED, POLICY, ask, say, seen

Session = Callable[[User], Client]
HTMX = {"HX-Request": "true"}


def stages() -> dict[int, str]:
    return dict(ModelVersion.objects.values_list("version", "current_stage"))


def verdict(review_request: TransitionRequest, decision: str, comment: str = "", **fields: str) -> dict[str, str]:
    return {"decision": decision, "comment": comment, "seen": seen(review_request), **fields}


# -- What it shows -----------------------------------------------------------------------------------------------------


def test_the_page_answers_what_changes_and_what_is_missing(
    asked: TransitionRequest, dkim: User, session: Session
) -> None:
    page = session(dkim).get(asked.get_absolute_url()).content.decode()

    assert "Waiting for 2 approvals" in page
    assert "which will be archived" in page
    assert "+0.016" in page and "≥ 0.90" in page  # accuracy
    assert "+ tenure_days: double" in page and "breaks callers of v1" in page
    assert "max_depth 6 → <strong>11</strong>" in page
    assert "You can approve for <strong>ml-leads</strong>" in page
    assert "Approve and promote" not in page  # alice's is missing too


def test_the_last_reviewer_is_told_that_they_are_the_last(
    asked: TransitionRequest, alice: User, dkim: User, session: Session
) -> None:
    say(alice, asked)

    page = session(dkim).get(asked.get_absolute_url()).content.decode()

    assert "Approve and promote" in page
    assert "version 2 becomes Production and version 1 is archived at once" in page
    assert page.count("Waiting for 1 approval from ml-leads") == 1  # in the pill


def test_each_policy_has_its_own_requirements(asked: TransitionRequest, sam: User, session: Session) -> None:
    trial = POLICY.replace("production-gate", "on-trial").replace("guards:", "enforcement: warn\nguards:")
    services.publish_policy(actor=None, text=trial)

    groups = session(sam).get(asked.get_absolute_url()).context["shown"].groups

    assert [(group.name, group.enforcement) for group in groups] == [("production-gate", "block"), ("on-trial", "warn")]


def test_what_is_open_stands_before_what_is_met(asked: TransitionRequest, sam: User, session: Session) -> None:
    page = session(sam).get(asked.get_absolute_url()).content.decode().split('id="requirements-title"')[1]

    assert page.index("2 approvals") < page.index("accuracy ≥ 0.90") < page.index("latency_p95_ms ≤ 60")


def test_a_thread_that_stops_it_from_elsewhere_is_led_to(asked: TransitionRequest, sam: User, session: Session) -> None:
    services.publish_policy(actor=None, text=POLICY + "reviews: {threads_resolved: true}\n")
    here = services.add_comment(actor=sam, version=asked.version, text="Why?", review_request=asked)
    there = services.add_comment(actor=sam, version=asked.version, text="Who?")

    page = session(sam).get(asked.get_absolute_url()).content.decode()

    assert f'<a href="{there.get_absolute_url()}">sam on the version</a>' in page
    assert here.get_absolute_url() not in page


def test_without_a_policy_the_house_rule_stands_there(version: ModelVersion, mira: User, session: Session) -> None:
    found = ask(version, mira, ARCHIVED)

    page = session(mira).get(found.get_absolute_url()).content.decode()

    assert "No policy asks for approval" in page


def test_a_closed_request_shows_what_it_was_decided_on(
    asked: TransitionRequest, alice: User, dkim: User, sam: User, session: Session
) -> None:
    say(alice, asked)
    say(dkim, asked)
    services.publish_policy(actor=None, text=POLICY.replace("0.90", "0.99"))

    answer = session(sam).get(asked.get_absolute_url())

    (group,) = answer.context["shown"].groups
    assert group.revision == 1
    assert [node.title for node in group.nodes if not node.passes] == []
    assert "All 3 requirements are met." in answer.content.decode()
    assert 'value="approve"' not in answer.content.decode()


def test_what_moved_meanwhile_is_said(asked: TransitionRequest, alice: User, dkim: User, session: Session) -> None:
    say(alice, asked)
    services.publish_policy(actor=None, text=POLICY.replace("0.90", "0.91"))

    before = session(dkim).get(asked.get_absolute_url()).content.decode()
    say(dkim, asked)
    after = session(dkim).get(asked.get_absolute_url()).content.decode()

    assert "The policy has changed" in before
    assert "is judged anew: the policy has changed." in after
    assert "no longer counts" in after  # alice's approval


def test_who_may_not_see_the_model_finds_no_request(
    asked: TransitionRequest, eve: User, settings: pytest.FixtureRequest, session: Session
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"  # type: ignore[attr-defined]

    assert session(eve).get(asked.get_absolute_url()).status_code == 404
    assert session(eve).post(f"{asked.get_absolute_url()}comment/", {"comment": "Hi."}).status_code == 404


# -- Verdicts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["form", "htmx"])
def test_the_last_approval_applies_and_says_so(
    asked: TransitionRequest, alice: User, dkim: User, session: Session, headers: dict[str, str]
) -> None:
    say(alice, asked)

    answer = session(dkim).post(
        f"{asked.get_absolute_url()}review/", verdict(asked, "approve"), headers=headers, follow=True
    )

    page = answer.content.decode()
    assert "Done: version 2 is Production now." in page
    assert "Promoted version 2" in page
    assert ("<html" in page) == (not headers)
    assert stages() == {1: "Archived", 2: "Production"}


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["form", "htmx"])
def test_a_second_press_is_a_conflict_on_the_fresh_page(
    asked: TransitionRequest, alice: User, dkim: User, session: Session, headers: dict[str, str]
) -> None:
    say(alice, asked)
    form = verdict(asked, "approve", "Fine.")
    page = session(dkim)
    page.post(f"{asked.get_absolute_url()}review/", form)

    again = page.post(f"{asked.get_absolute_url()}review/", form, headers=headers)

    assert again.status_code == 409
    assert "Promoted version 2" in again.content.decode()
    assert 'role="alert"' in again.content.decode()
    assert asked.reviews.filter(reviewer=dkim).count() == 1


def test_a_verdict_about_something_else_is_a_conflict_and_keeps_the_comment(
    asked: TransitionRequest, dkim: User, session: Session
) -> None:
    form = verdict(asked, "approve", "Written before the change.")
    services.publish_policy(actor=None, text=POLICY.replace("0.90", "0.91"))

    answer = session(dkim).post(f"{asked.get_absolute_url()}review/", form, headers=HTMX)

    assert answer.status_code == 409
    assert "Written before the change.</textarea>" in answer.content.decode()
    assert not asked.reviews.exists()


@pytest.mark.parametrize("decision", ["request_changes", "reject"])
def test_an_objection_needs_a_reason(asked: TransitionRequest, dkim: User, session: Session, decision: str) -> None:
    answer = session(dkim).post(f"{asked.get_absolute_url()}review/", verdict(asked, decision), headers=HTMX)

    assert answer.status_code == 422
    assert TransitionRequest.objects.get().state == "open"


def test_a_rejection_closes_it_with_the_reason(asked: TransitionRequest, dkim: User, session: Session) -> None:
    page = session(dkim).post(
        f"{asked.get_absolute_url()}review/", verdict(asked, "reject", "No model card."), follow=True
    )

    assert "The request is rejected" in page.content.decode()
    assert "No model card." in page.content.decode()
    assert stages() == {1: "Production", 2: "Staging"}


@pytest.mark.parametrize(
    "form", [{}, {"decision": "aprove"}, {"decision": "approve", "seen": "nonsense"}, {"decision": "approve"}]
)
def test_a_form_of_nobodys_making_changes_nothing(
    asked: TransitionRequest, dkim: User, session: Session, form: dict[str, str]
) -> None:
    answer = session(dkim).post(f"{asked.get_absolute_url()}review/", form)

    assert answer.status_code == 422
    assert not asked.reviews.exists()


def test_a_reader_decides_nothing_and_sees_why(asked: TransitionRequest, sam: User, session: Session) -> None:
    page = session(sam)

    answer = page.post(f"{asked.get_absolute_url()}review/", verdict(asked, "approve"))

    assert answer.status_code == 422
    assert "you are in no such team" in answer.content.decode()
    shown = page.get(asked.get_absolute_url()).content.decode()
    assert 'aria-disabled="true" title="The policy production-gate counts approvals from' in shown
    assert 'aria-describedby="why-not-approve"' in shown


# -- The other verbs ---------------------------------------------------------------------------------------------------


def test_a_comment_joins_the_conversation(asked: TransitionRequest, sam: User, session: Session) -> None:
    form = {"decision": "comment", "comment": "Which <b>callers</b>?"}

    page = session(sam).post(f"{asked.get_absolute_url()}review/", form, follow=True).content.decode()

    assert "Which &lt;b&gt;callers&lt;/b&gt;?" in page


def test_an_empty_comment_is_refused(asked: TransitionRequest, sam: User, session: Session) -> None:
    assert session(sam).post(f"{asked.get_absolute_url()}comment/", {"comment": " "}).status_code == 422


def test_the_requester_withdraws_and_nobody_else(
    asked: TransitionRequest, mira: User, sam: User, session: Session
) -> None:
    refused = session(sam).post(f"{asked.get_absolute_url()}withdraw/")
    done = session(mira).post(f"{asked.get_absolute_url()}withdraw/", follow=True)

    assert refused.status_code == 422
    assert "The request is withdrawn." in done.content.decode()


def test_ready_again_needs_a_call_for_changes(
    asked: TransitionRequest, mira: User, dkim: User, session: Session
) -> None:
    early = session(mira).post(f"{asked.get_absolute_url()}ready/")
    say(dkim, asked, "request_changes", "Show the profile.")
    done = session(mira).post(f"{asked.get_absolute_url()}ready/", follow=True)

    assert early.status_code in (409, 422)
    assert "ready again" in done.content.decode()
    assert TransitionRequest.objects.get().state == "open"


# -- When it is carried out --------------------------------------------------------------------------------------------


def test_the_schedule_is_shown_and_changed_by_who_asked(
    asked: TransitionRequest, mira: User, alice: User, session: Session
) -> None:
    page = session(mira).get(asked.get_absolute_url()).content.decode()
    assert "Carried out as soon as all is met." in page and "Not before (UTC)" in page
    assert "Not before (UTC)" not in session(alice).get(asked.get_absolute_url()).content.decode()
    year = now().year + 1

    answer = session(mira).post(f"{asked.get_absolute_url()}schedule/", {"not_before": f"{year}-01-02T14:05"})

    assert answer.status_code == 302
    page = session(alice).get(asked.get_absolute_url()).content.decode()
    assert f"not before 2 January {year} 14:05 UTC" in page
    assert f"it is carried out not before 2 January {year} 14:05 UTC." in page


@pytest.mark.parametrize("typed", ["tomorrow", "2026-13-45T99:99", "2001-01-01T00:00"])
def test_a_moment_that_cannot_be_is_told_and_stays_in_its_field(
    asked: TransitionRequest, mira: User, session: Session, typed: str
) -> None:
    answer = session(mira).post(f"{asked.get_absolute_url()}schedule/", {"not_before": typed}, headers=HTMX)

    assert answer.status_code == 422 and f'value="{typed}"' in answer.content.decode()


# -- Bypass ------------------------------------------------------------------------------------------------------------


def test_whom_the_policy_names_may_bypass_with_a_reason_and_a_tick(
    asked: TransitionRequest, alice: User, dkim: User, session: Session
) -> None:
    services.publish_policy(actor=None, text=POLICY + "bypass: {people: [alice]}\n")
    url = f"{asked.get_absolute_url()}bypass/"
    assert "Bypass…" in session(alice).get(asked.get_absolute_url()).content.decode()
    assert "Bypass…" not in session(dkim).get(asked.get_absolute_url()).content.decode()

    typed = {"reason": "Production is down.", "seen": seen(asked)}
    unticked = session(alice).post(url, typed, headers=HTMX)
    short = session(alice).post(url, {**typed, "reason": "Down", "confirmed": "on"}, headers=HTMX)
    other = session(dkim).post(url, {**typed, "confirmed": "on"}, headers=HTMX)

    assert [answer.status_code for answer in (unticked, short, other)] == [422, 422, 422]
    assert "Production is down." in unticked.content.decode() and stages()[2] == "Staging"

    done = session(alice).post(url, {**typed, "confirmed": "on"})

    assert done.status_code == 302 and stages()[2] == "Production"
    assert (
        "bypassed what was unmet: Production is down." in session(dkim).get(asked.get_absolute_url()).content.decode()
    )
    for page in (asked.get_absolute_url(), "/reviews/?tab=decided", "/models/churn-predictor/"):
        assert 'pill pill-bad">' in session(dkim).get(page).content.decode(), page
