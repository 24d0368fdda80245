"""Values that are commands elsewhere: to SQL, to COPY, to a mail's header, to Python's and SQLAlchemy's formats.

Each is stored as it is, or fails with a reason; the users around it are what they would be without it.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect

from importer.model import Imported
from tests.importing import Site, make_site

STORED = (
    *("'; DROP TABLE users; --", "' OR '1'='1", '"; DELETE FROM imports; --', "Robert'); DROP TABLE users;--"),
    *("\\", "\\\\", "\\N", "\\.", "\\t", "\\n", "\\x41", "\\'", "''", '"', '""', "$$", "$1", "${x}", "?", "??"),
    *("%s", "%(city)s", "%", "%%", "{0}", "{city}", "{{", ":city", ":1", "@@version", "NULL", "null", "nan", "\\r\\n"),
    *("/* x */", "-- x", "#x", "; SELECT pg_sleep(9)", "E'\\\\x'", "U&'\\0041'", "0x41", "1e5", "true"),
    *("\ufb01", "\U0001d7d9", "\u01c5", "caf\xe9", "e\u0301", "\u202ex", "a\u2028b", "a\r\nBcc: b@example.com"),
    *("Bcc: b@example.com", "=?utf-8?q?x?=", "<script>alert(1)</script>", "&amp;", "]]>"),
)
REFUSED = ("a\0b", "a\x1bb", "x\x07", "\x01", "\x7f")
"""Controls, which stand in no name; line ends within quotes may, and are in no header of a mail but as text."""


def table(values: tuple[str, ...]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["uid", "user_name"])
    writer.writerows([f"U{number}", value] for number, value in enumerate(values))
    return text.getvalue()


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    made = make_site(tmp_path, url=database_url)
    yield made
    made.engine.dispose()


@pytest.fixture
def neighbours(site: Site) -> dict[str, str]:
    site.drop("before.csv", "uid,user_name\nN1,ana\nN2,ben\n")
    site.take("before.csv")
    return {"N1": "ana", "N2": "ben"}


def names(site: Site) -> dict[str, str]:
    return {key: user["user_name"] for key, user in site.users().items()}


def test_what_is_a_command_elsewhere_is_stored_as_it_is(site: Site, neighbours: dict[str, str]) -> None:
    tables = {*inspect(site.engine).get_table_names()}
    site.drop("people.csv", table(STORED))
    imported = site.take("people.csv", tokens="p")[0]
    assert isinstance(imported, Imported)
    assert (imported.counts.accepted, imported.counts.failed) == (len(STORED), 0)
    assert names(site) == neighbours | {f"U{number}": value for number, value in enumerate(STORED)}
    assert {*inspect(site.engine).get_table_names()} == tables


def test_it_finds_its_user_again_as_a_key(site: Site, neighbours: dict[str, str]) -> None:
    keys = [value for value in STORED if len(value) <= 8]
    rows = "".join('"' + key.replace('"', '""') + f'",x{number}\n' for number, key in enumerate(keys))
    for name in ("first.csv", "again.csv"):
        site.drop(name, f"uid,user_name\n{rows}")
        imported = site.take(name, tokens=name)[0]
        assert isinstance(imported, Imported)
        assert imported.counts.accepted == len(keys)
    assert names(site) == neighbours | {key: f"x{number}" for number, key in enumerate(keys)}


def test_controls_fail_with_their_rows(site: Site, neighbours: dict[str, str]) -> None:
    site.drop("people.csv", table(REFUSED))
    imported = site.take("people.csv", tokens="p")[0]
    assert isinstance(imported, Imported)
    assert imported.counts.failed == imported.counts.records
    assert {reason.code for reason in imported.reasons} <= {"control_character", "bad_quotes", "too_few_cells"}
    assert names(site) == neighbours
