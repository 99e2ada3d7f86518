from __future__ import annotations

import functools
import inspect
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from orchestrator import Context, Duration, Size, job
from orchestrator.core.errors import PluginError
from orchestrator.core.policies import Isolation
from orchestrator.plugins.failures import CallableError, ParamsError
from orchestrator.plugins.isolation import check_isolation
from orchestrator.plugins.signature import Binder, describe

if TYPE_CHECKING:
    from decimal import Decimal

    from nowhere import Nothing


class Colour(Enum):
    RED = "red"


class Window(BaseModel):
    days: list[int]
    label: str = ""


@dataclass
class Point:
    x: int


class Options(TypedDict):
    deep: bool


def everything(
    to: str,
    limit: Size = 5,
    wait: Duration = timedelta(0),
    *,
    colour: Colour = Colour.RED,
    when: date | None = None,
    path: Path = Path(),
    mode: Literal["a", "b"] = "a",
    window: Window | None = None,
    point: Point | None = None,
    options: Options | None = None,
    ids: list[int] = [],  # noqa: B006
    price: Decimal | None = None,
    either: int | str = 0,
    positive: Annotated[int, Field(gt=0)] = 1,
) -> dict[str, Any]:
    """Takes one of each."""
    return dict(locals())


def test_values_become_what_annotations_ask_for():
    params = {
        "to": "me", "limit": "5KiB", "wait": "1h30m", "colour": "red", "when": "2024-02-29", "path": "a/b", "mode": "b",
        "window": {"days": [1, "2"]}, "point": {"x": "3"}, "options": {"deep": True}, "ids": ["1"], "price": "1.50",
        "either": "5",
    }  # fmt: skip
    got = everything(**Binder("e", everything).bind(params))
    assert got["limit"] == 5120
    assert got["wait"] == timedelta(minutes=90)
    assert got["colour"] is Colour.RED
    assert got["when"] == date(2024, 2, 29)
    assert got["path"] == Path("a/b")
    assert got["window"] == Window(days=[1, 2])
    assert got["point"] == Point(3)
    assert got["ids"] == [1]
    assert str(got["price"]) == "1.50"
    assert got["either"] == "5"
    assert got["positive"] == 1


@pytest.mark.parametrize(
    ("params", "kind", "path", "said"),
    [
        ({"to": 5}, "type", ("to",), "should be a valid string, not 5 (put it in quotes)"),
        ({}, "missing", ("to",), "e needs the parameter 'to'"),
        ({"to": "", "limt": 5}, "unknown", ("limt",), "did you mean 'limit'?"),
        ({"to": "", "limit": "many"}, "type", ("limit",), "'many' is not a size; write it like 64KiB"),
        ({"to": "", "wait": "soon"}, "type", ("wait",), "'soon' is not a duration"),
        ({"to": "", "colour": "blue"}, "type", ("colour",), "should be 'red', not \"blue\""),
        ({"to": "", "mode": "c"}, "type", ("mode",), "should be 'a' or 'b', not \"c\""),
        ({"to": "", "ids": [1, "x"]}, "type", ("ids", 1), "'ids[1]' should be a valid integer, not \"x\""),
        ({"to": "", "window": {"days": [1, None]}}, "type", ("window", "days", 1), "not null"),
        ({"to": "", "window": {}}, "missing", ("window", "days"), "'window.days' is missing"),
        ({"to": "", "point": {"x": 1, "y": 2}}, "unknown", ("point", "y"), "not known"),
        ({"to": "", "options": {"deep": "5"}}, "type", ("options", "deep"), "valid boolean"),
        ({"to": "", "either": []}, "type", ("either",), "should be a valid integer or a valid string, not a list"),
        ({"to": "", "positive": 0}, "type", ("positive",), "should be greater than 0, not 0"),
        ({"to": "", "positive": True}, "type", ("positive",), "a number, not a boolean"),
        ({"to": "", "limit": 1.5}, "type", ("limit",), "valid integer"),
    ],
)
def test_problems_name_the_place_and_the_mend(params, kind, path, said):
    (fault,) = Binder("e", everything).problems(params)
    assert (fault.kind, fault.path) == (kind, path)
    assert said in str(fault)


def test_every_wrong_parameter_is_listed():
    faults = Binder("e", everything).problems({"limit": "x", "ids": ["y", "z"], "nope": 1})
    assert {fault.path for fault in faults} == {("to",), ("limit",), ("ids", 0), ("ids", 1), ("nope",)}


def test_deferred_values_are_present_but_not_checked():
    binder = Binder("e", everything)
    assert binder.problems({"limit": {"$template": "{{ run.id }}"}}, ("to", "limit")) == []
    assert [f.path for f in binder.problems({}, ("to", "nope"))] == [("nope",)]


def test_bind_never_quotes_a_value_which_may_be_a_secret():
    with pytest.raises(ParamsError) as refused:
        Binder("e", everything).bind({"to": 5, "limit": "hunter2", "colour": "hunter2", "nope": "hunter2"})
    assert len(refused.value.faults) == 4
    assert "hunter2" not in str(refused.value)


def test_context_and_resources_are_filled():
    def call(ctx: Context, maybe: Context | None, db, text: str = ""):
        return ctx, maybe, db, text

    binder = Binder("c", call, {"db", "unused"})
    assert (binder.info.wants_context, binder.info.resources) == (True, ("db",))
    assert [p.name for p in binder.info.parameters] == ["text"]
    here: Any = object()
    assert binder.bind({}, here, {"db": 5, "unused": 6}) == {"ctx": here, "maybe": here, "db": 5}
    with pytest.raises(PluginError, match="asks for the resource 'db'"):
        binder.bind({}, here, {})
    assert [str(f) for f in binder.problems({"db": 1, "ctx": 2})] == [
        "'db' of c receives the resource 'db' (remove it)",
        "'ctx' of c receives the run's context (remove it)",
    ]


def test_a_parameter_is_only_a_resource_if_the_plan_declares_it():
    def call(db): ...

    assert Binder("c", call).problems({"db": 1}) == []
    assert Binder("c", call).problems({})[0].kind == "missing"


def test_keyword_arguments_take_the_rest_and_are_checked():
    def call(a: int, **rest: int):
        return a, rest

    binder = Binder("c", call)
    assert binder.info.extra
    assert binder.bind({"a": 1, "b": "2"}) == {"a": 1, "b": 2}
    assert binder.problems({"a": 1, "b": "x"})[0].path == ("b",)


def test_an_annotation_that_cannot_be_resolved_is_a_warning():
    def call(a: Nothing, b: int): ...

    binder = Binder("c", call)
    assert [fault.path for fault in binder.problems({"a": object, "b": "x"})] == [("b",)]
    assert "annotation Nothing of 'a' can't be resolved" in binder.warnings[0]


def test_a_type_that_pydantic_cannot_use_is_a_warning():
    class Odd:
        @classmethod
        def __get_pydantic_core_schema__(cls, source, handler):
            raise RuntimeError("no")

    def call(a, b): ...

    call.__annotations__ = {"a": Odd, "b": int}
    binder = Binder("c", call)
    assert [fault.path for fault in binder.problems({"a": 1, "b": "x"})] == [("b",)]
    assert "values of 'a' are not checked" in binder.warnings[0]


@pytest.mark.parametrize("name", ["schema", "copy", "json", "model_config", "_private", "self_", "validate"])
def test_parameters_may_have_names_that_pydantic_models_may_not(name):
    namespace: dict[str, Any] = {}
    exec(f"def call({name}: list[int]): return {name}", namespace)  # noqa: S102
    assert Binder("c", namespace["call"]).bind({name: ["1"]}) == {name: [1]}


def test_callables_that_are_not_plain_functions():
    class Box:
        def pack(self, size: int): ...
        async def __call__(self, size: int): ...

        @classmethod
        def make(cls, size: int): ...

    @functools.wraps(Box.pack)
    def wrapped(*args, **kwargs): ...

    for target in (Box().pack, Box(), Box.make, functools.partial(Box().pack), functools.lru_cache(Box.make)):
        assert Binder("c", target).bind({"size": "5"}) == {"size": 5}
    assert describe("c", Box()).isolation is Isolation.ASYNC
    assert [p.name for p in describe("c", functools.partial(everything, limit=3)).parameters if p.required] == ["to"]
    assert [p.name for p in describe("c", wrapped).parameters] == ["self", "size"]


def _positional(a, /): ...
def _optional(a=1, /, b=2): ...
def _star(*names): ...
def _rows():
    yield 1


@pytest.mark.parametrize(
    ("target", "why"),
    [(_positional, "by position only"), (_star, "*names"), (_rows, "generator"), (Point, "class"), (print, "*args"),
     (5, "not a function"), (inspect, "module")],
)  # fmt: skip
def test_what_no_job_can_call_is_refused_clearly(target, why):
    with pytest.raises(CallableError, match=why.replace("*", r"\*")):
        Binder("c", target)


def test_optional_positional_parameters_keep_their_defaults():
    assert Binder("c", _optional).bind({"b": 3}) == {"b": 3}


def test_describe_tells_people_what_they_need():
    info = describe("mails.everything", everything)
    assert info.file == __file__
    assert info.doc == "Takes one of each."
    assert info.signature.startswith("(to: str, limit: Size = 5, wait: Duration = datetime.timedelta(0), ")
    assert (info.parameters[1].annotation, info.parameters[1].required) == ("Size", False)


def test_isolation():
    @job(isolation="thread")
    def waits(): ...

    async def loops(): ...

    def works(): ...

    infos = [describe("f", function) for function in (waits, loops, works)]
    assert [info.isolation for info in infos] == ["thread", "async", "process"]
    assert check_isolation(infos[0], Isolation.PROCESS) is None
    assert check_isolation(infos[1], Isolation.ASYNC) is None
    assert "async def" in (check_isolation(infos[1], Isolation.THREAD) or "")
    assert "plain `def`" in (check_isolation(infos[2], Isolation.ASYNC) or "")


def test_isolation_asked_for_an_async_function_is_a_warning():
    async def loops(): ...

    marked: Any = job(isolation="thread")(loops)  # type: ignore[type-var, unused-ignore]
    assert "ignored" in describe("f", marked).warnings[0]


def test_plain_values_are_bound_without_importing_pydantic():
    code = """
import sys
from orchestrator import Context, Size
from orchestrator.plugins.signature import Binder
def call(a: str, b: int, c, d: list, ctx: Context, e: Size = 1): ...
print(Binder("c", call).bind({"a": "x", "b": 1, "c": None, "d": []}, None), "pydantic" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "{'a': 'x', 'b': 1, 'c': None, 'd': [], 'ctx': None} False\n"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("ab1-", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab1-", max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*inspect.signature(everything).parameters, "other"]), JSON, max_size=4))
def test_what_has_no_problems_binds_and_what_has_some_does_not(params):
    binder = Binder("e", everything)
    before = repr(params)
    faults = binder.problems(params)
    assert repr(params) == before
    if faults:
        with pytest.raises(ParamsError) as refused:
            binder.bind(params)
        assert [f.path for f in refused.value.faults] == [f.path for f in faults]
    else:
        everything(**binder.bind(params))
