from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from orchestrator.builtins.command import CommandStopped
from orchestrator.builtins.shell import CommandFailed
from orchestrator.plugins.api import GiveUp, Retry
from tests.faults.processes import eventually

LEFT = "sh -c 'echo $$ > pid; sleep 600' &"


def test_a_text_is_read_by_a_shell_and_a_list_by_none(bed):
    assert bed.call("shell", command="echo $((1 + 1)) | cat") == {"code": 0, "stdout": "2\n"}
    assert bed.call("shell", command=["echo", "$HOME; true"])["stdout"] == "$HOME; true\n"


def test_it_runs_where_and_with_what_it_is_told(bed, tmp_path, monkeypatch):
    monkeypatch.setenv("KEPT", "kept")
    (tmp_path / "deep").mkdir()
    said = bed.call("shell", command='pwd; echo "$KEPT $ADDED"; cat', cwd="deep", env={"ADDED": "a b"}, stdin="in\nput")
    assert said["stdout"] == f"{tmp_path / 'deep'}\nkept a b\nin\nput"


def test_the_run_is_in_its_environment(bed):
    names = "$ORCHESTRATOR_JOB $ORCHESTRATOR_RUN_ID $ORCHESTRATOR_ATTEMPT $ORCHESTRATOR_FIRE_TIME"
    assert bed.call("shell", command=f"echo {names}")["stdout"] == "nightly 7 1 2026-01-02T03:00:00+00:00\n"


def test_an_unexpected_status_fails_with_the_end_of_stderr(bed):
    with pytest.raises(CommandFailed, match=r"^exit status 3: out of luck$") as failure:
        bed.call("shell", command="echo fine; echo out of luck >&2; exit 3")
    assert failure.value.code == 3
    with pytest.raises(CommandFailed, match=r"(?s)^exit status 1: (?!.*first).*last$"):
        bed.call("shell", command="echo first >&2; yes | head -5000 >&2; echo last >&2; false")


def test_a_signal_is_named(bed):
    with pytest.raises(CommandFailed, match=r"^killed by SIGTERM$"):
        bed.call("shell", command="kill -TERM $$")


def test_codes_are_fine_or_ask_for_a_retry_as_the_job_says(bed):
    assert bed.call("shell", command="exit 2", ok_codes=[0, 2])["code"] == 2
    with pytest.raises(Retry, match="exit status 75"):
        bed.call("shell", command="exit 75", retry_codes=[75])
    with pytest.raises(CommandFailed):
        bed.call("shell", command="true", ok_codes=[1])


def test_what_cannot_be_started_fails(bed):
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        bed.call("shell", command=["no-such-program"])
    with pytest.raises(FileNotFoundError, match="nowhere"):
        bed.call("shell", command=["true"], cwd="nowhere")


def test_output_can_be_the_result_as_json(bed):
    assert bed.call("shell", command="echo '{\"rows\": [1, 2]}'", json=True) == {"rows": [1, 2]}
    with pytest.raises(ValueError, match="its output is not JSON"):
        bed.call("shell", command="echo rows", json=True)
    with pytest.raises(GiveUp, match="at most 1MiB"):
        bed.call("shell", command="yes | head -c 2000000", json=True)


def test_only_the_end_of_a_flood_is_kept_and_all_of_it_is_handed_on(bed, capsys):
    said = bed.call("shell", command="yes | head -c 3000000; echo; echo end", keep="10B")
    assert said["stdout"] == "\ny\ny\n\nend\n"
    assert len(capsys.readouterr().out) == 3_000_005


def test_both_streams_are_handed_on_in_whole_lines(bed, monkeypatch):
    class Stream(list):
        write = list.append

    out, err = Stream(), Stream()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    bed.call("shell", command="printf 'on'; sleep 0.05; printf 'e\\ntw'; echo oops >&2; sleep 0.05; printf 'o'")
    assert (out, err) == (["one\n", "two"], ["oops\n"])


def test_all_output_is_a_sign_of_life_though_it_be_no_line(bed):
    bed.call("shell", command="printf .")
    assert bed.beats == 1
    bed.call("shell", command="true")
    assert bed.beats == 1


def test_bytes_that_are_no_text_do_no_harm(bed, capsys):
    assert bed.call("shell", command="printf '\\377\\303\\244'")["stdout"] == "\\xffä"
    assert capsys.readouterr().out == "\\xffä"


def test_a_command_that_reads_nothing_does_not_block(bed):
    assert bed.call("shell", command="true", stdin="x" * 1_000_000)["code"] == 0
    assert bed.call("shell", command="wc -c", stdin="x" * 1_000_000)["stdout"].strip() == "1000000"


def test_it_may_close_its_streams_and_go_on(bed):
    assert bed.call("shell", command="exec >&- 2>&-; sleep 0.1; exit 4", ok_codes=[4])["code"] == 4


@pytest.mark.parametrize("hide", ["", "setsid "])
def test_what_it_leaves_running_ends_with_it(bed, hide, tmp_path):
    began = time.monotonic()
    said = bed.call("shell", command=f"{hide}{LEFT} while ! [ -s pid ]; do :; done; echo done")
    assert said["stdout"] == "done\n"
    assert time.monotonic() - began < 300
    eventually(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_in_a_thread_it_ends_when_it_is_asked(bed, tmp_path):
    raised = []

    def work():
        try:
            bed.call("shell", command="trap 'echo bye > said; exit 1' TERM; : > ready; while :; do sleep 0.01; done")
        except CommandStopped as stop:
            raised.append(stop)

    bed.is_cancelled = (tmp_path / "ready").exists
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert len(raised) == 1
    assert (tmp_path / "said").read_text() == "bye\n"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"command": " "}, "'command': is empty: write a line of shell, or a list of a program and its arguments"),
        ({"command": []}, "'command': is empty: write a line of shell, or a list of a program and its arguments"),
        ({"command": ["a\0"]}, "'command': holds a zero byte, which no program can be given"),
        ({"command": 5}, "'command' should be a valid string or a valid list, not 5"),
        ({"command": "x", "env": {"PORT": 80}}, "'env.PORT' should be a valid string, not 80"),
        ({"command": "x", "comand": "y"}, "shell has no parameter 'comand'"),
        ({}, "shell needs the parameter 'command'"),
    ],
)
def test_validation_says_what_is_wrong(bed, params, words):
    assert bed.mistakes("shell", **params) == [words]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
