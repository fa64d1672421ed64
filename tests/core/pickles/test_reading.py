"""What is said of good and of hostile files. Nothing in any of them is ever run."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import random
import struct
import time
import tracemalloc
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from core import pickles
from core.pickles import Reading, Verdict, opcodes, unpacking
from core.pickles.imports import Judged, judge
from tests.core.pickles import hostile as evil


def reading(content: bytes) -> Reading:
    return pickles.read(io.BytesIO(content))


X = np.random.default_rng(0).random((40, 3))
Y = np.arange(40) % 2
MODELS: dict[str, Any] = {
    "forest": RandomForestClassifier(5).fit(X, Y),
    "boosting": GradientBoostingClassifier(n_estimators=3).fit(X, Y),
    "neighbours": KNeighborsClassifier(algorithm="kd_tree").fit(X, Y),
    "pipeline": make_pipeline(FunctionTransformer(np.log1p), StandardScaler(), LogisticRegression()).fit(X, Y),
    "columns": ColumnTransformer([("a", StandardScaler(), [0, 1])]).fit(X),
    "words": TfidfVectorizer().fit(["one two", "two three"]),
    "frame": pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": pd.Categorical(["u", "v"]), "o": [{}, []]}),
    "sparse": scipy.sparse.csr_matrix(np.eye(3)),
    "arrays": {"o": np.array(["x", None], dtype=object), "t": np.zeros(3, "M8[ns]"), "r": np.zeros(2, [("a", "f8")])},
    "plain": OrderedDict(a=1, b=(True, None, 1.5, b"bytes", {1, 2}, frozenset("x"), 2**200)),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("protocol", range(6))
def test_a_good_pickle_is_clean_in_every_protocol(name: str, protocol: int) -> None:
    assert reading(pickle.dumps(MODELS[name], protocol)) == Reading(Verdict.CLEAN)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_what_joblib_writes_is_clean_compressed_and_not(name: str, compress: Any) -> None:
    assert reading(evil.dumped(MODELS[name], compress=compress)) == Reading(Verdict.CLEAN)


def test_a_model_by_cloudpickle_is_clean_unless_it_holds_code() -> None:
    assert reading(cloudpickle.dumps(MODELS["pipeline"])) == Reading(Verdict.CLEAN)

    found = reading(cloudpickle.dumps(FunctionTransformer(lambda x: x + 1)))

    assert found.verdict == Verdict.UNREAD
    assert "It holds code of its own (cloudpickle.cloudpickle._make_function)." in found.findings


def _saved(write: Any, *args: Any, **named: Any) -> bytes:
    out = io.BytesIO()
    write(out, *args, **named)
    return out.getvalue()


PT = (
    b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01(X\x06\x00\x00\x00weightq\x02ctorch._utils\n_rebuild_tensor_v2\n"
    b"q\x03((X\x07\x00\x00\x00storageq\x04ctorch\nFloatStorage\nq\x05X\x01\x00\x00\x000q\x06X\x03\x00\x00\x00cpuq\x07"
    b"K\x02tq\x08QK\x00K\x02\x85q\tK\x01\x85q\n\x89h\x00)Rq\x0btq\x0cRq\ru."
)


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        (b"", Verdict.PLAIN),
        (b"mlflow==3.18.0\ncloudpickle==3.1.2\nnumpy\n", Verdict.PLAIN),
        (b"cloudpickle\nnumpy\nscikit-learn\n", Verdict.PLAIN),
        (b"channels:\n- conda-forge\ndependencies:\n- python=3.11\n", Verdict.PLAIN),
        (b"artifact_path: model\nflavors:\n  python_function:\n", Verdict.PLAIN),
        (b"N. B. this is a note.\n", Verdict.PLAIN),
        (b"import os\nos.system\nimport subprocess\n", Verdict.PLAIN),
        (b'{"weights": [1, 2, 3]}', Verdict.PLAIN),
        (b"x^2 + y^2 is no zlib", Verdict.PLAIN),
        (random.Random(1).randbytes(3 * 1024 * 1024), Verdict.PLAIN),  # as weights look
        (_saved(np.save, np.arange(10.0)), Verdict.PLAIN),
        (_saved(np.save, np.array(["abc"])), Verdict.PLAIN),
        (_saved(np.save, np.zeros(3, [("a", "f8"), ("b", "i4", (2,))])), Verdict.PLAIN),
        (_saved(np.savez_compressed, a=X, b=Y), Verdict.PLAIN),
        (_saved(np.save, np.array([{}, "x"], dtype=object), allow_pickle=True), Verdict.CLEAN),
        (evil.archive({"archive/data.pkl": PT, "archive/data/0": bytes(8), "archive/version": b"3\n"}), Verdict.CLEAN),
        (evil.archive({"config.json": b"{}", "model.weights.h5": b"\x89HDF"}, zipfile.ZIP_DEFLATED), Verdict.PLAIN),
        (gzip.compress(b"plain text", mtime=0), Verdict.PLAIN),
        (b"".join(pickle.dumps(value) for value in (1, [2], X)), Verdict.CLEAN),
    ],
)  # fmt: skip
def test_what_other_good_files_are(content: bytes, verdict: Verdict) -> None:
    assert reading(content) == Reading(verdict)


@pytest.mark.parametrize("name", evil.hostile(Path("canary")))
def test_a_hostile_file_is_never_taken_for_good_and_never_run(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    found = reading(evil.hostile(canary)[name])

    assert found.verdict in (Verdict.UNSAFE, Verdict.UNREAD)
    assert found.findings and all(sentence.endswith(".") for sentence in found.findings)
    assert not canary.exists()


UNREAD = (
    "EXT1", "EXT4", "a name worked out", "noise after STOP", "gzip, then noise", "packed too often", "lz4", "zstd",
    "truncated in its argument", "truncated gzip", "truncated zip", "a length that lies", "a length below nothing",
    "a length that lies by 8 bytes", "a number that is huge", "joblib, breaks off", "npy without end",
    "code by cloudpickle", "somebody's own", "changes a class", "calls what a call returned",
)  # fmt: skip


def test_whatever_imports_something_dangerous_is_unsafe() -> None:
    verdicts = {name: reading(content).verdict for name, content in evil.hostile(Path("canary")).items()}

    assert {name for name, verdict in verdicts.items() if verdict != Verdict.UNSAFE} <= set(UNREAD)


def test_the_canary_would_be_written_by_whoever_loads_such_a_file(tmp_path: Path) -> None:
    """So that the test above could fail at all."""
    canary = tmp_path / "canary"

    pickle.loads(evil.by_stack_global(canary))

    assert canary.exists()


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (evil.by_stack_global(Path("x")), "It imports os.system, which may run anything."),
        (
            evil.archive({"archive/data.pkl": evil.by_global(Path("x"))}),
            "archive/data.pkl: it imports os.system, which may run anything.",
        ),
        (
            b"\0" * 1500 + evil.by_stack_global(Path("x")),
            "from byte 1,500 on: it imports os.system, which may run anything.",
        ),
        (pickle.dumps(1) + b"\0\0", "2 bytes follow the end of its pickle and are none."),
        (pickle.dumps("a longer text")[:-4], "It breaks off."),
        (
            b"\x80\x04" + evil.text("acme") + evil.text("Churn") + b"\x93)\x81.",
            "It imports acme.Churn, which is not known here.",
        ),
    ],
)
def test_findings_are_sentences_that_say_where(content: bytes, finding: str) -> None:
    assert finding in reading(content).findings


def test_names_that_deceive_are_shown_by_their_escapes() -> None:
    found = reading(evil.archive({"a\u202ekp.txt": b"\x80\x04junk"}))

    assert found.findings[0].startswith("a\\u202ekp.txt: ")


# -- Limits ------------------------------------------------------------------------------------------------------------


def bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    block = bytes(1024 * 1024)
    return b"".join(packer.compress(block) for _ in range(size // len(block))) + packer.flush()


def many_members() -> bytes:
    return evil.archive({str(number): b"" for number in range(unpacking.MOST_MEMBERS + 1)})


def twice() -> bytes:
    return evil.archive({"data.pkl": pickle.dumps(1), "data.pkk": pickle.dumps(2)}).replace(b"data.pkk", b"data.pkl")


def encrypted() -> bytes:
    plain = bytearray(evil.archive({"data.pkl": pickle.dumps(1)}))
    plain[6] |= 1
    plain[plain.index(b"PK\x01\x02") + 8] |= 1
    return bytes(plain)


def long_directory() -> bytes:
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 60_000, 60_000, 200_000_000, 0, 0)
    return b"PK\x03\x04" + bytes(100) + end


LIMITS = {
    "a bomb of gzip": lambda: bomb(256 * 1024**2),
    "a bomb in a zip": lambda: evil.archive({"data.pkl": bytes(128 * 1024**2)}, zipfile.ZIP_DEFLATED),
    "a bomb of bz2": lambda: bz2.compress(bytes(128 * 1024**2)),
    "a bomb of xz": lambda: lzma.compress(bytes(128 * 1024**2)),
    "too many members": many_members,
    "two members of one name": twice,
    "an encrypted member": encrypted,
    "a directory that claims to be long": long_directory,
    "a flood of opcodes": lambda: b"\x80\x04" + b"N0" * 10_100_000 + b"N.",
    "a tower of marks": lambda: b"\x80\x04" + b"(" * 3_000_000 + b".",
    "a full stack": lambda: b"\x80\x04" + b"N" * 3_000_000 + b".",
    "a full memo": lambda: b"\x80\x04N" + b"\x94" * 3_000_000 + b".",
    "beginnings everywhere": lambda: b"\0" + b"\x80\x04" * 1_000_000,
    "arrays over a full memo": lambda: b"\x80\x04N" + b"\x94" * 900_000 + evil.dumped([X[i] for i in range(40)])[2:],
    "a flood of imports": lambda: b"\x80\x02" + b"".join(b"ca\nb%d\n0" % i for i in range(110_000)) + b"N.",
    "imports in many pickles": lambda: b"".join(b"\x80\x02ca\nb%d\n." % i for i in range(110_000)),
    "beginnings of what lies far away": lambda: b"\0" + b"\x80\x04B\0\0\x08\0" * 200_000,
    "a line without end": lambda: b"\x80\x02S'" + b"x" * 3_000_000,
    "many long lines": lambda: b"\x80\x02" + (b"S'" + b"x" * 1_000_000 + b"'\n0") * 60 + b"(",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", LIMITS)
def test_a_file_made_to_be_costly_is_given_up_in_time_and_memory(name: str) -> None:
    content = LIMITS[name]()
    began = time.process_time()

    found = reading(content)

    assert found.verdict == Verdict.UNREAD, found
    assert time.process_time() - began < 90


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a bomb of bz2", "a full stack", "a full memo", "a line without end"])
def test_a_file_made_to_be_large_in_memory_stays_small(name: str) -> None:
    content = LIMITS[name]()
    tracemalloc.start()

    reading(content)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200 * 1024**2


@pytest.mark.parametrize(
    "content",
    [
        b"N." * 200_000,
        b"\x80\x04" + b"".join(b"(" + b"U\x06%06d" * 60 % (*range(i, i + 60),) + b"t" for i in range(5000)) + b"N.",
    ],
    ids=["pickles", "texts in tuples"],
)
def test_what_has_been_read_does_not_pile_up(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opcodes, "MOST_WITHIN", 10_000)
    tracemalloc.start()

    reading(content)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 1024**2


# -- Whatever the bytes ------------------------------------------------------------------------------------------------

GOOD = [pickle.dumps(MODELS["words"], 4), evil.dumped(MODELS["words"]), evil.archive({"a": pickle.dumps(X)}), PT]


@given(st.sampled_from(GOOD), st.integers(0), st.binary(max_size=6), st.integers(0, 6))
def test_no_bytes_make_the_reading_fail(content: bytes, at: int, put: bytes, drop: int) -> None:
    at %= len(content)

    found = reading(content[:at] + put + content[at + drop :])

    assert found.verdict in Verdict and len(found.findings) <= 20


@given(st.sampled_from(GOOD), st.integers(0))
def test_a_hostile_pickle_put_into_a_good_file_is_never_clean(content: bytes, at: int) -> None:
    at %= len(content)

    found = reading(content[:at] + evil.by_stack_global(Path("canary")) + content[at:])

    assert found.verdict in (Verdict.UNSAFE, Verdict.UNREAD)


@pytest.mark.parametrize(
    ("module", "name", "judged"),
    [
        ("sklearn.tree._classes", "DecisionTreeClassifier", Judged.KNOWN),
        ("sklearn.tree_of_mine", "DecisionTreeClassifier", Judged.UNKNOWN),
        ("sklearn.tree", "os", Judged.DANGEROUS),
        ("sklearn.utils", "Popen", Judged.UNKNOWN),
        ("sklearn.datasets", "load_files", Judged.DANGEROUS),
        ("numpy.testing._private.utils", "runstring", Judged.DANGEROUS),
        ("numpy.f2py", "compile", Judged.DANGEROUS),
        ("__builtin__", "set", Judged.KNOWN),
        ("__builtin__", "execfile", Judged.DANGEROUS),
        ("copy_reg", "_reconstructor", Judged.KNOWN),
        ("builtins", "type", Judged.DANGEROUS),
        ("functools", "partial", Judged.UNKNOWN),
        ("acme.requests", "Request", Judged.UNKNOWN),
        ("acme", "eval", Judged.DANGEROUS),
        ("torch.storage", "_load_from_bytes", Judged.DANGEROUS),
        ("cloudpickle.cloudpickle", "subimport", Judged.CODE),
        ("numpy.core.multiarray", "scalar", Judged.KNOWN),
        ("numpy._core.multiarray", "fromfile", Judged.DANGEROUS),
    ],
)
def test_a_name_is_known_dangerous_or_neither(module: str, name: str, judged: Judged) -> None:
    assert judge(module, name) == judged
