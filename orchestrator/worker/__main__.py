"""A worker's start and end: take over the descriptors that the engine passed, warm up, serve, close the resources."""

from __future__ import annotations

import atexit
import faulthandler
import os
import socket
import sys
from typing import NamedTuple, NoReturn

from orchestrator.core import kin
from orchestrator.core.policies import Isolation
from orchestrator.worker.interrupt import DUMP_SIGNAL
from orchestrator.worker.messages import Frames, Setup, to_worker
from orchestrator.worker.slot import Slot
from orchestrator.worker.workplace import Workplace


class Descriptors(NamedTuple):
    """What a worker inherits, in the order of its command line."""

    socket: int
    slot: int
    dump: int
    """A file for faulthandler's last words."""
    stdout: int
    """The reading ends of what descriptors 1 and 2 write to."""
    stderr: int


def main() -> NoReturn:
    """`python -m orchestrator.worker SOCKET SLOT DUMP STDOUT STDERR`, all numbers of inherited descriptors."""
    fds = Descriptors(*map(int, sys.argv[1:]))
    sys.argv = sys.argv[:1]
    for fd in fds:
        os.set_inheritable(fd, False)  # noqa: FBT003 - takes it no other way
    sock = socket.socket(fileno=fds.socket)
    _listen_to_faults(fds.dump, all_threads=False)
    frames = Frames()
    setup, early = _receive_setup(sock, frames)
    if setup.isolation is Isolation.THREAD:
        _listen_to_faults(fds.dump, all_threads=True)  # then the dump says in which thread it happened
    workplace = Workplace(
        setup,
        sock,
        Slot(fds.slot, setup.limit),
        {fds.stdout: "stdout", fds.stderr: "stderr"},
        os.environ.get(kin.MARK, ""),
    )
    workplace.interrupt.install()
    workplace.streams.install()
    workplace.watch.start()
    workplace.line.send(workplace.warm_up())
    _serve(workplace, frames, early)
    for problem in workplace.resources.close():
        workplace.line.note("stderr", problem)
    atexit._run_exitfuncs()  # noqa: SLF001 - as `multiprocessing` does in its children
    # Not sys.exit: it would wait for threads that plugins left running.
    os._exit(0)


def _serve(workplace: Workplace, frames: Frames, early: list[bytes]) -> None:
    isolation = workplace.setup.isolation
    if isolation is Isolation.PROCESS:
        from orchestrator.worker.alone import serve
    elif isolation is Isolation.THREAD:
        from orchestrator.worker.threads import serve
    else:
        from orchestrator.worker.looping import serve
    serve(workplace, frames, early)


def _listen_to_faults(fd: int, *, all_threads: bool) -> None:
    faulthandler.enable(file=fd, all_threads=all_threads)
    faulthandler.register(DUMP_SIGNAL, file=fd, all_threads=all_threads)


def _receive_setup(sock: socket.socket, frames: Frames) -> tuple[Setup, list[bytes]]:
    bodies: list[bytes] = []
    while not bodies:
        data = sock.recv(256 * 1024)
        if not data:
            sys.exit("the engine closed the line before the setup arrived")
        bodies = frames.feed(data)
    (setup,) = to_worker(bodies[0])
    if not isinstance(setup, Setup):
        sys.exit(f"the first message is {type(setup).__name__}, not the setup")
    return setup, bodies[1:]


if __name__ == "__main__":
    main()
