"""Is any installed package known to be vulnerable? `pip-audit` asks; a machine that can't ask is told so, and goes on.

`python -m checks.audit`: exit status 1 when a vulnerability is known, 2 when the asking itself failed, else 0.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

SERVICES = ("pypi", "osv")
"""Who is asked, one after the other until one knows something."""
SECONDS = 15
_NO_CONNECTION = ("ConnectionError", "Could not connect", "timed out", "Timeout")


class Answer(NamedTuple):
    """What a service said of the installed packages: as `pip-audit --format json` has it, or why there is nothing."""

    packages: list[dict[str, Any]]
    unreachable: str = ""
    broken: str = ""


def ask(service: str) -> Answer:
    """Ask one service."""
    options = ("--vulnerability-service", service, "--format", "json", "--progress-spinner", "off")
    command = [sys.executable, "-m", "pip_audit", *options, "--skip-editable", "--timeout", str(SECONDS)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    return understood(done.stdout, done.stderr)


def understood(out: str, err: str) -> Answer:
    """What pip-audit printed, whose exit status is 1 both for a finding and for a failure."""
    try:
        return Answer(json.loads(out)["dependencies"])
    except (ValueError, KeyError):
        last = err.strip().splitlines()[-1] if err.strip() else "it printed nothing"
        if any(word in err for word in _NO_CONNECTION):
            return Answer([], unreachable=last)
        return Answer([], broken=last)


def audit(say: Callable[[str], None], ask_one: Callable[[str], Answer] = ask) -> int:
    """Ask until a service knows something; gives the exit status."""
    why: list[str] = []
    for service in SERVICES:
        answer = ask_one(service)
        if answer.broken:
            say(f"pip-audit failed: {answer.broken}")
            return 2
        audited = [package for package in answer.packages if "vulns" in package]
        if audited:
            found = list(_findings(audited))
            for line in found:
                say(line)
            say(f"pip-audit: {len(audited)} packages looked up at {service}, {len(found)} vulnerabilities")
            return 1 if found else 0
        why.append(f"{service}: {answer.unreachable or 'it knows none of the packages'}")
    say("pip-audit: NOT AUDITED, as no vulnerability service can be asked from here")
    for line in why:
        say(f"  {line}")
    return 0


def _findings(packages: list[dict[str, Any]]) -> Iterator[str]:
    for package in packages:
        for finding in package["vulns"]:
            mended = ", ".join(finding["fix_versions"]) or "no version yet"
            yield f"{package['name']} {package['version']}: {finding['id']}, mended in {mended}"


if __name__ == "__main__":
    sys.exit(audit(lambda line: print(line, flush=True)))
