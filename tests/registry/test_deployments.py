"""Deployments: what is reported replaces what was, the same again is no news, and nothing moves by it."""

from __future__ import annotations

import pytest

from accounts.models import User
from core.errors import Invalid, NotFound, NotPermitted
from notifications.models import Event
from registry import services
from registry.models import Deployment, ModelVersion, Stage
from registry.services import delete_deployment, report_deployment
from tests.factories import make_deployment, make_model, make_version

pytestmark = pytest.mark.django_db
LINK = "https://eu.example.com/churn"


@pytest.fixture
def version(editor: User) -> ModelVersion:
    return make_version("churn", stage=Stage.PRODUCTION, user=editor)


def last_event() -> Event:
    return Event.objects.latest("id")


def test_what_is_reported_is_kept_with_who_said_it(editor: User, version: ModelVersion) -> None:
    made = report_deployment(actor=editor, version=version, name="eu-west", status="deploying", link=LINK)

    assert (made.model, made.version, made.status, made.reporter) == (version.model, version, "deploying", editor)
    said = last_event()
    assert (said.kind, said.version, said.audience) == ("deployment.reported", 1, [])
    assert said.data == {"deployment": "eu-west", "status": "deploying", "link": LINK, "previous_version": None}
    assert said.summary == "editor reported version 1 of churn as deploying at eu-west."


def test_the_next_version_takes_the_place(editor: User, version: ModelVersion) -> None:
    report_deployment(actor=editor, version=version, name="eu-west", link=LINK)
    other = make_version(version.model)

    report_deployment(actor=editor, version=other, name="eu-west")

    kept = Deployment.objects.get()
    assert (kept.version, kept.status, kept.link) == (other, "running", "")
    assert last_event().data["previous_version"] == 1


def test_the_same_again_changes_nothing_and_is_no_news(editor: User, manager: User, version: ModelVersion) -> None:
    first = report_deployment(actor=editor, version=version, name="eu-west", link=LINK)

    again = report_deployment(actor=manager, version=version, name="eu-west", link=LINK)

    assert (again.pk, again.reporter, again.reported_at) == (first.pk, editor, first.reported_at)
    assert Event.objects.count() == 1


@pytest.mark.parametrize(
    ("before", "after", "is_told"),
    [
        (None, "failed", True), ("running", "failed", True), ("stopped", "failed", True), ("failed", "running", False),
        (None, "running", False), ("running", "stopped", False),
    ],
)  # fmt: skip
def test_who_registered_it_hears_when_it_fails(
    editor: User, manager: User, version: ModelVersion, before: str | None, after: str, is_told: bool
) -> None:
    if before:
        report_deployment(actor=manager, version=version, name="eu-west", status=before)

    report_deployment(actor=manager, version=version, name="eu-west", status=after)

    assert last_event().kind == ("deployment.failed" if is_told else "deployment.reported")
    assert last_event().audience == ([editor.pk] if is_told else [])


def test_a_failure_that_goes_on_tells_once(editor: User, manager: User, version: ModelVersion) -> None:
    report_deployment(actor=manager, version=version, name="eu-west", status="failed")

    report_deployment(actor=manager, version=version, name="eu-west", status="failed", link=LINK)

    assert [event.kind for event in Event.objects.order_by("id")] == ["deployment.failed", "deployment.reported"]


@pytest.mark.parametrize("name", ["", " ", " eu", "eu\n", "a/b", ".", "..", "x" * 251, "a\x00b", "a\u202eb"])
def test_a_name_that_no_address_holds_is_refused(editor: User, version: ModelVersion, name: str) -> None:
    with pytest.raises(Invalid) as refusal:
        report_deployment(actor=editor, version=version, name=name)

    assert refusal.value.field == "name" and not Deployment.objects.exists()


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "ftp://x", "//x", "x" * 1001, "https://x\n", "data:text/html,"]
)
def test_a_link_is_a_web_address(editor: User, version: ModelVersion, link: str) -> None:
    with pytest.raises(Invalid) as refusal:
        report_deployment(actor=editor, version=version, name="eu-west", link=link)

    assert refusal.value.field == "link" and not Deployment.objects.exists()


def test_an_unknown_status_is_refused(editor: User, version: ModelVersion) -> None:
    with pytest.raises(Invalid, match="deploying, running, failed, stopped"):
        report_deployment(actor=editor, version=version, name="eu-west", status="fine")


def test_a_reader_reports_and_deletes_nothing(reader: User, editor: User, version: ModelVersion) -> None:
    report_deployment(actor=editor, version=version, name="eu-west")

    with pytest.raises(NotPermitted):
        report_deployment(actor=reader, version=version, name="eu-west", status="stopped")
    with pytest.raises(NotPermitted):
        delete_deployment(actor=reader, model=version.model, name="eu-west")

    assert Deployment.objects.get().status == "running" and Event.objects.count() == 1


def test_a_deleted_version_is_deployed_nowhere_new(editor: User, manager: User, version: ModelVersion) -> None:
    services.delete_version(actor=manager, version=version)

    with pytest.raises(NotFound):
        report_deployment(actor=editor, version=version, name="eu-west")


def test_a_deployment_is_deleted_once(editor: User, version: ModelVersion) -> None:
    report_deployment(actor=editor, version=version, name="eu-west")

    delete_deployment(actor=editor, model=version.model, name="eu-west")

    assert not Deployment.objects.exists()
    assert (last_event().kind, last_event().version, last_event().data) == (
        "deployment.deleted", 1, {"deployment": "eu-west"},
    )  # fmt: skip
    with pytest.raises(NotFound):
        delete_deployment(actor=editor, model=version.model, name="eu-west")


def test_models_keep_their_places_apart(editor: User, version: ModelVersion) -> None:
    other = make_version(make_model("fraud"))
    report_deployment(actor=editor, version=version, name="eu-west")
    report_deployment(actor=editor, version=other, name="eu-west")

    delete_deployment(actor=editor, model=other.model, name="eu-west")

    assert Deployment.objects.get().version == version


# -- Behind ------------------------------------------------------------------------------------------------------------


def behind(version: ModelVersion, **fields: str) -> str:
    made = make_deployment(version, "eu-west", **fields)
    return Deployment.objects.with_rows().get(pk=made.pk).is_behind


@pytest.mark.parametrize(("stage", "aliases"), [("Production", []), ("Staging", []), ("None", ["champion"])])
def test_what_holds_something_may_run(editor: User, stage: str, aliases: list[str]) -> None:
    assert behind(make_version("churn", stage=stage, aliases=aliases, user=editor)) == ""


def test_what_holds_nothing_is_behind_production(editor: User, version: ModelVersion) -> None:
    assert behind(make_version(version.model, user=editor)) == "version 2 holds nothing, Production is 1"


def test_what_holds_nothing_is_behind_where_nothing_is_in_production(editor: User) -> None:
    assert behind(make_version("churn", stage="Archived", user=editor)) == "version 1 holds nothing"


def test_a_deleted_version_that_runs_is_said_to_be_deleted(editor: User, manager: User, version: ModelVersion) -> None:
    services.delete_version(actor=manager, version=version)

    assert behind(version) == "version 1 is deleted"


@pytest.mark.parametrize("status", ["stopped", "failed"])
def test_where_nothing_runs_nothing_is_behind(editor: User, status: str) -> None:
    assert behind(make_version("churn", user=editor), status=status) == ""
