"""Who printed what? Cuts one stream of output at the marks that its writer put between its steps."""

from __future__ import annotations

from collections import defaultdict

KEPT = 4_000
"""Bytes, the last ones, of what each step prints."""


class Captured:
    """The output of each step, however much there is. `mark` must be something that nobody prints by chance."""

    def __init__(self, mark: bytes) -> None:
        self._mark = mark
        self._pending = b""
        self._step = 0
        self._kept: dict[int, bytes] = defaultdict(bytes)

    def feed(self, data: bytes) -> None:
        """Take what was printed next."""
        *ended, self._pending = (self._pending + data).split(self._mark)
        for part in ended:
            self._keep(part)
            self._step += 1
        # The end may be the beginning of a mark, so it waits for what follows.
        sure = max(0, len(self._pending) - len(self._mark) + 1)
        self._keep(self._pending[:sure])
        self._pending = self._pending[sure:]

    def text(self, step: int) -> str:
        """The last of what was printed between a mark and the next; 0 is before the first mark."""
        pending = self._pending if step == self._step else b""
        return (self._kept.get(step, b"") + pending).decode("utf-8", "replace").strip()

    def _keep(self, data: bytes) -> None:
        if data:
            self._kept[self._step] = (self._kept[self._step] + data)[-KEPT:]
