"""The columns of a user file, as data.

The built-in format is `users.toml` beside this module, written in the very language that an operator's format file
uses (see `format_file`). Names are compared without case, blanks, `_`, `-`, `/` and a byte order mark.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

CLEAR = "<clear>"
"""The cell that empties a stored value; an empty cell keeps it."""

REPORT_COLUMNS = ("import_error", "import_row", "import_file", "import_line")
"""What the failed-users CSV adds, and what is ignored on the way in."""

NEVER_IMPORTED = frozenset({"password"})
"""Known and refused: their values are never stored, logged, reported or mailed."""

USER_BOOKKEEPING = ("id", "client", "created_at", "updated_at", "created_by", "updated_by", "feed_hash")
"""Columns of the table `users` that are ours; a format may not use their names."""

DATE_CODES = {
    "%Y": "year",
    "%y": "year",
    "%m": "month",
    "%-m": "month",
    "%b": "month",
    "%B": "month",
    "%d": "day",
    "%-d": "day",
}
"""strftime codes that a date format may use: %m and %d have two digits, %-m and %-d one or two."""

_IGNORED = str.maketrans("", "", " \t\N{NO-BREAK SPACE}_-/\ufeff")


def normalised(name: str) -> str:
    """The form in which column names are compared."""
    return name.translate(_IGNORED).casefold()


Kind = Literal["text", "email", "date", "integer", "decimal", "boolean", "choice", "lookup", "pattern"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    Attributes:
        name: the canonical name, an SQL identifier in lower case.
        aliases: other names a header may use.
        required: whether an empty cell fails the row.
        max_length: in characters, counted after a value was mapped; None for no limit.
        kind: what a value must be.
        unique: whether no two users of a client may share a value (e-mails are compared without case).
        example: a valid value, for `userdrop template`.
        formats: for kind `date`, made of DATE_CODES; the first is the one that messages name.
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
    kind: Kind = "text"
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
        """Every name a header may use for this column, normalised."""
        return frozenset(normalised(name) for name in (self.name, *self.aliases))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A list of known things, like the site's user types.

    Attributes:
        noun: what one of them is called in a message.
        entries: id → name; a cell may hold either, the id is stored. Empty: not checked, with a warning.
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
    """Column → value that a new user gets where the cell is empty or the column absent."""

    def column(self, name: str) -> Column:
        """The column of that canonical name.

        Raises:
            KeyError: there is none.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def known_names(self) -> frozenset[str]:
        """Every normalised name that a header may hold and that means something to us."""
        ours = (normalised(name) for name in (*REPORT_COLUMNS, *NEVER_IMPORTED))
        return frozenset(ours).union(*(column.names for column in self.columns))

    def is_needed(self, column: Column) -> bool:
        """Whether an empty cell fails the row: required, and without a default."""
        return (column.required or column.name == self.key) and column.name not in self.defaults


def comparison_column(name: str) -> str:
    """The column of `users` that holds an e-mail's comparison key: its Unicode-lowercased text."""
    return f"{name}_key"


def date_words(form: str) -> str:
    """A date format as people write it: `%d/%m/%Y` is DD/MM/YYYY."""
    words = {"Y": "YYYY", "y": "YY", "m": "MM", "d": "DD", "b": "Mon", "B": "Month"}
    return re.sub(r"%-?(.)", lambda found: words[found[1]], form)


def unique_columns(format_: Format) -> dict[str, str]:
    """Each column whose values no two users of a client share → the column of `users` that is compared."""
    return {
        column.name: comparison_column(column.name) if column.kind == "email" else column.name
        for column in format_.columns
        if column.unique or column.name == format_.key
    }


def by_name(columns: Iterable[Column]) -> dict[str, Column]:
    """Every normalised name → the column it means."""
    return {name: column for column in columns for name in column.names}
