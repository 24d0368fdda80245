"""Answers of the ledger: what happened to a file, what failed since, which imports brought a user. Only reads.

Each answer is one statement that an index carries, so it may be asked while a service imports. No answer repeats a
cell of a file, except for the key that a user is asked for by.
"""

import datetime as dt
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    Row,
    Select,
    cast,
    func,
    select,
    true,
)

from importer.database.dialects import day_of, elements_of
from importer.database.engines import read_only_engine, reading_engine, sqlite_file
from importer.database.failures import UnusableDatabaseError
from importer.database.tables import HAS_FAILURES, imports, is_user, require_tables, user_table
from importer.formats.columns import Format
from importer.model import Counts, Status, shown_name


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureCount:
    """The number of rows that failed for one reason."""

    code: str
    column: str | None
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PastImport:
    """A past import, as the ledger has it.

    Attributes:
        claim_id: the import's id, which the logs name as well.
        file: the sender's file name, in its shown form.
        size: the file's bytes.
        same_as: the first import of the same bytes; None where this was the first.
        counts: the numbers of rows; zeros where the file was not imported.
        reasons: why rows failed, the most frequent first.
        refusal_code: the code of the refusal; None where the file was not refused.
        refusal_message: the refusal for people, without a cell of the file.
        committed_at: when this was decided, UTC.
        archive: the file's name in bak, empty where it did not go there.
        report: the failed-users CSV's name in bak, None where no row failed.
        archived_at: when both lay in bak, UTC; None until then.
        remarks: the codes of the warnings about the file, without their facts.
    """

    claim_id: str
    client: str
    file: str
    status: Status
    size: int
    same_as: str | None
    counts: Counts
    reasons: tuple[FailureCount, ...]
    refusal_code: str | None
    refusal_message: str | None
    seconds: float
    committed_at: dt.datetime
    archive: str
    report: str | None
    archived_at: dt.datetime | None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PastUser:
    """The origin of a user, as far as it is known: the first import and the last one that changed something.

    Imports between the two, and those that only repeated what was stored, are not kept with the user.

    Attributes:
        created_by: the claim that brought the user.
        updated_by: the claim that last changed the user; the same one where nothing has been changed since.
        brought: the ledger's entry of `created_by`, None where it is no longer there.
        changed: the ledger's entry of `updated_by`, None where it is no longer there.
    """

    client: str
    created_at: dt.datetime
    updated_at: dt.datetime
    created_by: str
    updated_by: str
    brought: PastImport | None
    changed: PastImport | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCounts:
    """The numbers of what a client's files of one day have brought.

    Attributes:
        day: the day in UTC.
        files: the number of files that were taken.
        refused: the number of those files of which nothing was imported.
        rows: the number of rows that are users now, or failed.
        failed: the number of those rows that failed.
    """

    client: str
    day: dt.date
    files: int
    refused: int
    rows: int
    failed: int


_COUNTS = tuple(field.name for field in fields(Counts))
_OTHERS = ("counts", "reasons", "remarks", "status")
_PLAIN = tuple(field.name for field in fields(PastImport) if field.name not in {*_OTHERS})
_COLUMNS = (*_PLAIN, *_COUNTS, "reasons", "status", "warnings")


@contextmanager
def open_history(url: str, format_: Format | None = None) -> Iterator[Connection]:
    """Open a transaction on a service's database that can write nothing and never waits for the service.

    Args:
        url: the database's URL.
        format_: the format by which users will be asked for; None where they will not.

    Raises:
        UnusableDatabaseError: there is no database, or its tables are another version's; it says what to do.
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    path = sqlite_file(url)
    if path is not None and not path.exists():
        message = "there is no database yet: `userdrop run` with the same settings makes it at its start"
        raise UnusableDatabaseError(message)
    engine = read_only_engine(url)
    try:
        with reading_engine(engine).begin() as connection:
            require_tables(connection, format_)
            yield connection
    finally:
        engine.dispose()


def past_imports(
    connection: Connection,
    client: str,
    *,
    file: str | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    only_failures: bool = False,
    limit: int,
) -> tuple[PastImport, ...]:
    """Find imports of a client, the newest first.

    Args:
        connection: see `open_history`.
        client: the client's name.
        file: take only files of this name, as the sender chose it or as it is shown.
        since: take only imports that were decided at this time or later.
        until: take only imports that were decided before this time.
        only_failures: take only imports in which a row failed, or of which nothing was imported.
        limit: the largest number of imports.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    query = _imports_query(client, file, since, until, only_failures=only_failures)
    found = connection.execute(query.limit(limit))
    return tuple(_past_import(row, "") for row in found)


def last_imports(connection: Connection, *, limit: int) -> tuple[PastImport, ...]:
    """Find the last imports of all clients, the newest first, by when they were begun.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    query = select(*(imports.c[name] for name in _COLUMNS)).order_by(imports.c.claim_id.desc()).limit(limit)
    return tuple(_past_import(row, "") for row in connection.execute(query))


def day_counts(connection: Connection, clients: Collection[str], *, since: dt.datetime) -> tuple[DayCounts, ...]:
    """Count what each day since a time has brought, by client; days without a file are left out.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    day = day_of(connection, imports.c.committed_at)
    query = (
        select(
            imports.c.client,
            day.label("day"),
            func.count().label("files"),
            func.count().filter(imports.c.status != Status.IMPORTED).label("refused"),
            func.sum(imports.c.accepted + imports.c.failed).label("rows"),
            func.sum(imports.c.failed).label("failed"),
        )
        .where(imports.c.client.in_(clients), imports.c.committed_at >= since)
        .group_by(imports.c.client, day)
        .order_by(imports.c.client, day)
    )
    return tuple(
        DayCounts(**{**row._mapping, "day": dt.date.fromisoformat(row.day)})  # noqa: SLF001 - see _past_import
        for row in connection.execute(query)
    )


def failure_counts(
    connection: Connection, clients: Collection[str], *, since: dt.datetime, limit: int
) -> tuple[FailureCount, ...]:
    """Count why rows of some clients' files failed since a time, the most frequent reason first.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    reason, part = elements_of(connection, imports.c.reasons)
    code, column, number = part("code"), part("column"), func.sum(cast(part("count"), Integer))
    query = (
        select(code, column, number)
        .select_from(imports.join(reason, true()))
        .where(imports.c.client.in_(clients), imports.c.committed_at >= since, HAS_FAILURES)
        .group_by(code, column)
        .order_by(number.desc(), code, column)
        .limit(limit)
    )
    return tuple(
        FailureCount(code=code, column=column, count=count) for code, column, count in connection.execute(query)
    )


def past_user(connection: Connection, format_: Format, client: str, key: str) -> PastUser | None:
    """Find the imports that brought and last changed a user; None where the client has no such user.

    Only the first and the last are known: see `PastUser`.

    Args:
        connection: see `open_history`, which must have been given the format.
        format_: says which column is the key.
        client: the client's name.
        key: the user's key, as it is stored; where it is an address, in upper or lower case.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
    """
    row = connection.execute(_user_query(format_, client, key)).one_or_none()
    if row is None:
        return None
    return PastUser(
        client=row.client,
        created_at=row.created_at,
        updated_at=row.updated_at,
        created_by=row.created_by,
        updated_by=row.updated_by,
        brought=_past_import(row, "brought_") if row.brought_claim_id else None,
        changed=_past_import(row, "changed_") if row.changed_claim_id else None,
    )


def _imports_query(
    client: str, file: str | None, since: dt.datetime | None, until: dt.datetime | None, *, only_failures: bool
) -> Select[tuple[Any, ...]]:
    query = select(*(imports.c[name] for name in _COLUMNS)).where(imports.c.client == client)
    if file is not None:
        query = query.where(imports.c.file == shown_name(file))
    if since is not None:
        query = query.where(imports.c.committed_at >= since)
    if until is not None:
        query = query.where(imports.c.committed_at < until)
    if only_failures:
        query = query.where(HAS_FAILURES)
    return query.order_by(imports.c.committed_at.desc(), imports.c.claim_id.desc())


def _user_query(format_: Format, client: str, key: str) -> Select[tuple[Any, ...]]:
    users = user_table(format_)
    brought, changed = imports.alias("brought"), imports.alias("changed")
    ours = (users.c[name] for name in ("client", "created_at", "updated_at", "created_by", "updated_by"))
    return (
        select(*ours, *_labelled(brought), *_labelled(changed))
        .outerjoin_from(users, brought, brought.c.claim_id == users.c.created_by)
        .outerjoin(changed, changed.c.claim_id == users.c.updated_by)
        .where(is_user(users, format_, client, key))
    )


def _labelled(entry: Any) -> Iterator[Any]:  # noqa: ANN401 - an alias of a table
    return (entry.c[name].label(f"{entry.name}_{name}") for name in _COLUMNS)


def _past_import(row: Row[Any], prefix: str) -> PastImport:
    values = {name: row._mapping[prefix + name] for name in _COLUMNS}  # noqa: SLF001 - public, in SQLAlchemy's words
    # Examples are cells of a file, so they stay where they are.
    reasons = (
        FailureCount(code=reason["code"], column=reason["column"], count=reason["count"])
        for reason in values["reasons"]
    )
    return PastImport(
        **{name: values[name] for name in _PLAIN},
        status=Status(values["status"]),
        counts=Counts(**{name: values[name] for name in _COUNTS}),
        reasons=tuple(reasons),
        remarks=tuple(warning["code"] for warning in values["warnings"]),
    )
