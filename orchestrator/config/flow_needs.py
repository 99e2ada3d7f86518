"""Do the steps of a workflow need steps that exist, and does none wait for itself?"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.config.circles import circles
from orchestrator.config.keys import close_to
from orchestrator.config.model_step import StepShape
from orchestrator.config.report import Report
from orchestrator.config.sections import Entry

Steps = Mapping[str, Entry[StepShape]]


def check_needs(steps: Steps, report: Report) -> dict[str, frozenset[str]]:
    """All that comes before each step: what it needs, what that needs, and so on; before a step under `finally` all
    that isn't under it."""
    sound = {name: _sound_needs(step, steps, report) for name, step in steps.items()}
    if not _check_circles(sound, steps, report):
        return {name: frozenset(steps) - {name} for name in steps}
    normal = frozenset(name for name, step in steps.items() if not is_final(step))
    return {name: reachable(name, sound) | (normal if is_final(step) else frozenset()) for name, step in steps.items()}


def is_final(step: Entry[StepShape]) -> bool:
    """Whether it stands under `finally`."""
    return step.path[-2] == "finally"


def reachable(name: str, needs: Mapping[str, list[str]]) -> frozenset[str]:
    """What a step needs, directly or by way of others."""
    found: set[str] = set()
    ahead = list(needs[name])
    while ahead:
        one = ahead.pop()
        if one not in found:
            found.add(one)
            ahead += needs[one]
    return frozenset(found)


def _sound_needs(step: Entry[StepShape], steps: Steps, report: Report) -> list[str]:
    found = []
    for key in ("needs", "needs_any"):
        for index, name in enumerate(getattr(step.value, key) or ()):
            place = step.at(key, index)
            if name == step.name:
                report.error("needs-itself", f"step `{name}` needs itself", place, "remove it")
            elif name not in steps:
                close = close_to(name, steps)
                hint = f"did you mean `{close}`?" if close else f"known: {', '.join(steps)}"
                report.error("unknown-step", f"there is no step `{name}`", place, hint)
            elif is_final(steps[name]) and not is_final(step):
                message = f"step `{step.name}` can't need `{name}`, which runs when all others have ended"
                report.error("needs-final", message, place, "move one of them")
            elif is_final(step) and not is_final(steps[name]):
                message = f"step `{step.name}` is under `finally`: it runs when `{name}` has ended, however it did"
                report.error("needs-normal", message, place, "remove it; `when: steps.NAME.state == ...` can tell")
            else:
                found.append(name)
    return found


def _check_circles(needs: dict[str, list[str]], steps: Steps, report: Report) -> bool:
    """Report each circle once, at the step of it that comes first; false if there is any."""
    rank = {name: index for index, name in enumerate(steps)}
    found = circles(needs)
    for circle in found:
        first = min(range(len(circle)), key=lambda i: rank[circle[i]])
        turned = [*circle[first:], *circle[:first], circle[first]]
        message = f"these steps need each other in a circle: {' needs '.join(turned)}"
        step = steps[turned[0]]
        key = "needs" if turned[1] in (step.value.needs or ()) else "needs_any"
        place = step.at(key, getattr(step.value, key).index(turned[1]))
        report.error("needs-circle", message, place, "remove one `needs` of them")
    return not found
