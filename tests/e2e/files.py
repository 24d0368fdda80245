"""User files of which every cell and every address holds the canary, so that a leak into the log is found."""

import csv
import io
from collections.abc import Sequence

CANARY = "kanari"
HEADER = ("unique_id", "login_source", "first_name", "last_name", "email")

Row = Sequence[str]


def good(number: int) -> Row:
    """A row that is accepted where CANARY is a login source."""
    return (
        f"{CANARY}-{number:03}",
        CANARY,
        f"{CANARY} Ana {number}",
        f"{CANARY} Núñez",
        f"{CANARY}-{number:03}@{CANARY}.example",
    )


def bad(number: int) -> Row:
    """A row that fails because its address is none."""
    return (*good(number)[:-1], f"{CANARY}-{number:03}.{CANARY}.example")


def csv_of(*rows: Row) -> bytes:
    """The header and these rows."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([HEADER, *rows])
    return text.getvalue().encode()


def rows_of(report: bytes) -> list[dict[str, str]]:
    """The rows of a failed-users CSV by the names of their columns."""
    return list(csv.DictReader(io.StringIO(report.decode("utf-8-sig"), newline="")))


def corrected(report: bytes, *numbers: int) -> bytes:
    """The failed-users CSV with the rows of these users as they should have been, and all else as it is."""
    for number in numbers:
        wrong, right = bad(number)[-1].encode(), good(number)[-1].encode()
        assert wrong in report
        report = report.replace(wrong, right)
    return report
