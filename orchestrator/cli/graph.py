"""`orchestrator graph`: what does a workflow look like?"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import msgspec
import typer

from orchestrator.cli.diagnosis import require_plan
from orchestrator.cli.errors import CommandError
from orchestrator.cli.graph_drawings import draw_ascii, draw_dot, draw_mermaid
from orchestrator.cli.options import ConfigOption, JobArgument, JsonOption
from orchestrator.cli.tables import print_json
from orchestrator.client.job_names import named_job
from orchestrator.client.place import find_place
from orchestrator.client.planning import Compilation


class Drawing(StrEnum):
    """How it is drawn."""

    ASCII = "ascii"
    MERMAID = "mermaid"
    DOT = "dot"


FormatOption = Annotated[
    Drawing, typer.Option("--format", "-f", metavar="FORMAT", help="`ascii`, `mermaid` or `dot` (Graphviz).")
]


class GraphReport(msgspec.Struct, frozen=True, kw_only=True):
    """A step as `graph --json` prints it."""

    name: str
    kind: str
    does: str
    needs: tuple[str, ...]
    needs_any: tuple[str, ...]
    is_final: bool


def graph(
    job: JobArgument,
    *,
    drawing: FormatOption = Drawing.ASCII,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Draw a workflow.

    Its steps and what each needs.
    """
    with Compilation(find_place(config, None).required_config()) as compilation:
        plan = require_plan(compilation.result(), sys.stderr)
    flow = named_job(plan, job)
    if not flow.steps:
        raise CommandError(f"{job} is no workflow: it calls {flow.call}", "a workflow has `steps`")
    does = {step.name: plan.jobs[step.job].call or step.sub_job or step.message or "" for step in flow.steps}
    if as_json:
        print_json(
            [
                GraphReport(
                    name=step.name,
                    kind=step.kind.value,
                    does=does[step.name],
                    needs=step.needs,
                    needs_any=step.needs_any,
                    is_final=step.is_final,
                )
                for step in flow.steps
            ]
        )
        return
    draw = {Drawing.ASCII: draw_ascii, Drawing.MERMAID: draw_mermaid, Drawing.DOT: draw_dot}[drawing]
    print("\n".join(draw(flow, does)))
