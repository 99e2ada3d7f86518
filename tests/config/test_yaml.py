"""YAML is read as people mean it: none of the traps of YAML 1.1, every value with its place."""

from __future__ import annotations

import codecs

import pytest
import yaml

from orchestrator.config import tree
from orchestrator.config.source import Source


def read(text):
    source = Source("f", text)
    data, _, faults = tree.parse(text, lambda: source.lines)
    assert not faults
    return data


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", "yes"), ("No", "No"), ("on", "on"), ("off", "off"), ("true", True), ("False", False),
        ("1:30", "1:30"), ("12:30:45", "12:30:45"), ("2030-01-31", "2030-01-31"),
        ("2030-01-31T09:00", "2030-01-31T09:00"),
        ("0o17", 15), ("0x1F", 31), ("1_000", "1_000"), ("1e3", 1000.0), (".5", 0.5), ("-7", -7), ("+7", 7),
        ("~", None),
        ("null", None), ("", None), ("=", "="), ("<<", "<<"), ("0b11", "0b11"), ("1.2.3", "1.2.3"),
        ("18446744073709551615", 2**64 - 1), ("0 2 * * *", "0 2 * * *"), ('"5"', "5"), ("'true'", "true"),
        ("!!str 5", "5"),
    ],
)  # fmt: skip
def test_plain_scalars_follow_the_core_schema(written, value):
    found = read(f"a: {written}\n")["a"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_text_as_written():
    assert list(read("on: 1\ntrue: 2\n404: 3\n2030-01-01: 4\n~: 5\n")) == ["on", "true", "404", "2030-01-01", "~"]


def test_merge_keys_and_anchors_work_and_own_keys_win():
    data = read("base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\nc:\n  <<: [*b, *m]\n  x: 9\n")
    assert data["c"] == {"x": 9, "y": 2, "z": 4}


def test_a_merged_key_is_at_its_original_place():
    text = "base: &b\n  x: 1\nc:\n  <<: *b\n"
    data, start, _ = tree.parse(text, text.splitlines)
    place = Source("f", text, data, start).key(("c", "x"))
    assert (place.spot.line, place.spot.column) == (2, 3)


@pytest.mark.parametrize(
    "data",
    [
        codecs.BOM_UTF8 + "version: 1\njobs: {ä: {}}".encode(),
        codecs.BOM_UTF16_LE + "version: 1\njobs: {ä: {}}".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "version: 1\njobs: {ä: {}}".encode("utf-16-be"),
    ],
)
def test_byte_order_marks_say_the_encoding(load_text, data):
    codes = {d.code for d in load_text(data).diagnostics}
    assert codes == {"bad-name", "missing-key"}


def test_every_duplicate_is_told_but_one_syntax_error_ends_the_reading(load_text):
    found = load_text("version: 1\nversion: 1\nvars: {a: 1, a: 2}\njobs: [\n").diagnostics
    assert [d.code for d in found] == ["duplicate-key", "duplicate-key", "yaml-syntax"]


def test_an_alias_of_what_contains_it_is_refused(load_text, only):
    assert only(load_text("version: 1\nvars: {a: &a [*a]}\njobs: {}\n")).code == "bad-alias"


def test_without_libyaml_the_same_is_read_and_the_same_is_refused(load_text, monkeypatch):
    texts = [
        "version: 1\njobs:\n  a:\n    call: m.f\n    cron: */5 * * * *\n",
        "version: 1\njobs:\n\ta: 1\n",
        "version: 1\njobs: {a: {call: m.f, cron: @daily}}\n",
        "version: 1\njobs: {a: {call: m.f, description: {{ env.X }} }}\n",
        "version: 1\njobs: {a: {call: 'm.f}}\n",
        "version: 1\njobs:\n  a:\n    call: m.f\n   cron: x\n",
        "version: 1\njobs:\n  a: &x {call: m.f, retires: 3}\n  b: *x\n",
    ]
    with_libyaml = [[(d.code, d.line, d.column, d.message) for d in load_text(t).diagnostics] for t in texts]
    monkeypatch.setattr(tree, "Loader", yaml.SafeLoader)
    assert [[(d.code, d.line, d.column, d.message) for d in load_text(t).diagnostics] for t in texts] == with_libyaml


def test_what_is_broken_is_told_once_and_spoils_nothing_else(load_text):
    text = "version: 1\njobs:\n  a: {call: m.f, timeout: .nan, retry: {delay: .inf}, cron: [{{ x }}], retires: 1}\n"
    found = load_text(text).diagnostics
    assert [d.code for d in found] == ["bad-number", "bad-number", "unquoted-template", "unknown-key"]
