"""What the importer makes of some bytes, in the nouns of the reference, so that the two can be compared."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from importer.formats.columns import Format
from importer.judging.examining import examine
from importer.judging.judge import Source
from importer.judging.judged import Judged
from importer.model import FileRefused
from importer.reading.user_file import Block, Limits, UserFile, open_user_file
from tests.reference import Blank, Failure, Good, Reading, Refused, Rejected, Verdict
from tests.reference.text import trimmed

TODAY = date(2026, 11, 22)
_UNLIMITED = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A reading in a form that both sides have: the importer numbers no blank records, it counts them."""

    encoding: str
    separator: str
    header: tuple[str, ...]
    records: tuple[Good | Rejected, ...]
    blank: int
    warnings: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """How the importer is to read: its limits, and how many bytes of the text it is given at once."""

    record_bytes: int = 1_048_576
    cell_bytes: int = 65_536
    block_bytes: int = 8 << 20


def checked(data: bytes, format_: Format, *, name: str = "users.csv") -> Verdict | Refused:
    """The importer's verdict on a file."""
    limits = Limits(max_bytes=_UNLIMITED, max_expanded_bytes=_UNLIMITED)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "file"
        path.write_bytes(data)
        source = Source(path=path, name=name, format=format_, limits=limits)
        try:
            keeps = len(data) % 2 == 0  # both must come to the same
            with examine(source, today=TODAY, spool_directory=Path(directory), keep_accepted=keeps) as examination:
                return _verdict(examination)
        except FileRefused as refused:
            return Refused(code=refused.refusal.code)


def _verdict(examination: Judged) -> Verdict:
    verdict = Verdict(
        accepted=dict(_accepted(examination)),
        failures=[*_failures(examination)],
        blank=examination.counts.blank,
        warnings=frozenset((warning.code, warning.column) for warning in examination.warnings),
    )
    counts = examination.counts
    assert (counts.accepted, counts.failed) == (len(verdict.accepted), len(verdict.failures)), counts
    assert sum(reason.count for reason in examination.reason_counts()) == sum(
        len(failure.reasons) for failure in verdict.failures
    )
    return verdict


def _accepted(examination: Judged) -> Iterator[tuple[int, dict[str, str]]]:
    for frame in examination.accepted():
        for row in frame.select("row", *examination.header.positions).iter_rows(named=True):
            number = row.pop("row")
            yield number, {column: value for column, value in row.items() if value is not None}


def _failures(examination: Judged) -> Iterator[Failure]:
    key = f"c{examination.header.positions[examination.source.format.key]}"
    for cells, reasons in examination.failed():
        codes = reasons.group_by("row", maintain_order=True).agg(pl.struct("code", "column").alias("reasons"))
        for row in cells.join(codes, on="row", how="left", maintain_order="left").iter_rows(named=True):
            yield Failure(
                row=row["row"],
                line=row["line"],
                key=trimmed(row[key] or "") or None,
                reasons=tuple((reason["code"], reason["column"]) for reason in row["reasons"]),
            )


def read(data: bytes, reader: Reader, *, name: str, known_names: frozenset[str]) -> Read | Refused:
    """The importer's reading of a file."""
    limits = Limits(
        max_bytes=_UNLIMITED,
        max_expanded_bytes=_UNLIMITED,
        max_record_bytes=reader.record_bytes,
        max_cell_bytes=reader.cell_bytes,
    )
    with TemporaryDirectory() as directory:
        path = Path(directory) / "file"
        path.write_bytes(data)
        try:
            with open_user_file(
                path, name=name, known_names=known_names, limits=limits, block_bytes=reader.block_bytes
            ) as file:
                blocks = [*file.blocks()]
                return _read(file, blocks)
        except FileRefused as refused:
            return Refused(code=refused.refusal.code)


def _read(file: UserFile, blocks: list[Block]) -> Read:
    records = [record for block in blocks for record in _records(block)]
    return Read(
        encoding=file.dialect.encoding,
        separator=file.dialect.separator,
        header=file.header,
        records=tuple(records),
        blank=sum(block.blank for block in blocks),
        warnings=frozenset(warning.code for warning in file.warnings),
    )


def _records(block: Block) -> list[Good | Rejected]:
    good = [Good(row=row, line=line, cells=tuple(cells)) for row, line, *cells in block.frame.iter_rows()]
    rejected = [
        Rejected(row=reject.row, line=reject.line, code=reject.kind.partition(".")[0], text=reject.text)
        for reject in block.rejects
    ]
    return sorted([*good, *rejected], key=lambda record: record.row)


def as_read(reading: Reading | Refused) -> Read | Refused:
    """The reference's reading in the common form."""
    if isinstance(reading, Refused):
        return reading
    return Read(
        encoding=reading.encoding,
        separator=reading.separator,
        header=reading.header,
        records=tuple(record for record in reading.records if not isinstance(record, Blank)),
        blank=sum(isinstance(record, Blank) for record in reading.records),
        warnings=reading.warnings,
    )
