"""Runs processes as one tree: output with or without their names, restarts, and nothing left behind however it ends.

Stopping: SIGTERM or Ctrl-C stops every process and waits for it. Should the supervisor itself be killed, the system
kills each process (``config.linux.end_with``), and with it those that it has made, which have asked for the same:
gunicorn's in ``config.web_worker``, Celery's in ``config.celery``. So no orphan keeps the port or the queue.
"""

from __future__ import annotations

import gc
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn, TextIO

from config.linux import call_this_process, end_with
from config.processes import Process

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOP_SECONDS = 10  # then a process is killed; what it was doing is a row, and is done after the next start
QUICK_DEATH_SECONDS = 5
QUICK_DEATHS_ALLOWED = 3
READY_SECONDS = 60
FIRST_INHERITED_FILE = 3


class Supervisor:
    """With ``prefix`` each line of a process bears its name; without it, the processes write where the supervisor does.
    ``on_started`` is called when all processes are on their way; ``is_ready`` until it says yes, then ``on_ready``.

    Make no thread before ``run``: a process can only start warm from a supervisor that has none.
    """

    def __init__(
        self,
        processes: Sequence[Process],
        *,
        on_started: Callable[[], None],
        is_ready: Callable[[], bool],
        on_ready: Callable[[], None],
        output: TextIO | None = None,
        prefix: bool = True,
    ) -> None:
        self._children = [_Child(process, self._write, prefix=prefix) for process in processes]
        self._on_started = on_started
        self._is_ready = is_ready
        self._on_ready = on_ready
        self._output = output or sys.stdout
        self._lock = threading.Lock()
        self._width = max(len(process.name) for process in processes)

    def run(self) -> int:
        """Until a stop signal (0), or until a process cannot be kept running (1)."""
        signals = _Signals()
        try:
            gc.collect()
            gc.freeze()  # what is loaded by now, the processes share: a collection that marked it would copy it
            for child in self._children:
                child.start()
            for child in self._children:
                child.read()
            self._on_started()
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
    def __init__(self, process: Process, write: Callable[[str, str], None], *, prefix: bool) -> None:
        self._process = process
        self._write = write
        self._prefix = prefix
        self._pid = 0
        self._status: int | None = None
        self._output = -1
        self._reader: threading.Thread | None = None
        self._started_at = 0.0
        self._quick_deaths = 0

    def start(self) -> None:
        """Without a thread of ours alive, a fork may go on as the program; otherwise it must become it anew."""
        warm = threading.active_count() == 1
        supervisor = os.getpid()
        self._started_at = time.monotonic()
        self._status = None
        self._output, output = os.pipe() if self._prefix else (-1, -1)
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            _become(self._process, output, supervisor, warm=warm)
        if self._prefix:
            os.close(output)

    def read(self) -> None:
        if not self._prefix:
            return
        self._reader = threading.Thread(target=self._pump, args=(self._output,), daemon=True)
        self._reader.start()

    def _pump(self, output: int) -> None:
        with open(output, "rb") as stream:
            for line in stream:
                self._write(self._process.name, line.decode(errors="replace").rstrip())

    def has_ended(self) -> bool:
        if self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status is not None

    def restart(self) -> bool:
        """Start it again; False when it dies at once, time after time."""
        assert self._status is not None
        self._end_group()  # a killed parent may have left processes of its own
        was_quick = time.monotonic() - self._started_at < QUICK_DEATH_SECONDS
        self._quick_deaths = self._quick_deaths + 1 if was_quick else 0
        if self._quick_deaths >= QUICK_DEATHS_ALLOWED:
            self._write("up", f"{self._process.name} {_how_it_ended(self._status)} again and again: giving up.")
            return False
        self._write("up", f"{self._process.name} {_how_it_ended(self._status)}: starting it again.")
        self.start()
        self.read()
        return True

    def ask_to_end(self) -> None:
        if self._pid and not self.has_ended():
            os.kill(self._pid, signal.SIGTERM)

    def end(self, deadline: float) -> None:
        if not self._pid:
            return
        while not self.has_ended() and time.monotonic() < deadline:
            time.sleep(0.02)
        if not self.has_ended():
            self._write("up", f"{self._process.name} did not stop in {STOP_SECONDS} seconds: killing it.")
        self._end_group()
        while not self.has_ended():
            time.sleep(0.02)
        if self._reader is not None:
            self._reader.join(timeout=1)

    def _end_group(self) -> None:
        """Kill whatever is left of the process and its own children."""
        try:
            os.killpg(self._pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _become(process: Process, output: int, supervisor: int, *, warm: bool) -> NoReturn:
    """The life of a child after the fork: never returns into the supervisor's code."""
    status = 1
    try:
        os.setpgid(0, 0)  # Ctrl-C reaches the supervisor alone, and the group can be ended as a whole
        call_this_process(process.name)
        end_with(supervisor)
        signal.set_wakeup_fd(-1)
        for number in (*STOP_SIGNALS, signal.SIGCHLD):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        if output >= 0:
            os.dup2(output, 1)
            os.dup2(output, 2)
        if not warm:
            os.execv(process.command[0], process.command)
        os.closerange(FIRST_INHERITED_FILE, os.sysconf("SC_OPEN_MAX"))  # the lock, the other processes' pipes
        sys.argv = [process.module, *process.arguments]
        runpy.run_module(process.module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


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


def _how_it_ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
