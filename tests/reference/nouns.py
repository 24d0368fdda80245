"""What a reading and a verdict are made of."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Good:
    """A record of the right width; its cells are as written, untrimmed, one for each header name."""

    row: int
    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A physical line, or a record of several, that could not be read; `text` is whole, bad bytes as `\\xNN`."""

    row: int
    line: int
    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Blank:
    """A record without any text."""

    row: int
    line: int


Record = Good | Rejected | Blank


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The file as a whole was not read."""

    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A file, read; `header` is trimmed and without trailing empty names, `warnings` are codes."""

    encoding: str
    separator: str
    header: tuple[str, ...]
    records: list[Record]
    warnings: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A row that is not imported; reasons are (code, column), in the format's column order."""

    row: int
    line: int
    key: str | None
    reasons: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of a file; `accepted` is row → canonical column → value, `warnings` are (code, column)."""

    accepted: dict[int, dict[str, str]]
    failures: list[Failure]
    blank: int
    warnings: frozenset[tuple[str, str | None]]


class RefusedError(Exception):
    """Ends a reading; `refused` says why."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.code)
        self.refused = refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The longest physical line or record, and the longest cell, in bytes of UTF-8."""

    record_bytes: int = 1_048_576
    cell_bytes: int = 65_536
