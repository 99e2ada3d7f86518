"""How a workflow is drawn: as text, for Mermaid, for Graphviz."""

from __future__ import annotations

import json
from collections.abc import Mapping

from orchestrator.core.flows import Step, StepKind
from orchestrator.core.json_values import TEMPLATE_KEY
from orchestrator.core.plan import Job
from orchestrator.core.units import format_duration


def draw_ascii(flow: Job, does: Mapping[str, str]) -> list[str]:
    """A tree: each step below the last of those that it needs, the others named beside it."""
    drawn = _Tree(flow, does)
    lines = [flow.name, *drawn.below(None, is_final=False, indent="")]
    if any(step.is_final for step in flow.steps):
        lines += ["finally", *drawn.below(None, is_final=True, indent="")]
    return lines


def draw_mermaid(flow: Job, does: Mapping[str, str]) -> list[str]:
    """A flowchart, for Markdown."""
    ids = {step.name: f"s{number}" for number, step in enumerate(flow.steps, 1)}
    lines = ["flowchart TD"]
    normal = [step for step in flow.steps if not step.is_final]
    lines += [f"    {_mermaid_node(ids[step.name], step, does[step.name])}" for step in normal]
    for step in flow.steps:
        lines += [f"    {ids[name]} --> {ids[step.name]}" for name in step.needs]
        lines += [f"    {ids[name]} -. any .-> {ids[step.name]}" for name in step.needs_any]
    finals = [step for step in flow.steps if step.is_final]
    if finals:
        inner = [f"        {_mermaid_node(ids[step.name], step, does[step.name])}" for step in finals]
        lines += ["    subgraph finally", *inner, "    end"]
    return lines


def draw_dot(flow: Job, does: Mapping[str, str]) -> list[str]:
    """A digraph, for `dot -Tsvg`."""
    lines = [f"digraph {json.dumps(flow.name)} {{", "    node [shape=box];"]
    for step in flow.steps:
        style = ", style=dashed" if step.is_final else ""
        label = json.dumps("\n".join([step.name, *_notes(step, does[step.name])]), ensure_ascii=False)
        lines.append(f"    {json.dumps(step.name)} [label={label}{style}];")
    for step in flow.steps:
        lines += [f"    {json.dumps(name)} -> {json.dumps(step.name)};" for name in step.needs]
        lines += [f"    {json.dumps(name)} -> {json.dumps(step.name)} [style=dotted];" for name in step.needs_any]
    return [*lines, "}"]


class _Tree:
    def __init__(self, flow: Job, does: Mapping[str, str]) -> None:
        self._steps = flow.steps
        self._does = does
        self._depths: dict[str, int] = {}
        by_name = {step.name: step for step in flow.steps}
        for step in flow.steps:
            self._depth(step, by_name)
        self._parents = {step.name: self._parent(step) for step in flow.steps}
        self._width = max(len(step.name) + 3 * self._depths[step.name] for step in flow.steps) + 6

    def below(self, parent: str | None, *, is_final: bool, indent: str) -> list[str]:
        """The lines of the steps that hang below one."""
        children = [s for s in self._steps if self._parents[s.name] == parent and s.is_final is is_final]
        lines = []
        for position, step in enumerate(children):
            branch, following = ("└─ ", "   ") if position == len(children) - 1 else ("├─ ", "│  ")
            head = f"{indent}{branch}{step.name}"
            lines.append(f"{head:<{self._width}}{'  '.join(self._told(step, parent))}".rstrip())
            lines += self.below(step.name, is_final=is_final, indent=indent + following)
        return lines

    def _told(self, step: Step, parent: str | None) -> list[str]:
        others = [name for name in step.needs if name != parent]
        notes = _notes(step, self._does[step.name])
        if others:
            notes.append(f"also needs {', '.join(others)}" if parent in step.needs else f"needs {', '.join(others)}")
        if step.needs_any:
            notes.append(f"needs any of {', '.join(step.needs_any)}")
        return notes

    def _depth(self, step: Step, by_name: Mapping[str, Step]) -> int:
        if step.name not in self._depths:
            before = [self._depth(by_name[name], by_name) for name in (*step.needs, *step.needs_any)]
            self._depths[step.name] = 1 + max(before, default=-1)
        return self._depths[step.name]

    def _parent(self, step: Step) -> str | None:
        needed = (*step.needs, *step.needs_any)
        return max(needed, key=lambda name: self._depths[name]) if needed else None


def _mermaid_node(name: str, step: Step, does: str) -> str:
    label = "<br/>".join([step.name, *_notes(step, does)]).replace('"', "#quot;")
    return f'{name}["{label}"]'


def _notes(step: Step, does: str) -> list[str]:
    notes = [does if step.kind is StepKind.CALL else f"{step.kind.value} {does}".strip()]
    if step.kind is StepKind.SLEEP:
        notes = [f"sleep {format_duration(step.pause)}"]
    if step.foreach is not None:
        notes.append("for each of a matrix" if step.is_matrix else "for each item")
    if step.when is not None:
        notes.append(f"when {_expression(step.when)}")
    return notes


def _expression(when: object) -> str:
    if isinstance(when, dict):
        return str(when.get(TEMPLATE_KEY, "")).strip().removeprefix("{{").removesuffix("}}").strip()
    return str(when).lower()
