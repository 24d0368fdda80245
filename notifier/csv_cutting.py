"""The first records of a report, for a mail that has no room for all of them."""

from collections.abc import Iterable
from dataclasses import dataclass

from importer.reading.whole_records import whole_records


@dataclass(frozen=True, slots=True)
class Cut:
    """The header and as many whole records as fit; `records` does not count the header."""

    content: bytes
    records: int


def header_of(lines: Iterable[bytes]) -> bytes:
    """The first record of a report with its line end."""
    return next(whole_records(lines), b"")


def first_records(lines: Iterable[bytes], limit: int) -> Cut:
    """As many records from the start as `limit` bytes have room for."""
    content = bytearray()
    number = 0
    for record in whole_records(lines):
        if len(content) + len(record) > limit:
            break
        content += record
        number += 1
    return Cut(bytes(content), max(0, number - 1))
