"""Is it the machine that refuses? Which errors say that descriptors or processes have run out, and what helps."""

from __future__ import annotations

import errno
import os
import resource

_FILES = frozenset({errno.EMFILE, errno.ENFILE})


def is_of_files(error: OSError) -> bool:
    """Whether no descriptor could be had, of this process's share or of the whole machine's."""
    return error.errno in _FILES


def lacks_files(count: int) -> bool:
    """Whether fewer than `count` descriptors can be had now. Those that it tries are given back at once."""
    taken: list[int] = []
    try:
        taken.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        while len(taken) < count:
            taken.append(os.dup(taken[0]))
    except OSError as error:
        if is_of_files(error):
            return True
        raise
    finally:
        for fd in taken:
            os.close(fd)
    return False


def limit_in_words() -> str:
    """How many descriptors this process may have, and how to give it more."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return f"{most} that this process may have; raise the limit (`ulimit -n 4096`, or LimitNOFILE= in a systemd unit)"


def words_for(number: int) -> str:
    """A refusal in words, with its mend. `number` is an error number."""
    if number == errno.EMFILE:
        return f"no file descriptor is left of the {limit_in_words()}"
    if number == errno.ENFILE:
        return "no file descriptor is left on this machine; raise fs.file-max, or stop what holds so many files"
    if number == errno.EAGAIN:
        return "no process or thread can be started; raise the limit (`ulimit -u`, or TasksMax= in a systemd unit)"
    return os.strerror(number)
