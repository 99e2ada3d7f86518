"""How the engine's process gets its plan: a child compiles it while this process loads what it needs itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from orchestrator.core.errors import ConfigError
from orchestrator.worker.tether import Tether

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from orchestrator.client.compiled import Compiled

GRACE = 3.0
"""Seconds that a compilation nobody wants any more has to end."""


class Compilation:
    """A compilation under way. As a context it never outlives its block."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._tether = Tether()
        # A session of its own: Ctrl-C is for this process alone, which then ends the whole group.
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter and a module of ours
            _command(config), stdin=self._tether.fd, stdout=subprocess.PIPE, start_new_session=True
        )
        self._tether.handed_over()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()  # it ends the reader of plugins, too
            try:
                self._process.wait(GRACE)
            except subprocess.TimeoutExpired:
                _kill_group(self._process.pid)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._tether.__exit__(kind, error, trace)

    def result(self) -> Compiled:
        """Wait for the compilation. Raises `ConfigError` if its process died."""
        answer, _ = self._process.communicate()
        return _decode(answer, self._process.returncode, self._config)


async def compile_again(config: Path) -> Compiled:
    """Compile while an event loop goes on. Raises `ConfigError` if the compiling process died."""
    import asyncio

    with Tether() as tether:
        process = await asyncio.create_subprocess_exec(
            *_command(config), stdin=tether.fd, stdout=asyncio.subprocess.PIPE, start_new_session=True
        )
        tether.handed_over()
        try:
            answer, _ = await process.communicate()
        finally:
            if process.returncode is None:
                await _end(process)
    return _decode(answer, process.returncode, config)


async def _end(process: Process) -> None:
    import asyncio

    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), GRACE)
    except TimeoutError:
        _kill_group(process.pid)
        await process.wait()


def _command(config: Path) -> list[str]:
    # -P: the present folder isn't searched for modules, or a project's own `queue.py` would stand in for the library's.
    return [sys.executable, "-P", "-m", "orchestrator.client.compile", str(config)]


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _decode(answer: bytes, status: int | None, config: Path) -> Compiled:
    import msgspec

    from orchestrator.client.compiled import Compiled

    try:
        return msgspec.msgpack.decode(answer, type=Compiled)
    except msgspec.MsgspecError:
        how = f"signal {-status}" if status is not None and status < 0 else f"exit status {status}"
        raise ConfigError(f"the process that reads {config} ended with {how} and no answer") from None
