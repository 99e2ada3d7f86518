"""What does a mistake look like on the screen? One line that says what is wrong, and a hint; never a traceback."""

from __future__ import annotations

import sys

from orchestrator.cli.terminal import Painter
from orchestrator.core.errors import OrchestratorError, RequestError


class CommandError(RequestError):
    """A command was asked for something that can't be."""


def report(error: OrchestratorError) -> int:
    """Print an error to stderr; gives the exit status."""
    painter = Painter(sys.stderr)
    if message := str(error):
        print(f"{painter.paint('error:', 'red')} {message}", file=sys.stderr)
    if hint := getattr(error, "hint", None):
        print(f"{painter.paint('hint:', 'cyan')}  {hint}", file=sys.stderr)
    return error.exit_code
