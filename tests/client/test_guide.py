"""What docs/enqueue.md shows is executed as it stands there."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.project import Project

PAGE = Path(__file__).parents[2] / "docs" / "enqueue.md"
JOBS = """\
version: 1
plugins: [plugins]
jobs:
  send-email: {call: mail.send}
  charge: {call: mail.charge}
"""
MAIL = """\
def send(to: str, subject: str):
    return f"{subject} to {to}"

def charge(order: int):
    return order
"""


def test_the_python_of_the_page(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write("jobs.yaml", JOBS)
    project.plugin("mail", MAIL)
    monkeypatch.chdir(project.folder)
    first, welcome, transaction, events = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    with project.engine():
        names: dict[str, Any] = {}
        exec(first, names)  # noqa: S102
        assert names["value"] == "Hello to ann@example.org"
        exec(welcome, names)  # noqa: S102
        assert asyncio.run(names["welcome"]("bob")) == "Welcome to bob"
        exec(transaction.replace("sqlite:////srv/shop/var/shop.db", f"sqlite:///{project.database}"), names)  # noqa: S102
        engine = create_engine(f"sqlite:///{project.database}")
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE orders (number INTEGER)"))
        names["place_order"](7)
        (charge,) = project.runs(job="charge")
        assert names["client"].result(charge["id"], timeout=30) == 7
        exec(events, names)  # noqa: S102
        assert names["remembered"]
        names["engine"].dispose()
        engine.dispose()
