"""Which runs are meant? Numbers, or a filter, or all: exactly one of the three ways, and nothing by accident."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from orchestrator.cli.errors import CommandError
from orchestrator.cli.times import parse_when
from orchestrator.core.runs import RunState

if TYPE_CHECKING:
    from orchestrator.store.store import Store

RunsArgument = Annotated[
    list[int] | None,
    typer.Argument(
        metavar="RUN...", help="Numbers of runs, as `runs` lists them.", min=1, max=2**63 - 1, show_default=False
    ),
]
JobsOption = Annotated[
    list[str] | None, typer.Option("--job", "-j", metavar="JOB", help="Those of this job; repeat it.")
]
QueuesOption = Annotated[
    list[str] | None, typer.Option("--queue", "-q", metavar="QUEUE", help="Those of this queue; repeat it.")
]
StatesOption = Annotated[
    list[RunState] | None, typer.Option("--state", "-s", metavar="STATE", help="Those in this state; repeat it.")
]
SinceOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="Those created since: `1h` ago, or an ISO 8601 date or time.")
]
UntilOption = Annotated[str | None, typer.Option(metavar="TIME", help="Those created before then.")]
KeysOption = Annotated[
    list[str] | None,
    typer.Option("--key", "-k", metavar="KEY", help="Those with this key, of their queue or their own; repeat it."),
]
AllOption = Annotated[bool, typer.Option("--all", help="All that this can be asked of.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say which runs are meant.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What was given on the command line."""

    run_ids: Sequence[int] | None = None
    jobs: Sequence[str] | None = None
    queues: Sequence[str] | None = None
    states: Sequence[RunState] | None = None
    since: str | None = None
    until: str | None = None
    keys: Sequence[str] | None = None
    everything: bool = False

    @property
    def by_number(self) -> bool:
        """Whether each run was named."""
        return bool(self.run_ids)

    def find(self, store: Store, possible: Sequence[RunState], usual: Sequence[RunState], now: datetime) -> list[int]:
        """The runs, oldest first. Of a filter that names no state, those in a `usual` one. Raises `CommandError`, also
        for a state that isn't `possible`."""
        filtered = any((self.jobs, self.queues, self.states, self.since, self.until, self.keys))
        if self.by_number + filtered + self.everything != 1:
            hint = "--dry-run shows which runs a filter means"
            raise CommandError("name runs by their numbers, or by filters like --job and --state, or as --all", hint)
        if self.run_ids:
            return list(dict.fromkeys(self.run_ids))
        for state in self.states or ():
            if state not in possible:
                known = ", ".join(possible)
                raise CommandError(f"this can't be asked of {state.value} runs", f"it can of those that are: {known}")
        return self._search(store, usual, now)

    def _search(self, store: Store, usual: Sequence[RunState], now: datetime) -> list[int]:
        from orchestrator.store import queries

        wanted = queries.RunFilter(
            jobs=self.jobs or (),
            queues=self.queues or (),
            states=self.states or usual,
            keys=self.keys or (),
            since=parse_when(self.since, now) if self.since else None,
            until=parse_when(self.until, now) if self.until else None,
        )
        return store.read(queries.find_runs, wanted)


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal, unless told not to; in a script the command itself is the answer."""
    if not yes and sys.stdin.isatty():
        typer.confirm(question, abort=True, err=True)


def counted(number: int, what: str = "run") -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
