"""Where does `plugins:` say that callables come from?"""

from __future__ import annotations

import os
from typing import Any

from orchestrator.config.keys import close_to
from orchestrator.config.report import Report
from orchestrator.config.source import BROKEN, Source
from orchestrator.core.plan import PluginSources

_DEFAULT = "plugins"


def plugin_sources(main: Source, written: Any, report: Report) -> PluginSources:
    """Folders by their absolute path, and modules or entry points by name. `written` is the key's rendered value."""
    root = main.file.parent
    if "plugins" not in main.tree:
        folder = str(root / _DEFAULT)
        return PluginSources(folders=(folder,) if os.path.isdir(folder) else ())  # noqa: PTH112 - takes any text
    folders, modules = [], []
    for index, name in enumerate(written if isinstance(written, list) else []):
        if not isinstance(name, str) or name is BROKEN:
            continue
        folder = os.path.normpath(os.path.join(root, os.path.expanduser(name)))  # noqa: PTH111, PTH118
        if _is_folder(folder):
            folders.append(folder)
        elif _looks_like_path(name):
            _complain(main, index, name, folder, report)
        else:
            modules.append(name)
    return PluginSources(folders=tuple(dict.fromkeys(folders)), modules=tuple(dict.fromkeys(modules)))


def _complain(main: Source, index: int, name: str, folder: str, report: Report) -> None:
    place = main.value(("plugins", index))
    if name.endswith(".py"):
        hint = f"name the folder that it is in: {os.path.dirname(name) or '.'}"  # noqa: PTH120
        report.error("bad-plugin", f"`{name}` is a file; plugins are folders or modules", place, hint)
        return
    parent = os.path.dirname(folder)  # noqa: PTH120
    beside = [entry.name for entry in os.scandir(parent) if entry.is_dir()] if _is_folder(parent) else []
    close = close_to(os.path.basename(folder), beside)  # noqa: PTH119
    hint = f"did you mean {os.path.join(os.path.dirname(name), close)}?" if close else "make it, or correct the path"  # noqa: PTH118, PTH120
    report.error("missing-folder", f"there is no folder {folder}", place, hint)


def _is_folder(path: str) -> bool:
    try:
        return os.path.isdir(path)  # noqa: PTH112
    except ValueError:
        return False


def _looks_like_path(name: str) -> bool:
    return (
        "/" in name or "\\" in name or name.startswith((".", "~")) or name.endswith(".py") or "\0" in name or not name
    )
