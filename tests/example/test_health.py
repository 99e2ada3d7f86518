"""The health check measures and warns."""

from __future__ import annotations

import logging

import pytest
from example_shop import Shop, context


def test_a_healthy_machine_has_figures_and_no_warnings(shop: Shop) -> None:
    figures = shop.health.check_system(context(), limit=2**60, disk_free=0)
    assert figures["warnings"] == []
    assert 2**20 < figures["memory_used"] < 2**40
    assert 0 < figures["disk_free"] <= figures["disk_total"]


def test_what_is_over_its_limit_is_warned_about(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    figures = shop.health.check_system(context(), limit=1, disk_free=2**70)
    assert len(figures["warnings"]) == 2
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warned == figures["warnings"]
    assert warned[0].startswith("high memory usage")


def test_without_proc_it_measures_what_the_system_tells(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr("pathlib.Path.read_text", absent)
    figures = shop.health.check_system(context())
    assert figures["memory_used"] > 2**20
    assert figures["memory_available"] is None
