"""`python -m soak`: real engines under random faults for some minutes, then figures; exit status 1 on any violation."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from orchestrator.core.units import parse_duration
from soak.figures import figures
from soak.trial import Settings, Trial
from soak.wrapping import Options


def main() -> int:
    """Do what the command line says."""
    wanted = _arguments()
    if wanted.prove:
        from soak.proofs import prove

        return prove(_say)
    seed = wanted.seed if wanted.seed is not None else random.randrange(1_000_000)
    folder = Path(tempfile.mkdtemp(prefix="orchestrator-soak-"))
    _say(f"seed {seed}, {wanted.engines} engines, in {folder}")
    settings = Settings(
        seconds=parse_duration(wanted.duration).total_seconds(),
        seed=seed,
        folder=folder,
        engines=wanted.engines,
        rate=wanted.rate,
        gap=wanted.gap,
        options=Options(lease=wanted.lease),
    )
    report = Trial(settings, _say).run()
    for line in figures(report):
        _say(line)
    if report.violations or wanted.keep:
        _say(f"what was left is in {folder}; the same again: python -m soak --seed {seed} --for {wanted.duration}")
    else:
        shutil.rmtree(folder)
    return 1 if report.violations else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--for", dest="duration", default="3m", metavar="DURATION", help="how long things go wrong")
    parser.add_argument("--seed", type=int, help="the seed of an earlier soak, to repeat it as far as timing allows")
    parser.add_argument("--engines", type=int, default=2, help="how many engines share the database")
    parser.add_argument("--rate", type=float, default=220.0, help="runs asked for in a second")
    parser.add_argument("--gap", type=float, default=0.8, help="seconds between faults, in the mean")
    parser.add_argument("--lease", type=float, help="shorten the engines' lease to so many seconds")
    parser.add_argument("--keep", action="store_true", help="leave the project and the logs")
    parser.add_argument(
        "--prove", action="store_true", help="break the engine in every known way: each must be noticed"
    )
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
