"""LIKE, ILIKE and globs, the same on SQLite and PostgreSQL; values under a key of a JSON column."""

from __future__ import annotations

import pytest

from core.json_values import LatestNumber, NumberAt, TextAt
from tests.factories import make_logged_model, make_run
from tracking.models import Experiment, LoggedModel, Run

pytestmark = pytest.mark.django_db
NAMES = ["Churn", "churn", "churn-2", "ch%rn", "ch_rn", "c*urn", "c?urn", "[c]hurn", "c\\hurn", "größe", ""]


def found(lookup: str, pattern: str) -> set[str]:
    for name in NAMES:
        Experiment.objects.get_or_create(name=f"<{name}>", defaults={"artifact_location": "x"})
    rows = Experiment.objects.filter(**{f"name__{lookup}": f"<{pattern}>"})
    return {name[1:-1] for name in rows.values_list("name", flat=True)}


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("churn", {"churn"}),
        ("CHURN", set()),
        ("churn%", {"churn", "churn-2"}),
        ("%urn", {"Churn", "churn", "c*urn", "c?urn", "[c]hurn", "c\\hurn"}),
        ("c_urn", {"churn", "c*urn", "c?urn"}),
        ("ch%rn", {"churn", "ch%rn", "ch_rn"}),
        ("c*urn", {"c*urn"}),
        ("c?urn", {"c?urn"}),
        ("[c]hurn", {"[c]hurn"}),
        ("c\\hurn", {"c\\hurn"}),
        ("c\\_hurn", set()),
        ("gr__e", {"größe"}),
        ("%", set(NAMES)),
        ("", {""}),
    ],
)
def test_like(pattern: str, names: set[str]) -> None:
    assert found("like", pattern) == names


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("CHURN", {"Churn", "churn"}),
        ("cHuRn%", {"Churn", "churn", "churn-2"}),
        ("C\\HURN", {"c\\hurn"}),
        ("C*URN", {"c*urn"}),
        ("[C]%", {"[c]hurn"}),
    ],
)
def test_ilike(pattern: str, names: set[str]) -> None:
    assert found("ilike", pattern) == names


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("churn*", {"churn", "churn-2"}),
        ("?hurn", {"Churn", "churn"}),
        ("ch%rn", {"ch%rn"}),
        ("ch_rn", {"ch_rn"}),
        ("[c]hurn", {"[c]hurn"}),
        ("c\\hurn", {"c\\hurn"}),
        ("*", set(NAMES)),
        ("CHURN", set()),
    ],
)
def test_glob(pattern: str, names: set[str]) -> None:
    assert found("glob", pattern) == names


KEYS = [
    "plain",
    "a b",
    "a.b",
    "5",
    "größe",
    "a/b:c-d",
    'quo"te',
    "back\\slash",
    "$",
    "[0]",
    "per%cent",
    "value",
    "%s",
    "{key}",
]


@pytest.mark.parametrize("key", KEYS)
def test_a_text_is_found_under_any_key(key: str) -> None:
    run = make_run(tags={key: "here", "other": "there"})
    make_run(tags={"other": "here"})

    assert list(Run.objects.annotate(found=TextAt("tags", key)).filter(found="here")) == [run]


@pytest.mark.parametrize("key", KEYS)
def test_a_number_is_found_under_any_key(key: str) -> None:
    run = make_run(metrics={key: 0.5, "other": 2})
    make_run(metrics={"other": 2})

    assert list(Run.objects.annotate(found=NumberAt("metrics", key)).filter(found__gt=0.25)) == [run]


def test_nan_is_no_number() -> None:
    Run.objects.filter(pk=make_run().pk).update(metrics={"auc": {"value": "NaN", "timestamp": 1, "step": 0}})

    assert Run.objects.annotate(found=NumberAt("metrics", "auc")).get().found is None


@pytest.mark.parametrize("value", [1.7976931348623157e308, -1.7976931348623157e308, 5e-324, 1e22, 0.1, -0.0])
def test_every_double_is_the_same_after_the_database(value: float) -> None:
    make_run(metrics={"auc": value})

    assert Run.objects.annotate(found=NumberAt("metrics", "auc")).get().found == value


def test_the_latest_entry_of_a_list_counts() -> None:
    entries = [
        {"key": "auc", "value": 0.7, "timestamp": 10, "step": 0},
        {"key": "auc", "value": 0.9, "timestamp": 9, "step": 5, "dataset_name": "test", "dataset_digest": "d1"},
        {"key": "auc", "value": 0.8, "timestamp": 8, "step": 0, "dataset_name": "test", "dataset_digest": "d2"},
        {"key": "f1", "value": "NaN", "timestamp": 99, "step": 0},
    ]
    make_logged_model(metrics=entries)

    def value(key: str, *datasets: tuple[str, str]) -> float | None:
        return LoggedModel.objects.annotate(found=LatestNumber("metrics", key, datasets)).get().found  # type: ignore[no-any-return]

    assert value("auc") == 0.7
    assert value("auc", ("test", "")) == 0.9
    assert value("auc", ("test", "d2")) == 0.8
    assert value("auc", ("test", "d1"), ("test", "d2")) == 0.9
    assert value("auc", ("train", "")) is None
    assert value("f1") is None
    assert value("absent") is None
