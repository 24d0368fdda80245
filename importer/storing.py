"""Users, the ledger and the notices: what one import writes, in one transaction.

The accepted rows are staged in a temporary table and merged set by set; a user's null keeps the stored value, CLEAR
empties it. All statements are SQLAlchemy's, so that SQLite and PostgreSQL run the same ones.
"""

import dataclasses
import datetime as dt
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    MetaData,
    Row,
    Table,
    Text,
    and_,
    bindparam,
    case,
    delete,
    false,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.schema import CreateTable, DropTable

from importer.archiving import BAK, archive_names
from importer.claiming import Copied
from importer.database import (
    LOOKUP_TABLES,
    imports,
    notices,
    reading_engine,
    unique_columns,
    user_table,
)
from importer.examining import Examination
from importer.format import CLEAR, Format, Lookup
from importer.model import (
    Audience,
    Claim,
    Counts,
    Finding,
    Imported,
    Notice,
    NoticeKind,
    ReasonCount,
    Refusal,
    Refused,
    Superseded,
    shown_name,
)
from importer.validating import failures_frame, in_order, sentence, shown

_STAGED_ROWS = 20_000
_TOLD_WARNINGS = frozenset({"may_be_cut"})
"""Warnings that are worth a mail though no row failed: a value that was cut off looks like any other."""
_NOTHING = Copied(size=0, sha256="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the ledger needs to know of an import before it can finish it."""

    claim: Claim
    sha256: str
    archive: str
    report: str | None
    is_archived: bool
    is_quarantined: bool


class Store:
    """The database as the importer sees it.

    Args:
        engine: see `importer.database.make_engine`; already migrated.
        format_: the columns of `users`.
    """

    def __init__(self, engine: Engine, format_: Format) -> None:
        self._engine = engine
        self._format = format_
        self._users = user_table(format_)

    def known_format(self) -> Format:
        """The format, its lookups extended by the site's tables.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database cannot be read.
        """
        lookups = dict(self._format.lookups)
        with reading_engine(self._engine).begin() as connection:
            for name, table in LOOKUP_TABLES.items():
                if name in lookups:
                    stored = {row.id: row.name for row in connection.execute(select(table))}
                    lookups[name] = Lookup(noun=lookups[name].noun, entries={**stored, **lookups[name].entries})
        return replace(self._format, lookups=lookups)

    def entry(self, claim: Claim) -> Entry | None:
        """The ledger's entry of a claim, None where it was never committed."""
        with reading_engine(self._engine).begin() as connection:
            row = connection.execute(select(imports).where(imports.c.claim_id == claim.id)).one_or_none()
        return None if row is None else _entry(row, claim.name)

    def unarchived(self, client: str) -> list[Entry]:
        """Committed imports whose files are not known to lie in bak, oldest first."""
        pending = (
            select(imports)
            .where(imports.c.archived_at.is_(None), imports.c.client == client, imports.c.status != "quarantined")
            .order_by(imports.c.claim_id)
        )
        with reading_engine(self._engine).begin() as connection:
            return [_entry(row, row.file) for row in connection.execute(pending)]

    def mark_archived(self, claim: Claim, at: dt.datetime) -> None:
        """The file lies in bak under the ledger's name."""
        with self._engine.begin() as connection:
            connection.execute(update(imports).where(imports.c.claim_id == claim.id).values(archived_at=at))

    def rename_archive(self, claim: Claim, at: dt.datetime) -> Entry:
        """Give an import other names in bak, because somebody else's file has taken them."""
        with self._engine.begin() as connection:
            row = connection.execute(select(imports).where(imports.c.claim_id == claim.id)).one()
            archive, report = self._names(connection, claim, at)
            values = {"archive": archive, "report": report if row.report else None}
            connection.execute(update(imports).where(imports.c.claim_id == claim.id).values(values))
        return replace(_entry(row, claim.name), archive=archive, report=values["report"])

    def import_users(
        self,
        claim: Claim,
        copied: Copied,
        examination: Examination,
        *,
        at: dt.datetime,
        seconds: Callable[[], float],
        write_report: Callable[[Examination], None],
    ) -> Imported:
        """Merge the accepted rows, with the ledger's entry and the notices, in one transaction.

        Args:
            claim: what is imported.
            copied: its size and hash.
            examination: its rows; rows whose unique values other users hold fail here.
            at: now.
            seconds: how long the import has taken so far.
            write_report: makes the failed-users CSV durable before the commit.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: nothing was committed, unless the commit itself failed: ask `entry`.
            OSError: the report could not be written; nothing was committed.
        """
        with self._engine.connect() as connection:
            staging = _Staging(connection, self._format, examination)
            with connection.begin():
                examination.fail(_Conflicts(connection, self._users, staging, self._format, claim.client).drop())
                if examination.counts.failed:
                    write_report(examination)
                counts = self._merge(connection, claim, staging, examination.counts, at)
                archive, report = self._names(connection, claim, at)
                done = Imported(
                    claim=claim,
                    counts=counts,
                    reasons=examination.reason_counts(),
                    warnings=examination.warnings,
                    sha256=copied.sha256,
                    same_as=_same_as(connection, claim, copied),
                    seconds=seconds(),
                    archive=archive,
                    report=report if counts.failed else None,
                )
                _write_entry(connection, _imported_values(done, copied, at))
                if counts.failed or any(warning.code in _TOLD_WARNINGS for warning in done.warnings):
                    _write_notice(connection, _notice_of(done), at)
        return done

    def refuse(
        self, claim: Claim, copied: Copied | None, refusal: Refusal, *, at: dt.datetime, seconds: float
    ) -> Refused:
        """Record that a file was refused, and tell the sender and the admin.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: nothing was recorded.
        """
        content = copied or _NOTHING
        with self._engine.begin() as connection:
            archive, _ = self._names(connection, claim, at)
            done = Refused(claim=claim, refusal=refusal, sha256=content.sha256, seconds=seconds, archive=archive)
            values = {"refusal_code": refusal.code, "refusal_message": refusal.message, "seconds": seconds}
            same_as = _same_as(connection, claim, content)
            _write_entry(connection, _values(claim, "refused", content, archive, at) | values | {"same_as": same_as})
            notice = Notice(
                client=claim.client,
                audience=Audience.CLIENT,
                kind=NoticeKind.REFUSED,
                file=shown_name(claim.name),
                claim_id=claim.id,
                refusal=refusal,
                archive=archive,
            )
            _write_notice(connection, notice, at)
            _write_notice(connection, notice.to(Audience.ADMIN), at)
        return done

    def supersede(self, claim: Claim, *, at: dt.datetime) -> Superseded:
        """Record that a file changed while it was taken, and that a newer one of its name has come since."""
        with self._engine.begin() as connection:
            archive, _ = self._names(connection, claim, at)
            _write_entry(connection, _values(claim, "superseded", _NOTHING, archive, at))
            _write_notice(connection, _plain_notice(claim, NoticeKind.SUPERSEDED, Audience.CLIENT, archive), at)
        return Superseded(claim=claim, archive=archive)

    def quarantine(self, claim: Claim, *, at: dt.datetime) -> None:
        """Record that a file is set aside, and tell the admin."""
        with self._engine.begin() as connection:
            values = _values(claim, "quarantined", _NOTHING, "", at)
            _write_entry(connection, values)
            _write_notice(connection, _plain_notice(claim, NoticeKind.QUARANTINED, Audience.ADMIN, None), at)

    def notify(self, notice: Notice, *, once: str, at: dt.datetime) -> None:
        """Store a notice about a file that was not claimed, unless that was done under the same `once` before."""
        with self._engine.begin() as connection:
            told = connection.execute(select(notices.c.id).where(notices.c.once == once)).first()
            if told is None:
                _write_notice(connection, notice, at, once=once)

    def _names(self, connection: Connection, claim: Claim, at: dt.datetime) -> tuple[str, str]:
        # A mail may name a file that has left bak since, so its name is not given to another one.
        namesakes = and_(imports.c.client == claim.client, imports.c.file == shown_name(claim.name))
        promised = select(imports.c.archive, imports.c.report).where(
            imports.c.directory == str(claim.directory), or_(imports.c.archived_at.is_(None), namesakes)
        )
        taken = {name for row in connection.execute(promised) for name in row}
        bak = claim.directory / BAK
        return archive_names(claim.name, at, lambda name: name in taken or os.path.lexists(bak / name))

    def _merge(
        self, connection: Connection, claim: Claim, staging: "_Staging", counts: Counts, at: dt.datetime
    ) -> Counts:
        merge = _Merge(self._users, staging, self._format, claim, at)
        unchanged = connection.execute(merge.drop_unchanged()).rowcount
        for statement in merge.free_unique_values():
            connection.execute(statement)
        updated = connection.execute(merge.update()).rowcount
        inserted = connection.execute(merge.insert()).rowcount
        if inserted + updated + unchanged != counts.accepted:
            message = f"{counts.accepted} rows were accepted, but {inserted} + {updated} + {unchanged} stored"
            raise ArithmeticError(message)
        return replace(counts, inserted=inserted, updated=updated, unchanged=unchanged)


class _Staging:
    """The accepted rows in a temporary table, which no other connection sees and no write lock is needed for."""

    def __init__(self, connection: Connection, format_: Format, examination: Examination) -> None:
        first = next(iter(examination.accepted()), None)
        self.columns = [] if first is None else [name for name in first.columns if name not in {"row", "line"}]
        self.key = format_.key
        self.examination = examination
        self.table = Table(
            "staged",
            MetaData(),
            Column("row", Integer, primary_key=True),
            *(Column(name, Text) for name in self.columns),
            prefixes=["TEMPORARY"],
        )
        with connection.execution_options(sqlite_begin="DEFERRED").begin():
            connection.execute(DropTable(self.table, if_exists=True))
            connection.execute(CreateTable(self.table))
            for frame in examination.accepted():
                self._load(connection, frame)
        connection.execution_options(sqlite_begin="IMMEDIATE")

    def _load(self, connection: Connection, frame: pl.DataFrame) -> None:
        for rows in frame.drop("line").iter_slices(_STAGED_ROWS):
            if rows.height:
                connection.execute(insert(self.table), rows.to_dicts())


class _Conflicts:
    """Accepted rows whose unique values belong to other users, unless this file takes them away from those."""

    def __init__(self, connection: Connection, users: Table, staging: _Staging, format_: Format, client: str) -> None:
        self._connection = connection
        self._users = users
        self._staging = staging
        self._format = format_
        self._client = client
        self._key = unique_columns(format_)[format_.key]

    def drop(self) -> pl.DataFrame:
        """Take conflicting rows out of the staging, until none is left; returns them as a failures frame.

        A row that falls out no longer gives its user another value, which may make another row conflict.
        """
        dropped: list[pl.DataFrame] = []
        while failures := [frame for frame in self._found() if frame.height]:
            dropped += failures
            rows = sorted({row for frame in failures for row in frame["row"].to_list()})
            staged = self._staging.table
            self._connection.execute(
                delete(staged).where(staged.c.row == bindparam("failed_row")), [{"failed_row": row} for row in rows]
            )
        return in_order(dropped)

    def _found(self) -> Iterator[pl.DataFrame]:
        names = [column.name for column in self._format.columns]
        for name, compared in unique_columns(self._format).items():
            if name != self._format.key and compared in self._staging.columns:
                rows = self._connection.execute(self._query(name, compared)).all()
                frame = pl.DataFrame(rows, schema={"row": pl.Int64, "value": pl.String}, orient="row")
                label = self._staging.examination.header.label(name)
                message = sentence("duplicate_user", label, {"value": shown(pl.col("value"))})
                yield failures_frame(frame, "duplicate_user", name, names.index(name), message)

    def _query(self, name: str, compared: str) -> Any:  # noqa: ANN401 - SQLAlchemy's own row type says nothing more
        staged, users, owner = self._staging.table, self._users, self._staging.table.alias("owner")
        key = self._key
        return (
            select(staged.c.row, staged.c[name])
            .join(users, and_(users.c.client == self._client, users.c[compared] == staged.c[compared]))
            .outerjoin(owner, owner.c[key] == users.c[key])
            .where(
                staged.c[compared] != CLEAR,
                users.c[key] != staged.c[key],
                or_(owner.c.row.is_(None), owner.c[compared].is_(None)),
            )
        )


class _Merge:
    """The statements that make the staged rows users."""

    def __init__(self, users: Table, staging: _Staging, format_: Format, claim: Claim, at: dt.datetime) -> None:
        self._users = users
        self._staged = staging.table
        self._columns = staging.columns
        self._format = format_
        self._claim = claim
        self._at = at
        key = unique_columns(format_)[format_.key]
        self._same_user = and_(users.c.client == claim.client, users.c[key] == self._staged.c[key])

    def drop_unchanged(self) -> Any:  # noqa: ANN401 - see _Conflicts._query
        """Take the rows out of the staging that repeat what is stored."""
        changed = [self._changes(name) for name in self._columns if name != self._format.key]
        same = select(literal(1)).where(self._same_user, ~or_(false(), *changed))
        return delete(self._staged).where(same.exists())

    def free_unique_values(self) -> Iterator[Any]:
        """Let go of unique values that a user is about to change, so that another row may take them over."""
        for name, compared in unique_columns(self._format).items():
            if name != self._format.key and compared in self._columns:
                given = self._staged.c[compared]
                change = select(literal(1)).where(self._same_user, given != self._users.c[compared])
                yield update(self._users).where(change.exists()).values({compared: null()})

    def update(self) -> Any:  # noqa: ANN401 - see _Conflicts._query
        """Change the users that are there."""
        values = {name: self._merged(name) for name in self._columns if name != self._format.key}
        mark = {"updated_at": self._at, "updated_by": self._claim.id}
        return update(self._users).where(self._same_user).values({**values, **mark})

    def insert(self) -> Any:  # noqa: ANN401 - see _Conflicts._query
        """Add the users that are not there."""
        values: dict[str, ColumnElement[Any]] = {
            "client": literal(self._claim.client),
            "created_at": literal(self._at, self._users.c.created_at.type),
            "updated_at": literal(self._at, self._users.c.updated_at.type),
            "created_by": literal(self._claim.id),
            "updated_by": literal(self._claim.id),
            **{name: literal(value) for name, value in self._format.defaults.items()},
            **{name: self._given(name) for name in self._columns},
        }
        there = select(literal(1)).where(self._same_user).exists()
        new = select(*values.values()).select_from(self._staged).where(~there)
        return insert(self._users).from_select([*values], new).execution_options(preserve_rowcount=True)

    def _changes(self, name: str) -> ColumnElement[bool]:
        return and_(self._staged.c[name].is_not(None), self._given(name).is_distinct_from(self._users.c[name]))

    def _given(self, name: str) -> ColumnElement[Any]:
        given = func.nullif(self._staged.c[name], CLEAR)
        default = self._format.defaults.get(name)
        return given if default is None else func.coalesce(given, default)

    def _merged(self, name: str) -> ColumnElement[Any]:
        return case((self._staged.c[name].is_(None), self._users.c[name]), else_=self._given(name))


def _entry(row: Row[Any], name: str) -> Entry:
    return Entry(
        claim=Claim(id=row.claim_id, client=row.client, directory=Path(row.directory), name=name),
        sha256=row.sha256,
        archive=row.archive,
        report=row.report,
        is_archived=row.archived_at is not None,
        is_quarantined=row.status == "quarantined",
    )


def _same_as(connection: Connection, claim: Claim, copied: Copied) -> str | None:
    earlier = select(func.min(imports.c.claim_id)).where(
        imports.c.client == claim.client, imports.c.sha256 == copied.sha256, imports.c.sha256 != ""
    )
    found: str | None = connection.execute(earlier).scalar_one()
    return found


def _values(claim: Claim, status: str, copied: Copied, archive: str, at: dt.datetime) -> dict[str, Any]:
    """An entry of the ledger of which nothing was imported."""
    return {
        "claim_id": claim.id,
        "client": claim.client,
        "directory": str(claim.directory),
        "file": shown_name(claim.name),
        "status": status,
        "size": copied.size,
        "sha256": copied.sha256,
        **dataclasses.asdict(Counts()),
        "reasons": [],
        "warnings": [],
        "seconds": 0.0,
        "committed_at": at,
        "archive": archive,
    }


def _imported_values(done: Imported, copied: Copied, at: dt.datetime) -> Mapping[str, Any]:
    return _values(done.claim, "imported", copied, done.archive, at) | {
        **dataclasses.asdict(done.counts),
        "reasons": _plain(done.reasons),
        "warnings": _plain(done.warnings),
        "same_as": done.same_as,
        "seconds": done.seconds,
        "report": done.report,
    }


def _plain(findings: tuple[Finding, ...] | tuple[ReasonCount, ...]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(finding) for finding in findings]


def _notice_of(done: Imported) -> Notice:
    return Notice(
        client=done.claim.client,
        audience=Audience.CLIENT,
        kind=NoticeKind.IMPORTED,
        file=shown_name(done.claim.name),
        claim_id=done.claim.id,
        counts=done.counts,
        reasons=done.reasons,
        warnings=done.warnings,
        archive=done.archive,
        report=done.report,
    )


def _plain_notice(claim: Claim, kind: NoticeKind, audience: Audience, archive: str | None) -> Notice:
    return Notice(
        client=claim.client,
        audience=audience,
        kind=kind,
        file=shown_name(claim.name),
        claim_id=claim.id,
        archive=archive,
    )


def _write_entry(connection: Connection, values: Mapping[str, Any]) -> None:
    connection.execute(insert(imports).values(values))


def _write_notice(connection: Connection, notice: Notice, at: dt.datetime, *, once: str | None = None) -> None:
    facts = dataclasses.asdict(notice)
    values = {"client": notice.client, "audience": notice.audience, "facts": facts, "created_at": at, "once": once}
    connection.execute(insert(notices).values(values))
