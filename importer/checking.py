"""What `userdrop check` says of a file: exactly the path of an import, without a database."""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

import polars as pl

from importer.examining import Examination, Source, examine
from importer.format import Format
from importer.grammar import WHITE_SPACE
from importer.model import Counts, FileRefused, Finding, Progress, ReasonCount, Refusal
from importer.reading import Limits
from importer.reporting import write_report


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A file's verdict, the failures aside; `counts` are zeros where it was refused."""

    file: str
    encoding: str | None
    separator: str | None
    counts: Counts
    warnings: tuple[Finding, ...]
    refused: Refusal | None
    reasons: tuple[ReasonCount, ...]


def check(
    path: Path,
    *,
    format_: Format,
    max_bytes: int,
    today: dt.date,
    accepted: Path | None = None,
    failed: Path | None = None,
    json_to: TextIO | None = None,
    language: str = "en",
    progress: Callable[[Progress], None] | None = None,
) -> Checked:
    """Examine a file.

    Args:
        path: the file; only read.
        format_: its columns.
        max_bytes: larger files are refused.
        today: dates of birth are not after it.
        accepted: where to write the accepted rows: canonical columns, normalised values, UTF-8 without a mark.
        failed: where to write the failed-users CSV.
        json_to: where to write everything as one JSON object.
        language: of the reasons in the CSV and in the failures.
        progress: told how far it has come, block by block.

    Raises:
        OSError: a file cannot be read or written.
    """
    limits = Limits(max_bytes=max_bytes, max_expanded_bytes=max_bytes)
    source = Source(path=path, name=path.name, format=format_, limits=limits, language=language)
    with TemporaryDirectory(prefix="userdrop-check-") as spool:
        try:
            examination = examine(source, today=today, spool_directory=Path(spool), progress=progress)
        except FileRefused as refused:
            checked = _refused(path, refused.refusal)
            if json_to is not None:
                _write_json(json_to, checked, iter(()))
            return checked
        with examination:
            checked = _checked(path, examination)
            if accepted is not None:
                _write_accepted(examination, accepted)
            if failed is not None:
                write_report(examination, failed)
            if json_to is not None:
                _write_json(json_to, checked, _failures(examination, format_))
    return checked


def _refused(path: Path, refusal: Refusal) -> Checked:
    return Checked(
        file=path.name, encoding=None, separator=None, counts=Counts(), warnings=(), refused=refusal, reasons=()
    )


def _checked(path: Path, examination: Examination) -> Checked:
    return Checked(
        file=path.name,
        encoding=examination.dialect.encoding,
        separator=examination.dialect.separator,
        counts=examination.counts,
        warnings=examination.warnings,
        refused=None,
        reasons=examination.reason_counts(),
    )


def _write_accepted(examination: Examination, path: Path) -> None:
    with path.open("wb") as file:
        for number, frame in enumerate(examination.accepted()):
            frame.select(*examination.header.positions).write_csv(file, include_header=number == 0)


def _failures(examination: Examination, format_: Format) -> Iterator[dict[str, object]]:
    key = pl.col(f"c{examination.header.positions[format_.key]}").str.strip_chars(WHITE_SPACE)
    for cells, reasons in examination.failed():
        rows = cells.select("row", "line", pl.when(key != "").then(key).alias("key")).iter_rows(named=True)
        found = reasons.select("row", pl.struct("code", "column", "message").alias("reason"))
        by_row = dict(found.group_by("row").agg("reason").iter_rows())
        yield from ({**row, "reasons": by_row[row["row"]]} for row in rows)


def _refusal(refusal: Refusal) -> dict[str, str]:
    return {"code": refusal.code, "message": refusal.message}


def _write_json(stream: TextIO, checked: Checked, failures: Iterator[dict[str, object]]) -> None:
    """One object, the failures written one by one: there may be a million of them."""
    facts = {
        "file": checked.file,
        "encoding": checked.encoding,
        "separator": checked.separator,
        **{name: asdict(checked.counts)[name] for name in ("records", "accepted", "failed", "blank")},
        "warnings": [warning.plain() for warning in checked.warnings],
        "refused": None if checked.refused is None else _refusal(checked.refused),
    }
    stream.write(json.dumps(facts, ensure_ascii=False)[:-1] + ', "failures": [')
    texts = (json.dumps(failure, ensure_ascii=False) for failure in failures)
    stream.writelines((", " if number else "") + text for number, text in enumerate(texts))
    stream.write("]}\n")
