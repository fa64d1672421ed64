"""MLflow's own client-level tests pass against a running Countersign, except those that are listed with a reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conformance.suites import PYTHON, SOURCE_TREE, SUITES, run

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("suite", SUITES)
def test_the_suite_of_mlflow_passes(suite: str, tmp_path: Path) -> None:
    tree = os.environ.get(SOURCE_TREE)
    if not tree:
        pytest.skip(f"{SOURCE_TREE} names no source tree of MLflow 3.6; CONTRIBUTING.md says which")
    if not PYTHON.exists():
        pytest.skip("the environment of MLflow 3.6 is missing: make conformance installs it")

    outcome = run(suite, Path(tree), tmp_path)

    assert not outcome.failed, f"{outcome.output}\n{outcome.summary}"
    assert outcome.passed
