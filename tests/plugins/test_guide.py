"""The examples of docs/plugins.md are plugins and jobs that work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from orchestrator.plugins.failures import Fault
from orchestrator.plugins.signature import Binder

GUIDE = (Path(__file__).parents[2] / "docs/plugins.md").read_text()
PLUGINS = re.findall(r"```python\n# (plugins/\w+\.py)\n(.*?)```", GUIDE, re.DOTALL)
CONFIGS = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)]


def jsonable(value):
    """YAML dates as the configuration hands them on: text."""
    return (
        {k: jsonable(v) for k, v in value.items()}
        if isinstance(value, dict)
        else value
        if isinstance(value, (int, list))
        else str(value)
    )


@pytest.fixture
def registry(project):
    for path, source in PLUGINS:
        project.write(path, source)
    registry, problems = project.read()
    assert problems == []
    return registry


def test_the_guide_has_examples():
    assert len(PLUGINS) == len(CONFIGS) == 5


@pytest.mark.parametrize("config", CONFIGS)
def test_jobs_of_the_guide_fit_its_plugins(registry, config):
    resources = config.get("resources", {})
    for resource in resources.values():
        assert callable(registry.factory(resource["use"]))
    for entry in config["jobs"].values():
        binder = Binder(entry["call"], registry.resolve(entry["call"]), resources)
        if "params" in entry:  # else whoever asks for a run gives them
            assert binder.problems(jsonable(entry["params"])) == []
        assert binder.warnings == []


def test_a_first_mistake_is_explained(registry):
    binder = Binder("health.check_disk", registry.resolve("health.check_disk"))
    assert binder.problems({"fre": "500MiB"}) == [
        Fault("unknown", ("fre",), "health.check_disk has no parameter 'fre'", "did you mean 'free'?")
    ]
    assert binder.function(**binder.bind({"free": "1B"}))["free"] > 0
