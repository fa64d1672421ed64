"""/policies/: what must hold, read and written as text."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from approvals import services
from approvals.models import Policy, PolicyRevision, TransitionRequest
from approvals.policy import parse, parse_published
from approvals.policy.reading import RULES
from registry.models import ModelVersion, RegisteredModel
from tests.factories import make_model
from tests.scenes import POLICY, say
from web.pages import policies, policy_draft
from web.pages.policy_texts import EXAMPLES, TEMPLATES, Example, Template

Session = Callable[[User], Client]
HTMX = {"HX-Request": "true"}
BROKEN = POLICY.replace("min: 0.90", "mni: 0.90")


@pytest.fixture
def policy(db: None) -> Policy:
    services.publish_policy(actor=None, text=POLICY)
    return services.publish_policy(actor=None, text=POLICY.replace("0.90", "0.92")).policy


def test_policies_are_read_in_plain_words(policy: Policy, sam: User, session: Session) -> None:
    for path in ("/policies/", policy.get_absolute_url()):
        assert "accuracy must be at least 0.92." in session(sam).get(path).content.decode()


def test_what_people_type_is_read_and_not_kept(policy: Policy, sam: User, session: Session) -> None:
    client = session(sam)
    client.get("/policies/")
    before = parse_published.cache_info().currsize

    for passed in ("0.71", "0.72", "0.73"):
        for action in ("check", "publish"):
            form = {"text": POLICY.replace("0.90", passed), "action": action}
            assert passed in client.post(f"{policy.get_absolute_url()}edit/", form).content.decode()

    assert parse_published.cache_info().currsize == before


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


def test_a_replay_of_many_decisions_looks_at_some_and_offers_all(
    asked: TransitionRequest, sam: User, admin: User, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.open_request(actor=sam, version=asked.version, target=asked.asks_for)
    monkeypatch.setattr(policies, "SOON", 1)
    form = {"text": POLICY.replace("min: 0.90", "min: 0.99")}

    some, every = (
        session(admin).post("/policies/new/", {**form, "action": action}).content.decode()
        for action in ("replay", "replay_all")
    )

    assert "1 of 1 open requests" in some and 'value="replay_all"' in some
    assert "2 of 2 open requests" in every and 'value="replay_all"' not in every


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


def test_a_replay_says_what_publishing_would_change(
    asked: TransitionRequest, alice: User, dkim: User, admin: User, sam: User, session: Session
) -> None:
    stricter = POLICY.replace("min: 0.90", "min: 0.99") + "reviews: {expires_after: 1h}\n"
    form = {"text": stricter, "action": "replay"}

    open_still = session(admin).post("/policies/new/", form).content.decode()
    for person in (alice, dkim):
        say(person, asked)
    applied = session(admin).post("/policies/new/", form).content.decode()
    unchanged = session(admin).post("/policies/new/", {"text": POLICY, "action": "replay"}).content.decode()
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
    for path, label in (("/policies/", "New policy"), (policy.get_absolute_url(), "Edit")):
        shown = page.get(path).content.decode()
        [why] = re.findall(rf'aria-disabled="true" aria-describedby="([a-z-]+)">{label}<', shown)
        assert f'<span class="why-not" id="{why}">Only an administrator publishes policies.</span>' in shown


def test_a_policy_taken_out_of_force_is_said_to_be(policy: Policy, admin: User, mira: User, session: Session) -> None:
    refused = session(mira).post(f"{policy.get_absolute_url()}archive/")
    page = session(admin).post(f"{policy.get_absolute_url()}archive/", follow=True)

    assert refused.status_code == 403
    assert "out of force" in page.content.decode()


def test_a_policy_without_a_text_says_so(sam: User, session: Session) -> None:
    Policy.objects.create(name="empty")

    page = unescape(session(sam).get("/policies/empty/").content.decode())

    assert "It has no text." in page
    assert "in force" not in page and "Revision </h2>" not in page


def test_an_unknown_policy_is_not_found(sam: User, session: Session) -> None:
    assert session(sam).get("/policies/nothing/").status_code == 404


# -- What a policy is about --------------------------------------------------------------------------------------------


def test_the_requests_of_a_policy_show_what_it_says_or_said_of_them(
    asked: TransitionRequest, alice: User, dkim: User, sam: User, session: Session
) -> None:
    path = "/policies/production-gate/?tab=requests"

    open_still = session(sam).get(path).content.decode()
    for person in (alice, dkim):
        say(person, asked)
    applied = session(sam).get(path).content.decode()

    assert asked.get_absolute_url() in open_still and "All that it asks was met." not in open_still
    assert "All that it asks was met." in applied and "Applied" in applied


@pytest.mark.parametrize("key", ["tier", "2026", "a.b"])
def test_the_models_of_a_policy_are_those_that_fit_its_names_and_tags(
    key: str, version: ModelVersion, mira: User, sam: User, session: Session
) -> None:
    RegisteredModel.objects.filter(pk=version.model_id).update(tags={key: "critical"})
    make_model("churn-of-others", user=mira)
    tagged = POLICY.replace('models: ["churn-*"]', f'models: ["churn-*"], tags: {{"{key}": critical}}')
    services.publish_policy(actor=None, text=tagged)

    page = session(sam).get("/policies/production-gate/?tab=models").content.decode()

    assert "/models/churn-predictor/" in page and "churn-of-others" not in page
    assert "of 1 model (" in session(sam).get("/policies/").content.decode()


def test_models_and_requests_that_are_not_for_one_are_not_counted(
    asked: TransitionRequest, eve: User, settings: Settings, session: Session
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"

    for path in ("/policies/production-gate/?tab=requests", "/policies/production-gate/?tab=models"):
        assert "churn-predictor" not in session(eve).get(path).content.decode()
    assert "of 0 models" in session(eve).get("/policies/").content.decode()


def test_a_page_of_models_leads_to_the_next(version: ModelVersion, mira: User, sam: User, session: Session) -> None:
    for number in range(30):
        make_model(f"churn-{number:02}", user=mira)
    first = session(sam).get("/policies/production-gate/?tab=models").content.decode()
    second = session(sam).get("/policies/production-gate/?tab=models&after=churn-24").content.decode()

    assert "after=churn-24" in first and "churn-25" not in first
    assert "/models/churn-25/" in second and "/models/churn-24/" not in second


# -- The editor --------------------------------------------------------------------------------------------------------


def test_while_one_types_the_answer_is_what_the_text_says_and_never_the_text(admin: User, session: Session) -> None:
    def check(text: str) -> tuple[int, str]:
        answer = session(admin).post("/policies/new/", {"text": text, "action": "check"}, headers=HTMX)
        return answer.status_code, answer.content.decode()

    good, bad = check(POLICY), check(BROKEN)

    assert good[0] == 200 and "accuracy must be at least 0.90." in good[1]
    assert bad[0] == 200 and 'data-line="5"' in bad[1] and "mni" in bad[1]
    assert "<textarea" not in good[1] + bad[1]
    assert not Policy.objects.exists()


def test_a_check_names_whom_the_text_touches_and_names_that_nobody_has(
    asked: TransitionRequest, admin: User, session: Session
) -> None:
    text = POLICY.replace("ml-leads: 1", "mi-leads: 1") + "bypass: {people: [nobody]}\n"

    page = session(admin).post("/policies/new/", {"text": text, "action": "check"}, headers=HTMX).content.decode()

    assert "churn-predictor" in page and "<dt>Open requests</dt><dd>1</dd>" in page
    assert "<dt>risk</dt><dd>alice</dd>" in page
    assert "No team is called mi-leads." in page and "No active account is called nobody." in page


def test_a_new_text_under_a_name_that_is_taken_is_said_to_replace(
    policy: Policy, admin: User, session: Session
) -> None:
    page = session(admin).post("/policies/new/", {"text": POLICY, "action": "check"}).content.decode()

    assert "this would be revision 3 of it" in page


def test_a_version_is_simulated_against_the_draft(asked: TransitionRequest, mira: User, session: Session) -> None:
    form = {"text": POLICY.replace("0.90", "0.99"), "action": "simulate", "model": "churn-predictor", "version": "2"}

    page = session(mira).post("/policies/new/", form, headers=HTMX).content.decode()

    assert "churn-predictor version 2 → Production" in page and "but it must be at least 0.99" in page
    assert PolicyRevision.objects.count() == 1


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({}, "Name a model and the number"),
        ({"model": "churn-predictor", "version": "two"}, "Name a model and the number"),
        ({"model": "churn-predictor", "version": "9"}, "not found"),
        ({"model": "churn-predictor", "version": "2", "target": "Produktion"}, "Produktion"),
    ],
)
def test_a_simulation_of_nothing_says_what_is_missing(
    typed: dict[str, str], said: str, version: ModelVersion, admin: User, session: Session
) -> None:
    for headers in ({}, HTMX):
        answer = session(admin).post("/policies/new/", {"text": POLICY, "action": "simulate", **typed}, headers=headers)
        assert answer.status_code == 422 and said in answer.content.decode()


def test_a_hidden_model_is_not_simulated(
    version: ModelVersion, eve: User, settings: Settings, session: Session
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    form = {"text": POLICY, "action": "simulate", "model": "churn-predictor", "version": "2"}

    assert "not found" in session(eve).post("/policies/new/", form).content.decode()


def test_a_long_replay_is_paged(
    asked: TransitionRequest, sam: User, admin: User, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.open_request(actor=sam, version=asked.version, target=asked.asks_for)
    monkeypatch.setattr(policy_draft, "PAGE_SIZE", 1)
    form = {"text": POLICY.replace("min: 0.90", "min: 0.99"), "action": "replay"}

    pages = [session(admin).post(f"/policies/new/?page={n}", form, headers=HTMX).content.decode() for n in (1, 2, 3)]

    assert "page 1 of 2" in pages[0] and "page 2 of 2" in pages[1] == pages[2]
    assert [asked.get_absolute_url() in page for page in pages] == [True, False, False]


def test_an_action_that_nobody_knows_publishes_nothing(admin: User, session: Session) -> None:
    answer = session(admin).post("/policies/new/", {"text": POLICY, "action": "burn"})

    assert answer.status_code == 422 and not Policy.objects.exists()


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.key)
def test_a_template_can_be_published_as_it_is(template: Template, admin: User, session: Session) -> None:
    page = session(admin).get(f"/policies/new/?template={template.key}").content.decode()

    assert template.text in unescape(page) and "No errors" in page
    services.publish_policy(actor=None, text=template.text)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_an_example_fits_where_the_editor_puts_it(example: Example) -> None:
    head = "name: x\nmatch: {models: ['*']}\nguards: [stage:Production]\nrequirements:\n"

    parse(head + ("  - approvals: {count: 1}\n" if example.is_part else "") + example.text)


def test_every_kind_of_requirement_has_an_example() -> None:
    assert {kind for kind in RULES if not any(f"  - {kind}: " in example.text for example in EXAMPLES)} == set()
