"""A checked configuration as plain frozen data: what the engine works from and what crosses process boundaries."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from orchestrator.core.flows import Step
from orchestrator.core.hooks import Hook, HookKind, Notifier, Sla
from orchestrator.core.keys import KeyTemplate
from orchestrator.core.policies import Batching, CatchUp, Isolation, Order, Overlap, PerKey, RateLimit, Retry, Unique
from orchestrator.core.triggers import AfterTrigger, TimeTrigger

DEFAULT_QUEUE = "default"
DEFAULT_AGING = timedelta(minutes=5)
DEFAULT_TIMEOUT = timedelta(minutes=5)


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a job's finished runs is kept: the newest `count`, and of those what is younger than `age`.

    Failed runs wait for a person, so they are kept for `failed_age`.
    """

    age: timedelta = timedelta(days=30)
    failed_age: timedelta = timedelta(days=90)
    count: int = 10_000


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named entry under `jobs:` with every default merged in."""

    name: str
    call: str
    params: dict[str, Any] = {}
    description: str = ""
    triggers: tuple[TimeTrigger, ...] = ()
    after: tuple[AfterTrigger, ...] = ()
    on_start: bool = False
    timezone: str = "UTC"
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    """0 is the default; higher goes first."""
    order: Order = Order.FIFO
    aging: timedelta = DEFAULT_AGING
    group_by: KeyTemplate | None = None
    """These three are its queue's, so that whoever creates a run needs to know the job alone."""
    batch: Batching | None = None
    """How its runs are gathered into one call."""
    unique: Unique | None = None
    """When a run that somebody asks for, or that a fire would give, is a duplicate of another."""
    expires_in: timedelta | None = None
    """A run that hasn't started so long after it was due is skipped."""
    isolation: Isolation = Isolation.PROCESS
    retry: Retry = Retry()
    timeout: timedelta | None = DEFAULT_TIMEOUT
    heartbeat: timedelta | None = None
    """An attempt that gives no sign of life for so long is taken for crashed."""
    grace: timedelta = timedelta(seconds=5)
    """Between asking an attempt to stop and killing its worker."""
    deadline: timedelta | None = None
    """For the whole run with all its attempts, from the moment it was due."""
    overlap: Overlap = Overlap.SKIP
    catch_up: CatchUp = CatchUp.LAST
    catch_up_window: timedelta = timedelta(days=1)
    concurrency: int | None = None
    """Attempts of this job at once; none means no limit but the queue's."""
    at_most_once: bool = False
    memory_limit: int | None = None
    """Bytes of the worker process; over it the attempt is killed and charged."""
    log_limit: int = 2**20
    retention: Retention = Retention()
    enabled: bool = True
    unusable: str | None = None
    """Why the job can't run although the rest can: its plugin failed at import."""
    hooks: dict[HookKind, tuple[Hook, ...]] = {}
    sla: Sla = Sla()
    steps: tuple[Step, ...] = ()
    """What a workflow consists of, instead of a `call`; those under `finally` come last."""
    flow: str = ""
    """The workflow that this hidden job, `flow/step`, is a step of."""
    step: Step | None = None

    @property
    def hidden(self) -> bool:
        """Whether it is no job that somebody wrote, but one that the configuration implies: those have a `/`."""
        return "/" in self.name


class Queue(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A named lane of runs."""

    name: str
    concurrency: int | None = None
    order: Order = Order.FIFO
    aging: timedelta = DEFAULT_AGING
    """A run that has waited so much longer than another weighs as much as one of the next higher priority."""
    rate_limit: RateLimit | None = None
    per_key: PerKey | None = None


class Resource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A long-lived object: a worker calls `use(**options)` once and, at shutdown, its method `close`."""

    name: str
    use: str
    options: dict[str, Any] = {}
    """Written `with:` in YAML; values may be `{"$template": …}` when they hold secrets."""
    close: str | None = None


class Secret(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a secret comes from: exactly one of an environment variable or a file."""

    env: str | None = None
    file: str | None = None


class Workers(msgspec.Struct, frozen=True, kw_only=True):
    """How many worker processes, and when one is replaced."""

    processes: int = 4
    """The most processes for sync callables; they are started on demand."""
    async_limit: int = 100
    """Async attempts at once."""
    threads: int = 16
    """`isolation: thread` attempts at once."""
    max_runs: int = 10_000
    max_memory: int = 512 * 2**20
    import_timeout: timedelta = timedelta(seconds=20)


class PluginSources(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where callables come from, in order: folders (absolute), modules or packages, and entry points.

    `skip` names modules that failed or hung when the catalogue was read; workers don't import them.
    """

    folders: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    import_timeout: timedelta | None = None
    """What one module's import may take while the catalogue is read; none means the reader's own limit."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The whole configuration. `root` is the folder of the main file: relative paths start there."""

    path: str
    root: str
    timezone: str
    jobs: dict[str, Job]
    queues: dict[str, Queue] = {}
    resources: dict[str, Resource] = {}
    sources: PluginSources = PluginSources()
    vars: dict[str, Any] = {}
    secrets: dict[str, Secret] = {}
    notifiers: dict[str, Notifier] = {}
    workers: Workers = Workers()
    shutdown_grace: timedelta = timedelta(seconds=30)
    files: tuple[str, ...] = ()
    """Every file that was read, absolute; a reload watches them."""
    includes: tuple[str, ...] = ()
    """The patterns of `include:`, absolute: where a file may appear that is to be read, too."""

    @property
    def declared(self) -> list[Job]:
        """The jobs that somebody wrote."""
        return [job for job in self.jobs.values() if not job.hidden]
