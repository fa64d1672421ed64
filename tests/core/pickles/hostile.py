"""Pickles that would run something, each as bytes. What they would run is to write a canary, so that a test can tell.

They are put together by hand, opcode by opcode: none is made by pickling an object that could be called by accident.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import joblib
import numpy as np

FRUIT = {"weights": [1.0, 2.0], "name": "harmless"}


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def command(canary: Path) -> str:
    return f"touch {canary}"


def by_global(canary: Path) -> bytes:
    return b"cos\nsystem\n(S'" + command(canary).encode() + b"'\ntR."


def by_stack_global(canary: Path) -> bytes:
    return b"\x80\x04" + text("os") + text("system") + b"\x93" + text(command(canary)) + b"\x85R."


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return out.getvalue()


def dumped(value: object, **options: object) -> bytes:
    out = io.BytesIO()
    joblib.dump(value, out, **options)
    return out.getvalue()


def array_file(descr: str, shape: str, content: bytes) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def behind_an_array(evil: bytes) -> bytes:
    """joblib's file of a list: an array, then what is evil in the place of the second item."""
    whole = dumped([np.arange(4.0), "marker"])
    at = whole.index(text("marker"))
    return whole[:at] + evil[2:-1] + whole[at + len(text("marker")) :]


def in_an_array(evil: bytes) -> bytes:
    """An array of joblib without padding, as older releases wrote it, whose bytes are opcodes to all but joblib."""
    whole = dumped([np.frombuffer(evil + b"\0" * (-len(evil) % 8), dtype="f8")])
    key = text("numpy_array_alignment_bytes")
    at, data = whole.index(key), whole.index(evil)
    state = whole[:at] + text("something_else") + whole[at + len(key) : whole.index(b"ub", at) + 2]
    return state.replace(b"\x95", b"\x95", 1)[:2] + state[11:] + whole[data:]


def hidden_by_a_frame(evil: bytes) -> bytes:
    """A frame that reaches over the end of the wrapper: its rest is read before the array, or after it."""
    whole = dumped([np.arange(4.0)])
    at = whole.index(b"\x95")
    length = struct.unpack("<Q", whole[at + 1 : at + 9])[0]
    end = at + 9 + length
    longer = struct.pack("<Q", length + len(evil) - 2)
    return whole[: at + 1] + longer + whole[at + 9 : end] + evil[2:] + whole[end:]


def hostile(canary: Path) -> dict[str, bytes]:
    evil, old = by_stack_global(canary), by_global(canary)
    run = command(canary).encode()
    good = pickle.dumps(FRUIT)
    utf8 = text(command(canary))
    numbers = dumped(np.arange(1000.0))
    nested_getattr = (
        b"\x80\x04" + text("builtins") + text("getattr") + b"\x93" + text("builtins") + text("__import__") + b"\x93"
        + text("os") + b"\x85R" + text("system") + b"\x86R" + utf8 + b"\x85R."
    )  # fmt: skip
    return {
        "GLOBAL": old,
        "GLOBAL under its name of Python 2": b"\x80\x02c__builtin__\neval\n" + b"X\x01\x00\x00\x001\x85R.",
        "STACK_GLOBAL": evil,
        "INST": b"(S'" + run + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'" + run + b"'\no.",
        "NEWOBJ": b"\x80\x02csubprocess\nPopen\n" + b"X" + struct.pack("<I", len(run)) + run + b"\x85\x81.",
        "NEWOBJ_EX": b"\x80\x04" + text("subprocess") + text("Popen") + b"\x93" + utf8 + b"\x85}\x92.",
        "EXT1": b"\x80\x02\x82\x01" + b"X\x02\x00\x00\x00id\x85R.",
        "EXT4": b"\x80\x02\x84\x01\x00\x00\x00" + b"X\x02\x00\x00\x00id\x85R.",
        "posix": evil.replace(text("os"), text("posix")),
        "a name that walks": b"\x80\x04" + text("sklearn.tree") + text("os.system") + b"\x93" + utf8 + b"\x85R.",
        "a module by an attribute": b"\x80\x04" + text("sklearn.datasets._base") + text("os") + b"\x93.",
        "nested getattr": nested_getattr,
        "attrgetter": b"\x80\x04" + text("operator") + text("attrgetter") + b"\x93" + text("system") + b"\x85R.",
        "numpy's way to any function": b"\x80\x02cnumpy.core\n_ufunc_reconstruct\n"
        b"X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x86R" + b"X\x02\x00\x00\x00id\x85R.",
        "numpy.load": b"\x80\x04" + text("numpy") + text("load") + b"\x93" + text("/tmp/x") + b"\x85R.",
        "pandas.read_pickle": b"\x80\x04" + text("pandas") + text("read_pickle") + b"\x93" + text("/x") + b"\x85R.",
        "torch.load": b"\x80\x04" + text("torch") + text("load") + b"\x93" + text("/x") + b"\x85R.",
        "memoised and swapped": b"\x80\x04" + text("numpy") + b"\x94" + text("ndarray") + b"\x94"
        + text("os") + b"\x940" + text("system") + b"\x9400" + b"0h\x02h\x03\x93" + utf8 + b"\x85R.",
        "memoised in a far place": b"\x80\x02X\x02\x00\x00\x00os" + b"r\xff\xff\xff\x7f0X\x06\x00\x00\x00systemq\x000"
        + b"j\xff\xff\xff\x7fh\x00\x93.",
        "a name worked out": b"\x80\x04" + text("_codecs") + text("encode") + b"\x93" + text("os") + b"\x85R"
        + text("system") + b"\x93" + utf8 + b"\x85R.",
        "a name in pieces of escapes": b"cnumpy\nndarray\n0V\\u006fs\nV\\u0073ystem\n\x93" + b"(S'" + run + b"'\ntR.",
        "second pickle after STOP": good + evil,
        "second pickle of protocol 0 after STOP": pickle.dumps(FRUIT, 0) + old,
        "noise after STOP": good + b"\x00\x01\x02\x03",
        "noise, then a pickle after STOP": good + b"\x00\x00\x00\x00" + evil,
        "behind a fake header": b"\x89PNG\r\n\x1a\n" + b"\x00" * 50 + evil,
        "protocol 0 behind a fake header": b"#!model\n" + old,
        "without its first opcode behind a fake header": b"HEADER\x00\x00" + evil[2:],
        "in a zip of another name": archive({"weights.bin": evil}),
        "deflated in a zip": archive({"data/model": evil}, zipfile.ZIP_DEFLATED),
        "in a zip in a zip": archive({"a.zip": archive({"b.txt": evil}, zipfile.ZIP_BZIP2)}),
        "in front of a zip": evil + archive({"readme.txt": b"hello"}),
        "between the members of a zip": archive({"a.txt": b"hello"}).replace(b"PK\x01\x02", evil + b"PK\x01\x02", 1),
        "gzip": gzip.compress(evil),
        "gzip, a second member": gzip.compress(good) + gzip.compress(evil),
        "gzip, then noise": gzip.compress(good) + b"noise",
        "zlib": zlib.compress(evil),
        "bz2": bz2.compress(evil),
        "xz": lzma.compress(evil),
        "lzma": lzma.compress(evil, format=lzma.FORMAT_ALONE),
        "gzip in gzip in gzip": gzip.compress(gzip.compress(gzip.compress(evil))),
        "packed too often": gzip.compress(gzip.compress(gzip.compress(gzip.compress(gzip.compress(evil))))),
        "lz4": b"\x04\x22\x4d\x18" + evil,
        "zstd": b"\x28\xb5\x2f\xfd" + evil,
        "truncated": evil[:-1],
        "truncated protocol 0": old[:-1],
        "truncated in its argument": good[:-6],
        "truncated gzip": gzip.compress(good + good)[:-12],
        "truncated zip": archive({"model.pkl": evil})[:-30],
        "a length that lies": b"\x80\x04X\xff\xff\xff\x7fos" + evil[2:],
        "a length that lies by 8 bytes": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fos",
        "a length below nothing": b"\x80\x02T\xff\xff\xff\xffos.",
        "a number that is huge": b"\x80\x02\x8b\xff\xff\xff\x7f\x01.",
        "joblib, behind an array": behind_an_array(evil),
        "joblib, behind an array, compressed": zlib.compress(behind_an_array(evil)),
        "joblib, in an array": in_an_array(evil),
        "joblib, hidden by a frame": hidden_by_a_frame(evil),
        "joblib, after its end": numbers + evil,
        "joblib, breaks off": numbers[:-8],
        "joblib, wrapper of another kind": b"\x80\x04" + text("joblib.numpy_pickle_compat") + text("ZNDArrayWrapper")
        + b"\x93)\x81.",
        "joblib, an array of objects": dumped(np.array(["marker"], dtype=object)).replace(
            text("marker"), evil[2:-1]
        ),
        "npy of objects": array_file("'|O'", "(1,)", evil),
        "npy of objects by another name": array_file("'obj' 'ect'", "(1,)", evil),
        "npy with a pickle behind it": array_file("'<f8'", "(1,)", b"\0" * 8 + evil),
        "npy without end": b"\x93NUMPY\x01\x00\xff\xff{'descr': ",
        "npz": archive({"a.npy": array_file("'|O'", "(1,)", evil)}),
        "code by cloudpickle": b"\x80\x04" + text("cloudpickle.cloudpickle") + text("_make_function") + b"\x93.",
        "somebody's own": b"\x80\x04" + text("acme.models") + text("Churn") + b"\x93)\x81.",
        "changes a class": b"\x80\x04" + text("sklearn.tree") + text("DecisionTreeClassifier") + b"\x93N}"
        + text("predict") + text("builtins") + text("list") + b"\x93s\x86b.",
        "calls what a call returned": b"\x80\x04" + text("builtins") + text("str") + b"\x93)R)R.",
    }  # fmt: skip
