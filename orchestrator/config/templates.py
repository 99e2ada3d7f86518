"""What does a template say, given names? Compiles the `{{ … }}` of configurations; the worker renders the deferred."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import TemplateSyntaxError, Undefined, meta, nodes
from jinja2.environment import Template
from jinja2.exceptions import SecurityError, UndefinedError

from orchestrator.config.namespaces import Names
from orchestrator.config.sandbox import BUDGET, MAX_OUTPUT, Budget, Sandbox, refuse_nodes
from orchestrator.core.errors import ConfigError
from orchestrator.core.json_values import TEMPLATE_KEY
from orchestrator.core.plan import Secret
from orchestrator.core.result_files import LARGEST

MAX_TEMPLATE = 64 * 1024
_RESULT = "result__"


class TemplateFault(ConfigError):  # noqa: N818 - the config's mistake, not ours
    """A template that can't be compiled or rendered. `code` and `hint` are for a diagnostic."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code, self.hint = code, hint


class Mention(NamedTuple):
    """A name that a template uses: `env.HOME` is `env` and `HOME`; a whole namespace has no `name`."""

    root: str
    name: str | None


class Compiled(NamedTuple):
    """A template ready to render, and what it mentions. `guarded` mentions have a default or are tested for."""

    template: Template
    native: bool
    """It is exactly one expression: its value is kept as it is, not made text."""
    mentions: frozenset[Mention]
    guarded: frozenset[Mention]


def is_template(text: str) -> bool:
    """Whether text has anything to render."""
    return "{{" in text or "{%" in text


@lru_cache(maxsize=1)
def _sandbox() -> Sandbox:
    return Sandbox()


def parsed(text: str) -> nodes.Template:
    """The syntax tree of a template that was compiled before."""
    return _sandbox().parse(text)


@lru_cache(maxsize=256)
def compiled(text: str) -> Compiled:
    """Compile a template. Raises `TemplateFault` for what is not Jinja2 or not allowed."""
    if len(text) > MAX_TEMPLATE:
        raise TemplateFault("template-too-large", f"a template may have {MAX_TEMPLATE // 1024} KiB")
    environment = _sandbox()
    try:
        tree = environment.parse(text)
        every = list(tree.find_all(nodes.Node))
        mentions, guarded = _mentions(tree, every)
        refuse_nodes(every)
        native = _native(tree)
        return Compiled(environment.from_string(native or tree), native is not None, mentions, guarded)
    except TemplateSyntaxError as error:
        raise _syntax_fault(text, error) from None
    except SecurityError as error:
        raise TemplateFault("unsafe-template", f"the template is refused: {error}") from None
    except (RecursionError, MemoryError):
        raise TemplateFault("unsafe-template", "the template is refused: it is nested too deeply") from None
    except Exception as error:  # noqa: BLE001 - whatever the text makes the compiler do is the text's mistake
        raise TemplateFault("template-syntax", f"the template can't be compiled: {error}") from None


def evaluate(text: str, names: Mapping[str, Any]) -> Any:
    """The value of a template: as it is for a single `{{ expression }}`, else text. Raises `TemplateFault`."""
    template = compiled(text)
    try:
        return _evaluate(template, names)
    except TemplateFault as fault:
        hidden = _masked(str(fault), names.get("secrets", {}))
        raise TemplateFault(fault.code, hidden, fault.hint) from None


def _evaluate(template: Compiled, names: Mapping[str, Any]) -> Any:
    spaces = {root: Names(root, value) if type(value) is dict else value for root, value in names.items()}
    try:
        context = template.template.new_context({**spaces, BUDGET: Budget()})
        if not template.native:
            return _text(template.template.root_render_func(context))
        for _ in template.template.root_render_func(context):
            pass
        # What a step returned may be handed on as it is, however large: that makes no text.
        return _value(context.vars[_RESULT], Budget(LARGEST if "steps" in names else MAX_OUTPUT))
    except UndefinedError as error:
        raise TemplateFault("undefined-name", str(error)) from None
    except SecurityError as error:
        raise TemplateFault("unsafe-template", f"the template is refused: {error}") from None
    except (RecursionError, MemoryError):
        raise TemplateFault("unsafe-template", "the template is refused: it needs too much memory") from None
    except Exception as error:  # noqa: BLE001 - an expression may raise anything
        raise TemplateFault(
            "template-error", f"the template can't be rendered: {type(error).__name__}: {error}"
        ) from None


def render(value: Any, names: Mapping[str, Any]) -> Any:
    """The value with every `{"$template": text}` in it rendered; all else stays as it is.

    `names` holds `env`, `vars`, `secrets` and, for parameters, `run` and `job`; a variable may itself be a marker.
    Raises `TemplateFault`, whose message never shows a rendered value.
    """
    if isinstance(value, dict):
        if TEMPLATE_KEY in value:
            return evaluate(value[TEMPLATE_KEY], {**names, "vars": _settled(names.get("vars", {}), names)})
        return {key: render(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [render(inner, names) for inner in value]
    return value


def read_secrets(secrets: Mapping[str, Secret], root: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The secrets' values; a newline at the end of a file is left out. Raises `ConfigError` naming the first that
    can't be read."""
    return {name: read_secret(name, secret, root, environ) for name, secret in secrets.items()}


def read_secret(name: str, secret: Secret, root: Path, environ: Mapping[str, str]) -> str:
    """One secret's value. Raises `ConfigError`."""
    if secret.env is not None:
        if secret.env not in environ:
            raise ConfigError(f"secret `{name}`: environment variable {secret.env} is not set")
        return environ[secret.env]
    file = root / (secret.file or "")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"secret `{name}`: {file} is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"secret `{name}`: {file} can't be read: {reason}") from None
    return text.removesuffix("\n").removesuffix("\r")


def _settled(variables: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Variables with their own templates rendered. They are in an order in which each needs only earlier ones."""
    known: dict[str, Any] = {}
    for name, value in variables.items():
        known[name] = _rendered_variable(value, {**names, "vars": known})
    return known


def _rendered_variable(value: Any, names: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        if TEMPLATE_KEY in value:
            return evaluate(value[TEMPLATE_KEY], names)
        return {key: _rendered_variable(inner, names) for key, inner in value.items()}
    return [_rendered_variable(inner, names) for inner in value] if isinstance(value, list) else value


def _masked(text: str, secrets: Mapping[str, Any]) -> str:
    for value in secrets.values():
        text = text.replace(str(value), "***") if value else text
    return text


def _native(tree: nodes.Template) -> nodes.Template | None:
    """The tree of a single expression made to keep its value; none if there is more than that."""
    body = tree.body
    if len(body) != 1 or not isinstance(body[0], nodes.Output) or len(body[0].nodes) != 1:
        return None
    expression = body[0].nodes[0]
    if isinstance(expression, nodes.TemplateData):
        return None
    keep = nodes.Assign(nodes.Name(_RESULT, "store", lineno=1), expression, lineno=1)
    native = nodes.Template([keep], lineno=1)
    native.set_environment(tree.environment) if tree.environment else None
    return native


def _mentions(tree: nodes.Template, every: list[nodes.Node]) -> tuple[frozenset[Mention], frozenset[Mention]]:
    roots = meta.find_undeclared_variables(tree) - {"range"}
    found: set[Mention] = set()
    inside: set[int] = set()
    for node in every:
        if isinstance(node, (nodes.Getattr, nodes.Getitem)) and (mention := _mention(node)) and mention.root in roots:
            found.add(mention)
            inside.add(id(node.node))
    whole = {n.name for n in every if isinstance(n, nodes.Name) and n.name in roots and id(n) not in inside}
    guarded = {_mention(n.node) for n in every if isinstance(n, nodes.Test) and n.name in ("defined", "undefined")}
    guarded |= {_mention(n.node) for n in every if isinstance(n, nodes.Filter) and n.name in ("default", "d")}
    named = frozenset(mention for mention in guarded if mention is not None)
    return frozenset(found | {Mention(root, None) for root in whole}), named


def _mention(node: nodes.Node | None) -> Mention | None:
    if isinstance(node, (nodes.Getattr, nodes.Getitem)) and isinstance(node.node, nodes.Name):
        name = _attribute(node)
        return Mention(node.node.name, name) if name is not None else None
    return None


def _attribute(node: nodes.Getattr | nodes.Getitem) -> str | None:
    if isinstance(node, nodes.Getattr):
        return node.attr
    return node.arg.value if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str) else None


def _text(pieces: Any) -> str:
    parts, size = [], 0
    for piece in pieces:
        size += len(piece)
        if size > MAX_OUTPUT:
            raise SecurityError("the template makes too much text")
        parts.append(piece)
    return _encodable("".join(parts))


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SecurityError("it gives text that is not Unicode") from None
    return text


def _value(value: Any, budget: Budget) -> Any:
    """A JSON value, or a date, out of what an expression gave. Raises `SecurityError` for other objects."""
    budget.spend(1)
    if value is None or isinstance(value, (bool, date, datetime)):
        return value
    if isinstance(value, (int, float)):
        if not (-(2**63) <= value < 2**64):
            raise SecurityError("it gives a number that 64 bits can't hold")
        return value
    if isinstance(value, str):
        budget.spend(len(value))
        return _encodable(str(value))
    if isinstance(value, Undefined):
        str(value)
    if isinstance(value, dict):
        return {str(key): _value(inner, budget) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)) or hasattr(value, "__next__"):
        return [_value(inner, budget) for inner in value]
    raise SecurityError(f"it gives {type(value).__name__}, which is not data")


def _syntax_fault(text: str, error: TemplateSyntaxError) -> TemplateFault:
    message = str(error.message or "").rstrip(".")
    if message.startswith("No filter named"):
        name = message.split("'")[1]
        return TemplateFault("unsafe-template", f"there is no filter `{name}` in templates here")
    if "unexpected end" in message or "end of print" in message or "end of template" in message:
        return TemplateFault("template-syntax", f"template syntax: {message}", "every `{{` needs its `}}`")
    where = f" (line {error.lineno} of the text)" if "\n" in text else ""
    return TemplateFault("template-syntax", f"template syntax: {message}{where}")
