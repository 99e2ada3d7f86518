from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy

from orchestrator.plugins.api import GiveUp
from tests.project import Project


@pytest.fixture(params=["engine", "connection"])
def db(bed, request, tmp_path: Path):
    file = tmp_path / "app.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE users (name TEXT UNIQUE, age INTEGER)")
        connection.executemany("INSERT INTO users VALUES (?, ?)", [("ann", 30), ("bob", 40), ("cid", 50)])
    connection.close()
    if request.param == "engine":
        bed.resources["db"] = sqlalchemy.create_engine(f"sqlite:///{file}")
        yield bed
        bed.resources["db"].dispose()
    else:
        bed.resources["db"] = sqlite3.connect(file)
        yield bed
        bed.resources["db"].close()


def names(bed):
    rows = bed.call("sql", resource="db", statement="SELECT name FROM users ORDER BY name")["rows"]
    return [row["name"] for row in rows]


def test_rows_are_mappings_up_to_the_limit(db):
    query = "SELECT name, age FROM users WHERE age >= :least ORDER BY age"
    said = db.call("sql", resource="db", statement=query, values={"least": 40})
    assert said == {"rows": [{"name": "bob", "age": 40}, {"name": "cid", "age": 50}], "more": False}
    said = db.call("sql", resource="db", statement=query, values={"least": 0}, limit=2)
    assert (len(said["rows"]), said["more"]) == (2, True)


def test_a_change_is_committed_and_counted(db):
    change = "UPDATE users SET age = age + 1 WHERE age > :age"
    assert db.call("sql", resource="db", statement=change, values={"age": 35}) == {"rowcount": 2}
    said = db.call("sql", resource="db", statement="SELECT sum(age) AS total FROM users")
    assert said["rows"] == [{"total": 122}]


def test_values_are_bound_and_never_read_as_sql(db):
    evil = "x'); DROP TABLE users; --"
    db.call("sql", resource="db", statement="INSERT INTO users (name) VALUES (:name)", values={"name": evil})
    assert names(db) == ["ann", "bob", "cid", evil]


def test_a_list_of_values_executes_once_for_each(db):
    insert = "INSERT INTO users VALUES (:name, :age)"
    more = [{"name": "dan", "age": 1}, {"name": "eve", "age": 2}]
    assert db.call("sql", resource="db", statement=insert, values=more) == {"rowcount": 2}
    assert names(db)[3:] == ["dan", "eve"]


def test_several_statements_are_one_transaction_even_when_they_change_tables(db):
    first, second = "CREATE TABLE extra (x)", "INSERT INTO users (name) VALUES ('zoe')"
    with pytest.raises((sqlite3.IntegrityError, sqlalchemy.exc.IntegrityError)):
        db.call("sql", resource="db", statement=[first, second, "INSERT INTO users (name) VALUES ('ann')"])
    assert names(db) == ["ann", "bob", "cid"]
    said = db.call("sql", resource="db", statement=[first, second, "SELECT count(*) AS n FROM users"])
    assert said == {"rows": [{"n": 4}], "more": False}
    assert db.call("sql", resource="db", statement="SELECT * FROM extra")["rows"] == []


def test_statements_share_their_values(db):
    both = ["DELETE FROM users WHERE name = :name", "INSERT INTO users VALUES (:name, :age)"]
    assert db.call("sql", resource="db", statement=both, values={"name": "ann", "age": 5}) == {"rowcount": 2}
    with pytest.raises(GiveUp, match="several statements share one mapping"):
        db.call("sql", resource="db", statement=both, values=[{"name": "ann"}])


def test_columns_of_one_name_are_told_apart(db):
    said = db.call("sql", resource="db", statement="SELECT 1 AS a, 2 AS a, 3 AS b, 4 AS a")
    assert said["rows"] == [{"a": 1, "a_2": 2, "b": 3, "a_3": 4}]


def test_positional_values_go_to_the_driver(db):
    if isinstance(db.resources["db"], sqlite3.Connection):
        said = db.call("sql", resource="db", statement="SELECT ? + ? AS n", values=[1, 2])
        assert said["rows"] == [{"n": 3}]
        assert db.call("sql", resource="db", statement="INSERT INTO users VALUES (?, ?)", values=[["x", 1], ["y", 2]])
    else:
        with pytest.raises(GiveUp, match="binds values by name"):
            db.call("sql", resource="db", statement="SELECT ?", values=[1])


def test_a_resource_of_another_kind_is_refused(bed):
    bed.resources["db"] = object()
    with pytest.raises(GiveUp, match=r"is a builtins\.object, neither an SQLAlchemy engine nor a DB-API connection"):
        bed.call("sql", resource="db", statement="SELECT 1")


def test_validation_knows_the_resources(db):
    assert db.mistakes("sql", resource="dp", statement="SELECT 1") == ["there is no resource 'dp'"]
    assert db.mistakes("sql", resource="db", statement=" ") == [
        "'statement': is empty: write a statement, or a list of them"
    ]
    assert db.mistakes("sql", resource="db", statement="SELECT 1", limit=0) == ["'limit': is less than 1"]


JOBS = """
    version: 1
    resources:
      db: {use: sqlalchemy.create_engine, with: {url: "sqlite:///app.db"}, close: dispose}
      statement: {use: sqlite3.connect, with: {database: app.db}, close: close}
    jobs:
      make:
        call: sql
        params:
          resource: db
          statement: ["CREATE TABLE t (at TIMESTAMP, job TEXT)", "INSERT INTO t VALUES ('2026-01-01', :job)"]
          values: {job: "{{ job.name }}"}
      read: {call: sql, params: {resource: statement, statement: "SELECT * FROM t"}}
      bad: {call: sql, params: {resource: bd, statement: "SELECT 1"}}
"""


def test_jobs_reach_resources_by_name(project: Project) -> None:
    project.write("jobs.yaml", JOBS.replace("resource: bd", "resource: db"))
    assert project.cli("run", "--once", "make").code == 0
    assert project.cli("run", "--once", "read").code == 0
    assert project.runs(job="make")[0]["result"] == {"rowcount": 1}
    assert project.runs(job="read")[0]["result"] == {"rows": [{"at": "2026-01-01", "job": "make"}], "more": False}


def test_an_unknown_resource_is_an_error_where_it_is_written(project: Project) -> None:
    file = project.write("jobs.yaml", JOBS)
    said = project.cli("validate", "--json").json
    line = next(i for i, text in enumerate(file.read_text().splitlines(), 1) if "bad:" in text)
    (problem,) = said["diagnostics"]
    assert (problem["line"], problem["message"]) == (line, "`sql`: there is no resource 'bd'")
    assert problem["hint"].startswith("declare it under `resources`")
