"""How a configuration's mistakes look on the screen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from orchestrator.cli.terminal import Painter
from orchestrator.client.compiled import Compiled
from orchestrator.config.diagnostics import Diagnostic, render
from orchestrator.core.errors import ConfigError
from orchestrator.core.plan import Plan

_HEAD = re.compile(r"^(\S.*?:\d+:\d+: )(error|warning)(: )")
_FRAME = re.compile(r"^ +\d* \| ")
_STYLES = {"error": "red", "warning": "yellow"}


def print_diagnostics(diagnostics: Sequence[Diagnostic], stream: TextIO) -> None:
    """Print every mistake with its place, code frame and hint."""
    if text := diagnostics_text(diagnostics, stream):
        print(text, file=stream, flush=True)


def diagnostics_text(diagnostics: Sequence[Diagnostic], stream: TextIO) -> str:
    """The same as text, in colours if the stream shows them; empty if there are none."""
    text = render(diagnostics, base=Path.cwd())
    painter = Painter(stream)
    if painter.coloured:
        text = "\n".join(_coloured(line, painter) for line in text.split("\n"))
    return text


def require_plan(compiled: Compiled, stream: TextIO) -> Plan:
    """The plan of a configuration that can be used; otherwise its mistakes are printed. Raises `ConfigError`."""
    if compiled.plan is not None and compiled.usable:
        return compiled.plan
    print_diagnostics(compiled.diagnostics, stream)
    raise ConfigError(compiled.failure)


def _coloured(line: str, painter: Painter) -> str:
    if head := _HEAD.match(line):
        place, severity, colon = head.groups()
        return painter.paint(place, "bold") + painter.paint(severity, _STYLES[severity]) + colon + line[head.end() :]
    if line.startswith("hint: "):
        return painter.paint("hint:", "cyan") + line.removeprefix("hint:")
    if frame := _FRAME.match(line):
        return painter.paint(frame.group(), "dim") + line[frame.end() :]
    return line
