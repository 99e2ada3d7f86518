"""How parameters are written on the command line, and whether a callable takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from orchestrator.cli.errors import CommandError
from orchestrator.client.checks import FreshChecker, check_flow_params, param_check
from orchestrator.core.plan import Job, Plan


def parse_params(pairs: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` pairs: a value is JSON if it starts like a list, an object or quoted text, else a YAML scalar.

    Raises `CommandError`.
    """
    params: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise CommandError(f"--param {pair!r} has no value", "write it --param key=value")
        if key in params:
            raise CommandError(f"--param {key} is given twice")
        params[key] = _value(key, text.strip())
    return params


def _value(key: str, text: str) -> Any:
    from orchestrator.config.scalars import NumberError, resolve

    if text.startswith(("[", "{", '"')):
        try:
            return msgspec.json.decode(text)
        except RecursionError:
            raise CommandError(f"--param {key}: it is nested too deeply") from None
        except msgspec.DecodeError as error:
            hint = f"for text that starts with {text[0]}, write it in double quotes"
            raise CommandError(f"--param {key}: not JSON: {error}", hint) from None
    try:
        return resolve(text)
    except NumberError as error:
        raise CommandError(f"--param {key}: {error}", "for text, write it in double quotes") from None


def check_params(plan: Plan, job: Job, params: dict[str, Any]) -> None:
    """Ask the job's callable, in another process, whether it takes the job's parameters with these in their place.

    Raises `CommandError` with every refusal.
    """
    if job.steps:
        check_flow_params(job, params)
        return
    found = FreshChecker().problems(plan, [param_check(job, params, job.name)])
    if found:
        hints = [problem.hint for problem in found if problem.hint]
        raise CommandError("\n".join(problem.message for problem in found), hints[0] if hints else None)
