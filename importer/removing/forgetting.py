"""Removing a person: the user, what ledger, notices and reports repeat of the rows, and, if asked, files and mails.

A person is found by the key and by the stored unique values, such as an address. A file names a person when one of its
cells is such a value. The ledger keeps its counts. What is still there afterwards is told, with the reason.
"""

import html
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Engine, Row, Select, Table, delete, or_, select, update

from importer.database.engines import overwrite_removed, reading_engine, wipe_removed
from importer.database.tables import imports, is_user, mails, notices, user_table
from importer.durability import fsync_directory
from importer.files.anchoring import anchored
from importer.files.archiving import BAK
from importer.files.claiming import QUARANTINE_DIRECTORY, WORK_DIRECTORY
from importer.formats.columns import Format, unique_columns
from importer.model import shown_name
from importer.reading.grammar import WHITE_SPACE, Grammar, value
from importer.reading.guarding import unguarded_text
from importer.reading.whole_records import whole_records
from importer.removing.blanking import blanked
from importer.removing.persons import ELSEWHERE, Looked, Person, person

_DRAFT = ".userdrop-forgetting"
_FETCHED_ROWS = 1_000
_COPIES = frozenset({".copy", ".failed.csv"})
"""What a claim has of our own that holds cells, see `importer.model.Claim`."""

Look = Callable[[Path, str, Person], Looked]
"""Looks for a person in a file, which may be a bomb: its path, the sender's name, whom."""


class Place(StrEnum):
    """The kind of place in which a file lies."""

    BAK = BAK
    QUARANTINE = QUARANTINE_DIRECTORY
    WORK = WORK_DIRECTORY
    UPLOADS = "upload directory"
    MAILS = "mail directory"


_STAYS = {
    Place.WORK: "is being imported: the person comes back by it; forget again when that is done",
    Place.UPLOADS: "waits to be imported: the person comes back by it; have it withdrawn, or forget again afterwards",
}
_LISTED = "names the person; --files removes it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Something that still holds the person, or may: its name, and why it is there or what to do."""

    what: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """How much was looked through: files, entries of the ledger, notices and mails."""

    files: int
    entries: int
    notices: int
    mails: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """The result of a search for a person, and what was removed.

    Attributes:
        was_user: whether there was such a user, who is gone.
        reports: names in bak of the reports from which rows were removed.
        files: files that name the person, by their place and name.
        mails: numbers of the mails that name the person, or tell of a file that does.
        texts: how many texts of ledger and notices were emptied.
        with_files: whether those files and mails were removed, as far as they may be.
        searched: what was looked through.
        left: what still holds the person, or may.
    """

    was_user: bool
    reports: tuple[str, ...]
    files: tuple[str, ...]
    mails: tuple[int, ...]
    texts: int
    with_files: bool
    searched: Searched
    left: tuple[Left, ...]

    @property
    def is_nothing(self) -> bool:
        """Whether nobody of that key was known."""
        return not (self.was_user or self.reports or self.files or self.mails or self.texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The places that are searched for a person.

    Attributes:
        client: whose user it is.
        directory: the client's.
        mails: where mails lie as files, None where they do not.
    """

    client: str
    directory: Path
    mails: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file and its label; `key` is its name in bak, or elsewhere the claim's id."""

    place: Place
    key: str
    label: str
    path: Path


@dataclass(slots=True)
class _Found:
    """The finds of a search so far; `naming` and `unsure` are keys of files."""

    number: int = 0
    reports: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    there: set[str] = field(default_factory=set)
    naming: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)

    def leave(self, what: str, why: str) -> None:
        self.left.append(Left(what=what, why=why))


def forget(engine: Engine, format_: Format, where: Where, key: str, look: Look, *, with_files: bool) -> Forgotten:
    """Remove a person: first from files, which may take long and holds up nobody, then from the database.

    When it is cut short, what the person is known by is still stored, and it can be done again.

    Args:
        engine: of the service's database.
        format_: says what is unique.
        where: what is searched.
        key: the user's; it need not be stored, as a row that failed may hold it.
        look: looks into a file.
        with_files: whether files and mails that name the person are removed, or only listed.

    Raises:
        OSError: a directory cannot be read, or a file cannot be removed.
        sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    users, key = user_table(format_), key.strip(WHITE_SPACE)
    with reading_engine(engine).begin() as connection:
        wanted, was_user = _user(connection, users, format_, where.client, key)
        reports = {*connection.execute(select(imports.c.report).where(imports.c.client == where.client)).scalars()}
        others = {*map(_identity, connection.execute(_of_others(where.client)).scalars())}
    found, search = _Found(), _Search(wanted=wanted, look=look, reports=reports, with_files=with_files)
    with ExitStack() as places:
        for file in _files(where, others, places):
            search.of(file, found)
    with engine.begin() as connection:
        wipe_removed(connection)
        rows = _Rows(connection, where.client, wanted, found, was_user=was_user)
        texts, named = rows.without_texts(), rows.named_mails()
        connection.execute(delete(users).where(is_user(users, format_, where.client, key)))
        if with_files:
            _delete_mails(connection, named)
        searched = rows.searched()
    for number in () if with_files else named:
        found.leave(f"mail {number}", _LISTED)
    for remark in overwrite_removed(engine):
        found.leave("the database", remark)
    return Forgotten(
        was_user=was_user,
        reports=tuple(found.reports),
        files=tuple(found.files),
        mails=tuple(named),
        texts=texts,
        with_files=with_files,
        searched=searched,
        left=tuple(found.left),
    )


def _user(connection: Connection, users: Table, format_: Format, client: str, key: str) -> tuple[Person, bool]:
    """The values that the person is known by, and whether there is such a user."""
    query = select(*(users.c[name] for name in unique_columns(format_))).where(is_user(users, format_, client, key))
    row = connection.execute(query).one_or_none()
    if row is None:
        (names,) = (column.names for column in format_.columns if column.name == format_.key)
        return person([key], names), False
    return person([key, *row]), True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """How each file is searched, and what is done with those that name the person."""

    wanted: Person
    look: Look
    reports: Collection[str]
    with_files: bool

    def of(self, file: _File, found: _Found) -> None:
        found.number += 1
        found.there.add(file.key)
        try:
            looked = self._looked(file)
        except FileNotFoundError:
            found.leave(file.label, "went elsewhere while it was searched; forget again")
            return
        if looked.is_named:
            found.naming.add(file.key)
            self._remove(file, found)
        elif looked.hindrance is not None:
            found.unsure.add(file.key)
            found.leave(file.label, f"may hold the person: {looked.hindrance}")

    def _looked(self, file: _File) -> Looked:
        if not stat.S_ISREG(file.path.lstat().st_mode):
            return Looked(is_named=False, hindrance="it is no regular file")
        return self.look(file.path, file.path.name, self.wanted)

    def _remove(self, file: _File, found: _Found) -> None:
        if file.place is Place.BAK and file.path.name in self.reports:
            _without_rows(file.path, self.wanted)
            found.reports.append(file.path.name)
            if self._looked(file).is_named:
                found.leave(file.label, "still names the person, and not as one of our reports does; look into it")
            return
        found.files.append(file.label)
        if file.place in _STAYS:
            found.leave(file.label, _STAYS[file.place])
        elif self.with_files:
            file.path.unlink(missing_ok=True)
            fsync_directory(file.path.parent)
        else:
            found.leave(file.label, _LISTED)


def _of_others(client: str) -> Select[str]:
    """Mails of other clients, which lie as files beside this client's."""
    return select(mails.c.message_id).where(mails.c.client != client)


def _identity(message_id: str) -> str:
    """The end of the name under which a mail lies as a file."""
    return re.sub(r"[^A-Za-z0-9]", "", message_id.partition("@")[0])


def _files(where: Where, others: Collection[str], places: ExitStack) -> Iterator[_File]:
    """All files, in the order in which they go from one place to the next, by paths good until `places` closes.

    Mails are left out that are others', as their identities tell.
    """
    yield from _lying(Place.UPLOADS, where.directory, "")
    for place in (Place.QUARANTINE, Place.WORK):
        with suppress(FileNotFoundError, NotADirectoryError):
            outer = places.enter_context(anchored(where.directory / place))
            for claim in sorted(outer.iterdir()):
                with suppress(FileNotFoundError, NotADirectoryError), anchored(claim) as inner:
                    yield from _lying(place, inner, f"{place}/{claim.name}/", claim.name)
    with suppress(FileNotFoundError, NotADirectoryError):
        yield from _lying(Place.BAK, places.enter_context(anchored(where.directory / BAK)), f"{BAK}/")
    if where.mails is not None:
        with suppress(FileNotFoundError):
            lying = _lying(Place.MAILS, where.mails, f"{where.mails}/")
            yield from (file for file in lying if file.path.stem.rpartition("-")[2] not in others)


def _lying(place: Place, directory: Path, label: str, claim_id: str | None = None) -> Iterator[_File]:
    for path in sorted(directory.iterdir()):
        is_note = place is Place.WORK and path.name.startswith(".") and path.name not in _COPIES
        if not (is_note or stat.S_ISDIR(path.lstat().st_mode)):
            yield _File(place=place, key=claim_id or path.name, label=label + shown_name(path.name), path=path)


class _Rows:
    """The rows of ledger, notices and mails, which repeat what is in files."""

    def __init__(self, connection: Connection, client: str, wanted: Person, found: _Found, *, was_user: bool) -> None:
        self._connection, self._client, self._wanted, self._found = connection, client, wanted, found
        self._is_known = was_user or bool(found.naming)
        self._claims: set[str] = set()
        self._formed: set[Any] = set()
        self._entries = self._notices = self._mails = 0

    def searched(self) -> Searched:
        """How much was looked through."""
        return Searched(files=self._found.number, entries=self._entries, notices=self._notices, mails=self._mails)

    def without_texts(self) -> int:
        """Empty the texts of ledger and notices that name the person or come from the person's rows."""
        return self._entries_without() + self._notices_without()

    def _entries_without(self) -> int:
        emptied = 0
        for row in self._of(imports, imports.c.client == self._client):
            self._entries += 1
            if self._is_of_person(row):
                self._claims.add(row.claim_id)
            if self._wanted.is_in(row.file):
                self._found.leave(
                    f"the ledger's entry {row.claim_id}", "names the file, whose name may be the person's"
                )
            emptied += self._emptied(row, imports.c.claim_id, ("reasons", "warnings"), row.claim_id)
        return emptied

    def _notices_without(self) -> int:
        emptied = 0
        for row in self._of(notices, notices.c.client == self._client):
            self._notices += 1
            number = self._emptied(row, notices.c.id, ("facts",), row.facts.get("claim_id"))
            is_sure = number and not self._wanted.key_names
            if is_sure or row.facts.get("claim_id") in self._claims:
                self._formed.add(row.formed_at)
            emptied += number
        return emptied

    def named_mails(self) -> list[int]:
        """The mails that name the person, or that tell of a file that does."""
        named = []
        for row in self._of(mails, or_(mails.c.client == self._client, mails.c.client.is_(None))):
            self._mails += 1
            tells = row.client is not None and row.created_at in self._formed
            carries = any(each["claim_id"] in self._claims for each in row.attachments)
            says = any(map(self._wanted.is_in, _texts(row)))
            if tells or carries or (says and not self._wanted.key_names):
                named.append(row.id)
            elif says:
                self._found.leave(f"mail {row.id}", f"may name the person: {ELSEWHERE}")
        return named

    def _is_of_person(self, entry: Row[Any]) -> bool:
        """Whether one of the entry's files names the person, or may: where that cannot be told any more, it does."""
        keys = {name for name in (entry.archive, entry.report) if name} | {entry.claim_id}
        is_gone = entry.archived_at is not None and not keys - {entry.claim_id} <= self._found.there
        in_doubt = is_gone or not keys.isdisjoint(self._found.unsure)
        return not keys.isdisjoint(self._found.naming) or (self._is_known and in_doubt)

    def _emptied(self, row: Row[Any], id_: Column[Any], columns: tuple[str, ...], claim_id: str | None) -> int:
        told = {name: blanked(row._mapping[name], self._wanted, of_row=claim_id in self._claims) for name in columns}  # noqa: SLF001 - public, in SQLAlchemy's words
        number = sum(each for _, each in told.values())
        if number:
            values = {name: facts for name, (facts, _) in told.items()}
            self._connection.execute(update(id_.table).where(id_ == row[0]).values(values))
        return number

    def _of(self, table: Table, whose: ColumnElement[bool]) -> Iterator[Row[Any]]:
        """The rows, read a part at a time and each part in full, as they are changed meanwhile."""
        (id_,) = table.primary_key.columns
        query, last = select(table).where(whose).order_by(id_).limit(_FETCHED_ROWS), None
        while rows := self._connection.execute(query if last is None else query.where(id_ > last)).all():
            yield from rows
            last = rows[-1][0]


def _texts(row: Row[Any]) -> Iterator[str]:
    """Everything that a mail says."""
    unattached = row.unattached or {"text": "", "html": ""}
    yield from (row.subject, row.text, html.unescape(row.html), row.last_error or "")
    yield from (unattached["text"], html.unescape(unattached["html"]))


def _delete_mails(connection: Connection, numbers: list[int]) -> None:
    for start in range(0, len(numbers), _FETCHED_ROWS):
        connection.execute(delete(mails).where(mails.c.id.in_(numbers[start : start + _FETCHED_ROWS])))


def _without_rows(report: Path, wanted: Person) -> None:
    """Write a report anew without the rows that name the person."""
    with report.open("rb") as old, _replacing(report, old.fileno()) as write:
        names: list[bytes] = []
        grammar = Grammar(",")
        for record in whole_records(old):
            if not names:
                grammar = Grammar(_separator(record))
                names = [value(cell) for cell in grammar.cells(record.rstrip(b"\r\n"))]
                write(record)
            elif not _is_named(grammar.cells(record.rstrip(b"\r\n")), names, wanted):
                write(record)


def _separator(header: bytes) -> str:
    return ";" if b";import_error;" in header else ","


def _is_named(cells: list[bytes], names: list[bytes], wanted: Person) -> bool:
    texts = [unguarded_text(value(cell).decode("utf-8", "replace")) for cell in cells]
    columns = [name.decode("utf-8-sig", "replace") for name in names]
    if any(wanted.may_be_in(name) and wanted.is_cell(text) for name, text in zip(columns, texts, strict=False)):
        return True
    if wanted.key_names:
        return False
    of_rows = (text for name, text in zip(names, texts, strict=False) if name in {b"import_error", b"import_line"})
    return any(map(wanted.is_in, of_rows))


@contextmanager
def _replacing(path: Path, old: int) -> Iterator[Callable[[bytes], object]]:
    """Write a file's new content, with its mode and group; it is there as a whole or not at all."""
    draft = path.with_name(_DRAFT)
    with draft.open("wb") as new:
        yield new.write
        status = os.fstat(old)
        os.fchmod(new.fileno(), status.st_mode)
        if os.fstat(new.fileno()).st_gid != status.st_gid:
            os.fchown(new.fileno(), -1, status.st_gid)
        new.flush()
        os.fsync(new.fileno())
    draft.replace(path)
    fsync_directory(path.parent)
