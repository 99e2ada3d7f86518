"""What does the YAML parser's complaint mean to the person who wrote the file, and how is it mended?"""

from __future__ import annotations

from typing import Any

import yaml

from orchestrator.config.decoding import Fault

_STARTERS = {"@": "a name like `@daily`", "%": "a `%`", "`": "a backtick"}


def explain(error: yaml.YAMLError, lines: list[str]) -> Fault:
    """The parser's error as a fault, at the place where a person would look for it."""
    problem, context = getattr(error, "problem", None) or "", getattr(error, "context", None) or ""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return Fault("yaml-syntax", f"this is not YAML: {getattr(error, 'reason', None) or error}")
    opened = getattr(error, "context_mark", None) or mark
    for reading in (_tab, _alias, _starter, _template, _unclosed, _colon):
        if (fault := reading(f"{context}; {problem}", mark, opened, lines)) is not None:
            return fault
    return _at(mark, lines, "yaml-syntax", _plain(problem), _indentation_hint(problem))


def _at(mark: Any, lines: list[str], code: str, message: str, hint: str | None = None) -> Fault:
    line, column = mark.line, mark.column
    while line > 0 and (line >= len(lines) or (not lines[line].strip() and column == 0)):
        line -= 1  # the end of the file: the last line that says something
        column = len(lines[line].rstrip())
    return Fault(code, message, line + 1, column + 1, 0, hint)


def _tab(_: str, mark: Any, __: Any, lines: list[str]) -> Fault | None:
    for row in (mark.line, mark.line - 1):
        text = lines[row] if 0 <= row < len(lines) else ""
        indent = text[: len(text) - len(text.lstrip())]
        if "\t" in indent and (row == mark.line or mark.column == 0):
            column = indent.index("\t") + 1
            message = "a tab can't be used for indentation in YAML"
            return Fault("tab", message, row + 1, column, len(indent) + 1, "indent with spaces")
    text = lines[mark.line] if mark.line < len(lines) else ""
    if text[mark.column : mark.column + 1] == "\t":
        column = mark.column + 1
        return Fault(
            "tab", "a tab can't be used here", mark.line + 1, column, column + 1, "use spaces instead of the tab"
        )
    return None


def _alias(said: str, _: Any, opened: Any, lines: list[str]) -> Fault | None:
    if "scanning an alias" not in said:
        return None
    value = lines[opened.line][opened.column :].rstrip()
    return Fault(
        "unquoted-cron",
        "a value can't start with `*` unless it is quoted: YAML reads an alias",
        opened.line + 1,
        opened.column + 1,
        hint=f'put it in quotes: "{value}"',
    )


def _starter(said: str, mark: Any, _: Any, lines: list[str]) -> Fault | None:
    value = lines[mark.line][mark.column :].rstrip() if mark.line < len(lines) else ""
    if "cannot start any token" not in said or value[:1] not in _STARTERS:
        return None
    message = f"a value can't start with {_STARTERS[value[0]]} unless it is quoted"
    return _at(mark, lines, "unquoted-value", message, f'put it in quotes: "{value.rstrip("]},")}"')


def _template(_: str, mark: Any, __: Any, lines: list[str]) -> Fault | None:
    text = lines[mark.line] if mark.line < len(lines) else ""
    value = text.partition(": ")[2].strip()
    if not value.startswith("{{"):
        return None
    column = text.index("{{") + 1
    message = "a value that starts with `{{` must be quoted: YAML reads a mapping"
    return Fault("unquoted-template", message, mark.line + 1, column, 0, _quoted(value))


def _quoted(value: str) -> str:
    return f"put it in quotes: '{value}'" if '"' in value else f'put it in quotes: "{value}"'


def _unclosed(said: str, mark: Any, opened: Any, lines: list[str]) -> Fault | None:
    if "quoted scalar" in said and "end of" in said:
        return _at(opened, lines, "yaml-syntax", "this quote is never closed", "add the closing quote")
    if "unknown escape" in said:
        return _at(mark, lines, "yaml-syntax", "unknown escape in double quotes", "use single quotes, or double the \\")
    for kind, bracket in (("flow sequence", "]"), ("flow mapping", "}")):
        if kind in said:
            message = f"this is never closed: expected `,` or `{bracket}`"
            return _at(opened, lines, "yaml-syntax", message, f"add a `{bracket}`, or a comma between the entries")
    return None


def _colon(said: str, mark: Any, opened: Any, lines: list[str]) -> Fault | None:
    if "mapping values are not allowed" in said:
        hint = "put a value that holds `: ` in quotes; else check the indentation"
        return _at(mark, lines, "yaml-syntax", "a second `:` in one line, or a wrong indentation", hint)
    if "could not find expected ':'" in said:
        return _at(opened, lines, "yaml-syntax", "a key without a `:`", "write `key: value`")
    return None


def _plain(problem: str) -> str:
    if "expected key" in problem or "<block end>" in problem:
        return "this doesn't fit the lines above: a wrong indentation, or text after a quoted value"
    if "'-' indicator" in problem:
        return "this doesn't fit the list above: expected another `- item`"
    if "sequence entries are not allowed" in problem:
        return "a list can't start here"
    return f"this is not YAML: {problem}"


def _indentation_hint(problem: str) -> str | None:
    if "sequence entries are not allowed" in problem:
        return "start the list on the next line, or write `[a, b]`"
    expected = ("expected key", "<block end>", "indicator")
    return "line the keys up with spaces" if any(word in problem for word in expected) else None
