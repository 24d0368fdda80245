"""The hash by which a row is known to repeat what the feed last gave."""

from dataclasses import replace

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from importer.formats.columns import CLEAR
from importer.storing.hashing import feed_hashes
from tests.importing import PEOPLE

NAMES = ["uid", "email", "email_key", "user_name", "city", "level"]
VALUES = st.none() | st.sampled_from([CLEAR, "", "a", "b"]) | st.text(st.characters(exclude_categories=("Cc", "Cs")))
ROWS = st.dictionaries(st.sampled_from(NAMES), VALUES).map(lambda row: {"uid": "U1", **row})


def hashes(*rows: dict[str, str | None]) -> list[str]:
    return feed_hashes(pl.DataFrame(rows, schema=dict.fromkeys(rows[0], pl.String)), PEOPLE).to_list()


def test_a_hash_is_what_it_was_in_every_version() -> None:
    assert hashes({"uid": "U1", "email": None, "city": "Montréal"}) == ["PdOeg/SPaLJZQnw5"]
    assert hashes({"uid": "U2", "email": CLEAR, "city": "a\nb"}) == ["uDDAQztstWc0DuNw"]
    # XXH3 goes other ways for more than 128 bytes, and for more than 240.
    assert hashes({"uid": "U3", "email": None, "city": "Trois-Rivières" * 10}) == ["bAFpd0xQFx/rDbIF"]
    assert hashes({"uid": "U4", "email": None, "city": "Trois-Rivières" * 20}) == ["g/F/WVyq8ryepL6D"]


@given(ROWS, ROWS)
def test_hashes_are_equal_exactly_when_the_same_columns_hold_the_same(
    one: dict[str, str | None], other: dict[str, str | None]
) -> None:
    def said(row: dict[str, str | None]) -> dict[str, str | None]:
        return {name: value for name, value in row.items() if name != "email_key"}

    assert (hashes(one) == hashes(other)) == (said(one) == said(other))


@given(ROWS)
def test_the_order_of_columns_and_the_rows_around_make_no_difference(row: dict[str, str | None]) -> None:
    turned = dict(reversed(row.items()))
    assert hashes(turned) == hashes(row) == hashes({**row, "uid": "U2"}, row)[1:]


def test_another_default_is_another_thing_that_clearing_says() -> None:
    row = pl.DataFrame({"uid": ["U1"], "level": [CLEAR]})
    assert feed_hashes(row, PEOPLE).to_list() != feed_hashes(row, replace(PEOPLE, defaults={"level": "2"})).to_list()
