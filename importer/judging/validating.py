"""The validation of rows against the format, a block at a time and a column at a time.

A rule is data: the key of a sentence and a boolean expression that is true where a row breaks it, never null. Which
rules a column has beside those of every column says its kind (see `importer.formats.kinds`). The sentences are worked
out only for the rows that fail.
"""

import datetime as dt
import string
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from importer.formats.columns import CLEAR, Column, Format, comparison_column
from importer.formats.header import Header
from importer.formats.kinds import KIND_SENTENCES, Better, kind_of
from importer.formats.ways import Coded, NearCode
from importer.judging.cleaning import Cleaner
from importer.judging.expressions import attempts, is_broken, meant, replaced
from importer.judging.invisible import CONTROL_NAMES
from importer.judging.noticing import Notice
from importer.judging.suggesting import Suggestions
from importer.model import Remark
from importer.reading.oddities import ANYTHING, Odd
from importer.words.reasons import LINE_BREAK, ROW_SENTENCES, SHOWN_CHARACTERS, TAB, warning
from importer.words.translating import number_in, translated

FAILURES = {"row": pl.Int64, "position": pl.Int64, "code": pl.String, "column": pl.String, "message": pl.String}
"""The schema of a failures frame, which has a line for each reason of each failed row."""

_SENTENCES = {**ROW_SENTENCES, **KIND_SENTENCES}
_CONTROL_CHARACTER = "control_character"
_DAMAGED = "damaged"
_CLEARS = r"(?i)\A<\s*clear\s*>\z"
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x{9f}]"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of one column.

    Attributes:
        kind: a key of reasons.ROW_SENTENCES or of kinds.KIND_SENTENCES.
        column: the format's name of the column.
        broken: true where a row breaks the rule, never null.
        facts: the values that the sentence names.
        better: sentences that are said instead where it is known what was meant, as in `kinds.Check`.
        harmless_bytes: the number of bytes up to which no value breaks the rule.
    """

    kind: str
    column: str
    broken: pl.Expr
    facts: Mapping[str, pl.Expr | str]
    better: tuple[Better, ...] = ()
    harmless_bytes: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict on a block's rows.

    Attributes:
        accepted: row, line and the format's columns that the file has, as text to store: null keeps the stored
            value, CLEAR empties it. Unique e-mails have their comparison key beside them.
        failing: the other rows, for `Validator.failures`: what their cells say and which rules they break.
        noticed: what was taken otherwise than it is written, in accepted rows.
        again: why rows fail that come back from a report as they were; a frame as FAILURES describes it.
    """

    accepted: pl.DataFrame
    failing: pl.DataFrame
    noticed: Sequence[Notice] = ()
    again: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=FAILURES))


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
        self._cleaner = Cleaner(format_, self._columns, language)

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
        odd: Odd = ANYTHING,
    ) -> Verdict:
        """Judge a block of records.

        Args:
            block: row, line and c0 … c(n-1), text without nulls.
            with_controls: the rows that may have a control character, sorted; None for all of them.
            may_need_trimming: False where it is known that no cell begins or ends with white space.
            may_clear: False where it is known that no cell is CLEAR.
            odd: what nobody types and cells may hold all the same.
        """
        suspects = block["row"] if with_controls is None else with_controls
        texts = self._texts(block, self._columns, may_need_trimming=may_need_trimming)
        cleaned = self._cleaner.cleaned(texts, odd)
        may_clear = may_clear or bool(odd & Odd.UNUSUAL)  # what nobody sees may have hidden it
        cells = self._mapped(cleaned.texts, self._columns, may_clear=may_clear).with_columns(
            problems.alias(_damage(name)) for name, problems in cleaned.damages.items()
        )
        may_have_controls = not suspects.is_empty()
        if may_have_controls:
            cells = cells.with_columns(_control_flags(block, self._raw(self._columns), suspects))
        rules = self._rules_to_ask(cells, cleaned.damages, may_clear=may_clear, may_have_controls=may_have_controls)
        broken = cells.select(
            _unless_damaged(rule, cleaned.damages).alias(_broken(number)) for number, rule in rules.items()
        )
        stored = cells.select(_stored(self._columns, may_clear=may_clear))
        fails = broken.select(pl.any_horizontal(pl.all())).to_series()
        if not fails.any():
            return Verdict(accepted=stored, failing=pl.DataFrame(schema={"row": pl.Int64}), noticed=cleaned.noticed)
        failing = cells.hstack(broken).filter(fails)
        noticed = [each.without(failing["row"]) for each in cleaned.noticed]
        return Verdict(accepted=stored.filter(~fails), failing=failing, noticed=noticed)

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
        texts = self._texts(accepted, columns, may_need_trimming=True)
        cells = self._mapped(self._cleaner.cleaned(texts, ANYTHING).texts, columns, may_clear=True)
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

    def _rules_to_ask(
        self, cells: pl.DataFrame, damaged: Collection[str], *, may_clear: bool, may_have_controls: bool
    ) -> dict[int, Rule]:
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
            if longest[rule.column] > rule.harmless_bytes
            and (may_have_controls or rule.kind != _CONTROL_CHARACTER)
            and (rule.column in damaged or rule.kind != _DAMAGED)
        }

    def _raw(self, columns: Sequence[Column]) -> dict[str, pl.Expr]:
        return {column.name: pl.col(f"c{self._header.positions[column.name]}") for column in columns}

    def _texts(self, block: pl.DataFrame, columns: Sequence[Column], *, may_need_trimming: bool) -> pl.DataFrame:
        """Row, line, and each column's trimmed text, null where it is empty."""
        raw = self._raw(columns)
        texts = block.select(
            "row",
            "line",
            *((cell.str.strip_chars() if may_need_trimming else cell).alias(name) for name, cell in raw.items()),
        )
        # Each step is its own: one expression that names another twice works it out twice.
        return texts.with_columns(_none_if_empty(pl.col(column.name)) for column in columns)

    def _mapped(self, texts: pl.DataFrame, columns: Sequence[Column], *, may_clear: bool) -> pl.DataFrame:
        """The texts, CLEAR however that is written, and beside each of them what it maps to."""
        if may_clear:
            texts = texts.with_columns(_clearing(column.name) for column in columns)
        if not columns:
            return texts
        given = {column.name: _given(column, may_clear=may_clear) for column in columns}
        ways = {name: attempts(self._ways[name], text, self._today) for name, text in given.items()}
        mapped = texts.with_columns(next(way).alias(_mapped_name(name)) for name, way in ways.items())
        is_left = mapped.select(_is_left(text, name).any().alias(name) for name, text in given.items()).row(
            0, named=True
        )
        others = [_mapped_further(mapped, name, given[name], ways[name]) for name in given if is_left[name]]
        return mapped.with_columns(others) if others else mapped

    def _column_rules(self, column: Column, *, may_clear: bool, may_have_controls: bool) -> Iterator[Rule]:
        text, mapped = pl.col(column.name), pl.col(_mapped_name(column.name))
        given = _given(column, may_clear=may_clear)
        has_control = pl.col(_control(column.name))

        def unless_control(broken: pl.Expr) -> pl.Expr:
            return broken & ~has_control if may_have_controls else broken

        yield Rule(_CONTROL_CHARACTER, column.name, has_control, {"character": _control_named(text)})
        problem = pl.col(_damage(column.name))
        damaged = unless_control(problem.is_not_null())
        yield Rule(_DAMAGED, column.name, damaged, {"value": shown(text), "problem": problem})
        if self._format.is_needed(column):
            yield Rule("required", column.name, unless_control(given.is_null()), {})
        if column.max_length is not None:
            length = mapped.str.len_chars()
            too_long = unless_control((length > column.max_length).fill_null(value=False))
            facts: dict[str, pl.Expr | str] = {
                "length": _number(length, self._language),
                "limit": number_in(column.max_length, self._language),
            }
            yield Rule("too_long", column.name, too_long, facts, harmless_bytes=column.max_length)
        for check in kind_of(column.kind).checks(self._format.options(column)):
            wrong = is_broken(check.broken, given, mapped, self._today).fill_null(value=False)
            yield Rule(
                check.sentence,
                column.name,
                unless_control(wrong),
                {"value": shown(text), **check.facts_in(self._language)},
                better=check.better,
                harmless_bytes=check.harmless_bytes,
            )

    def _failures(self, failing: pl.DataFrame, rule: Rule) -> pl.DataFrame:
        message = self.sentence(rule.kind, rule.column, rule.facts)
        for better in reversed(rule.better):
            found = self._meant(better, failing[rule.column])
            said = self.sentence(better.sentence, rule.column, {**rule.facts, "suggestion": found})
            message = pl.when(found.is_null()).then(message).otherwise(said)
        return failures_frame(failing, rule.kind, rule.column, self._positions[rule.column], message)

    def sentence(self, kind: str, column: str | None, facts: Mapping[str, pl.Expr | str]) -> pl.Expr:
        """A sentence as an expression over the failing rows, null where a fact is null; `kind` is as in `Rule`."""
        named = {} if column is None else {"column": self._header.label(column)}
        values: dict[str, pl.Expr | str] = {"key": self._header.label(self._format.key), **named, **facts}
        pieces: list[pl.Expr] = []
        for literal, name, _, _ in string.Formatter().parse(translated(_SENTENCES[kind], self._language)):
            pieces.append(pl.lit(literal))
            if name is not None:
                value = values[name]
                pieces.append(pl.lit(value) if isinstance(value, str) else value)
        return pl.concat_str(pieces)

    def _meant(self, better: Better, values: pl.Series) -> pl.Expr:
        """What was meant by the values of a column, null where that is not known."""
        way = self._ways[values.name]
        near: Mapping[str, str] = {}
        if isinstance(better.meant, NearCode) and isinstance(way, Coded):
            if values.name not in self._suggestions:
                self._suggestions[values.name] = Suggestions([*way.codes], way.synonyms)
            near = self._suggestions[values.name].nearest(values.unique(maintain_order=True).to_list())
        return meant(better.meant, pl.col(values.name), near)


def shown(text: pl.Expr) -> pl.Expr:
    """`reasons.shown` as an expression."""
    line = text.str.replace_all(r"\r\n|[\r\n\v\f\x{85}\x{2028}\x{2029}]", LINE_BREAK).str.replace_all(
        "\t", TAB, literal=True
    )
    cut = pl.concat_str(line.str.slice(0, SHOWN_CHARACTERS - 1), pl.lit("…"))
    return pl.when(line.str.len_chars() > SHOWN_CHARACTERS).then(cut).otherwise(line)


def failures_frame(
    failing: pl.DataFrame, kind: str, column: str | None, position: int, message: pl.Expr
) -> pl.DataFrame:
    """Make a failures frame that gives each failing row the same kind of reason."""
    code = kind.partition(".")[0]
    return failing.select(
        "row",
        pl.lit(position, pl.Int64).alias("position"),
        pl.lit(code).alias("code"),
        pl.lit(column, pl.String).alias("column"),
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


def _is_left(given: pl.Expr, name: str) -> pl.Expr:
    """Whether a cell says something of which nothing is stored so far."""
    return given.is_not_null() & pl.col(_mapped_name(name)).is_null()


def _mapped_further(cells: pl.DataFrame, name: str, given: pl.Expr, further: Iterator[pl.Expr]) -> pl.Series:
    """Map the values for which an attempt has nothing: to see which is much faster than to map them all."""
    for attempt in further:
        at = cells.select(_is_left(given, name).arg_true()).to_series()
        found = cells[name].gather(at).to_frame().select(attempt).to_series()
        # scatter writes into the series that it is called on.
        cells = cells.with_columns(cells[_mapped_name(name)].clone().scatter(at, found))
    return cells[_mapped_name(name)]


def _number(count: pl.Expr, language: str) -> pl.Expr:
    """`translating.number_in` as an expression, for counts below a milliard."""
    mark = number_in(1000, language)[1]
    text = count.cast(pl.String).str.replace(r"([0-9])([0-9]{3})$", f"${{1}}{mark}${{2}}")
    return text.str.replace(rf"([0-9])([0-9]{{3}}){mark}", f"${{1}}{mark}${{2}}{mark}")


def _given(column: Column, *, may_clear: bool) -> pl.Expr:
    """The text to be judged: null where the cell is empty or clears the stored value."""
    text = pl.col(column.name)
    return pl.when(text != CLEAR).then(text) if may_clear else text


def _broken(number: int) -> str:
    return f"broken|{number}"


def _damage(name: str) -> str:
    return f"{name}|damage"


def _unless_damaged(rule: Rule, damaged: Collection[str]) -> pl.Expr:
    """Whether a row breaks a rule: of a damaged cell nothing else is said, but that it has a control character."""
    if rule.column not in damaged or rule.kind in {_DAMAGED, _CONTROL_CHARACTER}:
        return rule.broken
    return rule.broken & pl.col(_damage(rule.column)).is_null()


def _control_named(text: pl.Expr) -> pl.Expr:
    """The first control character of a text by its number; three are white space, and were trimmed off the ends."""
    named = replaced(text.str.extract(f"({_CONTROL})"), CONTROL_NAMES)
    return named.fill_null("U+000B, U+000C or U+0085 at an end")


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


def _clearing(name: str) -> pl.Expr:
    """The text of a column, in which whatever means CLEAR is written so."""
    text = pl.col(name)
    return pl.when(text.str.contains(_CLEARS)).then(pl.lit(CLEAR)).otherwise(text).alias(name)


def _none_if_empty(text: pl.Expr) -> pl.Expr:
    return pl.when(text != "").then(text)
