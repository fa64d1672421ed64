"""What takes an approval away, and what leaves it: one change at a time, and every part that a policy may mind."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import pytest

from accounts.models import User
from approvals import services, tasks
from approvals.models import Review, TransitionRequest
from approvals.pins import ARTIFACTS, BASELINE, EVIDENCE, POLICY
from core.errors import Conflict
from notifications.models import Event
from registry.artifacts import Place, delete_path, store
from registry.models import ArtifactFile, ModelVersion
from tests.approvals.conftest import PRODUCTION, approve, publish
from tests.factories import make_files, make_version
from tracking.models import Run

GATE = """\
name: {name}
match: {{models: ["{models}"]}}
guards: [stage:Production]
requirements: [{{approvals: {{count: 2, teams: {{risk: 1, ml-leads: 1}}}}}}]
reviews: {{dismiss_on: [{parts}]}}
"""
PARTS = (ARTIFACTS, EVIDENCE, POLICY, BASELINE)


class Floor:
    """alice has approved three requests: two versions of one model and one of another under the same policy; and a
    fourth under a policy of its own. ``theirs`` is the version that things happen to."""

    def __init__(self, mira: User, alice: User, dkim: User, parts: str) -> None:
        self.mira, self.alice, self.dkim, self.parts = mira, alice, dkim, parts
        publish(GATE.format(name="churn-gate", models="churn-*", parts=parts))
        publish(GATE.format(name="fraud-gate", models="fraud-*", parts=parts))
        make_version("churn-predictor", stage="Production", user=mira)
        churn = "churn-predictor"
        names = {"theirs": churn, "sibling": churn, "cousin": "churn-other", "far": "fraud-score"}
        self.versions = {who: make_version(name, user=mira, metrics={"auc": 0.9}) for who, name in names.items()}
        for version in self.versions.values():
            asked = services.open_request(actor=mira, version=version, target=PRODUCTION)
            approve(alice, asked)

    @property
    def theirs(self) -> ModelVersion:
        return self.versions["theirs"]

    def voided(self) -> set[str]:
        """Whose approvals are gone, once everything has been looked at again."""
        tasks.reconsider_pending()
        return {
            who
            for who, version in self.versions.items()
            if not Review.objects.current().filter(request__version=version, person=self.alice).exists()
        }


def change_one_byte(at: Floor) -> None:
    file = ArtifactFile.objects.get(owner_id=at.theirs.artifact_owner)
    ArtifactFile.objects.filter(pk=file.pk).update(sha256=hashlib.sha256(b"another byte").hexdigest())


def add_a_file(at: Floor) -> None:
    make_files(at.theirs.artifact_owner, {f"{at.theirs.artifact_folder}/extra.pkl": b"extra"})


def remove_every_file(at: Floor) -> None:
    ArtifactFile.objects.filter(owner_id=at.theirs.artifact_owner).delete()


def edit_a_metric(at: Floor) -> None:
    run = Run.objects.get(pk=at.theirs.run_id)
    run.metrics["auc"] = {"value": 0.99, "timestamp": 2, "step": 2}
    run.save()


def edit_a_tag_of_the_run(at: Floor) -> None:
    Run.objects.filter(pk=at.theirs.run_id).update(tags={"note": "looks fine"})


def publish_a_revision(at: Floor) -> None:
    publish(GATE.format(name="churn-gate", models="churn-*", parts=at.parts) + "description: Clearer.\n")


def promote_another_version(at: Floor) -> None:
    rival = make_version("churn-predictor", user=at.mira, metrics={"auc": 0.95})
    asked = services.open_request(actor=at.mira, version=rival, target=PRODUCTION)
    approve(at.alice, asked)
    assert approve(at.dkim, asked).state == TransitionRequest.State.APPLIED


MODEL, UNDER_POLICY = {"theirs", "sibling"}, {"theirs", "sibling", "cousin"}
# What happens, the parts of an approval that it moves, and whose approvals are about these.
CAUSES: list[tuple[Callable[[Floor], None], set[str], set[str]]] = [
    (change_one_byte, {ARTIFACTS, EVIDENCE}, {"theirs"}),
    (add_a_file, {ARTIFACTS, EVIDENCE}, {"theirs"}),
    (remove_every_file, {ARTIFACTS, EVIDENCE}, {"theirs"}),
    (edit_a_metric, {EVIDENCE}, {"theirs"}),
    (edit_a_tag_of_the_run, {EVIDENCE}, {"theirs"}),
    (publish_a_revision, {POLICY}, UNDER_POLICY),
    (promote_another_version, {BASELINE}, MODEL),
]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(("happens", "moves", "about"), CAUSES, ids=[cause[0].__name__ for cause in CAUSES])
def test_a_change_voids_the_approvals_it_must_and_no_other(
    happens: Callable[[Floor], None],
    moves: set[str],
    about: set[str],
    part: str,
    mira: User,
    alice: User,
    dkim: User,
) -> None:
    floor = Floor(mira, alice, dkim, parts=part)
    assert floor.voided() == set()

    happens(floor)

    assert floor.voided() == (about if part in moves else set())


def test_files_that_differ_from_those_registered_are_told_to_administrators(
    mira: User, alice: User, dkim: User, admin: User
) -> None:
    floor = Floor(mira, alice, dkim, parts=ARTIFACTS)
    before = floor.theirs.digest

    change_one_byte(floor)
    tasks.reconsider_pending()

    drifted = Event.objects.get(kind="artifact.drifted")
    assert drifted.audience == [admin.pk] and drifted.actor is None
    assert drifted.data["before"] == before != drifted.data["digest"]
    assert ModelVersion.objects.get(pk=floor.theirs.pk).digest == drifted.data["digest"]


@pytest.mark.parametrize("role", ["admin", "mira"])
def test_no_door_changes_the_files_of_a_registered_version(
    role: str, mira: User, alice: User, dkim: User, request: pytest.FixtureRequest
) -> None:
    floor, user = Floor(mira, alice, dkim, parts=ARTIFACTS), request.getfixturevalue(role)
    place = Place(floor.theirs.artifact_owner, floor.theirs.artifact_folder)
    [file] = ArtifactFile.objects.filter(owner_id=place.owner)

    with pytest.raises(Conflict, match="do not change"):
        store(actor=user, place=Place(place.owner, file.path), stream=io.BytesIO(b"other"), length=5)
    with pytest.raises(Conflict, match="do not change"):
        store(actor=user, place=place.at("extra.pkl"), stream=io.BytesIO(b"extra"), length=5)
    with pytest.raises(Conflict, match="do not change"):
        delete_path(actor=user, place=place)

    assert floor.voided() == set()
