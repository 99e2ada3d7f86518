"""The reference of `jobs.yaml` as Markdown, from the models: every key, what it takes, its default, what it means."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from orchestrator.config.schema import json_schema

_HEAD = """\
# jobs.yaml

Every key of `jobs.yaml`. This page is generated from the models that check the file; don't edit it.

Durations are written `500ms`, `2s`, `5m`, `1h30m`, `7d`; sizes `64KiB`, `500MiB`, `2GiB`. Keys and values follow
YAML 1.2: only `true` and `false` are booleans, dates and times like `1:30` are text, and `on:` is just a name.

Any value may hold a [template](#templates), except `version`.
"""
_TEMPLATES = """\
## Templates

Values may use Jinja2 expressions: `{{ env.NAME }}`, `{{ vars.name }}`, `{{ env.NAME | default('other') }}`. A value
that is exactly one expression keeps its type: `"{{ vars.days + 1 }}"` is a number. Environment variables are text;
write `{{ env.DAYS | int }}` for a number. A value that starts with `{{` must be quoted.

| name | what it is | where |
| --- | --- | --- |
| `env.NAME` | an environment variable | everywhere |
| `vars.name` | a variable of `vars` | everywhere but `include`, `plugins` and `secrets` |
| `secrets.name` | a secret of `secrets` | `params`, `with`, `vars` |
| `run.id`, `run.fire_time`, `run.attempt` | the run that is executed | `params` |
| `job.name` | the job's name | `params` |
| `event.…` | what happened: `kind`, `job`, `run_id`, … | `params` of a hook; `subject` and `body` of a notifier |
| `events`, `count` | all that a message tells of, and how many there are | `subject` and `body` of a notifier |
| `steps.NAME.result`, `.state`, `.reason` | of a step before this one | `params`, `when`, `foreach`, `matrix` |
| `flow.params.NAME`, `flow.id`, `flow.job`, `flow.fire_time`, `flow.state` | the workflow's run | the same |
| `item`, `matrix.NAME` | what this run of the step is for | `params` and `when` of steps with `foreach` or `matrix` |

What uses `secrets`, `run` or `job` is checked when the file is read, and rendered in the worker just before each
attempt (for `with`: when the worker opens the resource), so that secrets are in no file, database or message.

Expressions run in a sandbox: `if` and `for` are available, `set`, macros and includes are not; loops, sizes and nesting
are limited.
"""
_ORDER = (
    ("Job", "A job", "Each entry of `jobs`. All keys of [the policies](#policies) may be set too."),
    ("Step", "A step", "Each entry of `steps` and `finally`; see [workflows](../workflows.md)."),
    ("Policies", "Policies", "What `defaults` sets for every job, and a job for itself."),
    ("Retry", "retry", ""),
    ("Retention", "retention", ""),
    ("Unique", "unique", ""),
    ("Hook", "A hook", "Each entry of `on_success`, `on_failure`, …; just a text is a job's name."),
    ("Sla", "sla", ""),
    ("Trigger", "triggers", ""),
    ("After", "after", ""),
    ("Batch", "batch", ""),
    ("Queue", "A queue", "Each entry of `queues`."),
    ("PerKey", "per_key", ""),
    ("Resource", "A resource", "Each entry of `resources`."),
    ("Notifier", "A notifier", "Each entry of `notifiers`."),
    ("Group", "group", ""),
    ("Secret", "A secret", "Each entry of `secrets`."),
    ("Workers", "workers", ""),
)


def reference() -> str:
    """The whole page."""
    schema = json_schema()
    shapes = schema["$defs"]
    policies = shapes["Policies"]["properties"]
    parts = [_HEAD, "## The file\n", _table(schema, shapes)]
    for name, title, lead in _ORDER:
        shape = dict(shapes[name])
        if name == "Job":
            shape["properties"] = {key: value for key, value in shape["properties"].items() if key not in policies}
        parts += [f"## {title}\n", f"{lead or shape.get('description', '')}\n", _table(shape, shapes)]
    return "\n".join([*parts, _TEMPLATES])


def _table(shape: dict[str, Any], shapes: dict[str, Any]) -> str:
    required = shape.get("required", ())
    rows = ["| key | takes | default | meaning |", "| --- | --- | --- | --- |"]
    for key, value in shape["properties"].items():
        default = "required" if key in required else f"`{_yaml(value['default'])}`" if "default" in value else ""
        takes = _takes(value, shapes).replace("|", "\\|")
        rows.append(f"| `{key}` | {takes} | {default} | {value.get('description', '')} |")
    return "\n".join(rows) + "\n"


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _takes(value: dict[str, Any], shapes: dict[str, Any]) -> str:
    if "anyOf" in value:
        parts = [_takes(part, shapes) for part in value["anyOf"] if part.get("$ref") != "#/$defs/Template"]
        return " or ".join(dict.fromkeys(filter(None, parts)))
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return _takes(shapes[name], shapes) if "properties" not in shapes[name] else _link(name)
    if "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value["enum"])
    if "const" in value:
        return f"`{_yaml(value['const'])}`"
    return _simple(value, shapes)


def _link(name: str) -> str:
    title = next(title for known, title, _ in _ORDER if known == name)
    return f"[{title.lower()}](#{title.lower().replace(' ', '-')})"


def _simple(value: dict[str, Any], shapes: dict[str, Any]) -> str:
    kind = value.get("type")
    if kind == "string":
        if "examples" in value:
            return "duration"
        marks = (("KMGT", "size"), ("/", "rate"), ("params", "text with parameters"), ("", "name"))
        pattern = value.get("pattern")
        return "text" if pattern is None else next(kind for mark, kind in marks if mark in pattern)
    if kind == "integer":
        low, high = value.get("minimum"), value.get("maximum")
        bounds = f"{low} to {high}" if high is not None else f"from {low}" if low is not None else ""
        return f"number {bounds}".strip()
    if kind == "array":
        return f"list of {_takes(value['items'], shapes)}"
    if kind == "object" and "patternProperties" in value:
        (inner,) = value["patternProperties"].values()
        return f"name → {_takes(inner, shapes)}"
    return {"boolean": "true, false", "object": "mapping", "null": ""}.get(str(kind), "any value")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
