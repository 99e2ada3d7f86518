"""Is this worker about to run out of descriptors? Then it is replaced: what one callable leaked must fail no other."""

from __future__ import annotations

import os
import resource

from orchestrator.core.shortage import is_of_files, lacks_files

SPARE = 16
"""Descriptors that an attempt may expect to find."""


class OwnFiles:
    """This process's share of descriptors, cheap enough to ask after every attempt."""

    def __init__(self, fd: int) -> None:
        """`fd` is open as long as this process works."""
        self._fd = fd
        self._most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    def are_short(self, *, failed: bool) -> bool:
        """Whether hardly any is left. After an attempt that `failed`, perhaps for want of one, looked at thoroughly."""
        try:
            lowest = os.dup(self._fd)
        except OSError as error:
            return is_of_files(error)
        os.close(lowest)
        return lowest >= self._most - SPARE or (failed and lacks_files(SPARE))
