"""The data that both servers hold: the same lines for the same size, in the form that manage.py load_dataset reads.

One model has a fifth of 100,000 versions, the others share the rest evenly. Every version has five tags and a run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BIG = "model-big"
START = 1_700_000_000_000  # milliseconds; each version is a second later than the one before


@dataclass(frozen=True)
class Size:
    versions: int
    models: int
    big: int  # versions of the largest model

    @classmethod
    def of(cls, versions: int) -> Size:
        """2,000 models for 100,000 versions, as the budgets have it; the largest has 20,000 wherever that many fit."""
        return cls(versions, max(20, versions // 50 if versions <= 100_000 else 2000), min(versions // 5, 20_000))

    def counts(self) -> Iterator[tuple[str, int]]:
        """Each model's name and number of versions."""
        yield BIG, self.big
        rest, others = self.versions - self.big, self.models - 1
        for number in range(others):
            yield f"model-{number:05}", rest // others + (number < rest % others)


def _digest(text: str) -> bytes:
    return hashlib.md5(text.encode(), usedforsecurity=False).digest()


def run_of(name: str, version: int) -> str:
    """A run makes two versions."""
    return _digest(f"run {name}/{version // 2}").hex()


def commit_of(name: str, version: int) -> str:
    return _digest(f"commit {name}/{version}").hex()


def stage_of(version: int, count: int) -> str:
    """The last is in Production, the one before in Staging, and a third of the others have been there."""
    held = {count: "Production", count - 1: "Staging"}
    return held.get(version, "None" if version % 3 else "Archived")


def version_of(name: str, version: int, count: int, moment: int) -> dict[str, Any]:
    return {
        "version": version,
        "stage": stage_of(version, count),
        "source": f"s3://models/{name}/{version}",
        "run_id": run_of(name, version),
        "description": f"Version {version} of {name}, trained on the data of week {version % 52}.",
        "creation_timestamp": moment,
        "last_updated_timestamp": moment,
        "tags": {
            "team": f"team-{version % 20}",
            "data": f"2026-{version % 12 + 1:02}",
            "commit": commit_of(name, version),
            "checked": "yes" if version % 2 else "no",
            "build": str(moment % 100_003),
        },
    }


def lines(size: Size) -> Iterator[dict[str, Any]]:
    """A model's line, then those of its versions."""
    moment = START
    for name, count in size.counts():
        yield {
            "model": name,
            "description": f"The model {name}.",
            "tags": {"team": f"team-{_digest(name)[0] % 20}", "tier": str(_digest(name)[1] % 3)},
            "aliases": {"champion": count, "challenger": max(1, count - 1)},
            "creation_timestamp": moment,
            "last_updated_timestamp": moment + count * 1000,
        }
        for version in range(1, count + 1):
            moment += 1000
            yield version_of(name, version, count, moment)


def write(size: Size, path: Path) -> None:
    with path.open("w") as file:
        file.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in lines(size))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("versions", type=int)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    write(Size.of(options.versions), options.file)
