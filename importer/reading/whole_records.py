"""Where the records of our reports end: at a line end outside quotes. Their quotes are in order, as we wrote them."""

from collections.abc import Iterable, Iterator


def whole_records(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The records with their line ends, and what may follow the last one."""
    record: list[bytes] = []
    within = False
    for line in lines:
        record.append(line)
        within ^= line.count(b'"') % 2 == 1
        if not within:
            yield b"".join(record)
            record.clear()
    if record:
        yield b"".join(record)
