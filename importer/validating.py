"""Rows against the format, a block at a time and a column at a time.

A rule is data: a key of `reasons.ROW_SENTENCES` and a boolean expression that is true where a row breaks it, never
null. The sentences are worked out only for the rows that fail.
"""

import datetime as dt
import re
import string
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import polars as pl

from importer.format import CLEAR, Column, Format, Lookup, comparison_column, date_words
from importer.header import Header
from importer.model import Finding
from importer.patterns import whole
from importer.reasons import ROW_SENTENCES, SHOWN_CHARACTERS, TRANSLATED_FACTS, warning
from importer.translating import translated

FAILURES = {"row": pl.Int64, "position": pl.Int64, "code": pl.String, "column": pl.String, "message": pl.String}
"""Schema of a failures frame: a line for each reason of each failed row."""

_CONTROL_CHARACTER = "control_character"
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x{9f}]"
_ISO = "%Y-%m-%d"
_EARLIEST = dt.date(1900, 1, 1)
_SUGGESTED_VALUES = 1000
_BOOLEANS = {"true": "true", "yes": "true", "y": "true", "1": "true"} | dict.fromkeys(
    ("false", "no", "n", "0"), "false"
)

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\p{L}\p{M}\p{N}-]+"
_FIRST, _INNER, _LAST = r"[\p{L}\p{N}]", r"[\p{L}\p{M}\p{N}-]", r"[\p{L}\p{M}\p{N}]"
_LABEL = rf"{_FIRST}(?:{_INNER}*{_LAST})?"
_LAST_LABEL = rf"(?:(?:[0-9]*[{_FIRST}--[0-9]]|[0-9]+\p{{M}})(?:{_INNER}*{_LAST})?|[0-9]+-{_INNER}*{_LAST})"
EMAIL = rf"\A{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_LAST_LABEL}\z"
"""RFC 5321/5322, the practical subset: a dot-atom, also beyond ASCII, and a domain of two labels or more.

Quoted local parts, comments and address literals are not taken, nor a last label of digits, as IP addresses have.
"""
EMAIL_LIMITS = r"\A[^@]{65}|@(?:.*\.)?[^.@]{64}|@.{254}|\A.{255}"
"""What such an address may still get wrong: RFC 5321's 64, 63, 253 and 254 characters."""
_EMAIL_HARMLESS_BYTES = 64
"""No address that is not longer breaks one of these."""

_DATE_PATTERNS = {
    "%Y": "[0-9]{4}",
    "%y": "[0-9]{2}",
    "%m": "[0-9]{2}",
    "%-m": "[0-9]{1,2}",
    "%d": "[0-9]{2}",
    "%-d": "[0-9]{1,2}",
    "%b": "[A-Za-z]{3}",
    "%B": "[A-Za-z]+",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of one column.

    Attributes:
        kind: a key of reasons.ROW_SENTENCES.
        column: the format's name of the column.
        broken: true where a row breaks the rule, never null.
        facts: what the sentence names.
        harmless_bytes: where no value has more bytes than this, no row breaks the rule.
    """

    kind: str
    column: str
    broken: pl.Expr
    facts: Mapping[str, pl.Expr | str]
    harmless_bytes: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a block's rows are worth.

    Attributes:
        accepted: row, line and the format's columns that the file has, as text to store: null keeps the stored
            value, CLEAR empties it. Unique e-mails have their comparison key beside them.
        failing: the other rows, for `Validator.failures`: what their cells say and which rules they break.
    """

    accepted: pl.DataFrame
    failing: pl.DataFrame


class Validator:
    """The format's rules for one file, ready for its blocks.

    Args:
        format_: columns, with every known user type and login source in its lookups.
        header: what the file's columns mean.
        today: dates of birth are not after it.
        language: of the sentences.
    """

    def __init__(self, format_: Format, header: Header, *, today: dt.date, language: str = "en") -> None:
        self._format = format_
        self._header = header
        self._columns = [column for column in format_.columns if column.name in header.positions]
        self._positions = {column.name: position for position, column in enumerate(format_.columns)}
        self._today = today
        self._language = language
        self._known_rules: dict[tuple[bool, bool], list[Rule]] = {}

    @property
    def warnings(self) -> Iterator[Finding]:
        """Columns of the file that nothing is known to check against."""
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
        """Why rows fail.

        Args:
            failing: `Verdict.failing` of some blocks; together they take hardly longer than one.

        Returns:
            See FAILURES; sorted by row and position.
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
        """What `Verdict.accepted` has of these columns.

        Args:
            accepted: records as for `validate`, all of which were accepted.
            names: the format's names of the columns.
        """
        columns = [column for column in self._columns if column.name in names]
        cells = self._cells(accepted, columns, may_need_trimming=True, may_clear=True)
        return cells.select(_stored(columns, may_clear=True))

    def _rules(self, *, may_clear: bool, may_have_controls: bool) -> list[Rule]:
        """All of them, made when they are needed: for most small files that is once."""
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
        """Row, line, and for each column its trimmed text and what it maps to."""
        raw = self._raw(columns)
        texts = block.select(
            "row",
            "line",
            *((cell.str.strip_chars() if may_need_trimming else cell).alias(name) for name, cell in raw.items()),
        )
        # Each step is its own: one expression that names another twice works it out twice.
        texts = texts.with_columns(_none_if_empty(pl.col(column.name)) for column in columns)
        known = {column.name: values for column in columns if (values := self._unmapped_values(column))}
        mapped = texts.with_columns(
            (text if column.name in known else self._mapped(column, text)).alias(_mapped_name(column.name))
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
        """A column's values of which just some have to be mapped: to see which is much faster than to map them all."""
        texts = cells[column.name].gather(at).to_frame()
        mapped = texts.select(self._mapped(column, _given(column, may_clear=may_clear))).to_series()
        # scatter writes into the series that it is called on.
        return cells[_mapped_name(column.name)].clone().scatter(at, mapped)

    def _unmapped_values(self, column: Column) -> list[str]:
        """The values of a choice or lookup that are stored as they are written: there are none of other kinds."""
        match column.kind:
            case "choice":
                codes = _choices(column.values)
                return [code for code in column.values if codes[code.lower()] == code]
            case "lookup":
                return [*self._lookup(column).entries]
        return []

    def _mapped(self, column: Column, text: pl.Expr) -> pl.Expr:  # noqa: PLR0911 - a return for each kind
        """The value as it is stored, null where the text is none of what the column's kind allows."""
        match column.kind:
            case "text" | "email" | "pattern":
                return text
            case "date":
                return pl.coalesce(_parsed(text, form) for form in column.formats)
            case "integer":
                return _none_unless(text, r"\A[+-]?[0-9]+\z").str.strip_prefix("+")
            case "decimal":
                return _none_unless(text, r"\A[+-]?[0-9]+(?:\.[0-9]+)?\z").str.strip_prefix("+")
            case "boolean":
                return _replaced(text.str.to_lowercase(), _BOOLEANS)
            case "choice":
                return _replaced(text.str.to_lowercase(), _choices(column.values))
            case "lookup":
                entries = self._lookup(column).entries
                return _replaced(text, _names_to_ids(entries)) if entries else text

    def _lookup(self, column: Column) -> Lookup:
        return self._format.lookups[column.lookup or ""]

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
        if column.kind == "email":
            is_beyond = unless_control(
                (given.str.contains(EMAIL) & given.str.contains(EMAIL_LIMITS)).fill_null(value=False)
            )
            facts = {"value": shown(text)}
            yield Rule("invalid.email", column.name, is_beyond, facts, harmless_bytes=_EMAIL_HARMLESS_BYTES)
        for kind, wrong, more in self._kind_rules(column, given, mapped):
            yield Rule(kind, column.name, unless_control(wrong.fill_null(value=False)), {"value": shown(text), **more})

    def _kind_rules(
        self, column: Column, given: pl.Expr, mapped: pl.Expr
    ) -> Iterator[tuple[str, pl.Expr, dict[str, pl.Expr | str]]]:
        unmapped = given.is_not_null() & mapped.is_null()
        match column.kind:
            case "text":
                return
            case "email":
                yield "invalid.email", ~given.str.contains(EMAIL), {}
            case "date":
                yield "invalid.date", unmapped, {"expected": date_words(column.formats[0])}
                if column.past:
                    yield "invalid.date_in_future", mapped > self._today.isoformat(), {}
                    yield "invalid.date_before_1900", mapped < _EARLIEST.isoformat(), {}
            case "integer" | "decimal" | "boolean":
                yield f"invalid.{column.kind}", unmapped, {}
            case "choice":
                yield "invalid.choice", unmapped, {"expected": column.expected or _listed(column.values)}
            case "lookup":
                yield "unknown", unmapped, {"noun": self._lookup(column).noun}
            case "pattern":
                expected = column.expected or f"the pattern {column.pattern}"
                yield "invalid.pattern", ~given.str.contains(whole(column.pattern or "")), {"expected": expected}

    def _failures(self, failing: pl.DataFrame, rule: Rule) -> pl.DataFrame:
        if rule.kind == "unknown":
            suggested = self._suggested(failing[rule.column], self._format.column(rule.column))
            plain = self.sentence(rule.kind, rule.column, rule.facts)
            better = self.sentence("unknown.suggestion", rule.column, {**rule.facts, "suggestion": suggested})
            message = pl.coalesce(better, plain)
        else:
            message = self.sentence(rule.kind, rule.column, rule.facts)
        return failures_frame(failing, rule.kind, rule.column, self._positions[rule.column], message)

    def sentence(self, kind: str, column: str, facts: Mapping[str, pl.Expr | str]) -> pl.Expr:
        """The sentence of reasons.ROW_SENTENCES as an expression over the failing rows; null where a fact is null."""
        values: dict[str, pl.Expr | str] = {"column": self._header.label(column), **facts}
        pieces: list[pl.Expr] = []
        for literal, name, _, _ in string.Formatter().parse(translated(ROW_SENTENCES[kind], self._language)):
            pieces.append(pl.lit(literal))
            if name is not None:
                pieces.append(self._fact(name, values[name]))
        return pl.concat_str(pieces)

    def _fact(self, name: str, value: pl.Expr | str) -> pl.Expr:
        if not isinstance(value, str):
            return value
        return pl.lit(translated(value, self._language) if name in TRANSLATED_FACTS else value)

    def _suggested(self, values: pl.Series, column: Column) -> pl.Expr:
        known = [*_names_to_ids(self._lookup(column).entries)]
        distinct = values.unique().head(_SUGGESTED_VALUES).to_list()
        nearest = {value: match[0] for value in distinct if (match := get_close_matches(value, known, n=1))}
        return _replaced(pl.col(column.name), nearest)


def shown(text: pl.Expr) -> pl.Expr:
    """`reasons.shown` as an expression."""
    line = text.str.replace_all(r"\s+", " ")
    cut = pl.concat_str(line.str.slice(0, SHOWN_CHARACTERS - 1), pl.lit("…"))
    return pl.when(line.str.len_chars() > SHOWN_CHARACTERS).then(cut).otherwise(line)


def failures_frame(failing: pl.DataFrame, kind: str, column: str, position: int, message: pl.Expr) -> pl.DataFrame:
    """One reason for each of the failing rows, as a failures frame."""
    code = kind.partition(".")[0]
    return failing.select(
        "row",
        pl.lit(position, pl.Int64).alias("position"),
        pl.lit(code).alias("code"),
        pl.lit(column).alias("column"),
        message.alias("message"),
    )


def in_order(failures: list[pl.DataFrame]) -> pl.DataFrame:
    """Failures frames as one, sorted by row and then by the format's column order."""
    return pl.concat([pl.DataFrame(schema=FAILURES), *failures]).sort("row", "position", maintain_order=True)


def _stored(columns: Sequence[Column], *, may_clear: bool) -> Iterator[pl.Expr]:
    yield pl.col("row")
    yield pl.col("line")
    for column in columns:
        value = pl.col(_mapped_name(column.name))
        if may_clear:
            value = pl.when(pl.col(column.name) == CLEAR).then(pl.lit(CLEAR)).otherwise(value)
        yield value.alias(column.name)
        if column.unique and column.kind == "email":
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
    """For each column whether its cell holds a control character; looked for in the suspect rows alone."""
    none = pl.Series("", [False]).new_from_index(0, block.height)
    at = block["row"].is_in(suspects.implode()).arg_true()
    found = block[at].select(cell.str.contains(_CONTROL).alias(name) for name, cell in raw.items())
    # scatter writes into the series that it is called on.
    flags = ((name, none.clone().scatter(at, found[name]) if found[name].any() else none) for name in raw)
    return [flag.alias(_control(name)) for name, flag in flags]


def _none_if_empty(text: pl.Expr) -> pl.Expr:
    return pl.when(text != "").then(text)


def _none_unless(text: pl.Expr, pattern: str) -> pl.Expr:
    return pl.when(text.str.contains(pattern)).then(text)


def _replaced(text: pl.Expr, mapping: Mapping[str, str]) -> pl.Expr:
    if not mapping:
        return pl.lit(None, pl.String)
    return text.replace_strict([*mapping], [*mapping.values()], default=None, return_dtype=pl.String)


def _choices(values: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): code for code, name in values.items()} | {code.lower(): code for code in values}


def _names_to_ids(entries: Mapping[str, str]) -> dict[str, str]:
    return {name: id_ for id_, name in entries.items()} | {id_: id_ for id_ in entries}


def _parsed(text: pl.Expr, form: str) -> pl.Expr:
    """The date as ISO text, null where the text has another form or there is no such day."""
    pieces = re.split(r"(%-?.)", form)
    pattern = "".join(_DATE_PATTERNS.get(piece) or re.escape(piece) for piece in pieces)
    # Without its cache polars parses most columns of dates faster, measured.
    day = _none_unless(text, whole(pattern)).str.to_date(form.replace("%-", "%"), strict=False, cache=False)
    return pl.when(day.is_not_null()).then(text) if form == _ISO else day.dt.strftime(_ISO)


def _listed(values: Mapping[str, str]) -> str:
    listed = ", ".join(values)
    return listed if len(listed) <= 2 * SHOWN_CHARACTERS else f"{listed[: 2 * SHOWN_CHARACTERS].rpartition(', ')[0]}, …"
