"""The columns of a user file, as data.

The built-in format is `users.toml` beside this module, written in the very language that an operator's format file
uses (see `format_file`). Names are compared without case, blanks, `_`, `-`, `/` and a byte order mark.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from importer.formats.kinds import KindName, Options, kind_of
from importer.formats.passwords import PASSWORD_NAMES

CLEAR = "<clear>"
"""The cell that empties a stored value; an empty cell keeps it."""

REPORT_COLUMNS = ("import_error", "import_row", "import_file", "import_line")
"""The columns that the failed-users CSV adds, and that are ignored in an upload."""

USER_BOOKKEEPING = ("id", "client", "created_at", "updated_at", "created_by", "updated_by", "feed_hash")
"""The columns of the table `users` that are userdrop's own; a format may not use their names."""

_IGNORED = str.maketrans("", "", " \t\N{NO-BREAK SPACE}_-/\ufeff")


def normalised(name: str) -> str:
    """The form in which column names are compared."""
    return name.translate(_IGNORED).casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a user file.

    Attributes:
        name: the canonical name, an SQL identifier in lower case.
        aliases: other names a header may use.
        required: whether an empty cell fails the row.
        max_length: the most characters of a value, counted after it was mapped; None for no limit.
        kind: what a value must be; see `importer.formats.kinds`.
        unique: whether no two users of a client may share a value (e-mails are compared without case).
        example: a valid value, for `userdrop template`.
        formats: the forms of dates, made of `dates.DATE_CODES`, for kind `date`; messages name the first one.
        past: whether a date must lie between 1900 and today.
        expected: what a value must be, in words that end a sentence's "use …"; for kinds `choice` and `pattern`.
        values: code → name, for kind `choice`; code or name is accepted in any case, the code is stored.
        lookup: the name of a Lookup, for kind `lookup`.
        pattern: a Rust regular expression that the whole value must match, for kind `pattern`.
    """

    name: str
    aliases: tuple[str, ...] = ()
    required: bool = False
    max_length: int | None = None
    kind: KindName = "text"
    unique: bool = False
    example: str = ""
    formats: tuple[str, ...] = ("%Y-%m-%d",)
    past: bool = False
    expected: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    lookup: str | None = None
    pattern: str | None = None

    @property
    def names(self) -> frozenset[str]:
        """The names that a header may use for this column, normalised."""
        return frozenset(normalised(name) for name in (self.name, *self.aliases))


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
    def known_names(self) -> frozenset[str]:
        """The normalised names that mean something in a header."""
        ours = (normalised(name) for name in (*REPORT_COLUMNS, *PASSWORD_NAMES))
        return frozenset(ours).union(*(column.names for column in self.columns))

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
    """The columns of a format by every normalised name that means them."""
    return {name: column for column in columns for name in column.names}
