"""An empty database is filled once; one that holds something is left alone; opening it needs no preparation."""

from __future__ import annotations

import sqlalchemy
from example_shop import DATA, Shop, context


def test_an_empty_database_is_filled_once(shop: Shop) -> None:
    counts = shop.setup.seed(shop.db, context())
    assert counts == {"products": 6, "orders": 5000, "logs": 900, "emails": 14, "notifications": 9}
    assert shop.setup.seed(shop.db, context()) == {}
    assert len(shop.rows(shop.schema.orders)) == 5000


def test_a_database_with_data_is_left_alone(shop: Shop) -> None:
    shop.emails(1)
    assert shop.setup.seed(shop.db, context()) == {}
    assert len(shop.rows(shop.schema.emails)) == 1


def test_processes_that_seed_at_once_seed_once(shop: Shop) -> None:
    processes = [shop.start("import setup\nprint(len(setup.seed(db, context())))\n") for _ in range(3)]
    said = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert said == ["0", "0", "5"]
    assert len(shop.rows(shop.schema.emails)) == 14


def test_processes_may_create_the_database_at_once(shop: Shop) -> None:
    shop.db.dispose()
    for file in shop.folder.glob("app.db*"):
        file.unlink()
    processes = [shop.start("import setup\nsetup.seed(db, context())\n") for _ in range(4)]
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0] * 4
    with shop.db.connect() as connection:
        assert connection.execute(sqlalchemy.text("PRAGMA journal_mode")).scalar() == "wal"


def test_opening_makes_the_folder_and_what_is_missing(shop: Shop) -> None:
    db = shop.database.open_database("sqlite:///new/folder/app.db")
    shop.database.ensure_schema(db)
    assert "emails" in sqlalchemy.inspect(db).get_table_names()
    db.dispose()


def test_every_job_finds_work_in_the_seeded_shop(shop: Shop) -> None:
    import httpx

    shop.setup.seed(shop.db, context())
    mailer = shop.transports.open_transport("maildir:var/maildir")
    assert shop.mail.process_queue(shop.db, mailer, context())["sent"] == 12
    with httpx.Client() as http:
        synced = shop.sync.sync_products(shop.db, http, context(), str(DATA / "products.json"))
        shop.cache.warm_up(shop.db, http, context(), str(DATA / "exchange_rates.json"))
    assert (synced["stored"], synced["gone"]) == (24, 1)
    assert shop.dataset.process(shop.db, context()) == {"orders": 5000}
    assert 550 < shop.cleanup.archive_and_delete(shop.db, context())["deleted"] < 650
    assert shop.reports.weekly(shop.db, context(), "boss@shop.example")["orders"] > 100
