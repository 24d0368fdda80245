"""What is known of a client's last files, on both databases."""

import datetime as dt
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

from importer.database.past import former_files
from importer.database.tables import migrate
from importer.model import Counts
from tests.importing import NOW, PEOPLE, make_site


def test_a_clients_last_imported_files_are_told_the_newest_first(tmp_path: Path, database_url: str) -> None:
    site = make_site(tmp_path, url=database_url)
    for night, (name, content) in enumerate(
        [("a.csv", "uid,city\nU1,Hull\n"), ("empty.csv", ""), ("b.csv", "city,uid,shoe\nHull,U2,\n,much too long,\n")]
    ):
        site.drop(name, content)
        site.take(name, now=NOW + dt.timedelta(days=night), tokens=f"t{night}.")
    with site.engine.connect() as connection:
        newest, oldest = former_files(connection, "acme")
        assert former_files(connection, "acme", limit=1) == (newest,)
        assert former_files(connection, "other") == ()
    assert [each.file for each in (newest, oldest)] == ["b.csv", "a.csv"]
    assert newest.columns == oldest.columns == frozenset({"uid", "city"})
    assert (newest.counts.accepted, newest.counts.failed) == (1, 1)
    assert newest.remarks == {("unknown_column", "shoe")}
    assert oldest.remarks == frozenset()
    site.engine.dispose()


def test_of_files_of_the_version_before_the_columns_are_unknown_and_the_remarks_known(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", "importer.database:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0011_refused_mails")
        connection.execute(
            text(
                """
                INSERT INTO imports (claim_id, client, directory, file, status, size, sha256, records, accepted, failed,
                    blank, inserted, updated, unchanged, reasons, warnings, seconds, committed_at, archive)
                VALUES ('c1', 'acme', '/x', 'a.csv', 'imported', 1, '', 1, 1, 0, 0, 1, 0, 0, '[]',
                    '[{"code": "unknown_column", "column": "shoe", "message": "m"}]', 1, '2026-01-01 00:00:00.0', 'a')
                """
            )
        )
    migrate(engine, PEOPLE)
    with engine.connect() as connection:
        (former,) = former_files(connection, "acme")
    assert former.columns is None
    assert former.remarks == {("unknown_column", "shoe")}
    assert former.counts == Counts(records=1, accepted=1, inserted=1)
