"""How is a process worker's main thread stopped inside an attempt, and never outside of it?

The engine notes its wish in the slot and sends a signal. The handler, which Python runs in the main thread between two
bytecodes, raises `Stopped` if an attempt is armed and is the one meant. It does so once per attempt, so that `finally:`
blocks of the callable run undisturbed.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Collection
from types import FrameType, TracebackType

from orchestrator.worker.slot import Slot

ASK_SIGNAL = signal.SIGURG
"""Nobody uses it, and a process that has no handler ignores it: a stray one does no harm."""
DUMP_SIGNAL = signal.SIGUSR1
"""Makes faulthandler write down where the worker is, just before it is killed."""
_EXTERNAL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """The attempt was asked to stop. Not an `Exception`, so that `except Exception:` lets it through."""

    __module__ = "orchestrator"


class Interrupt:
    """Arms the main thread for one attempt at a time. Entering it holds an interruption off."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._armed = 0
        self._place = 0
        self._held = 0
        self._pending = False
        self.fired = False
        """Whether the attempt that is or was armed has been interrupted."""
        self._main = threading.main_thread().ident

    def install(self) -> None:
        """Listen to the engine's signal; be deaf to those meant for the terminal's foreground or for the engine.

        Handlers, not SIG_IGN: what a callable starts would inherit that and be deaf, too.
        """
        signal.signal(ASK_SIGNAL, self._on_signal)
        for name in _EXTERNAL:
            signal.signal(name, _deaf)
        os.register_at_fork(before=_MASKED.block, after_in_parent=_MASKED.unblock, after_in_child=self._after_fork)

    def during(self, place: int, sequence: int) -> _Armed:
        """A context in which this attempt may be interrupted, in the main thread. `Stopped` may come out of its
        beginning, its body and its end, but never from after that."""
        return _Armed(self, place, sequence)

    def arm(self, place: int, sequence: int) -> None:
        """From here on the attempt may be interrupted. Raises `Stopped` if it has been asked already."""
        self._pending = self.fired = False
        self._place, self._armed = place, sequence
        self._fire_if_asked()

    def disarm(self) -> None:
        """From here on it may not."""
        self._armed = 0

    def check(self) -> None:
        """Raise `Stopped` if the armed attempt has been asked and not been interrupted yet; in the main thread."""
        self._fire_if_asked()

    def held_off(self) -> Interrupt:
        """A context in which no interruption arrives; one that was due is raised at its end."""
        return self

    def __enter__(self) -> None:
        if threading.get_ident() == self._main:
            self._held += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if threading.get_ident() != self._main:
            return
        self._held -= 1
        if self._pending and not self._held and error is None:
            self._pending = False
            self._fire_if_asked()

    def _on_signal(self, number: int, stack: FrameType | None) -> None:  # noqa: ARG002 - the slot tells more
        if self._held:
            self._pending = True
        else:
            self._fire_if_asked()

    def _fire_if_asked(self) -> None:
        if self._armed and self._slot.was_asked(self._place, self._armed):
            self._armed = 0
            self.fired = True
            raise Stopped("the attempt was asked to stop")

    def _after_fork(self) -> None:
        self._armed = 0
        signal.signal(ASK_SIGNAL, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for name in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, signal.SIG_DFL)
        _MASKED.unblock()


class _Masked(threading.local):
    """Holds signals back around a fork, so that one meant for the child doesn't meet the worker's deaf handlers."""

    before: Collection[int] = ()

    def block(self) -> None:
        self.before = signal.pthread_sigmask(signal.SIG_BLOCK, _EXTERNAL)

    def unblock(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self.before)


_MASKED = _Masked()


class _Armed:
    """Arms and disarms around a block."""

    def __init__(self, interrupt: Interrupt, place: int, sequence: int) -> None:
        self._interrupt = interrupt
        self._place = place
        self._sequence = sequence

    def __enter__(self) -> None:
        self._interrupt.arm(self._place, self._sequence)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._interrupt.disarm()


def _deaf(number: int, stack: FrameType | None) -> None:
    """Only the engine's own protocol ends a worker."""
