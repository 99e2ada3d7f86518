"""Which callables are there without a plugin? Each is a file of its own, imported when a job names it."""

from __future__ import annotations

from orchestrator.plugins.offers import Offer

BUILTINS = {
    "email": Offer("orchestrator.builtins.email", "email"),
    "file.cleanup": Offer("orchestrator.builtins.cleanup", "cleanup"),
    "http": Offer("orchestrator.builtins.http", "http", package="httpx", extra="http"),
    "python": Offer("orchestrator.builtins.python", "python"),
    "sql": Offer("orchestrator.builtins.sql", "sql"),
    "shell": Offer("orchestrator.builtins.shell", "shell"),
}
