"""The cleaning of cells: what nobody sees is taken out, and what nobody types is what its entry in `debris` says.

Only cells that were found to be odd are worked on; to find them takes one search in each column, and a block that is
known to hold nothing odd is not searched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from importer.formats.columns import Column, Format
from importer.judging.debris import NULL, QUOTED, Debris, Taken, debris_of, holds_names
from importer.judging.invisible import beyond_ascii, composed, may_be_invisible, named, visible
from importer.judging.mistyping import meant_addresses
from importer.judging.noticing import Notice
from importer.reading.oddities import ANYTHING, Odd
from importer.words.reasons import DAMAGES
from importer.words.translating import translated


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """The texts of a block, cleaned.

    Attributes:
        texts: row, line, and each column's text; null where it is empty.
        damages: for each column with a damaged cell, the ends of the sentences about them; null where there is none.
        noticed: what was taken otherwise than it is written.
    """

    texts: pl.DataFrame
    damages: Mapping[str, pl.Series] = field(default_factory=dict)
    noticed: Sequence[Notice] = ()


class Cleaner:
    """The cleaner of one file's blocks.

    Args:
        format_: the columns that there may be.
        columns: those that the file has.
        language: the language of sentences about damaged cells.
    """

    def __init__(self, format_: Format, columns: Sequence[Column], language: str) -> None:
        self._format = format_
        self._columns = columns
        self._language = language
        self._sought: dict[str, tuple[Debris, ...]] = {}

    def cleaned(self, texts: pl.DataFrame, odd: Odd) -> Cleaned:
        """Clean a block's texts; what is not in `odd` is not looked for."""
        if not odd:
            return Cleaned(texts=texts, noticed=self._mistyped(texts))
        cleaning = _Cleaning(self, texts)
        for column in self._columns:
            if column.name in texts.columns:
                cleaning.clean(column, odd)
        if odd & Odd.BEGINNING:
            cleaning.find_quoted(self._format.key)
        texts = texts.with_columns(cleaning.changed.values())
        noticed = (*cleaning.noticed, *self._mistyped(texts))
        return Cleaned(texts=texts, damages=cleaning.damages, noticed=noticed)

    def _mistyped(self, texts: pl.DataFrame) -> tuple[Notice, ...]:
        """What may be mistyped in the addresses of a block."""
        noticed = []
        for column in self._columns:
            if column.kind == "email" and column.name in texts.columns and column.debris != "keep":
                addresses = texts[column.name]
                found = meant_addresses(addresses)
                if found is not None:
                    at, meant = found
                    noticed.append(
                        Notice(
                            kind="mistyped_address",
                            column=column.name,
                            rows=texts["row"].gather(at),
                            before=addresses.gather(at),
                            now=meant,
                        )
                    )
        return tuple(noticed)

    def sought(self, column: Column) -> tuple[Debris, ...]:
        """The debris that is looked for in a column."""
        if column.name not in self._sought:
            self._sought[column.name] = debris_of(column, self._format)
        return self._sought[column.name]

    def holds_names(self, column: Column) -> bool:
        """Whether the values of a column may be names of persons."""
        return holds_names(column, self._format)

    def problem(self, name: str) -> str:
        """The end of a sentence about debris."""
        return translated(DAMAGES[name], self._language)


class _Cleaning:
    """The cleaning of one block."""

    def __init__(self, cleaner: Cleaner, texts: pl.DataFrame) -> None:
        self._cleaner = cleaner
        self._texts = texts
        self.changed: dict[str, pl.Series] = {}
        self.damages: dict[str, pl.Series] = {}
        self.noticed: list[Notice] = []

    def clean(self, column: Column, odd: Odd) -> None:
        text = self._texts[column.name]
        if odd & Odd.UNUSUAL:
            seen = self._made_visible(column, text)
            # Without its invisible characters a cell may begin as debris does.
            text, odd = (text, odd) if seen is None else (seen, ANYTHING)
        sought = self._cleaner.sought(column)
        patterns = [f"(?:{each.pattern})" for each in sought if each.odd & odd]
        if patterns:
            at = text.str.contains("|".join(patterns)).arg_true()
            if at.len():
                text = self._without_debris(column, text, at, sought)
        if text is not self._texts[column.name]:
            self.changed[column.name] = text.alias(column.name)

    def find_quoted(self, key: str) -> None:
        """Find rows each cell of which is between quotation marks that are none to a CSV: their keys are damaged."""
        if key not in self._texts.columns:
            return
        at = self._texts[key].str.contains(QUOTED).arg_true()
        if not at.len():
            return
        cells = self._texts[at].drop("row", "line")
        all_quoted = cells.select(
            pl.all_horizontal(pl.col(name).str.contains(QUOTED).fill_null(value=True) for name in cells.columns)
        ).to_series()
        self._damage(key, at.filter(all_quoted), "quoted")

    def _made_visible(self, column: Column, text: pl.Series) -> pl.Series | None:
        """The text in NFC, without invisible characters; None where it has none of these."""
        at = beyond_ascii(text).arg_true()
        before = text.gather(at)
        now = composed(before)
        hidden = may_be_invisible(now)
        if hidden.any():
            shown = now.filter(hidden)
            seen = visible(shown, joiners_stay=self._cleaner.holds_names(column))
            is_other = seen != shown
            if is_other.any():
                self._note(
                    "invisible",
                    column,
                    at.filter(hidden).filter(is_other),
                    named(shown.filter(is_other)),
                    seen.filter(is_other),
                )
            now = now.scatter(hidden.arg_true(), _none_if_empty(seen))
        if now.equals(before):
            return None
        return text.clone().scatter(at, now)

    def _without_debris(self, column: Column, text: pl.Series, at: pl.Series, sought: Sequence[Debris]) -> pl.Series:
        """The text with what is kept of cells with debris, which are among those at some places."""
        written = values = text.gather(at)
        is_free = pl.Series([True]).new_from_index(0, at.len())
        for debris in sought:
            matching = (is_free & values.str.contains(debris.pattern)).fill_null(value=False)
            if not matching.any():
                continue
            found = at.filter(matching)
            match debris.taken:
                case Taken.FAILS:
                    self._damage(column.name, found, debris.name)
                case Taken.EMPTY:
                    self._notice(debris, column, found, written.filter(matching), written.filter(matching))
                    values = pl.select(pl.when(~matching).then(values)).to_series()
                case Taken.KEPT:
                    self._notice(debris, column, found, values.filter(matching), values.filter(matching))
                case Taken.CHANGED:
                    kept = _kept(values.filter(matching), debris)
                    self._notice(debris, column, found, values.filter(matching), kept.fill_null(""))
                    values = values.clone().scatter(matching.arg_true(), kept)
                    continue  # what is kept may be debris as well
            is_free &= ~matching
        return text.clone().scatter(at, values)

    def _notice(self, debris: Debris, column: Column, at: pl.Series, written: pl.Series, taken: pl.Series) -> None:
        if debris.taken is not Taken.EMPTY or not self._cleaner.holds_names(column):
            kind = "odd_values" if column.debris == "remark" else debris.name
            self._note(kind, column, at, written, taken)
            return
        may_be_name = written == NULL
        for kind, some in (("null_name", may_be_name), (debris.name, ~may_be_name)):
            if some.any():
                self._note(kind, column, at.filter(some), written.filter(some), taken.filter(some))

    def _note(self, kind: str, column: Column, at: pl.Series, before: pl.Series, now: pl.Series) -> None:
        rows = self._texts["row"].gather(at)
        self.noticed.append(Notice(kind=kind, column=column.name, rows=rows, before=before, now=now))

    def _damage(self, name: str, at: pl.Series, kind: str) -> None:
        none = self.damages.get(name)
        if none is None:
            none = pl.Series([None], dtype=pl.String).new_from_index(0, self._texts.height)
        if at.len():
            self.damages[name] = none.clone().scatter(at, self._cleaner.problem(kind))


def _kept(values: pl.Series, debris: Debris) -> pl.Series:
    """What is kept of values with debris that is changed; null where nothing is."""
    inner = values.str.extract(debris.kept)
    return _none_if_empty((inner.str.replace_all('""', '"', literal=True)).str.strip_chars())


def _none_if_empty(texts: pl.Series) -> pl.Series:
    return pl.select(pl.when(texts != "").then(texts)).to_series()
