"""Reads a configuration and its plugins in a process of its own: `python -m orchestrator.client.compile JOBS_YAML`.

The engine's process gets the plan as data, so it never loads pydantic, jinja2 or YAML, nor what they leave in memory.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from orchestrator.client.compiled import Compiled
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.shortage import is_of_files, words_for
from orchestrator.worker.tether import hold_on


def load_project(path: Path, *, inspect: bool = True) -> Compiled:
    """Load a configuration here and now; without `inspect`, its callables and parameters are taken on trust."""
    from orchestrator.config.load import load
    from orchestrator.executors.inspector import ProcessInspector

    inspector = ProcessInspector() if inspect else None
    loaded = load(path, environ=os.environ, inspector=inspector, now=datetime.now(UTC))
    return Compiled(
        plan=loaded.plan,
        diagnostics=list(loaded.diagnostics),
        ok=loaded.ok,
        usable=loaded.usable,
        inspection=loaded.inspection,
    )


def _main() -> None:
    # What is loaded lives until the process ends: collecting would only look at all of it again and again.
    gc.disable()
    hold_on(0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by way of every `finally`: one ends the reader of plugins
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints by accident must not end up in the answer
    with suppress(BrokenPipeError):
        answer.write(msgspec.msgpack.encode(_compile(Path(sys.argv[1]))))
        answer.flush()
    sys.stderr.flush()
    os._exit(0)  # tearing down ten thousand jobs would keep the engine waiting


def _compile(path: Path) -> Compiled:
    try:
        return load_project(path)
    except OrchestratorError as error:
        return _failed(str(error))
    except OSError as error:
        if not is_of_files(error):
            raise
        return _failed(f"{path} can't be read: {words_for(error.errno or 0)}")


def _failed(why: str) -> Compiled:
    return Compiled(plan=None, diagnostics=[], ok=False, usable=False, failure=why)


if __name__ == "__main__":
    _main()
