"""/models/NAME/versions/N/, and asking for its transition."""

from __future__ import annotations

from collections.abc import Callable

from django.test import Client

from accounts.models import User
from approvals.models import Comment, PolicyRevision, TransitionRequest
from approvals.services import publish_policy, report_check
from registry import services
from registry.models import ModelVersion, RegisteredModel
from tests.factories import make_version

Session = Callable[[User], Client]
PAGE = "/models/churn-predictor/versions/2/"


def test_a_version_shows_what_is_known_of_it(version: ModelVersion, sam: User, session: Session) -> None:
    page = session(sam)
    first = page.get(PAGE).content.decode()
    tabs = "".join(page.get(f"{PAGE}?tab={tab}").content.decode() for tab in ("params", "files", "signature"))

    for part in ("0.947", "run-on-tenure_days", "models:/churn-predictor/2"):
        assert part in first
    for part in ("max_depth", "MLmodel", "tenure_days"):
        assert part in tabs
    assert 'aria-label="Commit git 9f2c1ab"' in first  # in the lineage


def test_a_version_without_a_run_whose_files_lie_elsewhere_says_so(mira: User, session: Session) -> None:
    model = services.create_model(actor=mira, name="bought")
    services.create_version(actor=mira, model=model, source="s3://bucket/model")

    page = session(mira).get("/models/bought/versions/1/").content.decode()

    assert "registered without a run" in page
    assert "not covered" in page
    assert "no run" in page  # in the lineage


def test_description_tags_and_comments_are_written_in_place(
    version: ModelVersion, mira: User, session: Session
) -> None:
    page = session(mira)
    page.post(f"{PAGE}describe/", {"description": "New words."})
    page.post(f"{PAGE}tag/", {"key": "reviewed", "value": "yes"})
    page.post(f"{PAGE}comment/", {"comment": "Looks *good*."})

    shown = page.get(PAGE).content.decode()

    assert "New words." in shown
    assert "reviewed</th>" in page.get(f"{PAGE}?tab=tags").content.decode()
    assert "Looks <em>good</em>." in shown


def test_a_tag_is_removed(version: ModelVersion, mira: User, session: Session) -> None:
    page = session(mira)
    page.post(f"{PAGE}tag/", {"key": "reviewed", "value": "yes"})
    page.post(f"{PAGE}tag/delete/", {"key": "reviewed"})

    assert ModelVersion.objects.get(version=2).tags == {}


def test_what_is_refused_stays_in_the_form(version: ModelVersion, mira: User, session: Session) -> None:
    answer = session(mira).post(f"{PAGE}tag/", {"key": "", "value": "typed already"})

    assert answer.status_code == 422
    assert "A tag needs a key." in answer.content.decode()
    assert "typed already" in answer.content.decode()


def test_a_reader_writes_nothing_but_comments(version: ModelVersion, sam: User, session: Session) -> None:
    page = session(sam)

    assert page.post(f"{PAGE}describe/", {"description": "Mine."}).status_code in (403, 422)
    assert page.post(f"{PAGE}tag/", {"key": "a", "value": "b"}).status_code in (403, 422)
    assert page.post(f"{PAGE}comment/", {"comment": "May I ask?"}).status_code == 302
    assert Comment.objects.get().text == "May I ask?"
    assert ModelVersion.objects.get(version=2).tags == {}


def test_a_reader_sees_why_they_move_nothing(version: ModelVersion, sam: User, session: Session) -> None:
    page = session(sam).get(PAGE).content.decode()

    assert 'aria-describedby="move-why"' in page


def test_a_guarded_stage_is_reached_by_request_only(version: ModelVersion, admin: User, session: Session) -> None:
    answer = session(admin).post(f"{PAGE}move/", {"stage": "Production"}, follow=True)

    assert "production-gate" in answer.content.decode()
    assert ModelVersion.objects.get(version=2).current_stage == "Staging"


def test_an_unguarded_stage_is_reached_at_once(version: ModelVersion, admin: User, session: Session) -> None:
    session(admin).post(f"{PAGE}move/", {"stage": "Archived"})

    assert ModelVersion.objects.get(version=2).current_stage == "Archived"


def test_a_file_comes_as_a_download(version: ModelVersion, sam: User, session: Session) -> None:
    answer = session(sam).get(f"{PAGE}files/MLmodel")

    assert answer["Content-Disposition"].startswith("attachment")
    assert b"tenure_days" in b"".join(answer.streaming_content)


def test_a_path_that_leads_out_is_not_found(version: ModelVersion, sam: User, session: Session) -> None:
    for path in ("../MLmodel", "%2e%2e/MLmodel", "nothing", "MLmodel/"):
        assert session(sam).get(f"{PAGE}files/{path}").status_code in (400, 404)


def test_a_request_is_opened_from_the_form(version: ModelVersion, mira: User, session: Session) -> None:
    page = session(mira)
    assert "Guarded by production-gate" in page.get(f"{PAGE}request/").content.decode()

    answer = page.post(f"{PAGE}request/", {"target": "Production", "comment": "Retrained.", "archive_existing": "on"})

    found = TransitionRequest.objects.get()
    assert answer["Location"] == found.get_absolute_url()
    assert (found.requester, found.target, found.comment) == (mira, "Production", "Retrained.")


def test_an_alias_is_asked_for_by_name(version: ModelVersion, mira: User, session: Session) -> None:
    session(mira).post(f"{PAGE}request/", {"target": "alias", "alias": "@challenger"})

    assert str(TransitionRequest.objects.get().asks_for) == "@challenger"


def test_a_second_request_for_the_same_is_refused_and_keeps_the_reason(
    asked: TransitionRequest, mira: User, session: Session
) -> None:
    answer = session(mira).post(f"{PAGE}request/", {"target": "Production", "comment": "Once more, please."})

    assert answer.status_code == 422
    assert "Once more, please." in answer.content.decode()
    assert TransitionRequest.objects.count() == 1


def test_a_target_that_is_none_is_refused(version: ModelVersion, mira: User, session: Session) -> None:
    for target in ("", "Moon", "alias", "@"):
        assert session(mira).post(f"{PAGE}request/", {"target": target}).status_code == 422
    assert not TransitionRequest.objects.exists()


def test_an_unknown_version_is_not_found(version: ModelVersion, sam: User, session: Session) -> None:
    assert session(sam).get("/models/churn-predictor/versions/99/").status_code == 404


def test_a_version_with_every_name_of_the_model_is_reached(mira: User, session: Session) -> None:
    for name in ("a" * 256, "نموذج", "🚀 model", "<script>alert(1)<script>", 'quote"s & more?#'):
        made = make_version(name, user=mira)
        page = session(mira).get(made.get_absolute_url())

        assert page.status_code == 200
        assert "<script>alert" not in page.content.decode()
    assert RegisteredModel.objects.count() == 5


def test_checks_are_shown_with_who_reported_them_and_what_they_are_worth(
    version: ModelVersion, ci_bot: User, sam: User, session: Session
) -> None:
    address = version.get_absolute_url()
    assert 'id="checks"' not in session(sam).get(address).content.decode()
    report = {"actor": ci_bot, "version": version, "summary": "**all** <script>alert(1)</script>"}
    report_check(**report, name="tests", status="passed", figure="212 of 212", link="https://ci.example/7")
    report_check(**report, name="fairness", status="failed", digest="a" * 64)

    page = session(sam).get(address).content.decode()

    for text in ("212 of 212", 'href="https://ci.example/7"', "Passed", "Failed", "ci-bot", "<strong>all</strong>"):
        assert text in page
    assert "on other files than these: it counts for nothing" in page
    assert "<script>alert(1)" not in page


def test_a_request_says_when_it_expires(asked: TransitionRequest, admin: User, session: Session) -> None:
    assert "expires" not in session(admin).get(asked.get_absolute_url()).content.decode()
    text = PolicyRevision.objects.get().text + "reviews: {expires_after: 14d}\n"
    publish_policy(actor=admin, text=text)

    assert "· expires" in session(admin).get(asked.get_absolute_url()).content.decode()
