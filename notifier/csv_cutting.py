"""Where the records of our reports end, told from their bytes: a line end counts outside quotes only."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_MARKS = re.compile(rb'["\n]')


@dataclass(frozen=True, slots=True)
class Cut:
    """The header and as many whole records as fit; `records` does not count the header."""

    content: bytes
    records: int


def header_of(chunks: Iterable[bytes]) -> bytes:
    """The first record of a report with its line end; all of it where it has no line end."""
    read = b""
    for chunk in chunks:
        read += chunk
        ends = _record_ends(read, 1)
        if ends:
            return read[: ends[0]]
    return read


def first_records(chunks: Iterable[bytes], limit: int) -> Cut:
    """As many records from the start as `limit` bytes have room for."""
    read = bytearray()
    for chunk in chunks:
        read += chunk
        if len(read) > limit:
            break
    ends = [end for end in _record_ends(bytes(read[:limit])) if end <= limit]
    return Cut(bytes(read[: ends[-1]]), len(ends) - 1) if ends else Cut(b"", 0)


def _record_ends(text: bytes, most: int | None = None) -> list[int]:
    """The offsets behind the line ends that end a record, `most` of them."""
    ends = []
    within = False
    for mark in _MARKS.finditer(text):
        if mark[0] == b'"':
            within = not within
        elif not within:
            ends.append(mark.end())
            if len(ends) == most:
                break
    return ends
