from __future__ import annotations

import email
import sys

import pytest

from orchestrator.plugins.failures import CallableError


def test_files_and_packages_of_a_folder_are_imported_and_private_ones_are_not(project):
    project.write("plugins/mails.py", "from orchestrator import job\n@job\ndef send(): ...")
    project.write("plugins/sums/__init__.py", "from .parts import add")
    project.write("plugins/sums/parts.py", "from orchestrator import job\n@job\ndef add(): ...")
    project.write("plugins/_hidden.py", "raise RuntimeError")
    project.write("plugins/.secret.py", "raise RuntimeError")
    project.write("plugins/data/notes.txt", "no package")
    registry, problems = project.read()
    assert problems == []
    assert set(registry.registered) == {"mails.send", "sums.parts.add"}
    assert project.announced == ["mails", "sums"]
    assert registry.resolve("sums.add") is registry.resolve("sums.parts.add")


def test_plugins_can_import_each_other(project):
    project.write("plugins/first.py", "from second import value\ndef run(): return value")
    project.write("plugins/second.py", "value = 7")
    registry, problems = project.read()
    assert problems == []
    assert registry.resolve("first.run")() == 7


def test_a_plugin_named_like_a_library_works_and_leaves_the_library_alone(project):
    project.write("plugins/email.py", "from email.message import EmailMessage\ndef send(): return EmailMessage()")
    project.write("plugins/yaml.py", "def load(): return 'mine'")
    registry, problems = project.read()
    assert problems == []
    assert registry.resolve("email.send")()["subject"] is None
    assert registry.resolve("yaml.load")() == "mine"
    assert sys.modules["email"] is email


def test_a_dataclass_in_a_plugin_named_like_a_library_resolves_its_own_names(project):
    project.write(
        "plugins/calendar.py",
        """
        from __future__ import annotations
        from dataclasses import dataclass
        @dataclass
        class Slot:
            hour: int
        def book(slot: Slot): return slot
        """,
    )
    registry, problems = project.read()
    assert problems == []
    assert registry.resolve("calendar.book").__annotations__ == {"slot": "Slot"}


def test_modules_are_found_from_the_root(project):
    project.write("company/__init__.py")
    project.write(
        "company/jobs.py", "from orchestrator import job\n@job\ndef nightly(): ...\n@job('tidy')\ndef t(): ..."
    )
    registry, problems = project.read(folders=(), modules=("company.jobs",))
    assert problems == []
    assert set(registry.registered) == {"company.jobs.nightly", "tidy"}


def test_a_module_that_is_not_there_is_a_problem(project):
    _, (problem,) = project.read(folders=(), modules=("compny.jobs",))
    assert problem.module == "compny.jobs"
    assert "no module 'compny.jobs' and no entry point" in problem.message


def test_an_entry_point_is_named_by_its_name(project):
    project.write(
        "acme_plugin_code.py", "from orchestrator import job\n@job('acme.ping')\ndef ping(): ...\ndef pong(): ..."
    )
    project.write("acme-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    project.write(
        "acme-1.0.dist-info/entry_points.txt",
        "[orchestrator.plugins]\nacme-tools = acme_plugin_code\nacme-pong = acme_plugin_code:pong\n",
    )
    registry, problems = project.read(folders=(), modules=("acme-tools", "acme-pong"))
    assert problems == []
    assert set(registry.registered) == {"acme.ping", "acme-pong"}


def test_two_plugins_of_the_same_name_are_a_problem_that_names_both(project):
    first = project.write("plugins/mails.py", "def send(): return 1")
    second = project.write("more/mails.py", "def send(): return 2")
    registry, (problem,) = project.read(folders=(str(project.folder), str(project.root / "more")))
    assert str(first) in problem.message
    assert str(second) in problem.message
    assert registry.resolve("mails.send")() == 1


def test_a_name_registered_twice_is_refused_and_names_both_places(project):
    project.write("plugins/a_one.py", "from orchestrator import job\n@job('mail')\ndef f(): ...")
    project.write("plugins/b_two.py", "from orchestrator import job\n\n@job('mail')\ndef g(): ...")
    registry, (problem,) = project.read()
    assert "a_one.py:2" in problem.message
    assert "b_two.py:3" in problem.message
    with pytest.raises(CallableError, match="two functions are registered"):
        registry.resolve("mail")


def test_a_registered_function_imported_by_another_plugin_is_registered_once(project):
    project.write("plugins/a_uses.py", "from b_has import send")
    project.write("plugins/b_has.py", "from orchestrator import job\n@job('go')\ndef send(): ...\nagain = send")
    registry, problems = project.read()
    assert problems == []
    assert set(registry.registered) == {"go"}


def test_a_failing_plugin_spares_the_others_and_names_its_line(project):
    bad = project.write("plugins/bad.py", "x = 1\n\ny = {}['nope']\n")
    project.write("plugins/good.py", "def run(): ...")
    registry, (problem,) = project.read()
    assert (problem.module, problem.file, problem.line) == ("bad", str(bad), 3)
    assert problem.message == "KeyError: 'nope'"
    assert "y = {}['nope']" in problem.traceback
    assert "importlib" not in problem.traceback
    assert registry.resolve("good.run")
    with pytest.raises(CallableError, match=r"'bad.run' can't be used: bad failed to import; KeyError.*bad.py:3"):
        registry.resolve("bad.run")


def test_a_syntax_error_names_its_line_and_code(project):
    bad = project.write("plugins/bad.py", "a = 1\ndef broken(:\n    pass\n")
    _, (problem,) = project.read()
    assert (problem.file, problem.line) == (str(bad), 2)
    assert "def broken(:" in problem.message


def test_a_missing_package_says_what_to_install(project):
    bad = project.write("plugins/bad.py", "import os\nimport bs4_not.there\n")
    _, (problem,) = project.read()
    assert (problem.file, problem.line) == (str(bad), 2)
    assert "pip install bs4-not" in problem.message


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "import sys; sys.exit()", "raise KeyboardInterrupt"])
def test_not_even_leaving_ends_the_reading(project, code):
    project.write("plugins/bad.py", code)
    _, (problem,) = project.read()
    assert problem.module == "bad"
    assert problem.line == 1


def test_skipped_modules_are_not_imported_but_reported(project):
    project.write("plugins/slow.py", "raise RuntimeError")
    project.write("plugins/good.py")
    registry, (problem,) = project.read(skip=("slow",))
    assert (problem.module, project.announced) == ("slow", ["good"])
    with pytest.raises(CallableError, match="skipped"):
        registry.resolve("slow.run")
    assert len(registry.problems) == 1


def test_a_missing_folder_and_a_name_that_is_no_identifier_are_problems(project):
    project.write("plugins/send-mail.py")
    _, (missing, named) = project.read(folders=(str(project.root / "nope"), str(project.folder)))
    assert "doesn't exist" in missing.message
    assert "rename it to 'send_mail'" in named.message


def test_job_refuses_what_it_cannot_mark(project):
    project.write("plugins/bad.py", "from orchestrator import job\n\n@job\nclass Report: ...")
    _, (problem,) = project.read()
    assert problem.line == 3
    assert "@job marks functions" in problem.message


def test_a_failed_plugin_is_not_taken_for_the_library_of_its_name(project):
    project.write("plugins/email.py", "1/0")
    registry, _ = project.read()
    with pytest.raises(CallableError, match="email failed to import; ZeroDivisionError"):
        registry.resolve("email.message_from_string")
