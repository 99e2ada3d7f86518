"""How long and how often is everything measured?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The size of each measurement. Times are in seconds."""

    folder: Path
    """Every trial makes its own folder in here."""
    repeats: int = 3
    """Each measurement goes round all its subjects this often: A B A B A B."""
    runs: int = 20_000
    peer_runs: int = 2_000
    """The peer commits one job at a time: the rate of fewer is its rate of more, and known sooner."""
    rates: tuple[int, ...] = (1, 1_000, 5_000)
    warm_up: float = 3.0
    window: float = 15.0
    many_jobs: int = 10_000
    idle: float = 20.0
    all_subjects: bool = True
    """Also what is only there to compare with."""


def quick(folder: Path) -> Settings:
    """Smaller and once: a minute for each measurement at most."""
    return Settings(
        folder=folder,
        repeats=1,
        runs=10_000,
        peer_runs=500,
        rates=(1, 1_000),
        warm_up=2.0,
        window=5.0,
        idle=10.0,
        all_subjects=False,
    )
