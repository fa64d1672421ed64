"""What Linux does for the processes of a tree: a name of its own for each, and an end with its parent. Elsewhere,
nothing."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def call_this_process(name: str) -> None:
    """What ``ps -o comm`` and ``top`` show: a fork has the command line of what it was forked from."""
    if _libc is not None:
        _libc.prctl(PR_SET_NAME, name.encode())


def end_with(parent: int) -> None:
    """Have the system kill this process when the thread of ``parent`` that forked it is gone; end now if it is.

    A fork inherits no such wish: each process has to ask for itself, at the first moment it can."""
    if _libc is None:
        return
    _libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
