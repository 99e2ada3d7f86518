"""What the documentation shows is what the product does."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.config.load import load

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
ENVIRONMENT = {
    "API_TOKEN": "t",
    "SLACK_TOKENS": "T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    "DATABASE_URL": "sqlite:///x.db",
}


def blocks(language: str) -> list[tuple[str, str]]:
    found = [(page, match) for page in PAGES for match in FENCE.finditer(page.read_text("utf-8"))]
    return [
        (f"{page.name}:{page.read_text('utf-8')[: match.start()].count(chr(10)) + 1}", match[2])
        for page, match in found
        if match[1] == language
    ]


@pytest.mark.parametrize(("where", "text"), [b for b in blocks("yaml") if b[1].startswith("version:")])
def test_yaml_examples_are_valid(where: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_text(text, "utf-8")
    loaded = load(file, environ=ENVIRONMENT, inspector=None, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert [d.message for d in loaded.diagnostics if d.severity == "error"] == [], where


@pytest.mark.parametrize(("where", "text"), blocks("python"))
def test_python_examples_compile(where: str, text: str) -> None:
    compile(text, where, "exec")


@pytest.mark.parametrize(("where", "text"), blocks("console"))
def test_commands_exist(where: str, text: str) -> None:
    from typer.main import get_command

    from orchestrator.cli.app import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    used = re.findall(r"^\$ orchestrator (?:-\S+ )*([a-z]+)", text, re.M)
    assert set(used) <= known, where


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text("utf-8")) if not (page.parent / link).exists()]
    assert missing == []
