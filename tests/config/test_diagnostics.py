"""How diagnostics read."""

from __future__ import annotations

from pathlib import Path

from orchestrator.config.diagnostics import Diagnostic, render


def test_the_text_has_place_code_frame_caret_hint_and_a_count(load_text, tmp_path):
    text = "version: 1\ntimezon: UTC\njobs:\n  a:\n    call: m.f\n    retires: 3\n    deadline: 3s\n    timeout: 2s\n"
    loaded = load_text(text)
    assert render(loaded.diagnostics, base=tmp_path) == (
        "jobs.yaml:2:1: error: unknown key `timezon` [unknown-key]\n"
        "  1 | version: 1\n"
        "  2 | timezon: UTC\n"
        "    | ^^^^^^^\n"
        "hint: did you mean `timezone`?\n"
        "\n"
        "jobs.yaml:6:5: error: unknown key `retires` [unknown-key]\n"
        "  5 |     call: m.f\n"
        "  6 |     retires: 3\n"
        "    |     ^^^^^^^\n"
        "hint: did you mean `retry`?\n"
        "\n"
        "2 errors"
    )


def test_nothing_is_nothing():
    assert render([], base=None) == ""


def test_carets_stand_under_wide_characters_tabs_and_far_columns():
    def caret(line, column, end):
        diagnostic = Diagnostic(
            severity="warning", code="c", message="m", file="f", column=column, end_column=end, frame=[line]
        )
        return render([diagnostic], base=Path("/x")).splitlines()[2].partition("| ")[2]

    assert caret("日本: x", 5, 6) == "      ^"
    assert caret("\ta: x", 2, 3) == "\t^"
    assert caret("x" * 10_000 + "y", 10_001, 10_002).endswith("^")
    assert len(caret("x" * 10_000, 5_000, 9_000)) <= 160
    assert "\x1b" not in render(
        [Diagnostic(severity="error", code="c", message="m", file="f", frame=["a\x1b[31m"])], base=None
    )
