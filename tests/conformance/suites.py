"""Which of MLflow's own tests are run against Countersign, and how one suite of them is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = HERE.parents[1] / ".venv-mlflow36" / "bin" / "python"
SOURCE_TREE = "MLFLOW_SOURCE_TREE"
# A suite's name is also that of its list of tests that cannot apply: not_applicable/<name>.toml.
SUITES = {
    "registry": ("tests/tracking/test_model_registry.py",),
    "tracking": ("tests/tracking/test_rest_tracking.py",),
    "artifacts": ("tests/tracking/test_mlflow_artifacts.py",),
    "webhooks": ("tests/webhooks", "tests/tracking/test_client_webhooks.py"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The names of the tests of one suite; those that were not run by their reason. ``output`` is pytest's."""

    suite: str
    passed: list[str]
    failed: list[str]
    not_applicable: dict[str, list[str]]
    output: str

    @property
    def summary(self) -> str:
        left_out = sum(map(len, self.not_applicable.values()))
        lines = [f"{self.suite}: {len(self.passed)} passed, {len(self.failed)} failed, {left_out} not applicable"]
        lines += [f"    {len(names):4} {reason}" for reason, names in self.not_applicable.items()]
        lines += [f"    FAILED {name}" for name in self.failed]
        return "\n".join(lines)


def run(suite: str, tree: Path, folder: Path, *arguments: str) -> Outcome:
    """Run the tests of that suite, from that tree of MLflow's sources, in an empty folder. Raises when it cannot."""
    for name in ("tests", "pyproject.toml"):  # their tests write into the folder they are run in: not into the tree
        (folder / name).symlink_to(tree.resolve() / name)
    outcomes = folder / "outcomes.json"
    done = subprocess.run(
        [
            *(PYTHON, "-m", "pytest", *SUITES[suite], "-q", "-p", "no:cacheprovider", "--disable-warnings"),
            *("-p", "countersign_adapter", "--countersign-python", sys.executable),
            *("--not-applicable", HERE / "not_applicable" / f"{suite}.toml", "--outcomes", outcomes),
            *("--basetemp", folder / "tmp", "-o", "timeout=120", *arguments),
        ],
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
            "PYTHONPATH": str(HERE / "adapter"),
            "PYTHONPYCACHEPREFIX": str(PYTHON.parents[1] / "pycache"),  # nothing is written into the tree
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if not outcomes.exists() or not (found := json.loads(outcomes.read_text())):
        raise AssertionError(f"MLflow's tests of the suite {suite} did not run:\n{done.stdout}")
    return Outcome(suite, output=done.stdout, **found)
