"""The graph of a version: what leads to it and where it leads, what is missing, and how much of many is shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from accounts.models import Level, User
from core.clock import now
from core.layered import Shape, drawn
from registry import evidence as of_versions
from registry import services
from registry.gate import Target
from registry.lineage import FEW, MANY, MOST_INPUTS, brief, whole
from registry.lineage_graph import THIS, Graph, Look
from registry.lineage_inputs import WORKED_FROM, named_in
from registry.models import ModelVersion, RegisteredModel, Stage, StageHolding, TargetKind
from tests.cast import person
from tests.factories import make_deployment, make_logged_model, make_run, make_version
from tracking.models import Lifecycle, Run, RunDataset

pytestmark = pytest.mark.django_db
PRODUCTION = Target(TargetKind.STAGE, "Production")


def lines(graph: Graph) -> set[tuple[str, str]]:
    """The edges, by what the boxes say."""
    return {(graph.nodes[start].text, graph.nodes[end].text) for start, end in graph.edges}


def looks(graph: Graph, look: Look) -> dict[str, str]:
    return {node.text: node.note for node in graph.nodes.values() if node.look == look}


def with_data(run: Run, *names: str) -> Run:
    for name in names:
        RunDataset.objects.create(run=run, name=name, digest=name, tags={"mlflow.data.context": "training"})
    return run


def made_of(version: ModelVersion, **data: Any) -> dict[str, Any]:
    """Its evidence, but for these parts."""
    return {**of_versions.known_of(version), **data}


def copy_of(name: str) -> ModelVersion:
    """Version 1 of churn, copied from version 1 of another model."""
    version = make_version("churn")
    version.source = f"models:/{name}/1"
    version.save(update_fields=["source"])
    return version


# -- What it was made from ---------------------------------------------------------------------------------------------


def test_data_code_and_the_parent_lead_to_the_run_and_that_to_the_version(reader: User) -> None:
    parent = make_run(run_name="sweep")
    tags = {"mlflow.source.git.commit": "9f2c1ab0", "mlflow.parentRunId": parent.run_id}
    run = with_data(make_run(run_name="grand-owl", tags=tags), "october", "november")

    graph = whole(reader, make_version("churn", run=run))

    assert lines(graph) == {
        ("october", "grand-owl"), ("november", "grand-owl"), ("git 9f2c1ab", "grand-owl"), ("sweep", "grand-owl"),
        ("grand-owl", "version 1"),
    }  # fmt: skip
    assert graph.nodes["dataset october"].note == "training"
    assert not looks(graph, Look.MISSING)


def test_a_logged_model_stands_between_run_and_version(reader: User) -> None:
    run = make_run(run_name="grand-owl")
    logged = make_logged_model(run, name="forest")

    graph = whole(reader, make_version("churn", run=run, logged_model_id=logged.model_id))

    assert {("grand-owl", "forest"), ("forest", "version 1")} <= lines(graph)


def test_a_copy_comes_from_the_version_of_the_other_model(reader: User) -> None:
    make_version("dev.churn")

    graph = whole(reader, copy_of("dev.churn"))

    assert ("dev.churn version 1", "version 1") in lines(graph)
    assert graph.nodes["origin"].ref == ("dev.churn", 1)


def test_a_model_that_one_may_not_see_is_not_named(settings: Any) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    make_version("secret")
    version = copy_of("secret")
    guest = person("guest")
    services.change_grants(actor=person("boss", is_superuser=True), model=version.model, levels={guest: Level.READ})

    graph = whole(guest, version)

    assert (graph.nodes["origin"].text, graph.nodes["origin"].ref) == ("a model you may not see", "")
    assert "secret" not in repr(graph)


def test_a_model_that_took_the_name_later_is_not_the_origin(reader: User, manager: User) -> None:
    first = make_version("dev")
    copy = copy_of("dev")
    services.delete_model(actor=manager, model=first.model)
    again = make_version("dev")
    ModelVersion.objects.filter(pk=again.pk).update(creation_timestamp=copy.creation_timestamp + 1)

    assert whole(reader, copy).nodes["origin"].look == Look.MISSING


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda run: Run.objects.filter(pk=run.pk).update(lifecycle_stage=Lifecycle.DELETED), "deleted"),
        (lambda run: run.delete(), "no longer here"),
    ],
)
def test_a_run_that_is_gone_is_missing_and_what_it_said_stays(
    reader: User, change: Callable[[Run], object], note: str
) -> None:
    run = with_data(make_run(run_name="grand-owl"), "october")
    version = make_version("churn", run=run)
    change(run)

    graph = whole(reader, version)

    assert looks(graph, Look.MISSING) == {"grand-owl": note, "no commit": "the run names none"}
    assert ("october", "grand-owl") in lines(graph)


def test_a_run_elsewhere_says_where(reader: User) -> None:
    version = make_version("churn", run_id="f" * 32, files={})
    read = made_of(version, run={"run_id": "f" * 32, "run_name": "bold-finch"}, origin={"server": "https://other"})
    of_versions.refresh(version, outside=read)

    assert looks(whole(reader, version), Look.MISSING)["bold-finch"] == "on https://other"


def test_what_nobody_knows_is_missing_without_more(reader: User) -> None:
    unknown = make_version("churn", run_id="f" * 32, files={})
    without = make_version("churn", run_id="", files={})

    assert looks(whole(reader, unknown), Look.MISSING) == {"f" * 32: "not known here"}
    assert looks(whole(reader, without), Look.MISSING) == {"no run": "nothing says how it was made"}
    assert looks(brief(without, {}), Look.MISSING) == {"no run": "nothing says how it was made"}


def test_a_run_without_data_and_code_says_so(reader: User) -> None:
    version = make_version("churn")

    for graph in (whole(reader, version), brief(version, of_versions.known_of(version))):
        assert set(looks(graph, Look.MISSING)) == {"no dataset", "no commit"}


def test_a_parent_that_is_gone_or_the_run_itself(reader: User) -> None:
    lost = make_version("churn", run=make_run(tags={"mlflow.parentRunId": "e" * 32}))
    run = make_run(run_id="d" * 32, tags={"mlflow.parentRunId": "d" * 32})

    assert whole(reader, lost).nodes["parent"].look == Look.MISSING
    assert "parent" not in whole(reader, make_version("churn", run=run)).nodes


# -- What it holds, and who held it before and after -------------------------------------------------------------------


def move(version: ModelVersion, actor: User) -> None:
    services.move_to_stage(actor=actor, version=version, stage=Stage.PRODUCTION, archive_existing=True)


def test_the_versions_before_and_after_it_on_the_same_target(reader: User, manager: User) -> None:
    first, middle, last = (make_version("churn") for _ in range(3))
    for version in (first, middle, last):
        move(version, manager)

    graph = whole(reader, middle)

    assert {("version 1", "version 2"), ("version 2", "version 3"), ("version 3", "Production")} <= lines(graph)
    assert ("version 2", "Production") not in lines(graph)  # through the one that took it
    assert (graph.nodes["target Production"].note, graph.nodes["target Production"].look) == ("version 3 now", "")
    assert graph.nodes["version 1"].note == "Production"


def test_what_nobody_holds_any_more_is_past(reader: User, manager: User) -> None:
    version = make_version("churn")
    move(version, manager)
    services.move_to_stage(actor=manager, version=version, stage=Stage.ARCHIVED)
    version.refresh_from_db()

    graph = whole(reader, version)

    assert ("version 1", "Production") in lines(graph)
    assert set(looks(graph, Look.PAST)) == {"Production"}
    assert graph.nodes[THIS].note == "archived"


def test_who_came_before_and_again_after_stands_after_it(reader: User, manager: User) -> None:
    first, second = make_version("churn"), make_version("churn")
    for version in (first, second, first):
        move(version, manager)

    graph = whole(reader, second)

    assert ("version 2", "version 1") in lines(graph) and ("version 1", "version 2") not in lines(graph)


def test_aliases_and_a_deleted_holder(reader: User, manager: User) -> None:
    first, second = make_version("churn"), make_version("churn")
    services.set_alias(actor=manager, version=first, alias="champion")
    services.set_alias(actor=manager, version=second, alias="champion")
    services.set_alias(actor=manager, version=second, alias="shadow")
    services.delete_version(actor=manager, version=first)

    graph = whole(reader, second)

    assert {("version 2", "@champion"), ("version 2", "@shadow"), ("version 1", "version 2")} <= lines(graph)
    assert looks(graph, Look.MISSING)["version 1"] == "@champion, deleted"
    assert graph.nodes["version 1"].ref == ""  # it has no page any more


def test_what_is_asked_for_and_whom_it_replaces(reader: User) -> None:
    holder, version = make_version("churn", stage="Production"), make_version("churn", aliases=["shadow"])

    graph = brief(version, of_versions.known_of(version), asked=PRODUCTION, replaces=holder)

    assert {("version 2", "Production"), ("version 1", "Production")} <= lines(graph)
    assert looks(graph, Look.ASKED) == {"Production": ""}
    assert "@shadow" not in {node.text for node in graph.nodes.values()}


# -- Where it runs -----------------------------------------------------------------------------------------------------


def test_where_it_runs_and_what_runs_that_should_not(reader: User) -> None:
    held = make_version("churn", stage="Production")
    make_deployment(held, "eu-west", link="https://eu.example.com/")
    make_deployment(held, "us-east", status="failed")
    behind = make_version("churn")
    make_deployment(behind, "old")

    assert {("version 1", "eu-west"), ("version 1", "us-east")} <= lines(whole(reader, held))
    assert looks(whole(reader, held), Look.BAD) == {"us-east": "failed"}
    assert looks(whole(reader, behind), Look.BAD) == {"old": "version 2 holds nothing, Production is 1"}
    assert ("version 1", "eu-west") in lines(brief(held, {}, deployments=list(held.deployments.with_rows())))


# -- Many --------------------------------------------------------------------------------------------------------------


def heap(rows: int) -> ModelVersion:
    """A version with so many of everything."""
    version = make_version("churn", run=with_data(make_run(), *(f"part-{number}" for number in range(rows))))
    model: RegisteredModel = version.model
    others = [ModelVersion(model=model, version=number + 2, source="s3://b") for number in range(2 * rows)]
    others = ModelVersion.objects.bulk_create(others)
    moment = now()
    StageHolding.objects.bulk_create(
        [
            StageHolding(model=model, version=version, target_kind="stage", target="Production", since=moment),
            *(
                StageHolding(model=model, version=version, target_kind="alias", target=f"a{number}", since=moment)
                for number in range(rows)
            ),
            *(
                StageHolding(
                    model=model, version=other, target_kind="stage", target="Production",
                    since=moment + timedelta(minutes=number - rows + (number >= rows)), until=moment,
                )
                for number, other in enumerate(others)
            ),
        ]
    )  # fmt: skip
    for number in range(rows):
        make_deployment(version, f"place-{number:04}", reporter=person(f"by-{number}") if not number else None)
    return version


def test_the_nearest_of_many_are_shown_and_the_others_counted(reader: User) -> None:
    graph = whole(reader, heap(rows=100))

    more = {key: node.text for key, node in graph.nodes.items() if node.look == Look.MORE}
    assert set(more) == {"more Dataset", "more Before it", "more After it", "more Holds", "more Deployment"}
    assert len(graph.nodes) <= 5 * MANY + 4
    assert "version 101" in graph.nodes and "version 2" not in graph.nodes  # the last one before it, not the first


def test_a_small_picture_shows_a_few(reader: User) -> None:
    version = make_version("churn", run=with_data(make_run(), "a", "b", "c", "d"), aliases=["v", "w", "x", "y"])

    graph = brief(version, of_versions.known_of(version))

    assert [node.text for node in graph.nodes.values() if node.look == Look.MORE] == ["2 more", "2 more"]
    assert sum(key.startswith("dataset") for key in graph.nodes) == FEW - 1


@pytest.mark.parametrize("rows", [1, 100])
def test_five_statements_whatever_the_size(
    reader: User, django_assert_max_num_queries: Callable[..., Any], rows: int
) -> None:
    version = heap(rows)
    logged = make_logged_model()
    version.logged_model_id = logged.model_id
    of_versions.known_of(version)

    with django_assert_max_num_queries(5):
        graph = whole(reader, version)

    assert THIS in graph.nodes and drawn(list(graph.nodes), graph.edges, Shape(10, 10, 2, 4)).paths


# -- The models that its run names -------------------------------------------------------------------------------------


def inputs(graph: Graph) -> dict[str, tuple[str, str, object]]:
    return {node.text: (node.note, node.look, node.ref) for node in graph.nodes.values() if node.role == WORKED_FROM}


def test_models_that_a_run_names_stand_before_it(reader: User) -> None:
    base, made = make_version("base", stage="Production", aliases=["champion"]), make_run()
    logged, elsewhere = make_logged_model(made, name="encoder"), make_logged_model(name="decoder")
    run = make_run(
        run_name="tuning",
        inputs={"models": [logged.model_id]},
        tags={"base": "models:/base/1", "twice": "models:/base/1", "of": "models:/base@champion"},
        params={
            "start": "models:/base/Production",
            "and": f"models:/{elsewhere.model_id}",
            "not": "see models:/base/1",
        },
    )

    graph = whole(reader, make_version("churn", run=run))

    assert inputs(graph) == {
        "encoder": ("a logged input", "", made.run_id),
        "decoder": ("and", "", ""),
        "base version 1": ("base", "", ("base", base.version)),
        "base@champion": ("version 1 now", "", ("base", 1)),
        "base Production": ("version 1 now", "", ("base", 1)),
    }
    assert {(text, "tuning") for text in inputs(graph)} <= lines(graph)


def test_the_small_picture_names_what_the_evidence_does(reader: User) -> None:
    few = make_version("churn", run=make_run(tags={"base": "models:/base/4", "of": "models:/base@champion"}))
    logged = make_version("churn", run=make_run(tags={"logged": f"models:/m-{'a' * 32}/data"}))
    many = make_version("churn", run=make_run(tags={f"t{number}": f"models:/base/{number}" for number in range(1, 9)}))

    assert inputs(brief(few, of_versions.known_of(few))) == {
        "base version 4": ("base", "", ("base", 4)),
        "base@champion": ("of", "", ("base", 0)),
    }
    assert inputs(brief(logged, of_versions.known_of(logged))) == {f"m-{'a' * 32}": ("logged", "", "")}
    assert [node.text for node in brief(many, of_versions.known_of(many)).nodes.values()][-2:] == [
        "base version 1", "7 more",
    ]  # fmt: skip


def test_models_that_are_gone_or_not_for_who_asks_are_missing_and_alike(settings: Any) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    make_version("secret", stage="Production", aliases=["champion"])
    gone = make_logged_model(name="gone", deleted_at=now())
    named = ["secret/1", "nothing/1", "secret@champion", "nothing@champion", "secret/Production", "nothing/Production"]
    run = make_run(
        inputs={"models": [gone.model_id, "m-" + "0" * 32]},
        tags={f"tag {number}": f"models:/{address}" for number, address in enumerate(named)},
    )
    version = make_version("churn", run=run)
    guest = person("guest")
    services.change_grants(actor=person("boss", is_superuser=True), model=version.model, levels={guest: Level.READ})

    found = inputs(whole(guest, version))

    assert {look for _, look, _ in found.values()} == {Look.MISSING} and {ref for _, _, ref in found.values()} == {""}
    for text, (note, _, _) in found.items():
        if text.startswith("secret"):
            assert found[text.replace("secret", "nothing")][0] == note
    assert found["gone"][0] == "deleted" and found["m-" + "0" * 32][0] == "not known here"


def test_a_model_that_took_the_name_later_is_not_what_was_worked_from(reader: User, manager: User) -> None:
    first = make_version("base")
    version = make_version("churn", run=make_run(tags={"base": "models:/base/1"}))
    services.delete_model(actor=manager, model=first.model)
    again = make_version("base")
    ModelVersion.objects.filter(pk=again.pk).update(creation_timestamp=version.creation_timestamp + 1)

    assert inputs(whole(reader, version))["base version 1"][1] == Look.MISSING


def test_neither_the_version_nor_what_it_comes_from_nor_what_its_run_made_is_an_input(reader: User) -> None:
    made, own = make_logged_model(), make_logged_model()
    tags = {"self": "models:/churn/1", "copied": "models:/dev/1"}
    run = make_run(inputs={"models": [made.model_id, own.model_id]}, outputs=[{"model_id": made.model_id}], tags=tags)
    version = make_version("churn", run=run, logged_model_id=own.model_id)
    assert set(inputs(whole(reader, version))) == {"dev version 1"}

    version.source = "models:/dev/1"

    assert inputs(whole(reader, version)) == {}


@pytest.mark.parametrize("text", ["models:/", "models:/a", "models:/a/b/1", "models:/a/1/b", "models:/a/" + "9" * 30,
    "models:/a@", "models:/@b", "models:/a@b@c", "models:/a/0", "models:/a/000", "models:/a/Stag\u0131ng",
    f"models:/{'a' * 500}/1", "runs:/a/1", "models:/m-x"])  # fmt: skip
def test_what_is_no_address_names_nothing(text: str, reader: User) -> None:
    assert named_in({"tags": {"base": text}, "params": {"base": text}}) == []
    assert inputs(whole(reader, make_version("churn", run=make_run(tags={"base": text})))) == {}


def test_a_copy_of_what_never_was_is_one_of_what_is_gone(reader: User) -> None:
    version = copy_of("base")
    version.source = "models:/base/0"

    assert looks(whole(reader, version), Look.MISSING)["a model you may not see"] == "or that is gone"


def test_many_models_are_a_few_and_a_count_in_six_statements(
    reader: User, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    run = make_run(
        tags={f"t{number:03}": f"models:/base/{number + 1}" for number in range(500)},
        params={f"p{number:03}": f"models:/other-{number}@champion" for number in range(500)},
        inputs={"models": [f"m-{number:032}" for number in range(500)]},
    )
    version = make_version("churn", run=run, logged_model_id=make_logged_model().model_id)
    version.evidence  # noqa: B018 (read with the version)

    with django_assert_max_num_queries(6):
        graph = whole(reader, version)

    assert len(inputs(graph)) == MOST_INPUTS - 1
    assert graph.nodes[f"more {WORKED_FROM}"].text == f"{1500 - MOST_INPUTS + 1} more"
    assert drawn(list(graph.nodes), graph.edges, Shape(10, 10, 2, 4)).paths
