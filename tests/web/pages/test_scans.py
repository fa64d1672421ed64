"""What pages and the API say of the files of a version, and saying that one has looked at them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client

from accounts.models import User
from approvals import services
from approvals.models import Check, TransitionRequest
from registry import tasks
from registry.models import ModelVersion
from tests.approvals.conftest import PRODUCTION
from tests.cast import Api
from tests.core.pickles.hostile import by_stack_global
from tests.factories import make_model, make_version

Session = Callable[[User], Client]
POLICY = """\
name: safe-files
match: {models: ["churn-*"]}
guards: [stage:Production]
requirements: [scan: {vouched_by: risk}]
"""
UNKNOWN = b"\x80\x04\x8c\x04acme\x8c\x05Churn\x93)\x81."
FILES = {"a.pkl": UNKNOWN, "b.bin": by_stack_global(Path("canary")), "c.txt": b"text", "d.pkl": b"\x80\x04N."}


@pytest.fixture
def version(mira: User) -> ModelVersion:
    return make_version(make_model("churn-predictor", user=mira), user=mira, files=FILES)


@pytest.fixture
def asked(mira: User, admin: User, alice: User) -> TransitionRequest:
    """Its files import what nobody knows; alice may look."""
    services.publish_policy(actor=None, text=POLICY)
    version = make_version(make_model("churn-predictor", user=mira), user=mira, files={"a.pkl": UNKNOWN})
    tasks.scan_version(version.pk)
    return services.open_request(actor=admin, version=version, target=PRODUCTION)


def test_the_page_of_a_version_says_what_each_file_is(version: ModelVersion, sam: User, session: Session) -> None:
    files = f"{version.get_absolute_url()}?tab=files"
    before = session(sam).get(files).content.decode()
    tasks.scan_version(version.pk)
    after = session(sam).get(files).content.decode()

    assert before.count("being read") == 4 and "What a person should look at" not in before
    assert "Being scanned: 4 files to go." in before and 'hx-trigger="every 4s"' in before
    assert "Being scanned" not in after
    assert [after.count(f">{label}</span>") for label in ("clean", "unsafe", "needs a look", "none")] == [1, 1, 1, 1]
    assert "<code>b.bin</code>: It imports os.system, which may run anything." in after
    assert "Unsafe pickles." in session(sam).get(version.get_absolute_url()).content.decode()  # first of all


def test_the_json_of_a_version_has_its_scan(version: ModelVersion, sam: User, api: Callable[[User], Api]) -> None:
    path = "models/churn-predictor/versions/1/"
    assert api(sam).get(path).json()["scan"] == {"verdict": "", "pending": 4, "unsafe": [], "unread": []}

    tasks.scan_version(version.pk)

    assert api(sam).get(path).json()["scan"] == {
        "verdict": "unsafe",
        "pending": 0,
        "unsafe": [{"path": "b.bin", "finding": "It imports os.system, which may run anything."}],
        "unread": [{"path": "a.pkl", "finding": "It imports acme.Churn, which is not known here."}],
    }


def test_a_version_whose_files_lie_elsewhere_has_no_scan(mira: User, api: Callable[[User], Api]) -> None:
    make_version(make_model("churn-predictor", user=mira), files={})

    assert api(mira).get("models/churn-predictor/versions/1/").json()["scan"] is None


def test_whoever_may_look_says_so_on_the_review_page(asked: TransitionRequest, alice: User, session: Session) -> None:
    assert "Safe to use" in session(alice).get(asked.get_absolute_url()).content.decode()
    sent = {"summary": "I read acme/churn.py.", "status": "passed", "digest": asked.version.digest}

    answer = session(alice).post(f"{asked.get_absolute_url()}vouch/", sent)

    assert answer.status_code == 302
    check = Check.objects.get()
    assert (check.name, check.reporter, check.status, check.summary) == ("scan", alice, "passed", sent["summary"])
    assert "alice looked at what could not be read." in session(alice).get(asked.get_absolute_url()).content.decode()


@pytest.mark.parametrize("name", ["mira", "dkim", "admin"])
def test_nobody_else_is_offered_to_look_or_taken_at_their_word(
    asked: TransitionRequest, mira: User, dkim: User, admin: User, session: Session, name: str
) -> None:
    user = {"mira": mira, "dkim": dkim, "admin": admin}[name]
    page = session(user).get(asked.get_absolute_url()).content.decode()
    assert "acme.Churn" in page and "Safe to use" not in page

    answer = session(user).post(
        f"{asked.get_absolute_url()}vouch/", {"summary": "Fine.", "status": "passed", "digest": asked.version.digest}
    )

    assert answer.status_code == 422 and not Check.objects.exists()


def test_looking_needs_a_sentence_and_the_refusal_says_so(
    asked: TransitionRequest, alice: User, session: Session
) -> None:
    answer = session(alice).post(
        f"{asked.get_absolute_url()}vouch/", {"summary": " ", "status": "passed", "digest": asked.version.digest}
    )

    assert answer.status_code == 422
    assert "Say what you looked at." in answer.content.decode() and not Check.objects.exists()


def test_a_word_on_the_files_has_a_preview(asked: TransitionRequest, alice: User, session: Session) -> None:
    page = session(alice)
    shown = page.get(asked.get_absolute_url()).content.decode()
    previewed = page.post("/markdown/", {"field": "summary", "summary": "`acme.Churn` is **ours**."})

    assert """hx-vals='{"field": "summary"}' hx-target="#vouch-summary-preview\"""" in shown
    assert "<code>acme.Churn</code> is <strong>ours</strong>" in previewed.content.decode()
