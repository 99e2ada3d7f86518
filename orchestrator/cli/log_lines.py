"""How a run's output reads: each line with its time and where it came from."""

from __future__ import annotations

from datetime import tzinfo
from io import StringIO
from typing import TextIO

from orchestrator.cli.terminal import Painter
from orchestrator.core.runs import LogLine

_STYLES = {"stderr": "yellow", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "red", "engine": "cyan"}


class LogLines:
    """Turns pieces of output into text. A piece may end in the middle of a line that the next one continues."""

    def __init__(self, stream: TextIO, zone: tzinfo | None = None) -> None:
        self._painter = Painter(stream)
        self._zone = zone
        self._attempt: int | None = None
        self._unfinished: str | None = None
        """The stream whose last line has not ended yet."""

    def text(self, piece: LogLine) -> str:
        """What to write for this piece; it may lack the newline at its end."""
        out = []
        if self._attempt not in (None, piece.attempt):
            out.append(self.end() + self._painter.paint("-- next attempt --", "dim") + "\n")
        self._attempt = piece.attempt
        continues = self._unfinished == piece.stream
        if not continues:
            out.append(self.end())
        text = piece.text if piece.stream in ("stdout", "stderr") else piece.text.rstrip("\n") + "\n"
        prefix = self._prefix(piece)
        for number, line in enumerate(StringIO(text, newline="\n")):
            out.append(line if continues and number == 0 else prefix + line)
        self._unfinished = None if text.endswith("\n") else piece.stream
        return "".join(out)

    def end(self) -> str:
        """A newline, if the last line lacks one."""
        unfinished, self._unfinished = self._unfinished, None
        return "\n" if unfinished is not None else ""

    def _prefix(self, piece: LogLine) -> str:
        clock = self._painter.paint(f"{piece.at.astimezone(self._zone):%H:%M:%S}", "dim")
        source = piece.level or piece.stream
        return f"{clock}  {self._painter.paint(f'{source:<7}', _STYLES.get(source, 'dim'))}  "
