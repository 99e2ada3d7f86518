"""How does a command run inside an attempt? Its output is handed on as it comes, and nothing of it is left behind."""

from __future__ import annotations

import codecs
import os
import secrets
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from orchestrator.core import kin
from orchestrator.plugins.api import Context

END_WITHIN = 2.0
"""Seconds between SIGTERM and SIGKILL, when the attempt is stopped. The job's `grace` may allow less."""
_CHUNK = 64 * 1024
_LOOK = 0.2
"""Seconds between two looks at whether a thread's attempt was asked to stop."""


class CommandStopped(Exception):  # noqa: N818
    """The attempt was asked to stop while the command ran."""


class Output:
    """One stream of a command: handed on in whole lines, its last `keep` bytes kept."""

    def __init__(self, stream: str) -> None:
        self.keep = 0
        self.size = 0
        """Bytes that came."""
        self._stream = stream
        self._kept = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._unfinished = ""

    @property
    def tail(self) -> str:
        """The end of what came, as text."""
        return self._kept.decode("utf-8", "backslashreplace")

    def take(self, data: bytes) -> None:
        """More of it."""
        self.size += len(data)
        self._kept = (self._kept + data)[-self.keep :] if self.keep else b""
        self._give(self._decoder.decode(data))

    def close(self) -> None:
        """That was all."""
        self._give(self._decoder.decode(b"", final=True))
        self._write(self._unfinished)
        self._unfinished = ""

    def _give(self, text: str) -> None:
        whole, newline, rest = (self._unfinished + text).rpartition("\n")
        if len(rest) > _CHUNK:
            whole, newline, rest = whole + newline + rest, "", ""
        self._unfinished = rest
        self._write(whole + newline)

    def _write(self, text: str) -> None:
        if text:
            getattr(sys, self._stream).write(text)


class Command:
    """One command. Whatever it starts carries a mark that can be found in any session and below any parent."""

    def __init__(self, argv: Sequence[str], cwd: str | None, environment: dict[str, str], stdin: bytes) -> None:
        self.out, self.err = Output("stdout"), Output("stderr")
        self._argv = argv
        self._cwd = cwd
        self._unread = memoryview(stdin)
        # It begins with the worker's own mark, so that it is found when the worker or the engine dies, too.
        self._mark = f"{os.environ.get(kin.MARK, '')}{secrets.token_hex(8)}."
        self._environment = {**environment, kin.MARK: self._mark}
        self._open = selectors.DefaultSelector()
        self._exited = False

    def keep(self, *, out: int, err: int) -> None:
        """How many bytes of the streams' ends to keep."""
        self.out.keep, self.err.keep = out, err

    def run(self, ctx: Context) -> int:
        """Its exit status; negative for a signal. What it leaves running is killed; so is all of it if this is left by
        an exception. Raises `OSError` if it can't be started."""
        process = None
        try:
            process = self._start()
            self._serve(process, ctx)
        except BaseException:
            if process is not None:
                self._end(process)
            raise
        finally:
            kin.end(self._mark, (process.pid,) if process is not None else ())
            if process is not None:
                self._finish(process)
            self._open.close()
        return process.returncode

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(  # noqa: S603 - what the job's author wants run
            self._argv,
            cwd=self._cwd,
            env=self._environment,
            stdin=subprocess.PIPE if self._unread else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        for pipe, output in ((process.stdout, self.out), (process.stderr, self.err), (process.stdin, None)):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._open.register(pipe, selectors.EVENT_READ if output else selectors.EVENT_WRITE, output)
        if hasattr(os, "pidfd_open"):
            self._open.register(os.pidfd_open(process.pid), selectors.EVENT_READ, process)
        return process

    def _serve(self, process: subprocess.Popen[bytes], ctx: Context) -> None:
        alone = threading.current_thread() is threading.main_thread()  # then a stop arrives as an exception
        while not self._exited:
            before = self.out.size + self.err.size
            self._step(process, _LOOK)
            if self.out.size + self.err.size > before:
                ctx.heartbeat()  # also for what is no whole line yet, and so not in the log
            if not alone and ctx.cancelled:
                raise CommandStopped("it was asked to stop")

    def _step(self, process: subprocess.Popen[bytes], within: float) -> None:
        """Move what can be moved, and notice its end."""
        watched = hasattr(os, "pidfd_open")
        for key, _ in self._open.select(within if watched else min(within, 0.02)):
            if key.data is process:
                self._exited = True
            elif key.data is None:
                self._feed(key.fileobj)  # type: ignore[arg-type]
            elif isinstance(key.data, Output) and not self._read(key.fd, key.data):
                self._open.unregister(key.fileobj)
        self._exited = self._exited or (not watched and process.poll() is not None)

    def _feed(self, pipe: IO[bytes]) -> None:
        with suppress(BrokenPipeError):  # it doesn't want to read more
            self._unread = self._unread[os.write(pipe.fileno(), self._unread[:_CHUNK]) :]
            if self._unread:
                return
        self._open.unregister(pipe)
        pipe.close()

    def _read(self, fd: int, output: Output) -> bool:
        """Whether more may come."""
        data = os.read(fd, _CHUNK)
        output.take(data)
        return bool(data)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Ask its group to end, and go on listening for a while."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGTERM)
        until = time.monotonic() + END_WITHIN
        while not self._exited and (left := until - time.monotonic()) > 0:
            self._step(process, left)

    def _finish(self, process: subprocess.Popen[bytes]) -> None:
        """Reap it, and read what is left in the pipes: all who could write to them are dead."""
        process.wait()
        for key in list(self._open.get_map().values()):
            if key.data is process:
                os.close(key.fd)
            elif isinstance(key.data, Output):
                with suppress(BlockingIOError):
                    while self._read(key.fd, key.data):
                        pass
        for pipe in filter(None, (process.stdin, process.stdout, process.stderr)):
            pipe.close()
        self.out.close()
        self.err.close()
