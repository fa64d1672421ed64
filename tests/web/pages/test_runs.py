"""/runs/: the list and its filters, the page of a run, its curves and values, its files, and runs side by side."""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from registry.models import ModelVersion
from tests.factories import make_experiment, make_files, make_logged_model, make_model, make_run, make_version
from tracking.models import Experiment, Lifecycle, MetricPoint, Run, RunDataset
from web.pages.run_list import PAGE_SIZE

Session = Callable[[User], Client]


def text(answer: HttpResponse) -> str:
    return html.unescape(answer.content.decode())


def titles(answer: HttpResponse) -> list[str]:
    """The runs of a list, in their order."""
    return re.findall(r'class="row-title" href="/runs/\w+/">([^<]*)<', text(answer))


@pytest.fixture
def page(sam: User, session: Session) -> Client:
    return session(sam)


@pytest.fixture
def runs(mira: User, alice: User) -> list[Run]:
    churn = make_experiment("churn")
    return [
        make_run(run_name="first", user=mira, experiment=churn, metrics={"auc": 0.71, "loss": 0.5}),
        make_run(run_name="second", user=alice, experiment=churn, metrics={"auc": 0.812}, status="RUNNING"),
        make_run(run_name="third", user=mira, metrics={"auc": 0.93, "latency": 41}),
    ]


# -- The list ----------------------------------------------------------------------------------------------------------


def test_the_newest_run_stands_first_with_what_most_runs_logged(page: Client, runs: list[Run]) -> None:
    for at, run in enumerate(runs):
        Run.objects.filter(pk=run.pk).update(start_time=1000 * at)

    answer = page.get("/runs/")

    assert titles(answer) == ["third", "second", "first"]
    assert re.findall(r'class="num long" title="(\w+)"', text(answer)) == ["auc", "latency", "loss"]
    assert "0.812" in text(answer)


def test_columns_are_chosen_in_the_address(page: Client, runs: list[Run]) -> None:
    answer = text(page.get("/runs/?metric=loss&metric=nothing"))

    assert re.findall(r'class="num long" title="(\w+)"', answer) == ["loss", "nothing"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=IR", {"first", "third"}),
        ("status=RUNNING", {"second"}),
        ("user=alice", {"second"}),
        ("filter=metrics.auc+>+0.9", {"third"}),
        ("status=DELETED", set()),
    ],
)
def test_filters_stand_in_the_address(page: Client, runs: list[Run], query: str, found: set[str]) -> None:
    assert set(titles(page.get(f"/runs/?{query}"))) == found


def test_an_experiment_is_a_filter(page: Client, runs: list[Run]) -> None:
    answer = page.get(f"/runs/?experiment={runs[0].experiment_id}")

    assert set(titles(answer)) == {"first", "second"}
    assert f'<option value="{runs[0].experiment_id}" selected>' in text(answer)


def test_a_link_names_an_experiment_that_the_list_does_not_offer(page: Client, runs: list[Run]) -> None:
    Experiment.objects.filter(pk=runs[0].experiment_id).update(lifecycle_stage=Lifecycle.DELETED)

    answer = page.get(f"/runs/?experiment={runs[0].experiment_id}")

    assert f'<option value="{runs[0].experiment_id}" selected>churn<' in text(answer)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("filter=metrics.auc+>", "it ends too early"),
        ("filter=auc", "ends too early"),
        ("filter=metrics.auc+>+'a'", "must be a number"),
        ("filter=speed+=+'a'", "Invalid attribute key"),
        ("experiment=churn", "The experiment is a number"),
        ("status=ended", "There is no status 'ended'"),
        ("page=bm90aGluZw==", "page token"),
        ("page=!!", "page token"),
    ],
)
def test_what_cannot_be_read_is_explained_and_kept(page: Client, runs: list[Run], query: str, sentence: str) -> None:
    answer = page.get(f"/runs/?{query}")

    assert answer.status_code == 422
    assert sentence in text(answer)
    if query.startswith("filter="):
        assert "A filter is one or more conditions" in text(answer)
        assert 'aria-invalid="true"' in text(answer)


def test_pages_lead_on_and_keep_the_filters(page: Client, mira: User) -> None:
    experiment = make_experiment()
    for _ in range(PAGE_SIZE + 1):
        make_run(user=mira, experiment=experiment, run_name="one of many", metrics={"a b": 1.0})

    first = page.get("/runs/?q=many&metric=a+b&user=mira")
    [following] = re.findall(r'rel="next" href="([^"]+)"', text(first))
    second = page.get(f"/runs/{following}")

    assert (len(titles(first)), len(titles(second))) == (PAGE_SIZE, 1)
    assert following.startswith("?q=many&metric=a+b&user=mira&page=")
    assert 'href="?q=many&metric=a+b&user=mira">Newest' in text(second)


def test_htmx_gets_the_list_alone_and_the_address_with_the_filters(page: Client, runs: list[Run]) -> None:
    answer = page.get("/runs/?q=first&user=", headers={"HX-Request": "true"})

    assert answer["HX-Replace-Url"] == "/runs/?q=first"
    assert "<html" not in text(answer)
    assert titles(answer) == ["first"]


def test_a_run_names_the_versions_made_from_it(page: Client, runs: list[Run], mira: User) -> None:
    for _ in range(4):
        make_version("churn-predictor", run=runs[0], user=mira)

    answer = text(page.get("/runs/?q=first"))

    assert re.findall(r">(churn-predictor \d)<", answer) == ["churn-predictor 4", "churn-predictor 3"]
    assert f'href="/runs/{runs[0].run_id}/#versions">and 2 more' in answer


def test_versions_of_hidden_models_are_not_told(
    runs: list[Run], mira: User, eve: User, session: Session, settings: Settings
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    make_version("secret-model", run=runs[0], user=mira)
    page = session(eve)

    for path in ("/runs/", runs[0].get_absolute_url(), f"/runs/compare/?run={runs[0].run_id}"):
        assert "secret-model" not in text(page.get(path))


def test_without_a_run_the_page_says_how_to_make_one(page: Client) -> None:
    assert "mlflow.start_run()" in text(page.get("/runs/"))
    assert "No run fits" in text(page.get("/runs/?q=nothing"))


# -- One run -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(mira: User) -> Run:
    """With one of everything."""
    run = make_run(
        user=mira,
        run_name="grand-owl-42",
        params={"depth": "8", "long": "v" * 5000},
        tags={
            "team": "risk",
            "mlflow.note.content": "Better on **October**.",
            "mlflow.source.name": "train.py",
            "mlflow.source.git.commit": "9f2c1ab" + "0" * 33,
            "mlflow.source.git.dirty": "True",
        },
        metrics={"accuracy": 0.947},
    )
    curve = [{"timestamp": 1000 * at, "step": at, "value": 1 / (at + 1)} for at in range(30)]
    MetricPoint.objects.bulk_create(MetricPoint(run=run, key="loss", **point) for point in curve)
    run.metrics["loss"] = {"value": 1 / 30, "timestamp": 29_000, "step": 29, "dataset_name": "churn-2026-10"}
    run.save()
    RunDataset.objects.create(run=run, name="churn-2026-10", digest="abc123", tags={"mlflow.data.context": "training"})
    make_files(run.run_id, {"logs/train.txt": b"lines", "config.json": b"{}"})
    make_logged_model(run, name="forest")
    return run


def test_the_page_of_a_run_shows_all_that_it_logged(page: Client, run: Run, mira: User) -> None:
    parent = make_run(run_name="the sweep")
    run.tags["mlflow.parentRunId"] = parent.run_id
    run.save()
    make_run(run_name="a part", tags={"mlflow.parentRunId": run.run_id})
    make_version("churn-predictor", run=run, user=mira, stage="Production", aliases=["champion"])

    answer = text(page.get(run.get_absolute_url()))

    for said in (
        "grand-owl-42", "Better on <strong>October</strong>.", "train.py", "9f2c1ab", "with changes that were not",
        "0.947", "churn-2026-10", "abc123", "training", "logs/train.txt", "forest", "the sweep", "a part",
        "churn-predictor version 1", "@champion", "Production",
    ):  # fmt: skip
        assert said in answer


def test_a_version_made_from_a_run_leads_to_it(page: Client, run: Run, mira: User) -> None:
    version = make_version(run=run, user=mira)

    assert f'<a href="/runs/{run.run_id}/">grand-owl-42</a>' in text(page.get(version.get_absolute_url()))


def test_a_run_on_another_server_has_no_link(page: Client, mira: User) -> None:
    version = make_version("elsewhere", user=mira, files={}, run_id="f" * 32)

    assert f"/runs/{'f' * 32}" not in text(page.get(version.get_absolute_url()))


def test_the_curves_are_those_of_metrics_with_several_steps_or_those_chosen(page: Client, run: Run) -> None:
    usual, chosen = page.get(run.get_absolute_url()), page.get(f"{run.get_absolute_url()}?metric=accuracy&metric=no")

    assert re.findall(r'data-curve="(\w+)"', text(usual)) == ["loss"]
    assert re.findall(r'data-curve="(\w+)"', text(chosen)) == ["accuracy"]
    assert f'href="/runs/{run.run_id}/history/?metric=loss"' in text(usual)


def test_a_deleted_run_says_so_and_versions_keep_what_they_know(page: Client, run: Run, mira: User) -> None:
    version = make_version(run=run, user=mira)
    Run.objects.filter(pk=run.pk).update(lifecycle_stage=Lifecycle.DELETED)

    assert "This run was deleted" in text(page.get(run.get_absolute_url()))
    assert "0.947" in text(page.get(version.get_absolute_url()))


def test_only_a_run_that_goes_on_is_asked_again(page: Client, run: Run) -> None:
    ended = text(page.get(run.get_absolute_url()))
    Run.objects.filter(pk=run.pk).update(status="RUNNING", end_time=None)
    running = text(page.get(run.get_absolute_url()))
    part = text(page.get(run.get_absolute_url(), headers={"HX-Request": "true"}))
    Run.objects.filter(pk=run.pk).update(lifecycle_stage=Lifecycle.DELETED)
    deleted = text(page.get(run.get_absolute_url()))

    assert [("every 10s" in answer) for answer in (ended, running, part, deleted)] == [False, True, True, False]
    assert "<html" not in part


def test_metrics_are_found_by_a_part_of_their_name_and_paged(page: Client) -> None:
    run = make_run(metrics={f"metric-{number:04}": number for number in range(2000)})

    first, third, found = (
        text(page.get(f"{run.get_absolute_url()}?{query}")) for query in ("", "from=100", "find=1999")
    )

    assert "1–50 of 2000" in first and "metric-0049" in first and "metric-0050" not in first
    assert "101–150 of 2000" in third
    assert "metric-1999" in found and "1–1 of 1" in found


@pytest.mark.parametrize("query", ["from=-1", "from=x", "from=99999999999", "find=%22%3E", "all=everything", "metric="])
def test_an_address_that_means_nothing_shows_the_page(page: Client, run: Run, query: str) -> None:
    assert page.get(f"{run.get_absolute_url()}?{query}").status_code == 200


def test_much_is_shortened_and_shown_whole_when_asked(page: Client) -> None:
    run = make_run(
        params={f"param-{number:04}": "v" * 1000 for number in range(500)},
        tags={f"tag-{number:04}": "w" for number in range(300)},
    )
    make_files(run.run_id, {f"file-{number:04}.txt": b"x" for number in range(150)})
    shown, params, tags, files = (
        text(page.get(f"{run.get_absolute_url()}{query}")) for query in ("", "?all=params", "?all=tags", "?all=files")
    )

    assert "param-0499" not in shown and "v" * 300 not in shown and "Show all 500 whole" in shown
    assert "param-0499" in params and "v" * 1000 in params
    assert "tag-0299" not in shown and "tag-0299" in tags
    assert "file-0149" not in shown and "file-0149" in files


def test_moments_and_figures_that_nobody_expects_leave_the_page_whole(page: Client) -> None:
    run = make_run(metrics={"huge": sys.float_info.max, "tiny": 5e-324, "minus": -1e300})
    run.metrics["nan"] = {"value": "NaN", "timestamp": 2**63 - 1, "step": 2**63 - 1}
    run.start_time, run.end_time = 2**63 - 1, -(2**63)
    run.save()

    answer = page.get(run.get_absolute_url())

    assert answer.status_code == 200
    assert "1.80e+308" in text(answer) and "NaN" in text(answer)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "w" * 250, "نموذج", "🚀 model", '" onload="x'])
def test_hostile_names_stay_text(page: Client, name: str, mira: User) -> None:
    run = make_run(
        run_name=name,
        user=mira,
        metrics={name: 1.0},
        params={name: name},
        tags={name: name},
    )
    run.metrics[name]["step"] = 3
    run.save()

    for path in (
        "/runs/", run.get_absolute_url(), f"/runs/compare/?run={run.run_id}", run.experiment.get_absolute_url(),
        f"/runs/{run.run_id}/history/?{urlencode({'metric': name})}",
    ):  # fmt: skip
        answer = page.get(path)
        assert answer.status_code == 200
        assert b"<script>alert" not in answer.content
        assert b'" onload="' not in answer.content


@pytest.mark.parametrize("path", ["/runs/nothing/", "/runs/nothing/history/?metric=a", f"/runs/{'x' * 300}/"])
def test_no_other_run_has_a_page(page: Client, path: str) -> None:
    assert page.get(path).status_code == 404


# -- Curves and values -------------------------------------------------------------------------------------------------


def test_a_chart_gets_its_curves_as_json(page: Client, run: Run) -> None:
    answer = page.get(f"/runs/{run.run_id}/history/?format=json&metric=loss&metric=nothing")

    [series] = answer.json()["series"]
    assert answer.json()["run_id"] == run.run_id
    assert (series["metric"], series["steps"][:3], series["values"][0]) == ("loss", [0, 1, 2], 1.0)
    assert len(series["steps"]) == len(series["times"]) == len(series["values"]) == 30


@pytest.mark.parametrize(
    "query", ["", "format=json", "metric=a&" * 9 + "metric=b", "&".join(f"metric=m{n}" for n in range(9))]
)
def test_one_to_eight_metrics_are_asked_for(page: Client, run: Run, query: str) -> None:
    allowed = len(set(re.findall(r"metric=\w+", query))) in range(1, 9)

    assert page.get(f"/runs/{run.run_id}/history/?{query}").status_code == (200 if allowed else 400)


def test_every_value_stands_in_a_table_page_by_page(page: Client, run: Run) -> None:
    MetricPoint.objects.bulk_create(
        MetricPoint(run=run, key="long", step=at, timestamp=at, value=float(at), is_nan=at == 3) for at in range(150)
    )

    first = text(page.get(f"/runs/{run.run_id}/history/?metric=long"))
    [following] = re.findall(r'rel="next" href="([^"]+)"', first)
    second = text(page.get(f"/runs/{run.run_id}/history/{following}"))

    assert first.count("<tr>") == 101 and "NaN" in first
    assert second.count("<tr>") == 51 and "149" in second


def test_a_page_token_of_another_list_is_refused(page: Client, run: Run) -> None:
    assert page.get(f"/runs/{run.run_id}/history/?metric=loss&page=bm8=").status_code == 400


# -- Files -------------------------------------------------------------------------------------------------------------


def test_a_file_is_sent_as_an_attachment(page: Client, run: Run) -> None:
    answer = page.get(f"/runs/{run.run_id}/files/logs/train.txt")

    assert b"".join(answer.streaming_content) == b"lines"  # type: ignore[attr-defined]
    assert answer["Content-Disposition"] == "attachment; filename=train.txt"


@pytest.mark.parametrize(("path", "status"), [("nothing", 404), ("logs", 400), ("../other", 400)])
def test_what_is_no_file_is_refused(page: Client, run: Run, path: str, status: int) -> None:
    assert page.get(f"/runs/{run.run_id}/files/{path}").status_code == status


# -- Side by side ------------------------------------------------------------------------------------------------------


def compared(page: Client, *runs: Run, **query: Any) -> HttpResponse:
    return page.get("/runs/compare/", {"run": [run.run_id for run in runs], **query})


def test_runs_stand_side_by_side_with_what_differs(page: Client, mira: User) -> None:
    one = make_run(run_name="one", user=mira, params={"depth": "6", "eta": "0.1"}, metrics={"auc": 0.71})
    other = make_run(run_name="other", user=mira, params={"depth": "8", "eta": "0.1"}, metrics={"auc": 0.82, "f1": 0.5})

    answer = text(compared(page, one, other))

    [differing] = re.findall(r'aria-label="Parameters that differ">(.*?)</table>', answer, re.DOTALL)
    assert "depth" in differing and "eta" not in differing
    assert "1 the same in all" in answer
    assert "0.710" in answer and "0.820" in answer and "2 runs compared" in answer


def test_curves_of_all_runs_lie_in_one_chart(page: Client, mira: User) -> None:
    runs = [make_run(user=mira, run_name=f"run {number}", metrics={"loss": 0.5}) for number in range(3)]
    for run in runs[:2]:
        run.metrics["loss"]["step"] = 9
        run.save()

    [series] = re.findall(r'data-series="([^"]+)"', compared(page, *runs).content.decode())

    looks = [(one["label"], one["look"]) for one in json.loads(html.unescape(series))]
    assert looks == [("run 0", 1), ("run 1", 2), ("run 2", 3)]


def test_more_than_eight_are_too_many_to_tell_apart(page: Client) -> None:
    answer = text(compared(page, *(make_run() for _ in range(10))))

    assert "8 runs compared" in answer
    assert "Only the first 8" in answer


def test_without_runs_the_page_says_where_to_choose_them(page: Client) -> None:
    assert "Choose the runs to compare" in text(page.get("/runs/compare/"))


def test_an_unknown_run_among_them_is_not_found(page: Client, run: Run) -> None:
    assert page.get(f"/runs/compare/?run={run.run_id}&run=nothing").status_code == 404


def test_thousands_of_metrics_are_found_by_name(page: Client) -> None:
    runs = [make_run(metrics={f"metric-{number:04}": number for number in range(1000)}) for _ in range(2)]

    assert "and 800 more" in text(compared(page, *runs))
    assert "metric-0999" in text(compared(page, *runs, find="0999"))


def test_a_version_of_a_model_without_a_name_left_is_not_listed(page: Client, run: Run, mira: User) -> None:
    model = make_model("deleted-model", user=mira)
    ModelVersion.objects.filter(pk=make_version(model, run=run).pk).update(deleted_at=run.started_at)

    assert "deleted-model" not in text(page.get(run.get_absolute_url()))
