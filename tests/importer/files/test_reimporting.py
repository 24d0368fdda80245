"""Which file of bak is meant by a name."""

import datetime as dt
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from importer.files.archiving import REPORT_SUFFIX, name_pairs
from importer.files.reimporting import newest_of, uploaded_name

MOMENTS = st.datetimes(dt.datetime(1000, 1, 1))  # noqa: DTZ001 - drawn as the wall clock has it
NAMES = st.builds(
    "".join, st.tuples(st.text("ab.1TZ _-", min_size=1, max_size=20), st.sampled_from([".csv", ".csv.gz", ".CSV"]))
)


@given(NAMES, MOMENTS, st.integers(0, 3))
def test_the_uploaded_name_is_found_again_in_the_archived_one(name: str, at: dt.datetime, taken: int) -> None:
    archive, report = next(islice(name_pairs(name, at), taken, None))
    assert uploaded_name(archive) == name
    assert uploaded_name(report).endswith(REPORT_SUFFIX)


def test_the_last_archive_of_a_name_is_meant() -> None:
    bak = [
        "a.20260301T000000Z.csv",
        "a.20260302T000000Z.2.csv",
        "a.20260302T000000Z.10.csv",
        "a.20260302T000000Z.failed.csv",
        "b.20260303T000000Z.csv",
        "odd.csv",
    ]
    assert newest_of(bak, "a.csv") == "a.20260302T000000Z.10.csv"
    assert newest_of(bak, "a.20260301T000000Z.csv") == "a.20260301T000000Z.csv"
    assert newest_of(bak, "a.failed.csv") == "a.20260302T000000Z.failed.csv"
    assert newest_of(bak, "c.csv") is None
    assert newest_of(bak, "odd.csv") == "odd.csv"
