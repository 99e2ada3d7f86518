from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.builtins import cleanup as module
from orchestrator.builtins.cleanup import CleanupFailed
from orchestrator.builtins.tree import fits, found
from tests.builtins.conftest import Bed

DAY = 86400


def make(root: Path, **days: float) -> None:
    """Files by name (`__` is a slash, `_` a dot) and how many days ago they were changed."""
    for name, age in days.items():
        file = root / name.replace("__", "/").replace("_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("12345")
        os.utime(file, (time.time() - age * DAY,) * 2)


def left(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def test_old_files_that_fit_are_deleted(bed, tmp_path):
    make(tmp_path, a_log=9, b_log=1, c_txt=9, deep__d_log=9)
    said = bed.call("file.cleanup", folder=str(tmp_path), pattern="*.log", older_than="7d")
    assert said == {"deleted": 1, "bytes": 5, "kept": 1, "folders": 0, "dry_run": False}
    assert left(tmp_path) == {"b.log", "c.txt", "deep", "deep/d.log"}


def test_only_a_pattern_with_a_slash_leads_into_folders_by_itself(bed, tmp_path):
    make(tmp_path, a_log=9, x__a_log=9, x__b_tmp=9, x__y__b_tmp=9)
    bed.call("file.cleanup", folder=".", pattern=["*.log", "x/*.tmp"], remove_empty_folders=True)
    assert left(tmp_path) == {"x", "x/a.log", "x/y", "x/y/b.tmp"}


def test_the_newest_of_all_that_fit_are_kept_however_old(bed, tmp_path):
    make(tmp_path, a_zip=30, b_zip=20, x__c_zip=10, x__d_zip=1)
    said = bed.call("file.cleanup", folder=".", pattern=["*.zip"], keep=2, older_than="5d", recursive=True)
    assert (said["deleted"], said["kept"]) == (2, 2)
    assert left(tmp_path) == {"x", "x/c.zip", "x/d.zip"}


def test_a_dry_run_only_says_it(bed, tmp_path, caplog):
    make(tmp_path, a_log=9)
    caplog.set_level("INFO")
    said = bed.call("file.cleanup", folder=".", pattern="*", dry_run=True, remove_empty_folders=True)
    assert said == {"deleted": 1, "bytes": 5, "kept": 0, "folders": 0, "dry_run": True}
    assert left(tmp_path) == {"a.log"}
    assert "would delete a.log (5B)" in caplog.text


def test_empty_folders_go_if_asked_unless_they_are_young(bed, tmp_path):
    make(tmp_path, a__b__old_log=9, c__young_log=0)
    (tmp_path / "d").mkdir()
    for name in ("a/b", "a"):
        os.utime(tmp_path / name, (time.time() - 9 * DAY,) * 2)
    params = {"folder": ".", "pattern": "*", "older_than": "7d", "recursive": True, "remove_empty_folders": True}
    assert bed.call("file.cleanup", **params)["folders"] == 2
    assert left(tmp_path) == {"c", "c/young.log", "d"}


def test_links_are_neither_followed_nor_deleted(bed, tmp_path):
    make(tmp_path, out__x_log=9, in__y_log=9)
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "file.log").symlink_to(tmp_path / "out" / "x.log")
    said = bed.call("file.cleanup", folder="in", pattern="*", recursive=True, remove_empty_folders=True)
    assert said["deleted"] == 1
    assert left(tmp_path) == {"out", "out/x.log", "in", "in/folder", "in/file.log"}


def test_hidden_files_need_a_pattern_of_their_own_and_hidden_folders_are_left_alone(bed, tmp_path):
    make(tmp_path, a=9, _b=9, _git__c=9)
    assert bed.call("file.cleanup", folder=".", pattern="*", recursive=True)["deleted"] == 1
    assert bed.call("file.cleanup", folder=".", pattern=".b", recursive=True)["deleted"] == 1
    assert left(tmp_path) == {".git", ".git/c"}


def test_a_folder_that_became_a_link_meanwhile_is_not_entered(tmp_path):
    make(tmp_path, out__x_log=9, in__deep__x_log=9)
    tree = found(str(tmp_path / "in"), ["*"], deep=True)
    (tmp_path / "in" / "deep").rename(tmp_path / "moved")
    (tmp_path / "in" / "deep").symlink_to(tmp_path / "out")
    failures: list[str] = []
    assert tree.delete(tree.files, failures) == []
    assert tree.remove_empty(float("inf"), failures) == 0
    assert failures == []
    assert {"out/x.log", "moved/x.log", "in/deep"} <= left(tmp_path)


def test_a_file_that_was_written_anew_meanwhile_stays(tmp_path):
    make(tmp_path, x_log=9)
    tree = found(str(tmp_path), ["*"], deep=False)
    make(tmp_path, x_log=0)
    assert tree.delete(tree.files, []) == []
    assert left(tmp_path) == {"x.log"}


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_what_cannot_be_deleted_fails_after_all_the_rest(bed, tmp_path):
    make(tmp_path, a__x=9, b__x=9)
    (tmp_path / "a").chmod(0o500)
    with pytest.raises(CleanupFailed, match="1 can't be deleted: a/x: Permission denied"):
        bed.call("file.cleanup", folder=".", pattern="*", recursive=True)
    (tmp_path / "a").chmod(0o700)
    assert left(tmp_path) == {"a", "a/x", "b"}


def test_failures_are_told_after_all_the_rest_was_done(bed, tmp_path, monkeypatch):
    make(tmp_path, a=9, b=9)
    unlink = os.unlink

    def stubborn(name, **more):
        if name == "a":
            raise PermissionError(1, "Operation not permitted")
        unlink(name, **more)

    monkeypatch.setattr(module.os, "unlink", stubborn)
    with pytest.raises(CleanupFailed, match=r"^1 can't be deleted: a: Operation not permitted$"):
        bed.call("file.cleanup", folder=".", pattern="*")
    assert left(tmp_path) == {"a"}


def test_a_folder_that_is_not_there_fails(bed):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        bed.call("file.cleanup", folder="nowhere", pattern="*")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"folder": "/"}, "'folder': is the root of the file system, which is not cleaned up"),
        ({"folder": "/tmp/.."}, "'folder': is the root of the file system, which is not cleaned up"),
        ({"folder": "~"}, "'folder': is or holds the home folder, which is not cleaned up"),
        ({"folder": "~/.."}, "'folder': is or holds the home folder, which is not cleaned up"),
        ({"folder": ""}, "'folder': is empty: name a folder"),
        ({"pattern": "../*"}, "'pattern': leads out of the folder: patterns are relative to it"),
        ({"pattern": "/etc/*"}, "'pattern': leads out of the folder: patterns are relative to it"),
        ({"pattern": []}, "'pattern': is empty: write a pattern like *.log, or * for every file"),
        ({"keep": -1}, "'keep': is less than none"),
    ],
)
def test_validation_refuses_what_would_be_a_disaster(bed, tmp_path, monkeypatch, params, words):
    home = tmp_path / "home" / "me"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    assert bed.mistakes("file.cleanup", **{"folder": "var", "pattern": "*", **params}) == [words]


def test_a_link_to_the_home_folder_is_the_home_folder(bed, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "innocent").symlink_to(tmp_path)
    assert "home folder" in bed.mistakes("file.cleanup", folder="innocent", pattern="*")[0]


@pytest.mark.parametrize(
    ("path", "pattern", "answer"),
    [
        ("a/b.log", "*.log", True), ("a/b.log", "a/*.log", True), ("a/x/b.log", "a/*.log", False),
        ("a/x/b.log", "a/**/*.log", True), ("a/b.log", "a/**/*.log", True), ("b.log", "**/b.log", True),
        ("B.log", "b.log", False), (".b", "*", False), (".b", ".*", True), ("a/b", "a/**", True),
    ],
)  # fmt: skip
def test_patterns(path, pattern, answer):
    assert fits(path, pattern) is answer


NAMES = st.sampled_from(["a", "b", "c.log", ".h"])
ENTRIES = st.lists(
    st.tuples(
        st.lists(NAMES, min_size=1, max_size=3), st.sampled_from(["file", "to_out", "to_file", "to_self", "folder"]),
        st.integers(0, 20),
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    entries=ENTRIES,
    pattern=st.sampled_from(["*", "*.log", "a/*", "**/b", ".*"]),
    days=st.none() | st.integers(0, 20),
    keep=st.integers(0, 3),
    recursive=st.booleans(),
    empty=st.booleans(),
)
def test_it_never_leaves_the_folder_and_deletes_exactly_what_it_says(entries, pattern, days, keep, recursive, empty):
    with tempfile.TemporaryDirectory() as place:
        out, root = Path(place, "out"), Path(place, "root")
        make(out, a=30, b=30, c_log=30, a2__b=30)
        root.mkdir()
        for path, kind, age in entries:
            plant(root, out, path, kind, age)
        outside, links, files = left(out), links_of(root), files_of(root)
        older = {} if days is None else {"older_than": f"{days}d"}
        params = {"folder": str(root), "pattern": pattern, "keep": keep, "recursive": recursive, **older}
        said = Bed().call("file.cleanup", remove_empty_folders=empty, **params)
        assert left(out) == outside
        assert links_of(root) == links
        gone = {path: age for path, age in files.items() if path not in files_of(root)}
        deep = recursive or "/" in pattern
        fitting = sorted(age for path, age in files.items() if fits(path, pattern) and reached(path, deep=deep))
        assert len(gone) == said["deleted"]
        assert all(fits(path, pattern) and reached(path, deep=deep) for path in gone)
        assert days is None or all(age > days - 0.5 for age in gone.values())
        assert len(fitting) - len(gone) >= min(keep, len(fitting))
        assert not gone or keep == 0 or min(gone.values()) >= fitting[keep - 1] - 0.01


def reached(path, *, deep):
    folders = path.split("/")[:-1]
    return not any(name.startswith(".") for name in folders) and (deep or not folders)


def plant(root, out, path, kind, age):
    place = root.joinpath(*path)
    parent = place.parent
    if any(p.is_symlink() or p.is_file() for p in (parent, *parent.parents)) or place.exists() or place.is_symlink():
        return
    parent.mkdir(parents=True, exist_ok=True)
    if kind == "file":
        place.write_text("12345")
        os.utime(place, (time.time() - age * DAY,) * 2)
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to({"to_out": out, "to_file": out / "a", "to_self": root}[kind])


def links_of(root):
    return {str(path) for path in root.rglob("*") if path.is_symlink()}


def files_of(root):
    now = time.time()
    return {
        str(path.relative_to(root)): (now - path.lstat().st_mtime) / DAY
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink() and root.resolve() in path.resolve().parents
    }
