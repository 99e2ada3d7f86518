"""Which values of a step are settled when the file is read, and which are rendered when the step runs?"""

from __future__ import annotations

from typing import Any

from orchestrator.config.rendering import Rendering, Use, like
from orchestrator.config.source import Block, Path_, Source
from orchestrator.config.templates import is_template

_AT_RUN = ("params", "when", "foreach", "matrix")


def rendered_steps(rendering: Rendering, steps: Any, source: Source, path: Path_) -> Any:
    """The steps as written, with their templates rendered or as markers."""
    if not isinstance(steps, Block):
        return rendering.value(steps, source, path, Use.SETTING)
    return like(steps, {name: _step(rendering, step, source, (*path, name)) for name, step in steps.items()})


def _step(rendering: Rendering, step: Any, source: Source, path: Path_) -> Any:
    if not isinstance(step, Block):
        return rendering.value(step, source, path, Use.SETTING)
    return like(step, {key: _value(rendering, key, value, source, (*path, key)) for key, value in step.items()})


def _value(rendering: Rendering, key: str, value: Any, source: Source, path: Path_) -> Any:
    # A condition is an expression whether it is written in braces or not.
    if key == "when" and isinstance(value, str) and value.strip() and not is_template(value):
        value = "{{ " + value + " }}"
    return rendering.value(value, source, path, Use.STEP if key in _AT_RUN else Use.SETTING)
