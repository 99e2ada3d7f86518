"""Old log rows end in the archive, each once, and then leave the table; temporary files go, and nothing beside them."""

from __future__ import annotations

import gzip
import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from example_shop import Shop, context
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator import GiveUp, Retry

NOW = datetime(2025, 6, 15, 2, tzinfo=UTC)
ARCHIVE = Path("var/archive")


def log(shop: Shop, *ages: float) -> None:
    """Rows of these ages in days."""
    shop.insert(
        shop.schema.logs,
        *(
            {"created_at": NOW - timedelta(days=age), "level": "INFO", "source": "test", "message": f"{age} days"}
            for age in ages
        ),
    )


def clean(shop: Shop, **params: Any) -> dict[str, int]:
    return shop.cleanup.archive_and_delete(shop.db, context(fire_time=NOW), **params)


CLEANING = (
    "import cleanup\nfrom datetime import datetime\n"
    f"cleanup.archive_and_delete(db, context(fire_time=datetime.fromisoformat({NOW.isoformat()!r})))\n"
)


def archived() -> list[dict[str, Any]]:
    return [row for file in sorted(ARCHIVE.glob("*.jsonl.gz")) for row in rows_in(file)]


def rows_in(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


def kept(shop: Shop) -> list[str]:
    return [row.message for row in shop.rows(shop.schema.logs)]


def test_old_rows_move_to_a_file_for_each_day(shop: Shop) -> None:
    log(shop, 45, 31.5, 31.4, 30.01, 29.99, 1)
    assert clean(shop) == {"archived": 4, "deleted": 4, "files": 3}
    assert kept(shop) == ["29.99 days", "1 days"]
    assert sorted(file.name for file in ARCHIVE.iterdir() if not file.name.startswith(".")) == [
        "logs-2025-05-01.jsonl.gz",
        "logs-2025-05-14.jsonl.gz",
        "logs-2025-05-16.jsonl.gz",
    ]
    assert archived()[0] == {
        "id": 1,
        "created_at": "2025-05-01T02:00:00+00:00",
        "level": "INFO",
        "source": "test",
        "message": "45 days",
    }


def test_a_day_that_is_archived_in_two_runs_has_one_file_with_all(shop: Shop) -> None:
    log(shop, 40.0, 39.9)
    clean(shop, older_than=timedelta(days=39.95))
    clean(shop)
    assert [row["message"] for row in archived()] == ["40.0 days", "39.9 days"]


def test_nothing_to_do_leaves_no_file(shop: Shop) -> None:
    log(shop, 1)
    assert clean(shop) == {"archived": 0, "deleted": 0, "files": 0}
    assert archived() == []


@pytest.mark.parametrize(
    "deadly",
    [
        "shop.archive._sync_folder",  # the file has its name, nothing is deleted
        "shop.archive.os.fsync",  # the file is a draft
        "cleanup.delete_rows",
        "sqlalchemy.engine.base.RootTransaction.commit",  # in the midst of deleting
    ],
)
def test_after_a_kill_every_row_is_in_the_archive_once_and_none_is_lost(shop: Shop, deadly: str) -> None:
    log(shop, *(40 + n / 100 for n in range(90)), 1)
    place = deadly.rpartition(".")
    code, _ = shop.run(f"import cleanup, shop.archive, sqlalchemy.engine.base\n{place[0]}.{place[2]} = die\n{CLEANING}")
    assert code == -signal.SIGKILL
    assert {f"{40 + n / 100} days" for n in range(90)} <= {row["message"] for row in archived()} | set(kept(shop))

    clean(shop)

    assert kept(shop) == ["1 days"]
    assert sorted(row["id"] for row in archived()) == list(range(1, 91))
    assert [file for file in ARCHIVE.iterdir() if file.name.endswith(".draft")] == []


def test_a_kill_between_two_batches_of_deletions_makes_no_duplicates(shop: Shop) -> None:
    log(shop, *(40 + n / 100_000 for n in range(1200)))
    killing = (
        "import shop.log_rows\nfrom sqlalchemy import Connection, event\nseen = []\n"
        "event.listen(db, 'before_cursor_execute', lambda *a: a[2].startswith('DELETE') and\n"
        "    (seen.append(1), len(seen) == 2 and die()))\n"
    )
    code, _ = shop.run(killing + CLEANING)
    assert code == -signal.SIGKILL
    assert len(kept(shop)) == 700
    clean(shop)
    assert sorted(row["id"] for row in archived()) == list(range(1, 1201))
    assert kept(shop) == []


def test_two_at_once_do_not_work_on_one_archive(shop: Shop) -> None:
    with shop.archive.only_one(ARCHIVE), pytest.raises(Retry, match="another process"):
        clean(shop)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(batches=st.lists(st.lists(st.integers(1, 30), max_size=10), max_size=5))
def test_whatever_order_rows_are_archived_in_a_file_has_each_once(shop: Shop, batches: list[list[int]]) -> None:
    file = shop.folder / f"{time.monotonic_ns()}.jsonl.gz"
    for batch in batches:
        shop.archive.archive_day(file, [{"id": n} for n in dict.fromkeys(batch)])
    lines = [row["id"] for row in rows_in(file)] if file.exists() else []
    assert lines == list(dict.fromkeys(n for batch in batches for n in dict.fromkeys(batch)))


def old(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (0, 0))
    return path


def test_old_temporary_files_go_and_young_ones_stay(shop: Shop) -> None:
    gone, nested, young = old(Path("var/tmp/a")), old(Path("var/tmp/deep/er/b")), Path("var/tmp/deep/c")
    young.write_text("x")
    figures = shop.cleanup.temporary_files(context())
    assert figures == {"files": 2, "folders": 0, "bytes": 2}
    assert not gone.exists()
    assert not nested.exists()
    assert young.exists()


def test_empty_folders_go_when_they_are_old(shop: Shop) -> None:
    folder = Path("var/tmp/empty")
    folder.mkdir(parents=True)
    os.utime(folder, (0, 0))
    assert shop.cleanup.temporary_files(context())["folders"] == 1
    assert Path("var/tmp").is_dir()


def test_links_are_removed_and_not_followed(shop: Shop) -> None:
    outside = old(Path("elsewhere/precious"))
    folder = Path("var/tmp")
    folder.mkdir(parents=True)
    for name, target in (("file", outside), ("folder", outside.parent)):
        (folder / name).symlink_to(target.resolve())
        os.utime(folder / name, (0, 0), follow_symlinks=False)
    assert shop.cleanup.temporary_files(context())["files"] == 2
    assert list(folder.iterdir()) == []
    assert outside.read_text() == "x"


@pytest.mark.parametrize("folder", ["/", ".", "..", "~"])
def test_a_folder_that_holds_more_than_temporary_files_is_refused(shop: Shop, folder: str) -> None:
    with pytest.raises(GiveUp, match="no folder for temporary files"):
        shop.cleanup.temporary_files(context(), folder=Path(folder).expanduser())


def test_a_link_in_the_folders_place_is_refused(shop: Shop) -> None:
    outside = old(Path("elsewhere/precious"))
    Path("scratch").symlink_to(outside.parent.resolve())
    with pytest.raises(GiveUp):
        shop.cleanup.temporary_files(context(), folder=Path("scratch"))
    assert outside.exists()
