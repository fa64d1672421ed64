"""Every write of this room × every role, on a guarded model: one call of nobody changes who holds what."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest

from accounts.models import Level, User
from approvals import services, tasks
from approvals.models import Comment, Policy, TransitionRequest
from approvals.standing import standing_of
from core.clock import now
from core.errors import CountersignError
from registry.gate import Change, ChangeKind
from registry.models import Alias, ModelVersion, RegisteredModel
from tests.approvals.conftest import CHAMPION, PRODUCTION, publish
from tests.cast import person
from tests.factories import make_version

ROLES = ("admin", "manager", "mira", "alice", "dkim", "sam", "eve", "ci_bot")


@dataclass(frozen=True)
class House:
    """Version 1 holds Production and @champion; mira has asked for version 2 in both, and said something."""

    model: RegisteredModel
    holder: ModelVersion
    version: ModelVersion
    asked: TransitionRequest
    said: Comment

    @property
    def held(self) -> tuple[list[int], list[int]]:
        live = ModelVersion.objects.live().filter(model=self.model, current_stage="Production")
        aliases = Alias.objects.filter(model=self.model, name="champion")
        return list(live.values_list("pk", flat=True)), list(aliases.values_list("version_id", flat=True))


@pytest.fixture
def house(mira: User, alice: User, dkim: User) -> House:
    """alice and dkim are here, so that the policy's teams have somebody in them."""
    metrics = {"accuracy": 0.95, "f1": 0.9}
    holder = make_version("churn-predictor", stage="Production", aliases=["champion"], user=mira, metrics=metrics)
    version = make_version(holder.model, user=mira, metrics=metrics)
    publish()
    services.open_request(actor=mira, version=version, target=CHAMPION)
    asked = services.open_request(actor=mira, version=version, target=PRODUCTION)
    said = services.add_comment(actor=mira, version=version, text="Look at the tail.", review_request=asked)
    return House(holder.model, holder, version, asked, said)


@pytest.fixture
def manager(db: None) -> User:
    return person("manager", level=Level.MANAGE)


def _judge(decision: str) -> Callable[[User, House], object]:
    return lambda by, at: services.submit_review(
        actor=by, review_request=at.asked, decision=decision, comment="Because.", seen=standing_of(at.asked).seen
    )


def _by_target(decision: str) -> Callable[[User, House], object]:
    return lambda by, at: services.review_requests_for(
        actor=by, version=at.version, target=PRODUCTION, decision=decision, comment="Because.", archive_existing=True
    )


def _refused(by: User, at: House) -> object:
    change = Change(ChangeKind.MOVE_STAGE, by, at.model, at.version, entering=PRODUCTION)
    return services.request_after_refusal(change)


def _back_and_in(by: User, at: House) -> object:
    services.recuse(actor=by, review_request=at.asked)
    return services.step_in_again(actor=by, review_request=at.asked)


WRITES: dict[str, list[Callable[[User, House], object]]] = {
    "add_comment": [
        lambda by, at: services.add_comment(actor=by, version=at.version, text="Fine.", review_request=at.asked)
    ],
    "archive_policy": [lambda by, at: services.archive_policy(actor=by, policy=Policy.objects.get())],
    "ask_for_review": [
        lambda by, at: services.ask_for_review(actor=by, review_request=at.asked, person=person("reader"))
    ],
    "bypass_request": [
        lambda by, at: services.bypass_request(
            actor=by, review_request=at.asked, reason="The house is on fire.", seen=standing_of(at.asked).seen
        )
    ],
    "delete_comment": [lambda by, at: services.delete_comment(actor=by, comment=at.said)],
    "edit_comment": [lambda by, at: services.edit_comment(actor=by, comment=at.said, text="All is well.")],
    "mark_ready": [lambda by, at: services.mark_ready(actor=by, review_request=at.asked)],
    "note_look": [
        lambda by, at: services.note_look(actor=by, review_request=at.asked, pins=standing_of(at.asked).pins, at=now())
    ],
    "open_request": [
        lambda by, at: services.open_request(actor=by, version=at.version, target=PRODUCTION),
        lambda by, at: services.open_request(actor=by, version=at.version, target=CHAMPION),
        lambda by, at: services.open_request(actor=by, version=at.holder, target=PRODUCTION),
    ],
    "publish_policy": [lambda by, at: services.publish_policy(actor=by, text=Policy.objects.get().current.text + "\n")],
    "reconsider": [lambda by, at: services.reconsider(at.asked)],
    "recuse": [lambda by, at: services.recuse(actor=by, review_request=at.asked)],
    "reopen_thread": [lambda by, at: services.reopen_thread(actor=by, comment=at.said)],
    "report_check": [lambda by, at: services.report_check(actor=by, version=at.version, name="tests", status="passed")],
    "request_after_refusal": [_refused],
    "request_rollback": [
        lambda by, at: services.request_rollback(actor=by, model=at.model, target=PRODUCTION, to=1),
        lambda by, at: services.request_rollback(actor=by, model=at.model, target=CHAMPION, to=1),
    ],
    "reschedule_request": [
        lambda by, at: services.reschedule_request(actor=by, review_request=at.asked, not_before=None)
    ],
    "resolve_thread": [lambda by, at: services.resolve_thread(actor=by, comment=at.said)],
    "review_requests_for": [_by_target(decision) for decision in ("approve", "reject")],
    "step_in_again": [_back_and_in],
    "submit_review": [_judge(decision) for decision in ("approve", "request_changes", "reject")],
    "withdraw_ask": [lambda by, at: services.withdraw_ask(actor=by, review_request=at.asked, person=by)],
    "withdraw_request": [lambda by, at: services.withdraw_request(actor=by, review_request=at.asked)],
    "withdraw_request_of": [
        lambda by, at: services.withdraw_request_of(actor=by, creator="mira", version=at.version, target=PRODUCTION)
    ],
}


def test_every_write_of_this_room_is_listed_here() -> None:
    assert set(WRITES) == set(services.__all__)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", sorted(WRITES))
def test_one_call_of_nobody_changes_who_holds_a_guarded_target(
    name: str, role: str, house: House, request: pytest.FixtureRequest
) -> None:
    user: User = request.getfixturevalue(role)
    before = house.held

    for write in WRITES[name]:
        with suppress(CountersignError):
            write(user, house)
        tasks.reconsider_pending()

        assert house.held == before


def test_the_same_approval_moves_it_where_nothing_guards_it(house: House, admin: User) -> None:
    services.archive_policy(actor=None, policy=Policy.objects.get())

    _judge("approve")(admin, house)

    assert house.held[0] == [house.version.pk]
