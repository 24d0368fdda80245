"""Where the records of a report end."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from importer.reading.whole_records import whole_records

ROWS = st.lists(st.lists(st.text('a"\n\r,é'), min_size=1, max_size=3), max_size=5)


def written(row: list[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(row)
    return text.getvalue().encode()


@given(ROWS)
def test_a_record_ends_with_a_line_outside_quotes(rows: list[list[str]]) -> None:
    records = [written(row) for row in rows]
    assert [*whole_records(io.BytesIO(b"".join(records)))] == records


def test_what_is_cut_off_is_a_record_too() -> None:
    assert [*whole_records([b"uid\r\n", b'"a\n', b"b"])] == [b"uid\r\n", b'"a\nb']
    assert [*whole_records([])] == []
