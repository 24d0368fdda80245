"""The README and the catalogue say what the code does."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.docs import README, tables, with_tables
from watcher.catalogue import EVENTS, FIELDS

ROOT = Path(__file__).parents[1]
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}


def test_the_readme_holds_the_generated_tables() -> None:
    text = README.read_text(encoding="utf-8")
    assert all(f"<!-- {name} -->" in text for name in tables())
    assert with_tables(text) == text, "run `python -m tests.docs`"


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
