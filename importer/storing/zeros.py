"""Keys of new users that are those of known ones without the zeros in front, as a spreadsheet leaves them."""

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, literal, select

from importer.model import Remark
from importer.storing.staging import Staged
from importer.words.reasons import examples, warning

_MOST = "9" * 50
"""The last text of digits that is as long as a key may be."""


def lost_zeros(connection: Connection, staged: Staged) -> list[Remark]:
    """The remark about staged rows whose new users' keys would be known with zeros in front; none where there are none.

    Users are gone through only where there are new keys of digits, and known ones that begin with a zero.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    if staged.is_empty or staged.rows.is_empty():
        return []
    if not (_is_any(connection, _new_keys(staged)) and _is_any(connection, _known_keys(staged))):
        return []
    rows, users, key = staged.table.c, staged.store.users, staged.store.key
    without = and_(_begins_with_zero(staged), func.ltrim(users.c[key], "0") == rows[key])
    query = select(rows[key], users.c[key]).select_from(staged.table).join(users, without)
    found = connection.execute(query.where(_is_new(staged)).order_by(rows.row, users.c[key])).all()
    if not found:
        return []
    count = len({given for given, _ in found})
    return [warning("lost_zeros", column=key, count=count, examples=examples((row[0], row[1]) for row in found))]


def _is_any(connection: Connection, query: Select[int]) -> bool:
    return connection.execute(query.limit(1)).first() is not None


def _new_keys(staged: Staged) -> Select[int]:
    return select(literal(1)).select_from(staged.table).where(_is_new(staged))


def _is_new(staged: Staged) -> ColumnElement[bool]:
    """Whether a row's key begins with a digit other than zero, and no user has it."""
    key, known = staged.table.c[staged.store.key], staged.store.users.alias("known")
    has_user = exists().where(known.c.client == staged.client, known.c[staged.store.key] == key)
    return and_(key.between("1", _MOST), ~has_user)


def _known_keys(staged: Staged) -> Select[int]:
    return select(literal(1)).select_from(staged.store.users).where(_begins_with_zero(staged))


def _begins_with_zero(staged: Staged) -> ColumnElement[bool]:
    users = staged.store.users.c
    return and_(users.client == staged.client, users[staged.store.key] >= "0", users[staged.store.key] < "1")
