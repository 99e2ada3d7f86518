"""Where the command line starts, and how it ends when something is wrong."""

from __future__ import annotations

import errno
import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """The `orchestrator` command."""
    if sys.argv[1:] == ["--version"]:
        from orchestrator import __version__

        print(f"orchestrator {__version__}")
        sys.exit(0)
    sys.exit(_guarded(sys.argv[1:]))


def _guarded(arguments: list[str]) -> int:
    from orchestrator.cli.errors import report
    from orchestrator.cli.terminal import forgive_encodings
    from orchestrator.core.errors import OrchestratorError, ShortageError
    from orchestrator.core.shortage import is_of_files, words_for

    forgive_encodings()
    try:
        status = _dispatch(arguments)
        sys.stdout.flush()
    except OrchestratorError as error:
        return report(error)
    except BrokenPipeError:
        return _reader_has_gone()
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if is_of_files(error):
            return report(ShortageError(words_for(error.errno or 0)))
        if error.errno != errno.ENOSPC:
            raise
        return report(OrchestratorError(f"the output can't be written: {error.strerror}"))
    return status


def _dispatch(arguments: list[str]) -> int:
    from orchestrator.cli.run_arguments import read_run_arguments

    wanted = read_run_arguments(arguments, os.environ)
    if wanted is not None:
        from orchestrator.cli.serve import serve

        return serve(wanted.config, wanted.database, wanted.log_format, watch=wanted.watch)
    from orchestrator.cli.app import app

    try:
        app(prog_name="orchestrator")
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else 0
    return 0


def _reader_has_gone() -> int:
    """`orchestrator runs | head` ends quietly, with the status of a program that SIGPIPE ended."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return 141


if __name__ == "__main__":
    main()
