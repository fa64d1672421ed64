"""Run MLflow's own tests against Countersign and count: ``python -m tests.conformance [SUITE…] [-- PYTEST ARGUMENTS]``.

``-- -k NAME`` picks tests, ``-- --only-not-applicable`` runs those that are left out, to see which of them would pass.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.conformance.suites import PYTHON, SOURCE_TREE, SUITES, run


def main(arguments: list[str]) -> int:
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    suites, for_pytest = arguments[:cut] or list(SUITES), arguments[cut + 1 :]
    if unknown := set(suites) - set(SUITES):
        sys.exit(f"There is no suite {', '.join(unknown)}; there are {', '.join(SUITES)}.")
    tree = os.environ.get(SOURCE_TREE, "")
    if not tree:
        sys.exit(f"Set {SOURCE_TREE} to a source tree of MLflow 3.6; CONTRIBUTING.md says which.")
    if not PYTHON.exists():
        sys.exit("The environment of MLflow 3.6 is missing: make conformance installs it.")
    found = []
    for suite in suites:
        with tempfile.TemporaryDirectory(prefix=f"conformance-{suite}-") as folder:
            found.append(run(suite, Path(tree), Path(folder), *for_pytest))
        if found[-1].failed:
            print(found[-1].output)
    print("\n".join(outcome.summary for outcome in found))
    return 1 if any(outcome.failed for outcome in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
