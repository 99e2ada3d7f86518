"""Lists in a pipe and on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from orchestrator.cli.tables import print_fields, print_json, print_table

LONG = "a reason that goes on and on: " + "x" * 300


def test_in_a_pipe_columns_are_aligned_and_nothing_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("RUN", "REASON"), [["1", LONG], ["22", ("two\nlines", "red")]])
    assert capsys.readouterr().out.splitlines() == ["RUN  REASON", f"1    {LONG}", "22   two lines"]


def test_fields_keep_their_column_over_several_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields([("job", "a"), ("reason", "one\ntwo")])
    assert capsys.readouterr().out == "job     a\nreason  one\n        two\n"


def test_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json([{"a": None}])
    assert capsys.readouterr().out == '[\n  {\n    "a": null\n  }\n]\n'


@pytest.mark.parametrize("columns", ["30", "100"])
def test_on_a_terminal_long_text_is_folded_and_not_cut(columns: str) -> None:
    code = f"from orchestrator.cli.tables import print_table; print_table(('RUN', 'REASON'), [['[b]1', {LONG!r}]])"
    ours, theirs = pty.openpty()
    variables = {**os.environ, "COLUMNS": columns, "TERM": "xterm", "NO_COLOR": "1"}
    with subprocess.Popen([sys.executable, "-P", "-c", code], stdout=theirs, env=variables) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # how Linux reports the end of a terminal
                break
            if not part:
                break
            shown += part
        assert process.wait() == 0
    os.close(ours)
    assert shown.count(b"x") == 300
    assert b"[b]1" in shown
    assert max(map(len, shown.decode().splitlines())) <= int(columns)
