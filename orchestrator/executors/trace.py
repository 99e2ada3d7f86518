"""Where was a process when it died? Reads what Python's faulthandler wrote."""

from __future__ import annotations

import re
from itertools import pairwise

_HEAD = re.compile(r"^(?:Current thread|Thread|Stack)\b.*most recent call first", re.MULTILINE)
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in ', re.MULTILINE)
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")


def frames(trace: str, main: str) -> list[tuple[str, int]]:
    """Files and lines, innermost first, of the thread to blame: the one that crashed, else the one which runs the
    file `main`, else the last. Empty if there is no trace."""
    heads = [match.start() for match in _HEAD.finditer(trace)]
    threads = [trace[start:end] for start, end in pairwise([*heads, len(trace)])]
    crashed = [thread for thread in threads if thread.startswith("Current thread")]
    running = [thread for thread in threads if f'{main}"' in thread]
    blamed = (crashed or running or threads)[-1:]
    return [(_unescape(match[1]), int(match[2])) for thread in blamed for match in _FRAME.finditer(thread)]


def timed_out(trace: str) -> bool:
    """Whether faulthandler's watchdog ended the process."""
    return re.search(r"^Timeout \(", trace, re.MULTILINE) is not None


def _unescape(text: str) -> str:
    """faulthandler writes ASCII only."""
    return _ESCAPE.sub(lambda match: chr(int(match[1] or match[2] or match[3], 16)), text)
