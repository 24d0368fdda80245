"""The validation of rows against the format, a block at a time and a column at a time.

A rule is data: the key of a sentence and a boolean expression that is true where a row breaks it, never null. Which
rules a column has beside those of every column says its kind (see `importer.formats.kinds`). The sentences are worked
out only for the rows that fail.
"""

import datetime as dt
import string
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from importer.formats.columns import CLEAR, Column, Format, comparison_column
from importer.formats.header import Header
from importer.formats.kinds import KIND_SENTENCES, Coded, kind_of
from importer.judging.expressions import is_broken, mapped_value, replaced, stored_as_written
from importer.judging.suggesting import Suggestions
from importer.model import Remark
from importer.words.reasons import ROW_SENTENCES, SHOWN_CHARACTERS, TRANSLATED_FACTS, warning
from importer.words.translating import translated

FAILURES = {"row": pl.Int64, "position": pl.Int64, "code": pl.String, "column": pl.String, "message": pl.String}
"""The schema of a failures frame, which has a line for each reason of each failed row."""

_SENTENCES = {**ROW_SENTENCES, **KIND_SENTENCES}
_CONTROL_CHARACTER = "control_character"
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x{9f}]"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of one column.

    Attributes:
        kind: a key of reasons.ROW_SENTENCES or of kinds.KIND_SENTENCES.
        column: the format's name of the column.
        broken: true where a row breaks the rule, never null.
        facts: the values that the sentence names.
        suggestion: the key of the sentence that names what was likely meant; empty where there is none.
        harmless_bytes: the number of bytes up to which no value breaks the rule.
    """

    kind: str
    column: str
    broken: pl.Expr
    facts: Mapping[str, pl.Expr | str]
    suggestion: str = ""
    harmless_bytes: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict on a block's rows.

    Attributes:
        accepted: row, line and the format's columns that the file has, as text to store: null keeps the stored
            value, CLEAR empties it. Unique e-mails have their comparison key beside them.
        failing: the other rows, for `Validator.failures`: what their cells say and which rules they break.
    """

    accepted: pl.DataFrame
    failing: pl.DataFrame


class Validator:
    """The validator of one file's blocks, by the format's rules.

    Args:
        format_: the columns, with every known user type and login source in its lookups.
        header: the meaning of the file's columns.
        today: the date after which no date of birth may lie.
        language: the language of the sentences.
    """

    def __init__(self, format_: Format, header: Header, *, today: dt.date, language: str = "en") -> None:
        self._format = format_
        self._header = header
        self._columns = [column for column in format_.columns if column.name in header.positions]
        self._positions = {column.name: position for position, column in enumerate(format_.columns)}
        self._today = today
        self._language = language
        self._known_rules: dict[tuple[bool, bool], list[Rule]] = {}
        self._suggestions: dict[str, Suggestions] = {}
        self._ways = {column.name: kind_of(column.kind).mapped(format_.options(column)) for column in self._columns}
        self._stored_as_written = {name: stored_as_written(way) for name, way in self._ways.items()}

    @property
    def warnings(self) -> Iterator[Remark]:
        """Warnings about the file's columns for which there is nothing to check against."""
        for column in self._columns:
            lookup = self._format.lookups.get(column.lookup or "")
            if lookup is not None and not lookup.entries:
                label = self._header.label(column.name)
                yield warning("unchecked_lookup", column=label, noun=lookup.noun)

    @property
    def stored(self) -> list[str]:
        """The columns of `Verdict.accepted`."""
        return [value.meta.output_name() for value in _stored(self._columns, may_clear=False)]

    def validate(
        self,
        block: pl.DataFrame,
        *,
        with_controls: pl.Series | None = None,
        may_need_trimming: bool = True,
        may_clear: bool = True,
    ) -> Verdict:
        """Judge a block of records.

        Args:
            block: row, line and c0 … c(n-1), text without nulls.
            with_controls: the rows that may have a control character, sorted; None for all of them.
            may_need_trimming: False where it is known that no cell begins or ends with white space.
            may_clear: False where it is known that no cell is CLEAR.
        """
        suspects = block["row"] if with_controls is None else with_controls
        cells = self._cells(block, self._columns, may_need_trimming=may_need_trimming, may_clear=may_clear)
        may_have_controls = not suspects.is_empty()
        if may_have_controls:
            cells = cells.with_columns(_control_flags(block, self._raw(self._columns), suspects))
        rules = self._rules_to_ask(cells, may_clear=may_clear, may_have_controls=may_have_controls)
        broken = cells.select(rule.broken.alias(_broken(number)) for number, rule in rules.items())
        stored = cells.select(_stored(self._columns, may_clear=may_clear))
        fails = broken.select(pl.any_horizontal(pl.all())).to_series()
        if not fails.any():
            return Verdict(accepted=stored, failing=pl.DataFrame(schema={"row": pl.Int64}))
        return Verdict(accepted=stored.filter(~fails), failing=cells.hstack(broken).filter(fails))

    def failures(self, failing: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Work out why rows fail.

        Args:
            failing: `Verdict.failing` of some blocks; together they take hardly longer than one.

        Returns:
            A frame as FAILURES describes it, sorted by row and position.
        """
        rows = pl.concat(failing, how="diagonal")
        rules = next(iter(self._known_rules.values()), [])  # what they are made for changes no sentence
        found = [
            self._failures(rows.filter(pl.col(_broken(number))), rule)
            for number, rule in enumerate(rules)
            if _broken(number) in rows.columns and rows[_broken(number)].any()
        ]
        return in_order(found)

    def values(self, accepted: pl.DataFrame, names: Collection[str]) -> pl.DataFrame:
        """The values of some columns, as `Verdict.accepted` has them.

        Args:
            accepted: records as `validate` takes them, all of which were accepted.
            names: the format's names of the columns.
        """
        columns = [column for column in self._columns if column.name in names]
        cells = self._cells(accepted, columns, may_need_trimming=True, may_clear=True)
        return cells.select(_stored(columns, may_clear=True))

    def _rules(self, *, may_clear: bool, may_have_controls: bool) -> list[Rule]:
        """All rules of the file, made when they are needed: for most small files that is once."""
        known = may_clear, may_have_controls
        if known not in self._known_rules:
            self._known_rules[known] = [
                rule
                for column in self._columns
                for rule in self._column_rules(column, may_clear=may_clear, may_have_controls=may_have_controls)
            ]
        return self._known_rules[known]

    def _rules_to_ask(self, cells: pl.DataFrame, *, may_clear: bool, may_have_controls: bool) -> dict[int, Rule]:
        """The rules by number, but those that no row of the block can break, as where its values are short."""
        lengths = cells.select(
            pl.col(_mapped_name(column.name)).str.len_bytes().max().fill_null(0).alias(column.name)
            for column in self._columns
        )
        longest = lengths.row(0, named=True)
        rules = self._rules(may_clear=may_clear, may_have_controls=may_have_controls)
        return {
            number: rule
            for number, rule in enumerate(rules)
            if longest[rule.column] > rule.harmless_bytes and (may_have_controls or rule.kind != _CONTROL_CHARACTER)
        }

    def _raw(self, columns: Sequence[Column]) -> dict[str, pl.Expr]:
        return {column.name: pl.col(f"c{self._header.positions[column.name]}") for column in columns}

    def _cells(
        self, block: pl.DataFrame, columns: Sequence[Column], *, may_need_trimming: bool, may_clear: bool
    ) -> pl.DataFrame:
        """The cells of a block: row, line, and for each column its trimmed text and what it maps to."""
        raw = self._raw(columns)
        texts = block.select(
            "row",
            "line",
            *((cell.str.strip_chars() if may_need_trimming else cell).alias(name) for name, cell in raw.items()),
        )
        # Each step is its own: one expression that names another twice works it out twice.
        texts = texts.with_columns(_none_if_empty(pl.col(column.name)) for column in columns)
        known = {column.name: values for column in columns if (values := self._stored_as_written[column.name])}
        mapped = texts.with_columns(
            (text if column.name in known else mapped_value(self._ways[column.name], text)).alias(
                _mapped_name(column.name)
            )
            for column, text in ((column, _given(column, may_clear=may_clear)) for column in columns)
        )
        if not known:
            return mapped
        as_they_are = texts.select(pl.col(name).is_in(values) for name, values in known.items())
        others = [
            self._with_mapped(mapped, column, (~as_they_are[column.name]).arg_true(), may_clear=may_clear)
            for column in columns
            if column.name in known and not as_they_are[column.name].all()
        ]
        return mapped.with_columns(others) if others else mapped

    def _with_mapped(self, cells: pl.DataFrame, column: Column, at: pl.Series, *, may_clear: bool) -> pl.Series:
        """Map a column's values of which just some need it: to see which is much faster than to map them all."""
        texts = cells[column.name].gather(at).to_frame()
        mapped = texts.select(mapped_value(self._ways[column.name], _given(column, may_clear=may_clear))).to_series()
        # scatter writes into the series that it is called on.
        return cells[_mapped_name(column.name)].clone().scatter(at, mapped)

    def _column_rules(self, column: Column, *, may_clear: bool, may_have_controls: bool) -> Iterator[Rule]:
        text, mapped = pl.col(column.name), pl.col(_mapped_name(column.name))
        given = _given(column, may_clear=may_clear)
        has_control = pl.col(_control(column.name))

        def unless_control(broken: pl.Expr) -> pl.Expr:
            return broken & ~has_control if may_have_controls else broken

        yield Rule(_CONTROL_CHARACTER, column.name, has_control, {})
        if self._format.is_needed(column):
            yield Rule("required", column.name, unless_control(given.is_null()), {})
        if column.max_length is not None:
            length = mapped.str.len_chars()
            too_long = unless_control((length > column.max_length).fill_null(value=False))
            facts: dict[str, pl.Expr | str] = {"length": length.cast(pl.String), "limit": str(column.max_length)}
            yield Rule("too_long", column.name, too_long, facts, harmless_bytes=column.max_length)
        for check in kind_of(column.kind).checks(self._format.options(column)):
            wrong = is_broken(check.broken, given, mapped, self._today).fill_null(value=False)
            yield Rule(
                check.sentence,
                column.name,
                unless_control(wrong),
                {"value": shown(text), **check.facts},
                suggestion=check.suggestion,
                harmless_bytes=check.harmless_bytes,
            )

    def _failures(self, failing: pl.DataFrame, rule: Rule) -> pl.DataFrame:
        message = self.sentence(rule.kind, rule.column, rule.facts)
        if rule.suggestion:
            suggested = self._suggested(failing[rule.column])
            better = self.sentence(rule.suggestion, rule.column, {**rule.facts, "suggestion": suggested})
            message = pl.coalesce(better, message)
        return failures_frame(failing, rule.kind, rule.column, self._positions[rule.column], message)

    def sentence(self, kind: str, column: str, facts: Mapping[str, pl.Expr | str]) -> pl.Expr:
        """A sentence as an expression over the failing rows, null where a fact is null; `kind` is as in `Rule`."""
        values: dict[str, pl.Expr | str] = {"column": self._header.label(column), **facts}
        pieces: list[pl.Expr] = []
        for literal, name, _, _ in string.Formatter().parse(translated(_SENTENCES[kind], self._language)):
            pieces.append(pl.lit(literal))
            if name is not None:
                pieces.append(self._fact(name, values[name]))
        return pl.concat_str(pieces)

    def _fact(self, name: str, value: pl.Expr | str) -> pl.Expr:
        if not isinstance(value, str):
            return value
        return pl.lit(translated(value, self._language) if name in TRANSLATED_FACTS else value)

    def _suggested(self, values: pl.Series) -> pl.Expr:
        """The codes that were likely meant by the values of a column, null where none is near."""
        way = self._ways[values.name]
        if values.name not in self._suggestions:
            self._suggestions[values.name] = Suggestions(way.codes if isinstance(way, Coded) else ())
        distinct = values.unique(maintain_order=True).to_list()
        return replaced(pl.col(values.name), self._suggestions[values.name].nearest(distinct))


def shown(text: pl.Expr) -> pl.Expr:
    """`reasons.shown` as an expression."""
    line = text.str.replace_all(r"\s+", " ")
    cut = pl.concat_str(line.str.slice(0, SHOWN_CHARACTERS - 1), pl.lit("…"))
    return pl.when(line.str.len_chars() > SHOWN_CHARACTERS).then(cut).otherwise(line)


def failures_frame(failing: pl.DataFrame, kind: str, column: str, position: int, message: pl.Expr) -> pl.DataFrame:
    """Make a failures frame that gives each failing row the same kind of reason."""
    code = kind.partition(".")[0]
    return failing.select(
        "row",
        pl.lit(position, pl.Int64).alias("position"),
        pl.lit(code).alias("code"),
        pl.lit(column).alias("column"),
        message.alias("message"),
    )


def in_order(failures: list[pl.DataFrame]) -> pl.DataFrame:
    """Join failures frames to one, sorted by row and then by the format's column order."""
    return pl.concat([pl.DataFrame(schema=FAILURES), *failures]).sort("row", "position", maintain_order=True)


def _stored(columns: Sequence[Column], *, may_clear: bool) -> Iterator[pl.Expr]:
    yield pl.col("row")
    yield pl.col("line")
    for column in columns:
        value = pl.col(_mapped_name(column.name))
        if may_clear:
            value = pl.when(pl.col(column.name) == CLEAR).then(pl.lit(CLEAR)).otherwise(value)
        yield value.alias(column.name)
        if column.unique and kind_of(column.kind).compared_in_lower_case:
            yield value.str.to_lowercase().alias(comparison_column(column.name))


def _given(column: Column, *, may_clear: bool) -> pl.Expr:
    """The text to be judged: null where the cell is empty or clears the stored value."""
    text = pl.col(column.name)
    return pl.when(text != CLEAR).then(text) if may_clear else text


def _broken(number: int) -> str:
    return f"broken|{number}"


def _control(name: str) -> str:
    return f"{name}|control"


def _mapped_name(name: str) -> str:
    return f"{name}|mapped"


def _control_flags(block: pl.DataFrame, raw: Mapping[str, pl.Expr], suspects: pl.Series) -> list[pl.Series]:
    """Flags, for each column, of the cells with a control character, looked for in the suspect rows alone."""
    none = pl.Series("", [False]).new_from_index(0, block.height)
    at = block["row"].is_in(suspects.implode()).arg_true()
    found = block[at].select(cell.str.contains(_CONTROL).alias(name) for name, cell in raw.items())
    # scatter writes into the series that it is called on.
    flags = ((name, none.clone().scatter(at, found[name]) if found[name].any() else none) for name in raw)
    return [flag.alias(_control(name)) for name, flag in flags]


def _none_if_empty(text: pl.Expr) -> pl.Expr:
    return pl.when(text != "").then(text)
