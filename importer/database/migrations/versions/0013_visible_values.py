"""Values of users as files are read from now on: in NFC, without invisible characters, or apostrophes before numbers.

So the same file as the night before finds its users again, and changes none of them. A value that must be unique and
would become another user's is left as it is, and noted in `look_alikes`. Only users that may need it are looked at.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic import op

revision = "0013_visible_values"
down_revision = "0012_clients_past"
branch_labels = None
depends_on = None

_BATCH = 5_000
_CHUNK = 500
_OURS = {"id", "client", "created_at", "updated_at", "created_by", "updated_by", "feed_hash"}
_WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_JOINERS = "\u200c\u200d\u034f\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"
_INVISIBLE = (
    "\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
_HIDDEN = re.compile(f"[{_INVISIBLE}]+")
_HIDDEN_OR_JOINER = re.compile(f"[{_INVISIBLE}{_JOINERS}]+")
_OUTER_JOINERS = re.compile(rf"\A[{_JOINERS}{_WHITE_SPACE}]+|[{_JOINERS}{_WHITE_SPACE}]+\Z")
_FORMULA_TEXT = re.compile(r'="(.*)"', re.DOTALL)
_GUARDED = re.compile(r"'([+-]?[0-9](?:.*[^'])?)", re.DOTALL)


class _Columns(NamedTuple):
    """The columns of the users.

    Attributes:
        values: what files say.
        compared: unique column of values → the column that is compared, which may hold its small letters.
    """

    values: list[str]
    compared: dict[str, str]


class _Change(NamedTuple):
    id: int
    client: str
    values: dict[str, str | None]


def upgrade() -> None:
    id_ = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "look_alikes",
        sa.Column("user_id", id_, autoincrement=False, nullable=False),
        sa.Column("column_name", sa.String(63), nullable=False),
        sa.Column("other_id", id_, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "column_name", name="pk_look_alikes"),
    )
    connection = op.get_bind()
    users = sa.Table("users", sa.MetaData(), autoload_with=connection)
    columns = _columns(connection, users)
    if columns.values:
        for rows in _suspects(connection, users, columns.values):
            _rewrite(connection, users, columns, [change for row in rows if (change := _changed(row, columns))])


def _columns(connection: sa.Connection, users: sa.Table) -> _Columns:
    text = [column.name for column in users.columns if column.name not in _OURS and isinstance(column.type, sa.String)]
    keys = {name for name in text if name.endswith("_key") and name.removesuffix("_key") in text}
    indexes = sa.inspect(connection).get_indexes("users")
    unique = {
        str(index["column_names"][-1]) for index in indexes if index["unique"] and len(index["column_names"]) == 2
    }
    return _Columns(
        values=[name for name in text if name not in keys],
        compared={name.removesuffix("_key") if name in keys else name: name for name in sorted(unique & {*text})},
    )


def _suspects(connection: sa.Connection, users: sa.Table, names: Sequence[str]) -> Iterator[Sequence[sa.Row[Any]]]:
    """The users that may have to be rewritten, in batches by their ids."""
    is_sqlite = connection.dialect.name == "sqlite"

    def is_suspect(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
        size = sa.func.length(sa.cast(column, sa.LargeBinary)) if is_sqlite else sa.func.octet_length(column)
        return sa.or_(size != sa.func.length(column), column.like("'%"), column.like('="%'))

    query = (
        sa.select(users.c.id, users.c.client, *(users.c[name] for name in names))
        .where(sa.or_(*(is_suspect(users.c[name]) for name in names)))
        .order_by(users.c.id)
        .limit(_BATCH)
    )
    last = -1
    while rows := connection.execute(query.where(users.c.id > last)).all():
        yield rows
        last = rows[-1].id


def _changed(row: sa.Row[Any], columns: _Columns) -> _Change | None:
    said = row._mapping  # noqa: SLF001 - the public name of a row's values by column
    now = {name: _visible(said[name], is_unique=name in columns.compared) for name in columns.values if said[name]}
    changes = {name: value for name, value in now.items() if value != said[name]}
    changes = {name: value for name, value in changes.items() if value is not None or name not in columns.compared}
    return _Change(row.id, row.client, changes) if changes else None


def _visible(value: str, *, is_unique: bool) -> str | None:
    """The value as a file's cell is read now; None where nothing is left of it."""
    text = unicodedata.normalize("NFC", value)
    if is_unique:
        text = _HIDDEN_OR_JOINER.sub("", text)
    else:
        text = _OUTER_JOINERS.sub("", _HIDDEN.sub("", text))
        if formula := _FORMULA_TEXT.fullmatch(text):
            text = formula[1].replace('""', '"').strip(_WHITE_SPACE)
    text = text.strip(_WHITE_SPACE)
    guarded = _GUARDED.fullmatch(text)
    return (guarded[1] if guarded else text) or None


def _rewrite(connection: sa.Connection, users: sa.Table, columns: _Columns, changes: list[_Change]) -> None:
    for name, compared in columns.compared.items():
        _leave_look_alikes(connection, users, name, compared, changes)
    by_columns = defaultdict(list)
    for change in changes:
        values = dict(change.values)
        for name, compared in columns.compared.items():
            if compared != name and values.get(name) is not None:
                values[compared] = str(values[name]).lower()
        if values:
            by_columns[*sorted(values)].append({"id of": change.id, **{f"now {name}": values[name] for name in values}})
    for names, rows in by_columns.items():
        now: dict[str, Any] = {name: sa.bindparam(f"now {name}") for name in names}
        connection.execute(sa.update(users).where(users.c.id == sa.bindparam("id of")).values(now), rows)


def _leave_look_alikes(
    connection: sa.Connection, users: sa.Table, name: str, compared: str, changes: list[_Change]
) -> None:
    """Take back the changes of a unique column by which a value would become another user's, and note them."""

    def wanted(change: _Change) -> tuple[str, str]:
        value = str(change.values[name])
        return change.client, value if compared == name else value.lower()

    changing = [change for change in changes if name in change.values]
    owners = dict(_owners(connection, users, compared, [*map(wanted, changing)]))
    found = []
    for change in changing:
        owner = owners.setdefault(wanted(change), change.id)
        if owner != change.id:
            del change.values[name]
            found.append({"user_id": change.id, "column_name": name, "other_id": owner})
    if found:
        look_alikes = sa.table("look_alikes", *map(sa.column, ("user_id", "column_name", "other_id")))
        connection.execute(sa.insert(look_alikes), found)


def _owners(
    connection: sa.Connection, users: sa.Table, compared: str, wanted: list[tuple[str, str]]
) -> Iterator[tuple[tuple[str, str], int]]:
    """(client, value) → the user who has that value now."""
    by_client = defaultdict(list)
    for client, value in wanted:
        by_client[client].append(value)
    for client, values in by_client.items():
        for start in range(0, len(values), _CHUNK):
            some = users.c[compared].in_(values[start : start + _CHUNK])
            query = sa.select(users.c[compared], users.c.id).where(users.c.client == client, some)
            yield from (((client, value), id_) for value, id_ in connection.execute(query))
