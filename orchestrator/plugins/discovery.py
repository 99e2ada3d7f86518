"""Finds plugins where the configuration says that they are, imports them, and says what went wrong with which."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType

from orchestrator.core.catalogue import PluginProblem
from orchestrator.core.plan import PluginSources
from orchestrator.plugins.folders import Found, is_taken, scan
from orchestrator.plugins.import_failure import missing_module
from orchestrator.plugins.importing import Importer, load_file, put_on_path
from orchestrator.plugins.offers import Offer
from orchestrator.plugins.registry import Registry

ENTRY_POINTS = "orchestrator.plugins"
"""The group under which installed packages announce plugins."""


def import_plugins(
    sources: PluginSources,
    root: str,
    *,
    announce: Callable[[str], None] | None = None,
    offers: Mapping[str, Offer] | None = None,
) -> tuple[Registry, list[PluginProblem]]:
    """Import every plugin of `sources`, in order; a failure spares the others.

    `root` and the folders become importable. `announce` is called with a module's name just before its code runs,
    now and whenever the registry imports a module later. `offers` are callables by the names that they have unless a
    plugin takes them. The list is the registry's own, and grows with it.
    """
    homes = (*sources.folders, *((root,) if root else ()))
    importer = Importer(homes, sources.skip, announce)
    registry = Registry(importer, offers or {})
    put_on_path(root, ())
    plugins = _scan_all(sources.folders, importer)
    taken = {plugin.file for plugin in plugins if is_taken(plugin)}
    put_on_path("", sources.folders)
    for plugin in plugins:
        _add_found(plugin, importer, registry, apart=plugin.file in taken)
    for name in sources.modules:
        _add_named(name, importer, registry)
    return registry, registry.problems


def _scan_all(folders: tuple[str, ...], importer: Importer) -> list[Found]:
    plugins: dict[str, Found] = {}
    for folder in dict.fromkeys(folders):
        found, problems = scan(folder)
        importer.problems += problems
        for plugin in found:
            first = plugins.setdefault(plugin.name, plugin)
            if first is not plugin:
                message = f"two plugins are named {plugin.name!r}: {first.file} and {plugin.file}; rename this one"
                importer.problems.append(PluginProblem(module=plugin.name, message=message, file=str(plugin.file)))
    return list(plugins.values())


def _add_found(plugin: Found, importer: Importer, registry: Registry, *, apart: bool) -> None:
    if importer.skips(plugin.name):
        return
    alias = f"{plugin.name}_plugin"

    def load() -> ModuleType:
        if not apart:
            return importlib.import_module(plugin.name)
        return sys.modules.get(alias) or load_file(alias, plugin.file)

    module = importer.guarded(plugin.name, load)
    if module is not None:
        registry.add_module(plugin.name, module)


def _add_named(name: str, importer: Importer, registry: Registry) -> None:
    """A dotted module or, if there is none, an installed package's entry point of that name."""
    before = len(importer.problems)
    module = importer.module(name) if all(part.isidentifier() for part in name.split(".")) else None
    if module is not None:
        registry.add_module(name, module)
    elif (
        len(importer.problems) == before and not importer.skips(name) and not _add_entry_point(name, importer, registry)
    ):
        message = f"there is no module {name!r} and no entry point of that name in the group {ENTRY_POINTS!r}"
        importer.problems.append(PluginProblem(module=name, message=f"{message}; {missing_module(name)}"))


def _add_entry_point(name: str, importer: Importer, registry: Registry) -> bool:
    from importlib.metadata import entry_points  # slow to import, rarely needed

    for entry in entry_points(group=ENTRY_POINTS, name=name):
        module = importer.guarded(name, partial(importlib.import_module, entry.module))
        if module is not None:
            registry.add_module(entry.module, module)
            for attribute in filter(None, (entry.attr or "").split(".")[:1]):
                registry.add(name, getattr(module, attribute, None), name)
        return True
    return False
