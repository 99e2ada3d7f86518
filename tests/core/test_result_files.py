"""Large results in files: whole or not at all, private, and found out when they are no longer what was written."""

from __future__ import annotations

import copy
import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core import result_files
from orchestrator.core.errors import ResultFileError
from orchestrator.core.result_files import ResultFile, delete, origin, read, whole, write

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def test_a_file_is_its_owner_s_alone_and_named_by_run_and_attempt(tmp_path: Path) -> None:
    folder = tmp_path / "o.db.results"
    first, second = write(folder, 7, 1, b"[1]"), write(folder, 7, 2, b"[2]")
    assert [file.name for file in (first, second)] == ["7-1.json", "7-2.json"]
    assert (first.run_id, origin(second.name)) == (7, (7, 2))
    assert (read(folder, first), read(folder, second)) == (b"[1]", b"[2]")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / first.name).stat().st_mode) == 0o600
    assert len(list(folder.iterdir())) == 2


def test_names_and_contents_are_on_the_disk_before_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        sync(descriptor)

    if not Path("/proc/self/fd").exists():
        pytest.skip("reads /proc")
    monkeypatch.setattr(os, "fsync", watched)
    folder = tmp_path / "results"
    write(folder, 1, 1, b"[]")
    assert [Path(path).name.endswith(".partial") for path in synced] == [False, True, False]
    assert [synced[0], synced[2]] == [str(tmp_path), str(folder)]


@pytest.mark.parametrize("step", ["write_new", "sync"])
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    write(tmp_path, 1, 1, b"[]")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if step == "write_new":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(result_files, "sync", full)
    with pytest.raises(ResultFileError, match=r"run 2, 3B, can't be written to .*: No space left on device"):
        write(tmp_path, 2, 1, b"[2]")
    assert [path.name for path in tmp_path.iterdir()] == ["1-1.json"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(b"[2]"), "is damaged"),
        (lambda path: path.write_bytes(b"[1"), "is damaged"),
        (lambda path: (path.unlink(), path.mkdir()), "can't be read"),
    ],
    ids=["missing", "changed", "cut", "unreadable"],
)
def test_what_is_lost_is_told_with_run_and_file(tmp_path: Path, spoil: Any, words: str) -> None:
    file = write(tmp_path, 12, 3, b"[1]")
    spoil(tmp_path / file.name)
    with pytest.raises(ResultFileError, match=words) as told:
        whole(None, [file], tmp_path)
    assert "run 12" in str(told.value)
    assert str(tmp_path / "12-3.json") in str(told.value)


@pytest.mark.parametrize("name", ["../1-1.json", "1-1.json/x", "/etc/passwd", "", "1-1.json\n", "x-1.json"])
def test_a_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(ResultFileError, match="not the name"):
        read(tmp_path, ResultFile(name=name, size=1, digest=""))
    with pytest.raises(ResultFileError, match="not the name"):
        delete(tmp_path, [name])


def test_what_is_gone_already_is_deleted(tmp_path: Path) -> None:
    file = write(tmp_path, 1, 1, b"[]")
    delete(tmp_path, [file.name, "2-1.json"])
    assert list(tmp_path.iterdir()) == []


def places(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a value."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [at, *(place for key, one in inner for place in places(one, (*at, key)))]


@given(JSON, st.data())
def test_whatever_lies_in_files_the_whole_is_the_same(value: Any, data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.sampled_from(places(value)), max_size=4, unique=True))
    outermost = [at for at in wanted if not any(at != other and at[: len(other)] == other for other in wanted)]
    with tempfile.TemporaryDirectory() as name:
        folder, skeleton, files = Path(name), copy.deepcopy(value), []
        for number, at in enumerate(outermost, 1):
            part, inner = value, skeleton
            for step in at:
                part = part[step]
            file = write(folder, number, 1, msgspec.json.encode(part))
            files.append(msgspec.structs.replace(file, at=at))
            if not at:
                skeleton = None
                continue
            for step in at[:-1]:
                inner = inner[step]
            inner[at[-1]] = None
        assert whole(skeleton, files, folder) == value
