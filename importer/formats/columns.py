"""The columns of a user file, as data.

The built-in format is `users.toml` beside this module, written in the very language that an operator's format file
uses (see `format_file`). How names are compared, `importer.formats.names` says.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from importer.formats.kinds import KindName, Options, kind_of
from importer.formats.names import normalised, spellings
from importer.formats.passwords import PASSWORD_NAMES, is_password

CLEAR = "<clear>"
"""The cell that empties a stored value; an empty cell keeps it."""

REPORT_COLUMNS = ("import_error", "import_row", "import_file", "import_line", "import_id")
"""The columns that the failed-users CSV adds, and that are ignored in an upload."""

USER_BOOKKEEPING = ("id", "client", "created_at", "updated_at", "created_by", "updated_by", "feed_hash")
"""The columns of the table `users` that are userdrop's own; a format may not use their names."""


def holds_passwords(names: Iterable[str]) -> bool:
    """Whether one of the names of a header says passwords, so that no row may be shown as a whole."""
    return any(map(is_password, names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a user file.

    Attributes:
        name: the canonical name, an SQL identifier in lower case.
        aliases: other names a header may use.
        everyday: further names a header may use, where no column of the format claims them by its name or an alias.
        hints: names that may mean this column, or another one: they are suggested, never taken.
        required: whether an empty cell fails the row.
        max_length: the most characters of a value, counted after it was mapped; None for no limit.
        kind: what a value must be; see `importer.formats.kinds`.
        unique: whether no two users of a client may share a value (e-mails are compared without case).
        example: a valid value, for `userdrop template`.
        formats: the forms of dates, made of `dates.DATE_CODES`, for kind `date`; messages name the first one.
        past: whether a date must lie between 1900 and today.
        expected: what a value must be, in words that end a sentence's "use …"; for kinds `choice` and `pattern`.
        values: code → name, for kind `choice`; code or name is accepted in any case, the code is stored.
        other_names: name → code, for other names that are accepted as the first ones are.
        synonyms: groups of words for the same, for kinds `choice` and `lookup`: a cell that holds one of them is not
            accepted by that, but the known value among them is suggested.
        lookup: the name of a Lookup, for kind `lookup`.
        pattern: a Rust regular expression that the whole value must match, for kind `pattern`.
        debris: what becomes of values that programs leave and nobody types (see `importer.judging.debris`): empty for
            what is usual; else their rows fail, or they are stored as they are written, with a remark or without.
    """

    name: str
    aliases: tuple[str, ...] = ()
    everyday: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    required: bool = False
    max_length: int | None = None
    kind: KindName = "text"
    unique: bool = False
    example: str = ""
    formats: tuple[str, ...] = ("%Y-%m-%d",)
    past: bool = False
    expected: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    other_names: Mapping[str, str] = field(default_factory=dict)
    synonyms: tuple[tuple[str, ...], ...] = ()
    lookup: str | None = None
    pattern: str | None = None
    debris: Literal["", "fail", "remark", "keep"] = ""

    @property
    def names(self) -> frozenset[str]:
        """The names that this column claims, normalised: its own and its aliases."""
        return frozenset(normalised(name) for name in (self.name, *self.aliases))

    @property
    def everyday_names(self) -> frozenset[str]:
        """The everyday names of this column, normalised."""
        return frozenset(map(normalised, self.everyday))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A list of known things, like the site's user types.

    Attributes:
        noun: the word for one of the things in a message.
        entries: id → name; a cell may hold either, the id is stored. Where there are none, cells are not checked, with
            a warning.
    """

    noun: str
    entries: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderNames:
    """The normalised names by which the header of a file, and its separator, are recognised.

    Attributes:
        columns: those that mean a column of the format.
        others: those of columns that are no format's: what our report adds, and passwords.
        key: those of the column that identifies a user.
        needed: for each column that a file must have, its names.
    """

    columns: frozenset[str]
    others: frozenset[str] = frozenset()
    key: frozenset[str] = frozenset()
    needed: tuple[frozenset[str], ...] = ()

    def known(self, cells: Sequence[str]) -> int:
        """How many of a row's cells are names that mean something."""
        return sum(any(form in self.columns or form in self.others for form in spellings(cell)) for cell in cells)

    def make_header(self, cells: Sequence[str]) -> bool:
        """Whether a row with these cells is a header for certain: it names the key, or half of the needed columns."""
        forms = {form for cell in cells for form in spellings(cell)}
        needed = sum(not names.isdisjoint(forms) for names in self.needed)
        return not self.key.isdisjoint(forms) or (needed > 0 and 2 * needed >= len(self.needed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """The columns of a user file; `key` names the column that identifies a user."""

    columns: tuple[Column, ...]
    key: str
    lookups: Mapping[str, Lookup] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    """The defaults: column → value that a new user gets where the cell is empty or the column absent."""

    def column(self, name: str) -> Column:
        """The column with a canonical name.

        Raises:
            KeyError: there is no such column.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def header_names(self) -> HeaderNames:
        """The names by which a file's header is recognised."""
        by_column: dict[str, set[str]] = {column.name: set() for column in self.columns}
        for name, column in by_name(self.columns).items():
            by_column[column.name].add(name)
        ours = {normalised(name) for name in (*REPORT_COLUMNS, *PASSWORD_NAMES)}
        return HeaderNames(
            columns=frozenset().union(*by_column.values()),
            others=frozenset(ours),
            key=frozenset(by_column[self.key]),
            needed=tuple(frozenset(by_column[column.name]) for column in self.columns if self.is_needed(column)),
        )

    def options(self, column: Column) -> Options:
        """The options of a column for its kind.

        Raises:
            KeyError: the kind needs a lookup, and the format has none of the name that the column gives.
        """
        needs_lookup = "lookup" in kind_of(column.kind).keys
        lookup = self.lookups[column.lookup or ""] if needs_lookup else Lookup(noun="")
        return Options(
            formats=column.formats,
            past=column.past,
            expected=column.expected,
            values=column.values,
            other_names=column.other_names,
            synonyms=column.synonyms,
            noun=lookup.noun,
            entries=lookup.entries,
            pattern=column.pattern or "",
        )

    def is_needed(self, column: Column) -> bool:
        """Whether an empty cell of a column fails the row: the column is required, and without a default."""
        return (column.required or column.name == self.key) and column.name not in self.defaults


def comparison_column(name: str) -> str:
    """The column of `users` that holds an e-mail's comparison key: its Unicode-lowercased text."""
    return f"{name}_key"


def unique_columns(format_: Format) -> dict[str, str]:
    """The columns whose values no two users of a client share: column → the column of `users` that is compared."""
    return {
        column.name: comparison_column(column.name) if kind_of(column.kind).compared_in_lower_case else column.name
        for column in format_.columns
        if column.unique or column.name == format_.key
    }


def by_name(columns: Iterable[Column]) -> dict[str, Column]:
    """The columns of a format by every normalised name that means them; an everyday name gives way to a claimed one."""
    columns = [*columns]
    everyday = {name: column for column in columns for name in column.everyday_names}
    return everyday | {name: column for column in columns for name in column.names}
