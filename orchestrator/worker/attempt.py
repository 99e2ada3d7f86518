"""The life of an attempt, from its assignment to the report of its end."""

from __future__ import annotations

import contextvars
import os
import traceback
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.core.batches import ItemEnd
from orchestrator.core.flows import ItemsError
from orchestrator.core.policies import Isolation
from orchestrator.core.result_files import ResultFile
from orchestrator.core.runs import ErrorInfo, Outcome
from orchestrator.plugins.context import Context
from orchestrator.plugins.failures import ParamsError
from orchestrator.worker.capture import CURRENT
from orchestrator.worker.failures import describe, is_a
from orchestrator.worker.interrupt import Stopped
from orchestrator.worker.keeping import Keeping, with_results
from orchestrator.worker.messages import Assignment, Checkpointed, Finished, Voided
from orchestrator.worker.progress import ProgressReport
from orchestrator.worker.results import ITEMS_LIMIT, NotJson, plain
from orchestrator.worker.waiting import Waiting
from orchestrator.worker.workplace import Workplace

if TYPE_CHECKING:
    from orchestrator.plugins.signature import Binder
    from orchestrator.worker.batching import Gathering

CALL, SKIP = object(), object()
"""What comes of looking at a step before its callable is called."""


def execute(assignment: Assignment, workplace: Workplace) -> None:
    """Execute one attempt in this thread and report its end; nothing that the callable does comes out of here."""
    attempt = Attempt(assignment, workplace)
    if not attempt.begin():
        return
    try:
        with attempt.interruptible():
            attempt.load()
            value = attempt.before()
            if value is CALL:
                binder = workplace.resolve(assignment.call)
                arguments = attempt.bind(binder, workplace.resources.get(binder.resources))
                value = attempt.context.run(binder.function, **arguments)
    except BaseException as error:  # noqa: BLE001 - SystemExit, KeyboardInterrupt and Stopped end the attempt, not us
        attempt.fail(error)
    else:
        attempt.succeed(value)
    attempt.keep()
    attempt.report()


async def execute_async(assignment: Assignment, workplace: Workplace) -> None:
    """The same on a loop; the callable is awaited in the task that awaits this."""
    attempt = Attempt(assignment, workplace)
    if not attempt.begin():
        return
    try:
        CURRENT.set(attempt.capture)
        await attempt.load_async()
        value = attempt.before()
        if value is CALL:
            binder = workplace.resolve(assignment.call)
            resources = await workplace.resources.get_async(binder.resources) if binder.resources else {}
            value = await binder.function(**attempt.bind(binder, resources))
    except BaseException as error:  # noqa: BLE001 - as above; a cancellation ends this task anyway
        attempt.fail(error)
    else:
        attempt.succeed(value)
    await attempt.keep_async()
    attempt.report()


class Attempt:
    """The steps of the life above, and what they leave for the report. It is the callable's line to the engine, too."""

    def __init__(self, assignment: Assignment, workplace: Workplace) -> None:
        self._assignment = assignment
        self._workplace = workplace
        self.capture = workplace.capture(assignment)
        self.context = contextvars.copy_context()
        self.context.run(CURRENT.set, self.capture)
        self._outcome = Outcome.FAILED
        self._keeping = Keeping(workplace.setup.results, workplace.line.mask)
        self._result: Any = None
        self._files: dict[int, ResultFile] = {}
        self._items: tuple[ItemEnd, ...] = ()
        self._error: ErrorInfo | None = None
        self._retry_after: float | None = None
        self._give_up = False
        self._progress: ProgressReport | None = None
        self._gathering: Gathering | None = None
        self._failure: BaseException | None = None
        self._looked = False

    # The steps.

    def begin(self) -> bool:
        """Note in the slot that it runs now; or say that it never will, because it was revoked."""
        this, workplace = self._assignment, self._workplace
        if not workplace.slot.begin(this.place, this.sequence):
            workplace.line.send(Voided(sequence=this.sequence))
            return False
        self._started_at = datetime.now(UTC)
        if workplace.alone:
            workplace.running = self.capture
        return True

    def interruptible(self) -> AbstractContextManager[None]:
        """Where the engine may interrupt it: in a process worker. A thread can only be asked."""
        workplace, this = self._workplace, self._assignment
        return workplace.interrupt.during(this.place, this.sequence) if workplace.alone else nullcontext()

    def load(self) -> None:
        """Read what a step needs of earlier steps' large results. Raises `ResultFileError`."""
        if (sight := self._assignment.sight) is not None and sight.files:
            self._assignment = with_results(self._assignment, self._workplace.setup.results)

    async def load_async(self) -> None:
        """The same; the loop goes on meanwhile."""
        if (sight := self._assignment.sight) is not None and sight.files:
            import asyncio

            await asyncio.to_thread(self.load)

    def before(self) -> Any:
        """What a step of a workflow may have instead of a call: an unmet condition, or something to prepare."""
        this = self._assignment
        if this.sight is None:
            return CALL
        if not self._workplace.renderer.is_wanted(this):
            return SKIP
        if not this.sight.prepares:
            return CALL
        prepared = self._workplace.renderer.prepared(this)
        try:
            return plain(prepared, ITEMS_LIMIT)
        except NotJson as error:
            raise ItemsError(f"the items of the step can't be kept: {error}") from None

    def bind(self, binder: Binder, resources: dict[str, Any]) -> dict[str, Any]:
        """The callable's keyword arguments."""
        context = self._make_context() if binder.surface.contexts else None
        if binder.surface.batch is None:
            params = self._workplace.renderer.arguments(self._assignment, binder.takes)
            arguments = binder.bind(params, context, resources)
        else:
            from orchestrator.worker.batching import Gathering  # few projects have batches

            self._gathering = Gathering(self._assignment, binder, self._workplace.renderer, self._keeping)
            arguments = binder.bind_batch(self._gathering.handed_out(), context, resources)
        self.beat()
        return arguments

    def succeed(self, value: Any) -> None:
        """The callable returned. What can't be kept of its result doesn't undo what it did."""
        self._leave_if_forked(None)
        self._outcome = Outcome.SUCCEEDED if value is not SKIP else Outcome.SKIPPED
        if value is SKIP or self._gathering is not None:  # the runs of a batch have results of their own
            return
        try:
            self._result = self._keeping.small(self._assignment.run_id, self._assignment.attempt, value)
        except NotJson as error:
            self.capture.warn(f"the result is not kept: {error}")

    def fail(self, error: BaseException) -> None:
        """The callable raised, or never came to run."""
        self._leave_if_forked(error)
        self._outcome = Outcome.CANCELLED if self._noticed() and self._is_stop(error) else Outcome.FAILED
        self._error = describe(error)
        self._failure = error
        if is_a(error, "Retry"):
            self._retry_after = getattr(error, "delay", None)
        # Parameters that the callable can't take today it can't take in a minute either.
        self._give_up = is_a(error, "GiveUp") or isinstance(error, ParamsError | ItemsError)
        error.__traceback__ = None  # the frames hold the callable's data

    def keep(self) -> None:
        """Write what is too large to be sent. What can't be written fails, and is tried again as its policy says."""
        if self._has_large():
            self._keeping.write()
            self._note_files()

    async def keep_async(self) -> None:
        """The same; the loop goes on while the disk works."""
        if self._has_large():
            import asyncio

            try:
                await asyncio.to_thread(self._keeping.write)
            except (RuntimeError, asyncio.CancelledError) as error:  # the first: there can be no more threads
                self._items = ()
                self.fail(error)
            else:
                self._note_files()

    def _has_large(self) -> bool:
        """Whether there is something to write, once it is known how the runs of a batch ended."""
        if self._gathering is not None and self._outcome is not Outcome.CANCELLED:
            self._items = self._gathering.ends(self._failure)
        if self._keeping.large:
            self.beat()
        return bool(self._keeping.large)

    def _note_files(self) -> None:
        if self._gathering is not None:
            from orchestrator.worker.batching import with_file

            self._items = tuple(with_file(end, self._keeping) for end in self._items)
        elif (error := self._keeping.errors.get(self._assignment.run_id)) is not None:
            self.fail(error)
        self._files = self._keeping.files

    def report(self) -> None:
        """Send what is left of the output, and then the end."""
        this, workplace = self._assignment, self._workplace
        if workplace.alone:
            workplace.watch.drain()
            workplace.running = None
            self._go_home()
        self.capture.flush()
        workplace.watch.forget(self.capture)
        if self._progress is not None:
            workplace.watch.forget(self._progress)
            self._progress.flush()
        workplace.line.send(
            Finished(
                run_id=this.run_id,
                attempt=this.attempt,
                sequence=this.sequence,
                outcome=self._outcome,
                started_at=self._started_at,
                finished_at=datetime.now(UTC),
                result=self._result,
                result_file=self._files.get(this.run_id),
                error=self._error,
                retry_after=self._retry_after,
                give_up=self._give_up,
                memory=workplace.memory(),
                short_of_files=workplace.files.are_short(failed=self._error is not None),
                asked=self._noticed(),
                items=self._items,
            )
        )

    # The callable's line to the engine.

    def progressed(self, done: int, total: int | None) -> None:
        """Report progress."""
        self.beat()
        if self._progress is None:
            self._progress = ProgressReport(self._assignment, self._workplace)
        self._progress.tell(done, total)

    def saved(self, value: Any) -> None:
        """Keep a checkpoint. Raises `TypeError` if it is not a JSON value."""
        try:
            kept = plain(value)
        except NotJson as error:
            raise TypeError(f"the checkpoint can't be kept: {error}") from None
        self.beat()
        this = self._assignment
        self._workplace.line.send(Checkpointed(run_id=this.run_id, attempt=this.attempt, value=kept))

    def beat(self) -> None:
        """Give a sign of life, if anybody listens."""
        this = self._assignment
        if this.heartbeat is not None:
            self._workplace.slot.beat(this.place, this.sequence)

    def wait(self, until: float) -> None:
        """Wait; see `Waiting.block`."""
        self._waiting().block(until)

    async def wait_async(self, until: float) -> None:
        """Wait; see `Waiting.suspend`."""
        await self._waiting().suspend(until)

    def _waiting(self) -> Waiting:
        return Waiting(self._assignment, self._workplace, self._look, self.beat)

    def _asked(self) -> bool:
        return self._workplace.slot.was_asked(self._assignment.place, self._assignment.sequence)

    def _look(self) -> bool:
        """What `Context.cancelled` says; a callable that has seen it is expected to end early."""
        self._looked = self._looked or self._asked()
        return self._looked

    def _noticed(self) -> bool:
        """Whether it was asked to stop and the callable got to know; else it ended as it would have anyway."""
        if self._looked or not self._asked():
            return self._looked
        if self._workplace.alone:
            return self._workplace.interrupt.fired
        if self._workplace.setup.isolation is Isolation.ASYNC:
            import asyncio  # slow, and only imported in a worker that has a loop

            task = asyncio.current_task()
            return task is not None and task.cancelling() > 0
        return False

    def _is_stop(self, error: BaseException) -> bool:
        """Whether this exception is the asking itself, come through the callable."""
        if self._workplace.setup.isolation is not Isolation.ASYNC:
            return isinstance(error, Stopped)
        import asyncio

        return isinstance(error, asyncio.CancelledError)

    def _make_context(self) -> Context:
        this = self._assignment
        return Context(
            job=this.job,
            run_id=this.run_id,
            attempt=this.number,
            max_attempts=this.max_attempts,
            fire_time=this.fire_time,
            timezone=this.timezone,
            checkpoint=this.checkpoint,
            line=self,
            cancelled=self._look,
            resource=None if self._workplace.setup.isolation is Isolation.ASYNC else self._workplace.resources.one,
        )

    def _go_home(self) -> None:
        """The next attempt starts in the configuration's folder, wherever this one went."""
        with suppress(OSError):
            if os.getcwd() != self._workplace.setup.root:  # noqa: PTH109 - after every attempt, so the quick one
                os.chdir(self._workplace.setup.root)

    def _leave_if_forked(self, error: BaseException | None) -> None:
        """A callable forked, and the child came back through it: it must not go on as a second worker."""
        if self._workplace.line.mine:
            return
        if isinstance(error, SystemExit) and isinstance(error.code, int | None):
            os._exit(error.code or 0)
        if error is not None:
            traceback.print_exception(error)
        os._exit(1 if error is not None else 0)
