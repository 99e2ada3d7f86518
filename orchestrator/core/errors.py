"""The one tree of errors. A message says what happened, to what, and what to do about it."""

from __future__ import annotations


class OrchestratorError(Exception):
    """Every error that this package raises on purpose; the command line prints it without a traceback."""

    exit_code = 1


class ConfigError(OrchestratorError):
    """The configuration can't be used; the diagnostics were reported already or are the message."""

    exit_code = 2


class RequestError(OrchestratorError):
    """What was asked for can't be; `hint` says what can."""

    exit_code = 2

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # for tracebacks; the command line prints it in its own way


class UnitError(OrchestratorError, ValueError):
    """A duration or size that can't be read."""


class TriggerError(OrchestratorError, ValueError):
    """A schedule that can't be read or can never fire. `hint` says how to mend it."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class PluginError(OrchestratorError):
    """A callable that can't be found, imported or called as asked."""


class StoreError(OrchestratorError):
    """The state database can't be opened, read or written.

    `refused` says that this very statement is at fault, not the disk or a lock: trying it again is no use.
    """

    exit_code = 3

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class DamagedError(StoreError):
    """The state database is damaged: nobody may go on as if it weren't, and no second try helps."""


class ShortageError(OrchestratorError):
    """The system refuses what it takes to work: descriptors, processes or memory."""

    exit_code = 4


class StoreShortageError(ShortageError, StoreError):
    """The state database can't be opened for want of descriptors."""


class ResultFileError(OrchestratorError):
    """The file of a large result can't be written, or is no longer there as it was written."""


class NotFoundError(OrchestratorError):
    """A job, run or queue that doesn't exist."""

    exit_code = 2


class ConflictError(OrchestratorError):
    """A request that the present state of a run or job refuses."""
