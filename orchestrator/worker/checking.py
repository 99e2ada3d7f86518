"""Says whether callables take parameters, as long as somebody asks: `python -m orchestrator.worker.checking SOCKET`.

The plugins are imported once. It ends with who asks: when the line is closed, or its parent is another process (a fork
of the parent may hold the line open). A step that takes too long ends it, too, whatever that step does.
"""

from __future__ import annotations

import faulthandler
import os
import select
import socket
import sys
from typing import NoReturn

from orchestrator.core.catalogue import Inspection
from orchestrator.plugins.discovery import import_plugins
from orchestrator.worker.inspection import Announcer, Findings
from orchestrator.worker.inspection_messages import Found, Request, Step, decode_checks, decode_request, framed
from orchestrator.worker.messages import Frames

LOOK_EVERY = 1.0
"""Seconds between looks at whose child this is."""


class Line:
    """The socket to who asks. `next` gives a message's body; None once nobody is there any more."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._parent = os.getppid()
        self._frames = Frames()
        self._bodies: list[bytes] = []

    def next(self) -> bytes | None:
        while not self._bodies:
            ready, _, _ = select.select([self._sock], [], [], LOOK_EVERY)
            if os.getppid() != self._parent:
                return None
            if ready:
                data = self._sock.recv(2**20)
                if not data:
                    return None
                self._bodies += self._frames.feed(data)
        return self._bodies.pop(0)

    def answer(self, inspection: Inspection) -> None:
        self._sock.sendall(framed(Found(inspection)))


def serve(line: Line, announcer: Announcer, request: Request) -> None:
    """Import the plugins, then answer batches of checks."""
    announcer.arm()
    registry, _ = import_plugins(request.sources, request.root, announce=lambda name: announcer(Step.IMPORT, name))
    findings = Findings(registry, request.resources, announcer)
    line.answer(Inspection())
    while True:
        faulthandler.cancel_dump_traceback_later()
        body = line.next()
        if body is None:
            return
        announcer.arm()
        line.answer(Inspection(param_problems=findings.answer(decode_checks(body))))


def main() -> NoReturn:
    """Serve, and end without waiting for threads that plugins started."""
    fd = int(sys.argv[1])
    os.set_inheritable(fd, False)  # noqa: FBT003
    line = Line(socket.socket(fileno=fd))
    body = line.next()
    if body is not None:
        request = decode_request(body)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        serve(line, Announcer(fd, nowhere, nowhere, request), request)
    os._exit(0)


if __name__ == "__main__":
    main()
