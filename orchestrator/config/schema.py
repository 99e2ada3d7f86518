"""The JSON Schema of `jobs.yaml`, from the models: editors complete, describe and check keys with it."""

from __future__ import annotations

import json
from typing import Any

from orchestrator.config.builtin import default_of
from orchestrator.config.model_file import FileShape

TITLE = "jobs.yaml of orchestrator"
_TEMPLATE = {"type": "string", "pattern": r"\{[{%]", "description": "A template that gives the value: {{ env.NAME }}."}
_CHECKED = ("pattern", "enum", "const", "minimum", "maximum")
"""What a template's text could break, although what it gives may be right."""
_FIXED = {"version"}
_CHOICES = {"Backoff", "CatchUp", "Isolation", "Jitter", "OnFailure", "Order", "Overlap"}


def json_schema() -> dict[str, Any]:
    """The schema as a JSON value, in a stable order."""
    made = FileShape.model_json_schema(by_alias=True)
    shapes = {_short(name): shape for name, shape in made.pop("$defs").items()}
    told = {name: shape.get("description", "") for name, shape in shapes.items()}
    file = _object("File", made, told)
    defs = {name: _object(name, shape, told) if "properties" in shape else shape for name, shape in shapes.items()}
    for shape in defs.values():
        shape.pop("title", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": TITLE,
        **file,
        "$defs": {**dict(sorted(defs.items())), "Template": _TEMPLATE},
    }


def schema_text() -> str:
    """The schema as it is written to `schemas/jobs.schema.json`."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _object(name: str, shape: dict[str, Any], told: dict[str, str]) -> dict[str, Any]:
    kept = {key: value for key, value in shape.items() if key != "title"}
    kept["properties"] = {key: _key(name, key, value, told) for key, value in shape["properties"].items()}
    return kept


def _key(shape: str, key: str, said: dict[str, Any], told: dict[str, str]) -> dict[str, Any]:
    value = _tidied({k: v for k, v in said.items() if k not in ("title", "default", "description")})
    if key not in _FIXED and _takes_template(value):
        value = {"anyOf": [value, {"$ref": "#/$defs/Template"}]}
    default = default_of(shape, key)
    description = said.get("description") or told.get(_short(said.get("$ref", "")).rpartition("/")[2])
    return {
        **({"description": description} if description else {}),
        **value,
        **({"default": default} if default is not None else {}),
    }


def _takes_template(value: dict[str, Any]) -> bool:
    if any(check in value for check in _CHECKED) or value.get("type") in ("integer", "boolean", "number"):
        return True
    if "$ref" in value:
        return _short(value["$ref"]).rpartition("/")[2] in _CHOICES
    return any(_takes_template(part) for part in value.get("anyOf", ()))


def _tidied(value: Any) -> Any:
    if isinstance(value, list):
        return [_tidied(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    tidy = {key: _tidied(inner) for key, inner in value.items() if key != "title"}
    if "$ref" in tidy:
        tidy["$ref"] = _short(tidy["$ref"])
    if "patternProperties" in tidy:
        tidy["additionalProperties"] = False
    return tidy


def _short(name: str) -> str:
    return name.removesuffix("Shape")
