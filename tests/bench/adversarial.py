"""Files that make exact reading hard work, and their clean twin."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.generate.big import COLUMNS, person

SOUND_BYTES = 9 << 20
"""A file whose first 8 MB have another width than the header is refused at once, which would be no work."""


def _ragged(records: int) -> Iterator[str]:
    sound = SOUND_BYTES
    for n in range(records):
        record = person(n)
        sound -= len(record)
        yield record if sound > 0 else record + ",x" if n % 2 else record.rpartition(",")[0]


def _stray_quotes(records: int) -> Iterator[str]:
    return (person(n).replace("\n", " ").replace(",OPSCOM,", ',"OPSCOM,', 1) for n in range(records))


def _open_quote(records: int) -> Iterator[str]:
    return (person(n) if n else person(n).replace(",OPSCOM,", ',"OPSCOM,', 1) for n in range(records))


def _clean(records: int) -> Iterator[str]:
    return map(person, range(records))


CLEAN = "clean twin"
FILES: Mapping[str, Callable[[int], Iterator[str]]] = {
    CLEAN: _clean,
    "every row ragged (after 9 MB)": _ragged,
    "one stray quote in every line": _stray_quotes,
    "one open quote at the start": _open_quote,
}


def adversarial_file(path: Path, kind: str, records: int) -> None:
    """Write one of FILES."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f"{COLUMNS}\r\n")
        file.writelines(f"{record}\r\n" for record in FILES[kind](records))
