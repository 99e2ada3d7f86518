"""The schema and the reference in the repository are those of the models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from orchestrator.config.fields import _DURATION_PATTERN
from orchestrator.config.reference import reference
from orchestrator.config.schema import json_schema, schema_text

ROOT = Path(__file__).parents[2]


def test_the_schema_is_that_of_the_models():
    assert (ROOT / "schemas/jobs.schema.json").read_text() == schema_text(), "run: orchestrator schema"


def test_the_reference_is_that_of_the_models():
    assert (ROOT / "docs/reference/config.md").read_text() == reference()


def test_every_key_has_a_description():
    schema = json_schema()
    for shape in (schema, *schema["$defs"].values()):
        for key, value in shape.get("properties", {}).items():
            assert value.get("description"), key


def test_every_reference_inside_the_schema_leads_somewhere():
    text = json.dumps(json_schema())
    wanted = {part.partition('"')[0] for part in text.split('"#/$defs/')[1:]}
    assert wanted <= set(json_schema()["$defs"])


def test_the_pattern_of_durations_accepts_what_is_accepted():
    import re

    for good in ("500ms", "2s", "5m", "1h30m", "7d", "1.5h"):
        assert re.search(_DURATION_PATTERN, good)
    for bad in ("30", "5 minutes", "h", ""):
        assert not re.search(_DURATION_PATTERN, bad)


def test_naming_the_room_imports_nothing_heavy():
    heavy = "{'pydantic', 'jinja2', 'yaml'}"
    code = f"import sys, orchestrator.config.diagnostics; print({heavy} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert shown.stdout.strip() == "set()"
