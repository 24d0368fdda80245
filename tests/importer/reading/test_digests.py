"""What tells whether two interpreters read alike: see deploy/interpreters, which compares them."""

from dataclasses import replace

import pytest

from importer.formats.format_file import load_format
from tests.tools.digests import Sheet, digest, fixtures, generated

SHEET = Sheet(
    title="two rows",
    name="users.csv",
    data=b'unique_id,login_source,last_name\nU1,OPSCOM,"a\nb"\nU2,OPSCOM,"c""d"\nU3,no,\n',
    format=load_format(None),
)


def test_what_is_read_alike_has_the_same_digest() -> None:
    assert digest(SHEET) == digest(replace(SHEET, title="another"))


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"a\nb", b"a\r\nb"), (b'"c""d"', b'"c"d"'), (b"U2", b"U4"), (b",no", b",on"), (b"U3,no,\n", b""), (b"U1", b"")],
)
def test_what_is_read_otherwise_has_another_one(old: bytes, new: bytes) -> None:
    assert SHEET.data.count(old) == 1
    assert digest(replace(SHEET, data=SHEET.data.replace(old, new))) != digest(SHEET)


def test_the_language_of_the_reasons_counts() -> None:
    assert digest(replace(SHEET, language="fr")) != digest(SHEET)


def test_every_fixture_and_every_kind_of_generated_file_is_read() -> None:
    titles = [sheet.title for sheet in fixtures()]
    assert {"quoted-line-breaks.csv", "long-row.csv.gz", "empty.csv", "formats/hr.csv"} <= {*titles}
    assert len({digest(sheet) for sheet in generated(40)}) > 30
