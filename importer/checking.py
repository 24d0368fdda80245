"""The check of a file for `userdrop check`: exactly the path of an import, without a database."""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

import polars as pl

from importer.formats.columns import Format
from importer.judging.examining import examine
from importer.judging.judge import Source
from importer.judging.judged import Judged
from importer.judging.reporting import write_report
from importer.model import Counts, FileRefused, Progress, ReasonCount, Refusal, Remark
from importer.reading.grammar import WHITE_SPACE
from importer.reading.user_file import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The verdict on a file, but for its failures; `counts` are zeros where it was refused."""

    file: str
    encoding: str | None
    separator: str | None
    counts: Counts
    warnings: tuple[Remark, ...]
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
    """Examine a file as an import would, and write what was found where that is asked for.

    Args:
        path: the file, which is only read.
        format_: the columns of the file.
        max_bytes: the size in bytes above which a file is refused.
        today: the date after which no date of birth may lie.
        accepted: where to write the accepted rows: canonical columns, normalised values, UTF-8 without a mark.
        failed: where to write the failed-users CSV.
        json_to: where to write everything as one JSON object.
        language: the language of the reasons in the CSV and in the failures.
        progress: is told how far the examination has come, block by block.

    Raises:
        OSError: a file cannot be read or written.
    """
    limits = Limits(max_bytes=max_bytes, max_expanded_bytes=max_bytes)
    source = Source(path=path, name=path.name, format=format_, limits=limits, language=language)
    with TemporaryDirectory(prefix="userdrop-check-") as spool, ExitStack() as resources:
        judging = examine(source, today=today, spool_directory=Path(spool), progress=progress)
        try:
            judged = resources.enter_context(judging)
        except FileRefused as refused:
            checked = _refused(path, refused.refusal)
            if json_to is not None:
                _write_json(json_to, checked, iter(()))
            return checked
        checked = _checked(path, judged)
        if accepted is not None:
            _write_accepted(judged, accepted)
        if failed is not None:
            checked = replace(checked, warnings=(*checked.warnings, *write_report(judged, failed)))
        if json_to is not None:
            _write_json(json_to, checked, _failures(judged, format_))
    return checked


def _refused(path: Path, refusal: Refusal) -> Checked:
    return Checked(
        file=path.name, encoding=None, separator=None, counts=Counts(), warnings=(), refused=refusal, reasons=()
    )


def _checked(path: Path, judged: Judged) -> Checked:
    return Checked(
        file=path.name,
        encoding=judged.dialect.encoding,
        separator=judged.dialect.separator,
        counts=judged.counts,
        warnings=judged.warnings,
        refused=None,
        reasons=judged.reason_counts(),
    )


def _write_accepted(judged: Judged, path: Path) -> None:
    with path.open("wb") as file:
        for number, frame in enumerate(judged.accepted()):
            frame.select(*judged.header.positions).write_csv(file, include_header=number == 0)


def _failures(judged: Judged, format_: Format) -> Iterator[dict[str, object]]:
    key = pl.col(f"c{judged.header.positions[format_.key]}").str.strip_chars(WHITE_SPACE)
    for cells, reasons in judged.failed():
        rows = cells.select("row", "line", pl.when(key != "").then(key).alias("key")).iter_rows(named=True)
        found = reasons.select("row", pl.struct("code", "column", "message").alias("reason"))
        by_row = dict(found.group_by("row").agg("reason").iter_rows())
        yield from ({**row, "reasons": by_row[row["row"]]} for row in rows)


def _refusal(refusal: Refusal) -> dict[str, str]:
    return {"code": refusal.code, "message": refusal.message}


def _write_json(stream: TextIO, checked: Checked, failures: Iterator[dict[str, object]]) -> None:
    """Write one JSON object, with the failures one by one: there may be a million of them."""
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
