"""The store of users: where and how they are stored, which every step of storing needs to know."""

from dataclasses import dataclass

from sqlalchemy import Table

from importer.formats.columns import Format, unique_columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """The table of users with its rules.

    Attributes:
        format: the columns of `users`.
        users: the table, as `importer.database.tables.user_table` gives it for the format.
        skips_unchanged: whether a row that repeats what the feed last gave leaves its user alone, whatever is stored.
        tells_success: whether somebody is told of a file that nobody would be told of otherwise.
    """

    format: Format
    users: Table
    skips_unchanged: bool = True
    tells_success: bool = False

    @property
    def key(self) -> str:
        """The column by which a row finds its user."""
        return unique_columns(self.format)[self.format.key]
