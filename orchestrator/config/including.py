"""Which files does `include:` bring in?"""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Any

from orchestrator.config.model_file import FragmentShape
from orchestrator.config.reading import read_source
from orchestrator.config.report import Report
from orchestrator.config.sections import settings
from orchestrator.config.shape import check
from orchestrator.config.source import BROKEN, Source

_MOST = 10_000


def included(main: Source, patterns: Any, report: Report) -> tuple[list[Source], list[Path]]:
    """The files that can be read, in the order of the patterns and then of their names, each once; and every file
    that was looked at. Included files include nothing themselves, so there are no circles."""
    seen = {main.file: None}
    sources = []
    for index, pattern in enumerate(patterns if isinstance(patterns, list) else []):
        if not isinstance(pattern, str) or pattern is BROKEN:
            continue
        for file in _matches(main, index, pattern, report):
            if file not in seen:
                seen[file] = None
                sources.append(read_source(file, report))
    usable = [source for source in sources if source is not None]
    for source in usable:
        check(FragmentShape, settings(source), source, (), report)
    return usable, [file for file in seen if file != main.file]


def _matches(main: Source, index: int, pattern: str, report: Report) -> list[Path]:
    place = main.value(("include", index))
    try:
        found = glob.glob(pattern, root_dir=main.file.parent, recursive=True)  # noqa: PTH207 - Path's refuses `/…`
    except (OSError, ValueError) as error:
        report.error("bad-include", f"`{pattern}` can't be searched for: {error}", place)
        return []
    files = [Path(os.path.normpath(main.file.parent / name)) for name in sorted(found)]
    files = [file for file in files if not (glob.has_magic(pattern) and file.is_dir())]
    if not files:
        report.warning("include-matches-nothing", f"`{pattern}` matches no file in {main.file.parent}", place)
    if len(files) > _MOST:
        report.error("bad-include", f"`{pattern}` matches {len(files):,} files", place, "use a narrower pattern")
        return []
    return files
