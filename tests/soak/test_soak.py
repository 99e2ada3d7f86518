"""Short soaks: of a real engine, which must be in order, and of broken ones, which must be found out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soak.breakages import BREAKAGES
from soak.failpoints import names
from soak.figures import figures
from soak.proofs import SHORT_LEASE, broken_trials, deaths_at, is_noticed
from soak.trial import Settings, Trial
from soak.wrapping import Options

ALL = bool(os.environ.get("SOAK_PROVE"))
"""All breakages and failpoints; by default those few that guard what matters most: the rest takes minutes."""
QUICK_BREAKAGES = ("no fence", "no unique fires")
QUICK_FAILPOINTS = ("before commit", "after commit", "after claim")


def test_nothing_is_lost_or_doubled_by_kills_freezes_and_edits(tmp_path: Path) -> None:
    settings = Settings(
        seconds=12, seed=20260302, folder=tmp_path / "project", gap=0.6, options=Options(lease=SHORT_LEASE)
    )
    report = Trial(settings).run()
    assert report.violations == [], "\n".join(figures(report))
    assert report.kills > 0


@pytest.mark.parametrize("name", BREAKAGES if ALL else QUICK_BREAKAGES)
def test_a_broken_engine_is_found_out(name: str, tmp_path: Path) -> None:
    reports = list(broken_trials(name, tmp_path))
    assert is_noticed(name, reports[-1]), "\n".join(line for report in reports for line in figures(report))


@pytest.mark.parametrize("failpoint", names() if ALL else QUICK_FAILPOINTS)
def test_a_death_at_any_point_costs_nothing(failpoint: str, tmp_path: Path) -> None:
    died, violations = deaths_at(failpoint, tmp_path / "project")
    assert violations == []
    assert died > 0
