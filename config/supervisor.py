"""Runs processes as one tree: prefixed output, restarts, and nothing left behind however it ends.

Stopping: SIGTERM or Ctrl-C stops every process and waits for it. Should the supervisor itself be killed, the system
signals each process (Linux: ``PR_SET_PDEATHSIG``), so no orphan keeps the port or the queue.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, TextIO

from config.processes import Process

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOP_SECONDS = 10  # then a process is killed; what it was doing is a row, and is done after the next start
QUICK_DEATH_SECONDS = 5
QUICK_DEATHS_ALLOWED = 3
READY_SECONDS = 60
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Supervisor:
    """``is_ready`` is asked until it says yes, then ``on_ready`` is called, once."""

    def __init__(
        self,
        processes: Sequence[Process],
        *,
        is_ready: Callable[[], bool],
        on_ready: Callable[[], None],
        output: TextIO | None = None,
    ) -> None:
        self._children = [_Child(process, self._write) for process in processes]
        self._is_ready = is_ready
        self._on_ready = on_ready
        self._output = output or sys.stdout
        self._lock = threading.Lock()
        self._width = max(len(process.name) for process in processes)

    def run(self) -> int:
        """Until a stop signal (0), or until a process cannot be kept running (1)."""
        signals = _Signals()
        try:
            for child in self._children:
                child.start()
            return self._watch(signals)
        finally:
            self._stop()
            signals.close()

    def _watch(self, signals: _Signals) -> int:
        waiting_since: float | None = time.monotonic()
        while not signals.asks_to_stop(within=0.1 if waiting_since else 5):
            for child in self._children:
                if child.has_ended() and not child.restart():
                    return 1
            if waiting_since and self._is_ready():
                waiting_since = None
                self._on_ready()
            elif waiting_since and time.monotonic() - waiting_since > READY_SECONDS:
                self._write("up", f"Not ready after {READY_SECONDS} seconds: giving up.")
                return 1
        return 0

    def _stop(self) -> None:
        for child in self._children:
            child.ask_to_end()
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._children:
            child.end(deadline)

    def _write(self, name: str, line: str) -> None:
        with self._lock:
            try:
                self._output.write(f"{name:<{self._width}} | {line}\n")
                self._output.flush()
            except BrokenPipeError:  # nobody reads any more: stop as on a closed terminal
                os.kill(os.getpid(), signal.SIGTERM)


class _Child:
    def __init__(self, process: Process, write: Callable[[str, str], None]) -> None:
        self._process = process
        self._write = write
        self._popen: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._started_at = 0.0
        self._quick_deaths = 0

    def start(self) -> None:
        self._started_at = time.monotonic()
        self._popen = subprocess.Popen(
            self._process.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C reaches the supervisor alone, and the group can be ended as a whole
            preexec_fn=_ends_with(os.getpid(), self._process.orphan_signal),
        )
        assert self._popen.stdout is not None
        self._reader = threading.Thread(target=self._pump, args=(self._popen.stdout,), daemon=True)
        self._reader.start()

    def _pump(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                self._write(self._process.name, line.decode(errors="replace").rstrip())

    def has_ended(self) -> bool:
        return self._popen is not None and self._popen.poll() is not None

    def restart(self) -> bool:
        """Start it again; False when it dies at once, time after time."""
        assert self._popen is not None
        self._end_group()  # a killed parent may have left processes of its own
        was_quick = time.monotonic() - self._started_at < QUICK_DEATH_SECONDS
        self._quick_deaths = self._quick_deaths + 1 if was_quick else 0
        how = _how_it_ended(self._popen.returncode)
        if self._quick_deaths >= QUICK_DEATHS_ALLOWED:
            self._write("up", f"{self._process.name} {how} {QUICK_DEATHS_ALLOWED} times at its start: giving up.")
            return False
        self._write("up", f"{self._process.name} {how}: starting it again.")
        self.start()
        return True

    def ask_to_end(self) -> None:
        if self._popen is not None and self._popen.poll() is None:
            self._popen.terminate()

    def end(self, deadline: float) -> None:
        if self._popen is None or self._reader is None:
            return
        try:
            self._popen.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._write("up", f"{self._process.name} did not stop in {STOP_SECONDS} seconds: killing it.")
        self._end_group()
        self._popen.wait()
        self._reader.join(timeout=1)

    def _end_group(self) -> None:
        """Kill whatever is left of the process and its own children."""
        assert self._popen is not None
        try:
            os.killpg(self._popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


class _Signals:
    """Signals as bytes on a socket, so that the watch wakes at once and nothing runs inside a signal handler."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in (*STOP_SIGNALS, signal.SIGCHLD):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup is respected
                signal.signal(number, _wake_up_only)

    def asks_to_stop(self, *, within: float) -> bool:
        """Wait for a signal, and say whether it was one to stop."""
        ready, _, _ = select.select([self._reader], [], [], within)
        return bool(ready) and any(number in STOP_SIGNALS for number in self._reader.recv(256))

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()


def _wake_up_only(_number: int, _frame: object) -> None:
    """Python writes the number to the wake-up socket; there is nothing else to do."""


def _ends_with(supervisor: int, number: signal.Signals) -> Callable[[], None]:
    """Called in the child before it becomes the program; starts are made by the main thread, whose death counts."""

    def prepare() -> None:
        if _libc is None:
            return
        _libc.prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != supervisor:  # it died before the line above
            os._exit(1)

    return prepare


def _how_it_ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
