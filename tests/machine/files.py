"""Files of few words, so that they meet: the same users, values that change hands, and all that is wrong in a file."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from hypothesis import strategies as st

from importer.formats.columns import REPORT_COLUMNS
from tests.machine.model import Users, judge

_CELLS = {
    "uid": st.sampled_from(["U1", "U2", "U3", "U4", "U5", "U6", "U7", "U8", "much too long"]),
    "email": st.sampled_from(["", "<clear>", "a@b.ca", "A@b.ca", "c@b.ca", "d@b.ca", "e@b.ca", "x"]),
    "user_name": st.sampled_from(["", "<clear>", "ana", "Ana", "bo", "00123", "eva"]),
    "city": st.sampled_from(["", "<clear>", "Hull", '"two\nlines"', " Oka ", "Laval", "=1+1"]),
    "level": st.sampled_from(["", "<clear>", "low", "2"]),
}
_HEADERS = st.lists(st.sampled_from(["email", "user_name", "city", "level"]), max_size=4, unique=True)
_ODD_ROWS = st.sampled_from(["", ",,,,", "U9,a,b,c,d,e,f", '"U9', "U9\0"])


@st.composite
def _tables(draw: st.DrawFn) -> bytes:
    header = draw(st.permutations(["uid", *draw(_HEADERS)]))
    row = st.tuples(*(_CELLS[name] for name in header)).map(",".join)
    rows = draw(st.lists(row, min_size=1, max_size=5)) + draw(st.lists(_ODD_ROWS, max_size=1))
    return "\n".join([",".join(header), *rows, draw(st.sampled_from(["", "", "", "U8"]))]).encode()


NAMES = st.sampled_from(["a.csv", "b.csv", "c.txt", "D.CSV"])
CONTENTS = st.one_of(_tables(), _tables(), _tables(), st.sampled_from([b"", b"uid\n", b"email\na@b.ca\n", b"x\ny\n"]))
DROPS = st.dictionaries(NAMES, CONTENTS, min_size=1, max_size=4)


def corrected(report: bytes, users: Users) -> bytes:
    """A failed-users CSV in which each cell that is wrong, and no other, has become right."""
    names, *rows = csv.reader(io.StringIO(report.decode("utf-8-sig"), newline=""), strict=True)
    table = [dict(zip(names, row, strict=True)) for row in rows]
    fresh = (f"N{number}" for number in range(1, 1000))
    while failed := judge(users, _written(names, table)).failed:
        for row, reasons in failed.items():
            for _, column in reasons:
                _mend(table[row - 2], column, users, fresh)
    return _written(names, table)


def _mend(row: dict[str, str], column: str | None, users: Users, fresh: Iterator[str]) -> None:
    new = next(value for value in fresh if value not in users)
    if column is None:  # it could not be split into cells
        row |= {"import_line": "", "uid": new}
    elif column in {"city", "level"}:
        row[column] = ""
    else:
        row[column] = f"{new}@b.ca" if column == "email" else new


def _written(names: Sequence[str], table: Sequence[Mapping[str, str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue().encode("utf-8-sig")


def reported_rows(report: bytes) -> list[int]:
    """The numbers of the rows in a failed-users CSV."""
    rows = csv.DictReader(io.StringIO(report.decode("utf-8-sig"), newline=""), strict=True)
    return [int(row[REPORT_COLUMNS[1]]) for row in rows]
