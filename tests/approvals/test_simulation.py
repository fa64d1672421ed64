"""Drafts of policies: what they would make of versions and of open requests, and that nothing is written."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts import services as accounts
from accounts.models import Team, User
from approvals import services, simulation
from approvals.models import PolicyRevision, TransitionRequest
from approvals.policy import parse
from approvals.simulation import effects, replay, simulate, target_of_draft
from core.clock import now
from core.errors import Invalid
from registry import evidence
from registry import services as registry
from registry.models import ModelVersion, StageHolding
from tests.approvals.conftest import CHAMPION, POLICY, PRODUCTION, STAGING, approve
from tests.factories import make_version
from tests.web.sweep import state
from tracking.services import runs

STRICTER = POLICY.replace("accuracy, min: 0.90", "accuracy, min: 0.99")


def sentences(text: str, user: User) -> list[tuple[int, str, str]]:
    found = effects(parse(text), text, user=user).changed
    return [(effect.request.pk, effect.before, effect.after) for effect in found]


def test_a_draft_judges_a_version_as_if_it_were_in_force(guarded: ModelVersion, mira: User) -> None:
    before = state()

    strict = simulate(parse(STRICTER), STRICTER, asker=mira, version=guarded, target=PRODUCTION)

    assert "accuracy is 0.95, but it must be at least 0.99" in strict.verdict.sentence
    assert [rule.name for rule in strict.rules] == ["production-gate"]  # it takes the place of the one in force
    assert state() == before


def test_a_draft_under_another_name_comes_on_top(guarded: ModelVersion, mira: User) -> None:
    text = STRICTER.replace("production-gate", "another")

    both = simulate(parse(text), text, asker=mira, version=guarded, target=PRODUCTION)

    assert [rule.name for rule in both.rules] == ["another", "production-gate"]


def test_a_draft_that_has_no_say_changes_nothing(guarded: ModelVersion, mira: User) -> None:
    standing = simulate(parse(STRICTER), STRICTER, asker=mira, version=guarded, target=STAGING)

    assert not standing.rules


def test_the_open_requests_that_would_stand_differently(asked: TransitionRequest, admin: User, mira: User) -> None:
    before = state()

    [(pk, now, then)] = sentences(STRICTER, admin)

    assert pk == asked.pk
    assert "accuracy" not in now and "accuracy is 0.95, but it must be at least 0.99" in then
    assert sentences(POLICY, admin) == []
    assert state() == before


def test_approvals_under_the_older_text_count_as_they_would_then(
    asked: TransitionRequest, admin: User, alice: User
) -> None:
    approve(alice, asked)
    assert sentences(POLICY, admin) == []  # the text in force
    described = POLICY.replace("What every model", "What each model")

    [(_, now, then)] = sentences(described, admin)
    assert now != then and "2 approvals" in then

    kept = f"{described}reviews: {{dismiss_on: [artifacts]}}\n"
    assert sentences(kept, admin) == []


def test_a_draft_that_would_end_requests_says_so(asked: TransitionRequest, admin: User) -> None:
    text = f"{POLICY}reviews: {{expires_after: 1d}}\n"

    [effect] = effects(parse(text), text, user=admin).changed

    assert effect.expires == asked.created_at + timedelta(days=1)
    assert effect.before == effect.after


def test_what_nobody_would_notice_is_no_change(asked: TransitionRequest, admin: User) -> None:
    assert sentences(POLICY.replace("accuracy, min: 0.90", "accuracy, min: 0.91"), admin) == []


def test_more_requests_than_are_looked_at_are_told_of(asked: TransitionRequest, admin: User, sam: User) -> None:
    services.open_request(actor=sam, version=asked.version, target=PRODUCTION)

    found = effects(parse(STRICTER), STRICTER, user=admin, most=1)

    assert (found.looked_at, found.is_cut, len(found.changed)) == (1, True, 1)


def test_of_a_pattern_of_aliases_one_must_be_named() -> None:
    read = parse(POLICY.replace("[stage:Production, alias:champion]", '["alias:prod-*"]'))

    with pytest.raises(Invalid, match="say which one"):
        target_of_draft(read)


def test_closed_requests_and_hidden_ones_are_left_out(
    asked: TransitionRequest, admin: User, mira: User, eve: User, settings: Any
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    assert sentences(STRICTER, eve) == []
    services.withdraw_request(actor=mira, review_request=asked)

    assert sentences(STRICTER, admin) == []


def test_the_command_line_says_each_requirement(guarded: ModelVersion, alice: User, dkim: User, tmp_path: Path) -> None:
    file, out = tmp_path / "draft.yaml", StringIO()
    file.write_text(STRICTER)

    call_command("policies", "simulate", str(file), guarded.model.name, str(guarded.version), stdout=out)

    first, *rest = out.getvalue().splitlines()
    assert first.startswith("churn-predictor version 2 to Production: accuracy is 0.95")
    assert [line.split()[0] for line in rest] == ["unmet", "met", "waiting"]
    assert PolicyRevision.objects.count() == 1
    with pytest.raises(CommandError, match="no version 9"):
        call_command("policies", "simulate", str(file), guarded.model.name, "9", stdout=out)


# -- Replay ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def applied(asked: TransitionRequest, alice: User, dkim: User) -> TransitionRequest:
    approve(alice, asked)
    approve(dkim, asked)
    asked.refresh_from_db()
    assert asked.state == TransitionRequest.State.APPLIED
    return asked


def stopped(text: str, user: User) -> list[tuple[int, str]]:
    found = replay(parse(text), text, user=user)
    return [(row.request.pk, row.sentence) for row in found.stopped]


def test_the_text_that_let_a_move_through_lets_it_through_again(applied: TransitionRequest, admin: User) -> None:
    before = state()

    assert replay(parse(POLICY), POLICY, user=admin).moves == 1
    assert stopped(POLICY, admin) == []
    assert state() == before


def test_a_stricter_text_would_have_stopped_it(applied: TransitionRequest, admin: User) -> None:
    [(pk, sentence)] = stopped(STRICTER, admin)

    assert (pk, sentence) == (applied.pk, "accuracy is 0.95, but it must be at least 0.99.")
    [(_, sentence)] = stopped(POLICY.replace("count: 2", "count: 3"), admin)
    assert sentence == "Waiting for 1 approval."


def test_it_is_judged_on_what_was_known_then(
    applied: TransitionRequest, holder: ModelVersion, admin: User, alice: User, risk: Team, mira: User
) -> None:
    against = POLICY.replace("accuracy, min: 0.90", "accuracy, baseline: production, min_rise: 0.03")
    runs.log_batch(actor=mira, run_id=applied.version.run_id, metrics=[runs.Metric("accuracy", 0.1, 2**41)])
    evidence.refresh(ModelVersion.objects.select_related("evidence").get(pk=applied.version_id))
    accounts.remove_from_team(actor=admin, team=risk, users=[alice])

    assert stopped(against, admin) == []  # 0.95 against the 0.91 that version 1 had when it was replaced
    assert len(stopped(against.replace("min_rise: 0.03", "min_rise: 0.05"), admin)) == 1


def test_who_approved_has_approved_also_if_they_left(applied: TransitionRequest, admin: User, alice: User) -> None:
    accounts.set_active(actor=admin, user=alice, is_active=False)

    assert stopped(POLICY, admin) == []


def test_checks_are_those_of_then(asked: TransitionRequest, alice: User, dkim: User, ci_bot: User, admin: User) -> None:
    checked = POLICY.replace("  - approvals", "  - check: {name: tests, from: ci-bot}\n  - approvals")

    def report(status: str) -> None:
        services.report_check(actor=ci_bot, version=asked.version, name="tests", status=status)

    assert replay(parse(checked), checked, user=admin).moves == 0
    report("passed")
    approve(alice, asked)
    approve(dkim, asked)
    report("failed")

    assert replay(parse(checked), checked, user=admin).moves == 1
    assert stopped(checked, admin) == []
    other = checked.replace("name: tests", "name: virus-scan")
    assert len(stopped(other, admin)) == 1


def test_a_baseline_in_production_is_the_one_of_then(
    guarded: ModelVersion, holder: ModelVersion, mira: User, alice: User, dkim: User, admin: User
) -> None:
    """Of a move to an alias, which says nothing of Production itself."""
    asked = services.open_request(actor=mira, version=guarded, target=CHAMPION)
    approve(alice, asked)
    approve(dkim, asked)
    registry.set_version_tag(actor=admin, version=guarded, key="k", value="v")
    newer = make_version(guarded.model, stage="Production", user=mira, metrics={"accuracy": 0.99, "f1": 0.99})
    StageHolding.objects.filter(version=holder, until=None).update(until=now())
    against = POLICY.replace("accuracy, min: 0.90", "accuracy, baseline: production, min_rise: 0.03")

    assert newer.version == 3
    assert stopped(against, admin) == []  # 0.95 against the 0.91 of version 1, not the 0.99 of version 3


def test_a_text_about_something_else_has_no_say(
    applied: TransitionRequest, admin: User, eve: User, settings: Any
) -> None:
    other = POLICY.replace("churn-*", "fraud-*")
    assert replay(parse(other), other, user=admin).moves == 0

    settings.DEFAULT_MODEL_LEVEL = "NONE"
    assert replay(parse(STRICTER), STRICTER, user=eve).moves == 0


def test_the_command_line_names_what_would_have_been_stopped(applied: TransitionRequest, tmp_path: Path) -> None:
    file, out = tmp_path / "draft.yaml", StringIO()
    file.write_text(STRICTER)

    call_command("policies", "replay", str(file), stdout=out)

    first, second, third = out.getvalue().splitlines()
    assert first == "It would have stopped 1 of 1 moves."
    assert second.startswith(f"  request {applied.pk}: churn-predictor version 2 → Production: accuracy is 0.95")
    assert third == "It was satisfied by 0 of 0 requests that ended unmade."


def test_it_takes_as_many_statements_for_many_moves(
    applied: TransitionRequest, admin: User, mira: User, alice: User, dkim: User, django_assert_max_num_queries: Any
) -> None:
    def statements() -> int:
        with django_assert_max_num_queries(60) as found:
            replay(parse(STRICTER), STRICTER, user=admin)
        return len(found)

    before = statements()
    for _ in range(3):
        version = make_version(applied.model, user=mira, metrics={"accuracy": 0.95, "f1": 0.9})
        again = services.open_request(actor=mira, version=version, target=PRODUCTION)
        approve(alice, again)
        approve(dkim, again)

    assert statements() == before


LOOSER = POLICY.replace("count: 2, teams: {risk: 1, ml-leads: 1}", "count: 1, teams: {risk: 1}")


def satisfied(text: str, user: User) -> list[int]:
    return [row.request.pk for row in replay(parse(text), text, user=user).satisfied]


def test_what_was_withdrawn_with_all_that_the_text_asks_for_would_have_been_let_through(
    asked: TransitionRequest, mira: User, alice: User, admin: User
) -> None:
    approve(alice, asked)
    services.withdraw_request(actor=mira, review_request=asked)
    before = state()

    found = replay(parse(LOOSER), LOOSER, user=admin)

    assert ([row.request.pk for row in found.satisfied], found.unmade, found.moves) == ([asked.pk], 1, 0)
    assert satisfied(POLICY, admin) == [] and replay(parse(POLICY), POLICY, user=admin).unmade == 1
    assert state() == before


def test_what_expired_counts_what_came_until_then_and_nothing_later(
    asked: TransitionRequest, ci_bot: User, alice: User, admin: User
) -> None:
    approve(alice, asked)
    TransitionRequest.objects.filter(pk=asked.pk).update(state="expired", closed_at=now())
    checked = LOOSER.replace("  - approvals", "  - check: {name: tests, from: ci-bot}\n  - approvals")
    services.publish_policy(actor=None, text=checked)  # so that ci-bot may report
    services.report_check(actor=ci_bot, version=asked.version, name="tests", status="passed")

    assert satisfied(LOOSER, admin) == [asked.pk]
    assert satisfied(checked, admin) == []


def test_the_other_policies_of_today_have_their_say_in_what_would_have_been_let_through(
    asked: TransitionRequest, mira: User, alice: User, admin: User
) -> None:
    approve(alice, asked)
    services.withdraw_request(actor=mira, review_request=asked)
    services.publish_policy(actor=None, text=STRICTER.replace("production-gate", "another"))

    assert satisfied(LOOSER, admin) == []


def test_a_move_is_held_against_the_draft_alone(applied: TransitionRequest, admin: User) -> None:
    services.publish_policy(actor=None, text=STRICTER.replace("production-gate", "another"))

    assert stopped(POLICY, admin) == []


def test_a_text_that_asks_nobody_is_not_held_against_moves_that_another_policy_had_approved(
    applied: TransitionRequest, admin: User
) -> None:
    """Their reviewers may not move the version themselves: alone, this text would leave that to who may."""
    alone = POLICY.split("  - approvals")[0].replace("production-gate", "another")

    assert stopped(alone, admin) == []


@pytest.mark.parametrize("closed", [{"state": "rejected"}, {"state": "superseded"}, {"is_bypassed": True}])
def test_what_a_person_decided_is_not_replayed(closed: dict[str, Any], applied: TransitionRequest, admin: User) -> None:
    TransitionRequest.objects.filter(pk=applied.pk).update(**closed)

    found = replay(parse(STRICTER), STRICTER, user=admin)

    assert (found.moves, found.unmade, found.stopped, found.satisfied) == (0, 0, [], [])


def test_what_does_not_fit_into_one_chunk_is_replayed_the_same(
    applied: TransitionRequest, admin: User, mira: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        version = make_version(applied.model, user=mira, metrics={"accuracy": 0.95, "f1": 0.9})
        withdrawn = services.open_request(actor=mira, version=version, target=PRODUCTION)
        services.withdraw_request(actor=mira, review_request=withdrawn)
    nobody = STRICTER.split("  - approvals")[0].replace("0.99", "0.95")
    whole, changed = replay(parse(nobody), nobody, user=admin), sentences(nobody, admin)

    monkeypatch.setattr(simulation, "CHUNK", 1)

    assert replay(parse(nobody), nobody, user=admin) == whole
    assert sentences(nobody, admin) == changed
    assert replay(parse(nobody), nobody, user=admin, most=2).is_cut and not whole.is_cut
