"""`make lint` fails on a known vulnerability, and says so where it can't ask."""

from __future__ import annotations

import json

import pytest

from checks.audit import Answer, audit, understood

SOUND = {"name": "rich", "version": "14.0", "vulns": []}
BAD = {"name": "jinja2", "version": "3.1.0", "vulns": [{"id": "GHSA-1", "fix_versions": ["3.1.6"], "aliases": []}]}
SKIPPED = {"name": "orchestrator", "skip_reason": "distribution marked as editable"}


def outcome(**answers: Answer) -> tuple[int, str]:
    said: list[str] = []
    status = audit(said.append, answers.__getitem__)
    return status, "\n".join(said)


def test_a_known_vulnerability_fails_and_says_what_mends_it() -> None:
    status, said = outcome(pypi=Answer([SKIPPED, SOUND, BAD]))
    assert status == 1
    assert "jinja2 3.1.0: GHSA-1, mended in 3.1.6" in said


def test_sound_packages_pass() -> None:
    assert outcome(pypi=Answer([SKIPPED, SOUND]))[0] == 0


def test_the_next_service_is_asked_when_one_knows_nothing() -> None:
    assert outcome(pypi=Answer([SKIPPED]), osv=Answer([BAD]))[0] == 1
    assert outcome(pypi=Answer([], unreachable="no route"), osv=Answer([SOUND]))[0] == 0


def test_no_service_at_all_is_told_and_passes() -> None:
    status, said = outcome(pypi=Answer([SKIPPED]), osv=Answer([], unreachable="no route to api.osv.dev"))
    assert status == 0
    assert "NOT AUDITED" in said
    assert "no route to api.osv.dev" in said


@pytest.mark.parametrize(
    ("out", "err", "expected"),
    [
        (json.dumps({"dependencies": [SOUND], "fixes": []}), "", Answer([SOUND])),
        (
            "",
            "Traceback\nrequests.exceptions.ConnectionError: x",
            Answer([], unreachable="requests.exceptions.ConnectionError: x"),
        ),
        ("", "No module named pip_audit", Answer([], broken="No module named pip_audit")),
    ],
)
def test_what_pip_audit_prints_is_understood(out: str, err: str, expected: Answer) -> None:
    assert understood(out, err) == expected


def test_a_broken_pip_audit_fails() -> None:
    assert outcome(pypi=Answer([], broken="No module named pip_audit"))[0] == 2
