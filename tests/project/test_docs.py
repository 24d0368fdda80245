"""The README and the catalogue say what the code does."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from importer.database.tables import metadata, user_table
from importer.formats.format_file import load_format
from tests.importing import make_site
from tests.tools.docs import ENVIRONMENT, TABLES, environment_file, generated, with_generated
from watcher.base.log_events import EVENTS, FIELDS

ROOT = Path(__file__).parents[2]
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}


@pytest.mark.parametrize("document", generated(), ids=lambda path: path.name)
def test_documents_hold_what_is_generated(document: Path) -> None:
    text, parts = document.read_text(encoding="utf-8"), generated()[document]
    assert all(f"<!-- {name} -->" in text for name in parts)
    assert with_generated(text, parts) == text, "run `python -m tests.tools.docs`"


def test_the_file_of_settings_for_systemd_has_every_setting() -> None:
    assert ENVIRONMENT.read_text(encoding="utf-8") == environment_file(), "run `python -m tests.tools.docs`"


def test_every_table_and_every_column_says_what_it_means() -> None:
    tables = [*metadata.tables.values(), user_table(load_format(None))]
    assert [table.name for table in tables if not table.comment] == []
    assert [f"{table.name}.{column.name}" for table in tables for column in table.c if not column.comment] == []


def test_the_queries_of_the_documentation_are_answered(tmp_path: Path, database_url: str) -> None:
    site = make_site(tmp_path, load_format(None), database_url)
    site.drop("students.csv", "unique_id,login_source,email\nA1001,OPSCOM,\nA1002,OPSCOM,x\n")
    assert [*site.importer().import_files("default", site.folder, [site.seen("students.csv")])]
    queries = re.findall(r"```sql\n(.*?)```", TABLES.read_text(encoding="utf-8"), re.DOTALL)
    assert len(queries) == 3
    with site.engine.begin() as connection:
        for query in queries:
            assert len(connection.exec_driver_sql(query).all()) == 1, query
    site.engine.dispose()


def test_every_logged_event_is_in_the_catalogue_and_the_other_way_round() -> None:
    logged = {name for name, _, _ in _log_calls()} | {"library_message"}
    assert logged == set(EVENTS)


def test_levels_and_fields_of_logged_events_are_those_of_the_catalogue() -> None:
    for name, level, fields in _log_calls():
        assert EVENTS[name].level == level, name
        assert fields <= set(EVENTS[name].fields), name


def test_fields_that_mean_the_same_everywhere_are_used() -> None:
    assert set(FIELDS) <= {field for event in EVENTS.values() for field in event.fields}


def _log_calls() -> Iterator[tuple[str, str, set[str]]]:
    """Event, level and named fields of each call like log.info("event", field=…) in the packages."""
    for path in (path for package in ("watcher", "importer", "notifier") for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log"), attr=level),
                    args=[ast.Constant(value=str(name))],
                    keywords=keywords,
                ) if level in LEVELS:
                    yield name, LEVELS[level], {keyword.arg for keyword in keywords if keyword.arg is not None}
