from __future__ import annotations

import os.path
import shutil

import pytest

from orchestrator.plugins.failures import CallableError


@pytest.fixture
def registry(project):
    project.write(
        "plugins/mails.py",
        """
        import functools
        from orchestrator import job
        @job
        def send(): ...
        @job("nightly")
        def n(): ...
        def plain(): ...
        def rows(): yield 1
        async def arows(): yield 1
        class Box:
            def pack(self, size: int): return size
            def __call__(self, size: int): return size
        box = Box()
        half = functools.partial(box.pack, 5)
        number = 5
        """,
    )
    project.write("plugins/deep/__init__.py")
    project.write("plugins/deep/er.py", "def run(): ...")
    project.write("plugins/deep/broken.py", "1/0")
    return project.read()[0]


@pytest.mark.parametrize(
    "call",
    ["mails.send", "nightly", "mails.n", "mails.plain", "mails:plain", "mails.box.pack", "mails.box", "mails.half",
     "deep.er.run", "deep.er:run", "shutil.rmtree", "os.path:isfile"],
)  # fmt: skip
def test_resolves(registry, call):
    assert callable(registry.resolve(call))
    assert registry.resolve(call) is not None


def test_a_dotted_path_leads_to_any_importable_function(registry):
    assert registry.resolve("shutil.rmtree") is shutil.rmtree
    assert registry.resolve("os.path.isfile") is os.path.isfile


@pytest.mark.parametrize(
    ("call", "why"),
    [
        ("mails.sned", "did you mean 'mails.send'"),
        ("nightli", "did you mean 'nightly'"),
        ("mails.plian", "did you mean 'mails.plain'"),
        ("nothing.like.it", "the plugins offer mails.send, nightly"),
        ("mails.Box", "is a class; name a function"),
        ("mails.number", "is an int, not a function"),
        ("mails.rows", "generator function"),
        ("mails.arows", "generator function"),
        ("os.path", "is a module; name a function in it"),
        ("mails", "no callable is named 'mails'"),
        ("rm -rf", "is not a callable's name"),
        ("", "is not a callable's name"),
        ("mails..send", "is not a callable's name"),
        ("deep.broken.run", "deep.broken failed to import; ZeroDivisionError"),
    ],
)
def test_refuses_with_a_way_out(registry, call, why):
    with pytest.raises(CallableError) as refused:
        registry.resolve(call)
    assert why in str(refused.value)


def test_a_module_that_fails_when_a_call_first_names_it_is_a_problem(registry):
    with pytest.raises(CallableError):
        registry.resolve("deep.broken.run")
    assert [(p.module, p.line) for p in registry.problems] == [("deep.broken", 1)]


def test_modules_imported_for_a_call_are_announced(project):
    project.write("late/__init__.py")
    project.write("late/jobs.py", "def run(): ...")
    registry, _ = project.read()
    registry.resolve("late.jobs.run")
    assert project.announced == ["late", "late.jobs"]


def test_a_resource_may_be_made_by_a_class(registry):
    assert registry.factory("mails.Box")().pack(3) == 3
    with pytest.raises(CallableError, match="not callable"):
        registry.factory("mails.number")
    with pytest.raises(CallableError, match="pip install sqlalchmy"):
        registry.factory("sqlalchmy.create_engine")


def test_many_unknown_names_stay_cheap(registry):
    for number in range(300):
        with pytest.raises(CallableError) as refused:
            registry.resolve(f"mails.send{number}")
    assert refused.value.hint is None


def test_objects_that_mind_being_looked_at_are_left_alone(project):
    project.write(
        "plugins/proxies.py",
        """
        class Proxy:
            def __getattribute__(self, name): raise RuntimeError(name)
        proxy = Proxy()
        def run(): ...
        """,
    )
    registry, problems = project.read()
    assert problems == []
    assert registry.resolve("proxies.run")
