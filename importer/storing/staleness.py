"""Rows of a report that come back after their users were changed by another file: what is newer stays."""

import datetime as dt
from collections.abc import Collection, Mapping

import polars as pl
from sqlalchemy import Connection, and_, select

from importer.database.fetching import fetched
from importer.database.tables import imports
from importer.judging.uniqueness import Late
from importer.storing.staging import Staged

_CLAIMS_AT_ONCE = 400
_UNKNOWN = "?"


def stale_rows(connection: Connection, staged: Staged, claims: pl.DataFrame) -> list[Late]:
    """Take out the staged rows whose users were changed after the rows were reported; returns them.

    Args:
        connection: a connection within the caller's transaction and turn.
        staged: the staged rows: those that repeat what was last given for their users are not among them.
        claims: row and the claim that it was reported from; one that is not of the client's ledger is ignored.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    asked = claims.filter(pl.col("row").is_in(staged.rows.implode()))
    if staged.is_empty or asked.is_empty():
        return []
    known = _imports(connection, staged.client, asked["claim"].unique().to_list())
    changed = [_changed_since(connection, staged, claim, at) for claim, (_, at) in known.items()]
    if not changed:
        return []
    stale = asked.join(pl.concat(changed), on=["row", "claim"]).sort("row")
    if stale.is_empty():
        return []
    by = _imports(connection, staged.client, stale["by"].unique().to_list())
    files = pl.DataFrame(
        [(id_, file, f"{at:%Y-%m-%d %H:%M} UTC") for id_, (file, at) in by.items()],
        schema={"by": pl.String, "file": pl.String, "when": pl.String},
        orient="row",
    )
    told = stale.join(files, on="by", how="left", maintain_order="left")
    staged.take_out(connection, stale["row"])
    rows = told.select("row", pl.col("when", "file").fill_null(_UNKNOWN))
    return [Late(kind="changed_since", column=None, rows=rows)]


def _imports(connection: Connection, client: str, claims: Collection[str]) -> Mapping[str, tuple[str, dt.datetime]]:
    """Claim → its file and when that was imported, of those that are the client's."""
    ids = [*claims]
    found: dict[str, tuple[str, dt.datetime]] = {}
    for start in range(0, len(ids), _CLAIMS_AT_ONCE):
        some = imports.c.claim_id.in_(ids[start : start + _CLAIMS_AT_ONCE])
        query = select(imports.c.claim_id, imports.c.file, imports.c.committed_at)
        rows = connection.execute(query.where(some, imports.c.client == client))
        found |= {row.claim_id: (row.file, row.committed_at) for row in rows}
    return found


def _changed_since(connection: Connection, staged: Staged, claim: str, at: dt.datetime) -> pl.DataFrame:
    """The staged rows whose users were changed after a claim was imported: row, the claim, and who changed `by`."""
    users, rows, key = staged.store.users.c, staged.table.c, staged.store.key
    query = (
        select(rows.row, users.updated_by.label("by"))
        .join(staged.store.users, and_(users.client == staged.client, users[key] == rows[key]))
        .where(users.updated_at > at, users.updated_by != claim)
    )
    return fetched(connection, query).with_columns(pl.lit(claim).alias("claim"))
