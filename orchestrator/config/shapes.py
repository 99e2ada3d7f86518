"""What all shapes have in common, and how their keys are described."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Shape(BaseModel):
    """Common to all: unknown keys are refused and nothing is converted. What isn't set stays out of
    `model_fields_set`; the None that such a field then holds means nothing."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


def key(description: str, **more: Any) -> Any:
    """A key that may be left out, described for editors and the reference."""
    return Field(default=None, description=description, **more)
