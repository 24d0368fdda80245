"""Rows of our reports that come back: what the report's own columns say of them.

`import_line` is read where it was corrected. `import_id` holds the claim that the row was reported from and a hash of
what the row said, so that it is known whether it was changed since. A row that lost a value to another row of its file
fails again until it is changed: dropped without the other one, it would take that one's place.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import polars as pl
import polars_hash as plh

from importer.formats.columns import REPORT_COLUMNS, Format, unique_columns
from importer.formats.header import Header
from importer.formats.names import normalised
from importer.judging.validating import FAILURES, shown
from importer.model import Remark
from importer.reading.rereading import Unread, reread
from importer.reading.user_file import Block
from importer.words.reasons import ROW_SENTENCES, row_reason
from importer.words.translating import LANGUAGES, translated

CLAIMS: Final = {"row": pl.Int64, "claim": pl.String}
"""The schema of a frame of rows with the claims that they were reported from."""

HIDDEN_LINE: Final = "(not shown, because the file has a password column)"
"""What a report has for a line that may hold a password; it is no line."""

_HASHED: Final = 10
_LOST: Final = ".d"
_ID: Final = rf"^(.+)\.([0-9a-f]{{{_HASHED}}})(\.d)?$"
_UNTOLD: Final = "…"
_NOBODY: Final = "check"
"""What stands for the claim in the report of a file that was only checked."""


def is_returned(names: tuple[str, ...]) -> bool:
    """Whether a file has one of the columns that our reports add."""
    return not {normalised(name) for name in names}.isdisjoint(map(normalised, REPORT_COLUMNS))


def import_id(claim: str | None, header: Header, lost: pl.Expr) -> pl.Expr:
    """The column `import_id` of the rows of a report; `lost` is true where a value was another row's of the file."""
    mark = pl.when(lost).then(pl.lit(_LOST)).otherwise(pl.lit(""))
    return pl.concat_str(pl.lit(f"{claim or _NOBODY}."), _row_hash(header.positions), mark)


def _row_hash(positions: Mapping[str, int]) -> pl.Expr:
    """A hash of what a row says: of the known columns that have a value, in whatever order the file has them."""
    cells = {name: pl.col(f"c{positions[name]}").str.strip_chars() for name in sorted(positions)}
    given = [pl.when(cell != "").then(pl.concat_str(pl.lit(f"{name}\x1f"), cell)) for name, cell in cells.items()]
    text = plh.concat_str(pl.concat_str(given, separator="\x1e", ignore_nulls=True))
    return text.nchash.xxh3_128(return_binary=True, byte_order="big").bin.encode("hex").str.slice(0, _HASHED)


class Returning:
    """The reader of a report's own columns, in a file that has them."""

    def __init__(self, format_: Format, header: Header, language: str) -> None:
        names = [normalised(name) for name in header.names]
        ours = {name: normalised(name) for name in REPORT_COLUMNS}
        self._own = {name: f"c{names.index(ours[name])}" for name in ours if ours[name] in names}
        self._format = format_
        self._header = header
        self._language = language
        self._cells = [f"c{index}" for index in header.reported]

    def reread(self, block: Block) -> Block:
        """The block with the cells of lines that were corrected, where the other cells are empty."""
        lines = self._unsplit(block.frame)
        found = {row: cells for row, text in lines.items() if isinstance(cells := self._reread(text), tuple)}
        if not found:
            return block
        schema = {"row": pl.Int64, **dict.fromkeys(self._cells, pl.String)}
        corrected = pl.DataFrame([(row, *each) for row, each in found.items()], schema=schema, orient="row")
        emptied = {self._own["import_line"]: pl.lit("")}
        frame = block.frame.update(corrected.with_columns(**emptied), on="row")
        controls = pl.concat([block.with_controls, corrected["row"]]).unique().sort()
        return replace(block, frame=frame, with_controls=controls, may_need_trimming=True, may_clear=True)

    def unread(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Why rows fail whose line still cannot be split: for the first reason, if the report still tells it."""
        lines = self._unsplit(frame)
        found = {row: problem for row, text in lines.items() if isinstance(problem := self._reread(text), Unread)}
        if not found:
            return pl.DataFrame(schema=FAILURES)
        rows = frame.filter(pl.col("row").is_in([*found])).select("row", self._told().alias("told"))
        reasons = [(row, told, self._said(found[row])) for row, told in rows.iter_rows()]
        return pl.DataFrame(
            [(row, -1, reason.code, None, told or reason.message) for row, told, reason in reasons],
            schema=FAILURES,
            orient="row",
        )

    def _said(self, problem: Unread) -> Remark:
        return row_reason(problem.kind, problem.facts, self._language)

    def _unsplit(self, frame: pl.DataFrame) -> dict[int, str]:
        """Row → the line of a record that was not split, where there are no cells beside it."""
        if "import_line" not in self._own:
            return {}
        line = pl.col(self._own["import_line"])
        rows = frame.filter(line != "", *(pl.col(cell).str.strip_chars() == "" for cell in self._cells))
        return dict(rows.select("row", line.alias("line")).iter_rows())

    def _reread(self, text: str) -> tuple[str, ...] | Unread:
        if text in {translated(HIDDEN_LINE, language) for language in LANGUAGES}:
            return Unread("bad_quotes", {})
        return reread(text, [self._header.names[index] for index in self._header.reported])

    def losers(self, frame: pl.DataFrame, accepted: pl.DataFrame) -> pl.DataFrame:
        """Why accepted rows fail that lost a value to another row of their file, and were not changed since."""
        if not {"import_id", "import_error"} & self._own.keys() or accepted.is_empty():
            return pl.DataFrame(schema=FAILURES)
        id_ = pl.col(self._own["import_id"]) if "import_id" in self._own else pl.lit("")
        parts = id_.str.strip_chars().str.extract_groups(_ID)
        own = frame.select(
            "row",
            self._told().alias("told"),
            (id_.str.strip_chars() != "").alias("has id"),
            parts.struct[2].is_not_null().alias("lost"),
            (parts.struct[1] == _row_hash(self._header.positions)).fill_null(value=False).alias("same"),
        )
        rows = accepted.join(own, on="row", maintain_order="left")
        unique = [name for name in unique_columns(self._format) if name in accepted.columns]
        names_one = pl.any_horizontal(
            pl.col("told").str.contains(needle, literal=True).fill_null(value=False)
            for name in unique
            for needle in self._needles(name)
        )
        is_lost = pl.when("has id").then(pl.col("lost") & pl.col("same")).otherwise(names_one)
        lost = rows.filter(is_lost.fill_null(value=False)).select(
            "row", "told", *(needle.alias(f"{name}|{at}") for name in unique for at, needle in self._numbered(name))
        )
        found = [reason for row in lost.iter_rows(named=True) for reason in self._again(row, unique)]
        return pl.DataFrame(found, schema=FAILURES, orient="row")

    def _numbered(self, name: str) -> Iterator[tuple[int, pl.Expr]]:
        yield from enumerate(self._needles(name))

    def _needles(self, name: str) -> Iterator[pl.Expr]:
        """What a report says, in each language, of a value of a unique column that is used in another row."""
        for language in LANGUAGES:
            sentence = translated(ROW_SENTENCES["duplicate_in_file"], language).removeprefix("{column}")
            before, _, rest = sentence.partition("{value}")
            start, end = f"{self._header.label(name)}{before}", rest.partition("{first}")[0]
            yield pl.concat_str(pl.lit(start), shown(pl.col(name)), pl.lit(end))

    def _again(self, row: Mapping[str, Any], unique: Sequence[str]) -> Iterator[tuple[int, int, str, str | None, str]]:
        """The reasons of a row that was not changed: by column, where the report tells that, with its sentence."""
        positions = [column.name for column in self._format.columns]
        told = row["told"] or ""
        sentences = {
            name: found[0]
            for name in unique
            for at, _ in enumerate(LANGUAGES)
            if (needle := row[f"{name}|{at}"]) and (found := re.search(re.escape(needle) + "[0-9]+", told))
        }
        for name, sentence in sentences.items() or [(None, _UNTOLD)]:
            reason = row_reason("duplicate_in_file.unchanged", {"told": sentence}, self._language)
            yield row["row"], -1 if name is None else positions.index(name), reason.code, name, reason.message

    def _told(self) -> pl.Expr:
        """The reason that the report gave."""
        return pl.col(self._own["import_error"]).str.strip_chars() if "import_error" in self._own else pl.lit("")

    def claims(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows that name the claim that they were reported from, as CLAIMS describes them."""
        if "import_id" not in self._own:
            return pl.DataFrame(schema=CLAIMS)
        claim = pl.col(self._own["import_id"]).str.strip_chars().str.extract(_ID, 1)
        return frame.select("row", claim.alias("claim")).drop_nulls().filter(pl.col("claim") != _NOBODY)
