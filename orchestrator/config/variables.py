"""In which order are variables settled, as one may use others, and which secrets can be read?"""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from orchestrator.config.model_file import SecretShape
from orchestrator.config.rendering import Rendering, Use
from orchestrator.config.report import Report
from orchestrator.config.sections import Entry, entries
from orchestrator.config.shape import check
from orchestrator.config.source import BROKEN, Source
from orchestrator.config.templates import TemplateFault, compiled, is_template, read_secret
from orchestrator.core.errors import ConfigError
from orchestrator.core.plan import Secret


def settle_variables(variables: Mapping[str, Entry[Any]], rendering: Rendering, report: Report) -> None:
    """Render every variable after those that it mentions."""
    needs = {name: {n for n in _mentioned(entry.value) if n in variables} for name, entry in variables.items()}
    order = TopologicalSorter(needs)
    try:
        order.prepare()
    except CycleError as error:
        circle = error.args[1]
        message = f"these variables need each other in a circle: {' needs '.join(reversed(circle))}"
        place = variables[circle[0]].at()
        report.error("variable-circle", message, place, "give one of them a value of its own")
        for name in variables:
            rendering.forget(name)
        return
    while ready := order.get_ready():
        for name in ready:
            entry = variables[name]
            rendering.variable(name, entry.value, entry.source, entry.path)
        order.done(*ready)


def declare_secrets(
    main: Source, rendering: Rendering, report: Report, environ: Mapping[str, str]
) -> dict[str, Secret]:
    """The secrets that can be read. Their values are only used to keep them out of diagnostics."""
    found: dict[str, Secret] = {}
    values = []
    declared = entries(main, "secrets", report)
    for name, entry in declared.items():
        data = {} if entry.value is None else rendering.value(entry.value, main, entry.path, Use.EARLY)
        shape = check(SecretShape, data, main, entry.path, report) if data is not BROKEN else None
        if shape is None:
            continue
        secret = Secret(env=shape.env, file=shape.file)
        try:
            values.append(read_secret(name, secret, main.file.parent, environ))
        except ConfigError as error:
            place = entry.at("env" if secret.env is not None else "file")
            report.error("missing-secret", str(error), place, "set it, or correct the name")
        found[name] = secret
    report.hide(values)
    rendering.secrets = frozenset(declared)
    return found


def _mentioned(value: Any) -> set[str]:
    if isinstance(value, str):
        try:
            mentions = compiled(value).mentions if is_template(value) else ()
        except TemplateFault:
            return set()
        return {name for root, name in mentions if root == "vars" and name is not None}
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*map(_mentioned, inner))
