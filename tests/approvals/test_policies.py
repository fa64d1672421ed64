"""Publishing and archiving policies, as services and from the command line."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from approvals import services, tasks
from approvals.models import Policy, PolicyRevision, Review, TransitionRequest
from core.errors import Conflict, Invalid, NotPermitted
from notifications.models import Event
from tests.approvals.conftest import POLICY, approve, publish, stage_of

State = TransitionRequest.State


def test_publishing_makes_a_revision_under_the_texts_own_name(admin: User) -> None:
    revision = services.publish_policy(actor=admin, text=POLICY)

    assert (revision.policy.name, revision.number, revision.author) == ("production-gate", 1, admin)
    assert Policy.objects.get().current == revision
    event = Event.objects.get(kind="policy.published")
    assert event.data == {"policy": "production-gate", "revision": 1, "guards": ["stage:Production", "alias:champion"]}


def test_publishing_again_adds_a_revision_and_keeps_the_old_one(admin: User) -> None:
    services.publish_policy(actor=admin, text=POLICY)
    services.publish_policy(actor=admin, text=POLICY.replace("0.90", "0.92"))

    assert list(PolicyRevision.objects.values_list("number", flat=True)) == [2, 1]
    assert Policy.objects.get().current.number == 2


def test_publishing_the_same_text_changes_nothing(admin: User) -> None:
    first = services.publish_policy(actor=admin, text=POLICY)
    again = services.publish_policy(actor=admin, text=POLICY.replace("\n", "\r\n"))

    assert again == first
    assert Event.objects.filter(kind="policy.published").count() == 1


def test_only_administrators_publish_and_archive(mira: User, admin: User) -> None:
    with pytest.raises(NotPermitted):
        services.publish_policy(actor=mira, text=POLICY)
    services.publish_policy(actor=admin, text=POLICY)
    with pytest.raises(NotPermitted):
        services.archive_policy(actor=mira, policy=Policy.objects.get())

    assert Policy.objects.get().archived_at is None


def test_a_text_with_an_error_names_its_line_and_changes_nothing(admin: User) -> None:
    with pytest.raises(Invalid, match="Line 5"):
        services.publish_policy(
            actor=admin, text=POLICY.replace("guards: [stage:Production, alias:champion]", "guards: [stage:Live]")
        )

    assert not Policy.objects.exists()


def test_publishing_brings_an_archived_policy_back(admin: User) -> None:
    services.publish_policy(actor=admin, text=POLICY)
    services.archive_policy(actor=admin, policy=Policy.objects.get())
    services.publish_policy(actor=admin, text=POLICY)

    assert Policy.objects.in_force().get().current.number == 2


def test_archiving_twice_is_a_conflict(admin: User) -> None:
    services.publish_policy(actor=admin, text=POLICY)
    services.archive_policy(actor=admin, policy=Policy.objects.get())

    with pytest.raises(Conflict):
        services.archive_policy(actor=admin, policy=Policy.objects.get())


def test_the_task_after_publishing_dismisses_approvals_of_the_older_revision(
    asked: TransitionRequest, alice: User
) -> None:
    approve(alice, asked)
    publish(POLICY.replace("0.90", "0.92"))

    tasks.reconsider_pending()

    review = Review.objects.get()
    assert review.dismissed_at is not None and "policy" in review.dismissed_reason
    asked.refresh_from_db()
    assert asked.policy_revisions == [Policy.objects.get().current_id]


def test_the_task_after_publishing_applies_what_the_new_text_lets_through(
    asked: TransitionRequest, alice: User
) -> None:
    lenient = POLICY.replace("count: 2, teams: {risk: 1, ml-leads: 1}", "count: 1, teams: {risk: 1}")
    approve(alice, asked)
    publish(lenient + "reviews:\n  dismiss_on: [artifacts]\n")

    tasks.reconsider_pending()

    asked.refresh_from_db()
    assert asked.state == State.APPLIED
    assert stage_of(asked.version) == "Production"


# -- The command line --------------------------------------------------------------------------------------------------


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("policies", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def test_the_command_applies_a_file(db: None, file: Path) -> None:
    assert "production-gate revision 1 is in force." in run("apply", str(file))
    assert "already" in run("apply", str(file))

    assert PolicyRevision.objects.count() == 1


def test_a_dry_run_changes_nothing(db: None, file: Path) -> None:
    assert "Nothing was changed" in run("apply", str(file), "--dry-run")

    assert not Policy.objects.exists()


def test_a_dry_run_shows_what_would_change(db: None, file: Path) -> None:
    run("apply", str(file))
    file.write_text(POLICY.replace("accuracy, min: 0.90", "accuracy, min: 0.95"))

    told = run("apply", str(file), "--dry-run")

    assert "--- production-gate revision 1\n+++ the file\n@@ -4,6 +4,6 @@\n" in told
    assert "\n-  - metric: {name: accuracy, min: 0.90}\n+  - metric: {name: accuracy, min: 0.95}\n" in told
    assert "It would no longer say: accuracy must be at least 0.90.\nIt would say: accuracy must be" in told


def test_the_command_gives_editors_the_schema() -> None:
    assert json.loads(run("schema"))["title"] == "A policy of Countersign"


def test_the_command_names_the_line_of_an_error(db: None, file: Path) -> None:
    file.write_text(POLICY.replace("accuracy, min", "accuracy, minimum"))

    for more in ([], ["--dry-run"]):
        with pytest.raises(CommandError, match="Line 7"):
            run("apply", str(file), *more)

    assert not Policy.objects.exists()


def test_the_command_says_when_a_file_is_not_there(db: None, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read"):
        run("apply", str(tmp_path / "none.yaml"))


def test_the_command_lists_and_shows(db: None, file: Path) -> None:
    assert "no policy yet" in run("list")
    run("apply", str(file))

    assert "production-gate  revision 1  in force" in run("list")
    assert run("show", "production-gate") == POLICY
    with pytest.raises(CommandError, match="no policy"):
        run("show", "other")
