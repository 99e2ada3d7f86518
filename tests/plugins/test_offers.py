"""Callables that come with the orchestrator: a name of the user's own always wins, and says so."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from orchestrator import ResourceName, job
from orchestrator.plugins.failures import CallableError, Fault
from orchestrator.plugins.offers import Offer
from orchestrator.plugins.signature import Binder


@job("tidy.up")
def given(where: str, db: int = 0): ...


@job("store")
def stores(into: ResourceName, from_: str = ""):
    return into, from_


@pytest.fixture
def offers(monkeypatch):
    module = ModuleType("offered")
    module.given, given.__module__ = given, "offered"
    monkeypatch.setitem(sys.modules, "offered", module)
    return {"tidy.up": Offer("offered", "given"), "far": Offer("offered", "given", package="nowhere", extra="far")}


def test_what_is_offered_is_found_and_keeps_its_parameters_from_resources(project, offers):
    registry, problems = project.read(offers=offers)
    binder = registry.binder("tidy.up", ["where", "db"])
    assert (binder.function, problems) == (given, [])
    assert binder.info.builtin
    assert binder.info.resources == ()
    assert binder.warnings == []
    assert registry.registered == {}


def test_a_registered_callable_of_the_same_name_wins_with_a_warning(project, offers):
    project.write("plugins/mine.py", "from orchestrator import job\n@job('tidy.up')\ndef up(): return 'mine'")
    registry, _ = project.read(offers=offers)
    binder = registry.binder("tidy.up")
    assert binder.function() == "mine"
    assert not binder.info.builtin
    assert binder.warnings == ["'tidy.up' is a built-in callable, too; this one wins, the other is 'offered:given'"]
    assert registry.binder("offered:given").info.builtin


def test_so_does_a_plain_function_that_the_name_leads_to(project, offers):
    project.write("plugins/tidy.py", "def up(): return 'mine'")
    registry, _ = project.read(offers=offers)
    assert registry.binder("tidy.up").function() == "mine"
    assert len(registry.binder("tidy.up").warnings) == 1


def test_a_plugin_that_fails_is_not_replaced_by_something_else(project, offers):
    project.write("plugins/tidy.py", "1/0")
    registry, _ = project.read(offers=offers)
    with pytest.raises(CallableError, match="tidy failed to import"):
        registry.resolve("tidy.up")


def test_a_close_name_is_suggested(project, offers):
    registry, _ = project.read(offers=offers)
    with pytest.raises(CallableError, match=r"did you mean 'tidy.up'"):
        registry.resolve("tidy.upp")


def test_a_package_that_is_not_there_is_named_with_the_way_to_get_it(project, offers):
    problems = Binder("far", given, offer=offers["far"]).problems({"where": "x"})
    words = "far needs the package 'nowhere', which is not installed"
    assert problems == [Fault("needs", (), words, "install it: pip install 'orchestrator[far]'")]


def test_a_resource_that_a_parameter_names_must_be_declared():
    binder = Binder("store", stores, ["db", "cache"])
    assert binder.info.names_resources == ("into",)
    assert binder.problems({"into": "db"}) == []
    assert binder.problems({"into": "cahce"}) == [
        Fault("type", ("into",), "there is no resource 'cahce'", "did you mean 'cache'?")
    ]
    assert binder.problems({"into": "x"})[0].hint == "declare it under `resources`; there are: db, cache"


def test_a_parameter_named_like_a_word_of_python_is_written_without_its_underscore():
    binder = Binder("store", stores)
    assert [parameter.name for parameter in binder.info.parameters] == ["into", "from"]
    assert binder.info.signature == "(into: ResourceName, from: str = '')"
    assert binder.function(**binder.bind({"into": "db", "from": "x"})) == ("db", "x")
    assert binder.function(**binder.bind({"into": "db"})) == ("db", "")
    assert binder.problems({"into": "db", "from_": "x"})[0].message == "store has no parameter 'from_'"
