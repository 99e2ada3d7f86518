"""Templates: what is rendered when the file is read, what waits for the attempt, and what is refused."""

from __future__ import annotations

import pytest

from orchestrator.config.diagnostics import render as render_diagnostics
from orchestrator.config.templates import TemplateFault, evaluate, read_secrets, render
from orchestrator.core.errors import ConfigError
from orchestrator.core.plan import Secret


def params(load_text, text, head="", **more):
    loaded = load_text(f"version: 1\n{head}jobs:\n  a:\n    call: m.f\n    params: {text}\n", **more)
    assert loaded.ok, loaded.diagnostics
    return loaded.plan.jobs["a"].params


def test_a_single_expression_keeps_its_type(load_text):
    head = "vars: {days: 30, deep: {items: [1, 2]}, on: true}\n"
    made = params(
        load_text,
        """{a: "{{ vars.days + 1 }}", b: "x{{ vars.days }}", c: "{{ vars.deep.items }}", d: "{{ vars.on }}",
            e: "{{ env.N | int }}", f: "{{ env.NO | default(none) }}"}""",
        head,
        environ={"N": "5"},
    )
    assert made == {"a": 31, "b": "x30", "c": [1, 2], "d": True, "e": 5, "f": None}


def test_settings_are_rendered_at_load(load_text):
    text = """
version: 1
vars: {zone: Asia/Tokyo}
timezone: "{{ vars.zone }}"
queues: {mail: {concurrency: "{{ env.N | int }}"}}
jobs: {a: {call: "{{ env.MODULE }}.f", timeout: "{{ env.T }}", queue: mail}}
"""
    plan = load_text(text, environ={"N": "3", "MODULE": "m", "T": "90s"}).plan
    assert (plan.timezone, plan.queues["mail"].concurrency, plan.jobs["a"].call) == ("Asia/Tokyo", 3, "m.f")
    assert plan.jobs["a"].timeout.total_seconds() == 90


def test_what_depends_on_the_run_or_holds_a_secret_waits(load_text):
    head = "secrets: {token: {env: TOKEN}}\nvars: {auth: 'Bearer {{ secrets.token }}', plain: 1}\n"
    made = params(
        load_text,
        """{id: "{{ run.id }}", who: "{{ job.name }}", auth: "{{ vars.auth }}", n: "{{ vars.plain }}",
            in: [{deep: "{{ secrets.token }}"}]}""",
        head,
        environ={"TOKEN": "hunter2222"},
    )
    assert made["n"] == 1
    assert made["id"] == {"$template": "{{ run.id }}"}
    assert made["auth"] == {"$template": "{{ vars.auth }}"}
    assert made["in"] == [{"deep": {"$template": "{{ secrets.token }}"}}]
    names = {
        "env": {},
        "vars": {"auth": {"$template": "Bearer {{ secrets.token }}"}},
        "secrets": {"token": "s3"},
        "run": {"id": 7, "fire_time": None, "attempt": 1},
        "job": {"name": "a"},
    }
    assert render(made, names) == {"id": 7, "who": "a", "auth": "Bearer s3", "n": 1, "in": [{"deep": "s3"}]}


def test_a_resource_waits_for_secrets_but_knows_no_run(load_text, only):
    text = "version: 1\nsecrets: {p: {env: P}}\nresources: {db: {use: m.f, with: {url: '{{ %s }}'}}}\njobs: {}\n"
    plan = load_text(text % "secrets.p", environ={"P": "x"}).plan
    assert plan.resources["db"].options == {"url": {"$template": "{{ secrets.p }}"}}
    assert "`run` can't be used here" in only(load_text(text % "run.id", environ={"P": "x"})).message


def test_variables_may_use_variables_that_come_later(load_text):
    assert params(load_text, "{x: '{{ vars.a }}'}", "vars: {a: '{{ vars.b }}!', b: '{{ vars.c }}', c: 5}\n") == {
        "x": "5!"
    }


def test_variables_that_need_each_other_are_told_once_and_named(load_text, only):
    variables = "{a: '{{ vars.b }}', b: 'x{{ vars.a }}'}"
    text = f"version: 1\nvars: {variables}\njobs: {{a: {{call: m.f, params: {{x: '{{{{ vars.a }}}}'}}}}}}\n"
    found = only(load_text(text))
    assert found.code == "variable-circle"
    assert found.message.count("needs") == 2


def test_a_broken_variable_is_told_once(load_text, only):
    text = "version: 1\nvars: {a: '{{ env.NOPE }}'}\njobs: {a: {call: m.f, params: {x: '{{ vars.a }}'}}}\n"
    assert only(load_text(text)).code == "missing-env"


@pytest.mark.parametrize(
    "text",
    [
        "{{ env.NO | default('x') }}",
        "{% if env.NO is defined %}y{% else %}x{% endif %}",
        "{{ env.NO if env.NO is defined else 'x' }}",
    ],
)
def test_a_guarded_name_may_be_missing(load_text, text):
    assert params(load_text, f'{{x: "{text}"}}') == {"x": "x"}


def test_secrets_are_in_no_diagnostic(load_text):
    text = """
version: 1
secrets: {token: {env: TOKEN}, file: {file: secret.txt}}
timezone: "{{ env.TOKEN }}"
jobs: {a: {call: m.f, overlap: "{{ env.TOKEN }}", queue: "{{ env.TOKEN }}", description: "{{ secrets.token }}",
           params: {x: "{{ secrets.token }}", y: "{{ secrets.nope }}", z: "{{ secrets.file }}"}}}
"""
    loaded = load_text(text, environ={"TOKEN": "hunter2222"}, files={"secret.txt": "swordfish\n"})
    shown = render_diagnostics(loaded.diagnostics, base=None) + repr(loaded.diagnostics)
    assert len(loaded.diagnostics) >= 3
    assert "hunter2222" not in shown
    assert "swordfish" not in shown


def test_an_error_at_execution_masks_secrets():
    names = {"vars": {"d": {}}, "secrets": {"s": "hunter2222"}}
    with pytest.raises(TemplateFault) as caught:
        render({"x": {"$template": "{{ vars.d[secrets.s] }}"}}, names)
    assert "hunter2222" not in str(caught.value)


def test_secrets_are_read_from_the_environment_and_files(tmp_path):
    (tmp_path / "s").write_text("line\n")
    secrets = {"a": Secret(env="A"), "b": Secret(file="s")}
    assert read_secrets(secrets, tmp_path, {"A": "x"}) == {"a": "x", "b": "line"}
    with pytest.raises(ConfigError, match="environment variable A is not set"):
        read_secrets(secrets, tmp_path, {})
    with pytest.raises(ConfigError, match=r"secret `b`: .* can't be read: No such file"):
        read_secrets({"b": Secret(file="none")}, tmp_path, {})


REFUSED = [
    "{{ ''.__class__.__mro__ }}",
    "{{ ''|attr('__class__') }}",
    "{{ [].append(1) }}",
    "{{ 'x' * 10**9 }}",
    "{{ 10**9 * 'x' }}",
    "{{ [1] * 10**9 }}",
    "{{ 9**9**9 }}",
    "{{ 10**300 * 10**300 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ 'x'.ljust(10**9) }}",
    "{{ 'x'|center(10**9) }}",
    "{{ lipsum(100000) }}",
    "{{ 'x'.replace('x', 'y') }}",
    "{{ 'aaaa'|replace('a', 'b' * 10000)|replace('b', 'c' * 10000) }}",
    "{{ range(1000)|map('replace', '1', 'x' * 10000)|list }}",
    "{% for i in range(10**9) %}x{% endfor %}",
    "{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}",
    "{% set x = 1 %}{{ x }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% include '/etc/passwd' %}",
    "{{ range }}",
    "{{ self }}",
    "{{ 2**100 }}",
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "{{ " + "+".join("1" * 20000) + " }}",
    "{{ 1 " + "| abs " * 3000 + " }}",
]


@pytest.mark.parametrize("text", REFUSED, ids=[text[:40] for text in REFUSED])
@pytest.mark.timeout(10)
def test_what_escapes_or_grows_is_refused(text):
    with pytest.raises(TemplateFault):
        evaluate(text, {"env": {}, "vars": {}})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ vars.names | join(', ') }}", "a, b"),
        ("{% for n in vars.names %}{{ loop.index }}{{ n }}{% endfor %}", "1a2b"),
        ("{{ 'abc'.upper() ~ '-' * 3 }}", "ABC---"),
        ("{{ vars.names | tojson }}", '["a", "b"]'),
        ("{{ vars.names[0] in 'abc' }}", True),
        ("{{ {'k': (1, 2)} }}", {"k": [1, 2]}),
        ("{{ 'a/b' | urlencode }}", "a/b"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("line {{ 1 }}\n", "line 1\n"),
    ],
)
def test_what_is_useful_works(text, value):
    assert evaluate(text, {"vars": {"names": ["a", "b"]}}) == value
