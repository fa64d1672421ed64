"""Several versions beside one another."""

from __future__ import annotations

import json
from typing import Any

from registry.side_by_side import MOST_ROWS, Part, side_by_side


def known(**more: Any) -> dict[str, Any]:
    return {"params": {}, "metrics": {}, "tags": {}, "datasets": [], "files": [], **more}


def part(kind: str, *evidence: dict[str, Any], **how: bool) -> Part | None:
    return next((part for part in side_by_side(list(evidence), **how) if part.kind == kind), None)


def test_metrics_say_how_far_each_is_from_the_first() -> None:
    values = (0.5, 0.75, "NaN")
    columns = [known(metrics={"auc": {"value": value, "step": 0}}) for value in values]

    found = part("metrics", *columns, known())

    assert found is not None
    [row] = found.rows
    assert (row.cells, row.changes) == ((0.5, 0.75, "NaN", None), (0.0, 0.25, None, None))


def test_what_differs_comes_first_and_can_stand_alone() -> None:
    before, after = known(params={"a": "1", "z": "1"}), known(params={"a": "1", "z": "2"})

    whole, differing = part("params", before, after), part("params", before, after, only_differences=True)

    assert whole is not None and [row.name for row in whole.rows] == ["z", "a"] and whole.differing == 1
    assert differing is not None and [row.name for row in differing.rows] == ["z"]


def test_what_nobody_knows_is_left_out_and_what_one_lacks_is_none() -> None:
    found = side_by_side([known(params={"depth": "3"}), known()])

    assert [part.kind for part in found] == ["params"]
    assert found[0].rows[0].cells == ("3", None)


def test_signatures_data_code_and_files_are_compared_by_what_tells_them_apart() -> None:
    signature = {"inputs": json.dumps([{"name": "age", "type": "long"}]), "outputs": None}
    one = known(
        signature=signature,
        datasets=[{"name": "churn", "digest": "abc", "context": "eval"}],
        commit="c0ffee",
        flavors=["sklearn"],
        run={"run_name": "lively"},
        files=[["model.skops", 10, "f" * 64]],
    )

    cells = {part.kind: {row.name: row.cells for row in part.rows} for part in side_by_side([one, known()])}

    assert cells == {
        "inputs": {"age": ("long", None)},
        "data": {"churn (eval)": ("abc", None)},
        "code": {"commit": ("c0ffee", None), "flavors": ("sklearn", None), "run": ("lively", None)},
        "files": {"model.skops": ("f" * 12, None)},
    }


def test_of_very_many_rows_the_rest_is_counted() -> None:
    found = part("params", known(params={f"p{number}": "1" for number in range(MOST_ROWS + 7)}))

    assert found is not None and (len(found.rows), found.left_out) == (MOST_ROWS, 7)
