"""Which callables are there without a plugin? Each is a file of its own, imported when a job names it."""

from __future__ import annotations

from orchestrator.plugins.offers import Offer

BUILTINS = {
    "shell": Offer("orchestrator.builtins.shell", "shell"),
}
