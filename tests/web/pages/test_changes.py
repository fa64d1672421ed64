"""What changes, on the review page: against whom, which metrics first, and the tabs."""

from __future__ import annotations

import base64
import gzip
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.test import Client

from accounts.models import User
from approvals.models import TransitionRequest
from registry import evidence, tasks
from registry.models import ArtifactFile, ModelVersion
from tests.factories import make_model, make_run, make_version
from tests.scenes import ask, say
from tracking.models import Run, RunDataset

Session = Callable[[User], Client]
HTMX = {"HX-Request": "true"}


@pytest.fixture
def show(asked: TransitionRequest, sam: User, session: Session) -> Callable[[str], str]:
    client = session(sam)

    def shown(query: str = "") -> str:
        answer = client.get(f"{asked.get_absolute_url()}{query}")
        assert answer.status_code == 200
        return answer.content.decode()

    return shown


def changes(session: Client, review_request: TransitionRequest, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = session.get(f"{review_request.get_absolute_url()}{query}").context["changes"]
    return found


def evaluated(run: Run, name: str, digest: str, context: str) -> None:
    RunDataset.objects.create(
        run=run, name=name, digest=digest, source_type="local", source="", tags={"mlflow.data.context": context}
    )


def tab_counts(changed: dict[str, Any]) -> dict[str, int | None]:
    return {tab["key"]: tab["count"] for tab in changed["tabbed"]["tabs"]}


# -- Against whom ------------------------------------------------------------------------------------------------------


def test_it_is_compared_with_who_holds_the_target_unless_somebody_chooses(
    asked: TransitionRequest, sam: User, session: Session
) -> None:
    third = make_version(asked.model, metrics={"accuracy": 0.5})

    now, chosen = changes(session(sam), asked), changes(session(sam), asked, f"?against={third.version}")

    assert (now["baseline"].version, now["is_other"]) == (1, False)
    assert (chosen["baseline"].version, chosen["is_other"], chosen["holder"].version) == (3, True, 1)
    assert [(choice.version, choice.what) for choice in chosen["choices"]] == [
        (1, "holds Production now"),
        (3, "chosen"),
    ]


def test_another_version_to_compare_with_changes_nothing_of_what_is_judged(
    asked: TransitionRequest, show: Callable[[str], str]
) -> None:
    make_version(asked.model, metrics={"accuracy": 0.99})

    page = show("?against=3&tab=params")

    assert "Shown against version 3. The requirements are judged against" in page
    assert "≥ 0.90" in page and "−0.043" in page
    assert 'name="tab" value="params"' in page and "tab=signature" in page and "against=3" in page


def test_the_last_approved_one_is_offered(
    asked: TransitionRequest, mira: User, alice: User, dkim: User, session: Session
) -> None:
    say(alice, asked)
    say(dkim, asked)
    ModelVersion.objects.filter(version=2).update(current_stage="Archived")
    ModelVersion.objects.filter(version=1).update(current_stage="Production")
    asked.model.latest.filter(stage="Production").update(version=ModelVersion.objects.get(version=1))
    again = ask(make_version(asked.model, user=mira, metrics={"accuracy": 0.95}), mira)

    offered = [(choice.version, choice.what) for choice in changes(session(mira), again)["choices"]]

    assert offered == [(1, "holds Production now"), (2, f"last approved for Production, by request {asked.pk}")]


@pytest.mark.parametrize(
    ("against", "sentence"),
    [
        ("99", "has no version 99"),
        ("2", "is about version 2 itself"),
        ("x<b>", "has no version x&lt;b&gt;"),
        ("1" * 30, "has no version 1"),
    ],
)
def test_what_cannot_be_compared_with_is_told(show: Callable[[str], str], against: str, sentence: str) -> None:
    page = show(f"?against={against}")

    assert sentence in page and "v1 now" in page


def test_a_closed_request_is_shown_against_who_held_it_then(
    asked: TransitionRequest, alice: User, dkim: User, sam: User, session: Session
) -> None:
    say(alice, asked)
    say(dkim, asked)

    found = changes(session(sam), asked)

    assert found["baseline"].version == 1 and found["choices"][0].what == "held Production then"
    assert "When it is applied" not in session(sam).get(asked.get_absolute_url()).content.decode()


# -- Metrics -----------------------------------------------------------------------------------------------------------


def test_the_worst_metric_is_first(mira: User, sam: User, version: ModelVersion, session: Session) -> None:
    measured = {"accuracy": 0.80, "latency_p95_ms": 55, "auc": 0.1, "f1": 0.9}
    made = make_version(version.model, user=mira, metrics=measured)

    rows = changes(session(sam), ask(made, mira))["metrics"]

    # Not met; worse, though met; then what nobody judges, by how far it moved. Of f1 and auc v1 knows nothing.
    assert [row.name for row in rows] == ["accuracy", "latency_p95_ms", "auc", "f1"]
    assert [row.is_better for row in rows] == [False, False, None, None]


def test_each_metric_has_its_last_versions_as_a_line(asked: TransitionRequest, show: Callable[[str], str]) -> None:
    page = show("")

    assert "accuracy from version 1, 0.931, to version 2, 0.947; lowest 0.931, highest 0.947" in page


def test_other_evaluation_data_is_said_in_red(mira: User, version: ModelVersion, session: Session) -> None:
    first = ModelVersion.objects.get(version=1)
    evaluated(Run.objects.get(pk=first.run_id), "test-set", "aaa", "eval")
    run = make_run(user=mira, metrics={"accuracy": 0.95})
    evaluated(run, "test-set", "bbb", "eval")
    evaluated(run, "train-set", "ccc", "training")
    evidence.refresh(first)
    review_request = ask(make_version(version.model, user=mira, run=run), mira)

    page = session(mira).get(review_request.get_absolute_url()).content.decode()

    assert "Evaluated on other data." in page and "test-set (bbb)" in page and "train-set (ccc)" not in page


def test_the_same_evaluation_data_needs_no_word(show: Callable[[str], str]) -> None:
    assert "Evaluated on other data." not in show("")


def test_two_thousand_metrics_are_a_few_and_a_way_to_see_all(
    mira: User, version: ModelVersion, session: Session
) -> None:
    many = {f"metric-{number}": float(number) for number in range(2000)}
    review_request = ask(make_version(version.model, user=mira, metrics=many), mira)

    page = session(mira).get(review_request.get_absolute_url())

    assert len(page.context["changes"]["metrics"]) == 20 and page.context["changes"]["metric_count"] == 2002
    assert "part=metrics" in page.content.decode()


# -- Tabs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tab", "shown"),
    [
        ("params", "max_depth"),
        ("signature", "the input tenure_days is new and required"),
        ("packages", "Neither version names its packages"),
        ("data", "No dataset is known"),
        ("code", '<code title="9f2c1ab'),
        ("files", "2 changed"),
        ("tags", "mlflow.source.git.commit"),
        ("description", "Trained on tenure_days."),
        ("nonsense", "breaks callers of v1"),
    ],
)
def test_each_tab_is_a_page_of_its_own_and_a_part_for_htmx(
    asked: TransitionRequest, sam: User, session: Session, tab: str, shown: str
) -> None:
    client = session(sam)
    whole = client.get(f"{asked.get_absolute_url()}?tab={tab}").content.decode()
    part = client.get(f"{asked.get_absolute_url()}changes/?tab={tab}", headers=HTMX).content.decode()

    assert shown in whole and shown in part and "<html" in whole and "<html" not in part


def test_without_htmx_the_part_leads_to_the_page(asked: TransitionRequest, sam: User, session: Session) -> None:
    answer = session(sam).get(f"{asked.get_absolute_url()}changes/?tab=files&against=1")

    assert (answer.status_code, answer["Location"]) == (302, f"{asked.get_absolute_url()}?tab=files&against=1#changes")


def test_a_verdict_given_by_htmx_leaves_the_tab_open(asked: TransitionRequest, sam: User, session: Session) -> None:
    url = asked.get_absolute_url()
    headers = {**HTMX, "HX-Current-URL": f"http://testserver{url}?tab=signature"}

    page = session(sam).post(f"{url}comment/", {"comment": "Hm."}, headers=headers).content.decode()

    assert "the input tenure_days is new and required" in page


def test_a_model_one_may_not_see_has_no_such_part(
    asked: TransitionRequest, eve: User, session: Session, settings: Any
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"

    assert session(eve).get(f"{asked.get_absolute_url()}changes/", headers=HTMX).status_code == 404


def test_a_commit_range_leads_to_a_known_host_only(mira: User, session: Session) -> None:
    model = make_model("churn", user=mira)
    for commit, stage in (("a" * 40, "Production"), ("b" * 40, "None")):
        for host in ("github.com", "git.example.com"):
            tags = {"mlflow.source.git.commit": commit, "mlflow.source.git.repoURL": f"https://{host}/acme/churn"}
            make_version(model, user=mira, run=make_run(user=mira, tags=tags), stage=stage)
    versions = {version.version: version for version in model.versions.all()}
    known, unknown = ask(versions[3], mira), ask(versions[4], mira)
    client = session(mira)

    linked = client.get(f"{known.get_absolute_url()}?tab=code&against=1").content.decode()
    plain = client.get(f"{unknown.get_absolute_url()}?tab=code&against=2").content.decode()

    assert f"https://github.com/acme/churn/compare/{'a' * 40}...{'b' * 40}" in linked
    assert "bbbbbbbbbb" in plain and "https://git.example.com/acme/churn/compare" not in plain


# -- What is lost ------------------------------------------------------------------------------------------------------


def break_storage() -> None:
    """Of every file there is: a folder where its bytes were cannot be read."""
    for key in ArtifactFile.objects.values_list("storage_key", flat=True):
        place = Path(default_storage.path(key))
        place.unlink()
        place.mkdir()


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("", "breaks callers of v1"),
        ("?tab=packages", "The file storage cannot be read now"),
        ("?tab=files&file=requirements.txt", "The file storage cannot be used now"),
    ],
)
def test_a_storage_that_fails_leaves_the_page_whole(
    mira: User, version: ModelVersion, session: Session, query: str, sentence: str
) -> None:
    files = {"MLmodel": b'signature:\n  inputs: \'[{"name": "a", "type": "long"}]\'\n', "requirements.txt": b"numpy==1"}
    review_request = ask(make_version(version.model, user=mira, files=files), mira)
    break_storage()

    answer = session(mira).get(f"{review_request.get_absolute_url()}{query}")

    assert answer.status_code == 200 and sentence in answer.content.decode()
    assert "Your review" in answer.content.decode()


@pytest.mark.parametrize(
    "tab", ["summary", "params", "signature", "packages", "data", "code", "files", "tags", "description"]
)
def test_a_version_about_which_nothing_is_known_has_every_tab(
    mira: User, version: ModelVersion, session: Session, tab: str
) -> None:
    bought = make_version(version.model, user=mira, files={}, run_id="")
    review_request = ask(bought, mira)

    answer = session(mira).get(f"{review_request.get_absolute_url()}?tab={tab}")

    assert answer.status_code == 200


def test_a_run_deleted_under_a_version_keeps_what_was_known(
    asked: TransitionRequest, show: Callable[[str], str]
) -> None:
    Run.objects.all().delete()

    assert "0.947" in show("") and "max_depth" in show("?tab=params")


def test_the_tab_of_dependencies_counts_what_is_kept(
    mira: User, sam: User, session: Session, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    for requirements in (b"numpy==1.0\npip\nold==1", b"numpy==2.0\npip\nnew==1"):
        version = make_version(
            "churn",
            user=mira,
            files={"requirements.txt": requirements},
            stage="Production" if b"old" in requirements else "None",
        )
    review_request, client = ask(version, mira), session(sam)
    assert tab_counts(changes(client, review_request))["packages"] is None
    with django_assert_max_num_queries(100) as unread:
        client.get(review_request.get_absolute_url())
        before = len(unread)

    tasks.scan_missed()
    for file in ArtifactFile.objects.all():
        default_storage.delete(file.storage_key)

    assert tab_counts(changes(client, review_request))["packages"] == 3
    with django_assert_max_num_queries(before):
        client.get(review_request.get_absolute_url())
    page = client.get(version.get_absolute_url())
    assert tab_counts(page.context)["packages"] == 3


# -- Line by line ------------------------------------------------------------------------------------------------------


@pytest.fixture
def edited(mira: User) -> TransitionRequest:
    """Its MLmodel differs from that of who holds Production, and has lines that would like to be run."""
    files = [{"MLmodel": text, "model.pkl": text, "same.txt": b"1"} for text in (b"a: 1\nb: 2\n", b"a: 1\n<script>\n")]
    make_version("churn", user=mira, stage="Production", files=files[0])
    return ask(make_version("churn", user=mira, files={**files[1], "new.txt": b"1"}), mira)


def test_a_changed_text_file_leads_to_the_lines_that_differ(
    edited: TransitionRequest, sam: User, session: Session, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    client, url = session(sam), edited.get_absolute_url()

    files = client.get(f"{url}?tab=files").content.decode()
    with django_assert_max_num_queries(15 + 1):  # of the two files, one
        page = client.get(f"{url}?tab=files&file=MLmodel&view=lines").content.decode()
    part = client.get(f"{url}changes/?tab=files&file=MLmodel&view=lines", headers=HTMX).content.decode()

    assert "file=MLmodel&amp;view=lines" in files and "file=model.pkl&amp;view" not in files
    assert "file=same.txt&amp;view" not in files and "file=new.txt&amp;view" not in files
    for shown in (page, part):
        assert "<del>b: 2</del>" in shown and "<ins>&lt;script&gt;</ins>" in shown
        assert '<span class="visually-hidden">removed</span>' in shown and "from version 1 to version 2" in shown
        assert "Whole file" in shown and "<script>\n" not in shown
    assert "<html" in page and "<html" not in part


def test_the_whole_file_leads_to_the_lines_and_only_where_there_are_some(
    edited: TransitionRequest, sam: User, session: Session
) -> None:
    client, url = session(sam), edited.get_absolute_url()

    def shown(query: str) -> str:
        return client.get(f"{url}?tab=files&{query}").content.decode()

    assert "Lines that differ</a>" in shown("file=MLmodel") and "Lines that differ</a>" in shown("file=model.pkl")
    assert "Lines that differ</a>" not in shown("file=same.txt")
    assert "the same bytes here" in shown("file=same.txt&view=lines")
    assert "No such artifact" in shown("file=../MLmodel&view=lines") or "Invalid path" in shown(
        "file=../MLmodel&view=lines"
    )
    break_storage()
    assert "The file storage cannot be used now" in shown("file=MLmodel&view=lines")


def test_lines_that_differ_everywhere_keep_to_the_size_of_a_page(mira: User, sam: User, session: Session) -> None:
    for stage in ("Production", "None"):
        text = base64.encodebytes(random.Random(stage).randbytes(200_000))
        version = make_version("churn", user=mira, stage=stage, files={"random.txt": text})

    answer = session(sam).get(f"{ask(version, mira).get_absolute_url()}?tab=files&file=random.txt&view=lines")

    assert "more lines are not shown" in answer.content.decode()
    assert len(gzip.compress(answer.content)) < 25_000
