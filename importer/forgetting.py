"""Removing a person: the user, what the ledger and reports repeat of the rows that failed, and, if asked, whole files.

A person is found by the key and by the stored unique values, such as an address, compared without case. A file names
a person when one of its cells is such a value. The ledger keeps its counts.
"""

import gzip
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Connection, Engine, Table, delete, select, update

from importer.anchoring import anchored
from importer.archiving import BAK
from importer.claiming import QUARANTINE_DIRECTORY, lying_aside, set_aside
from importer.database import imports, is_user, mails, notices, user_table
from importer.dialect import GZIP_MAGIC, marked_encoding
from importer.engines import reading_engine
from importer.format import Format, unique_columns
from importer.renaming import fsync_directory
from importer.whole_records import whole_records

_SEPARATORS = re.compile("[,;\t|]")
_AROUND = " \t\r\n\"'\ufeff"
_DRAFT = ".userdrop-forgetting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What was found of a person.

    Attributes:
        was_user: whether there was such a user, who is gone.
        reports: names in bak of the reports from which rows were removed.
        files: files in bak and in quarantine that name the person, relative to the client's directory.
        mails: numbers of the mails that name the person.
        examples: how many examples of failed rows were removed from ledger and notices.
    """

    was_user: bool
    reports: tuple[str, ...]
    files: tuple[str, ...]
    mails: tuple[int, ...]
    examples: int

    @property
    def is_nothing(self) -> bool:
        """Whether nobody of that key was known."""
        return not (self.was_user or self.reports or self.files or self.mails or self.examples)


def forget(engine: Engine, format_: Format, client: str, directory: Path, key: str, *, with_files: bool) -> Forgotten:
    """Remove a person: first from files, which may take long and holds up nobody, then from the database.

    When it is cut short, what the person is known by is still stored, and it can be done again.

    Args:
        engine: of the service's database.
        format_: says what is unique.
        client: whose user it is.
        directory: the client's.
        key: the user's; it need not be stored, as a row that failed may hold it.
        with_files: whether files and mails that name the person are removed, or only listed.

    Raises:
        OSError: a file cannot be read or removed.
        sqlalchemy.exc.SQLAlchemyError: the database failed.
    """
    users = user_table(format_)
    with reading_engine(engine).begin() as connection:
        values, was_user = _user(connection, users, format_, client, key)
        names = {*_report_names(connection, client)}
    changed: list[str] = []
    files: list[str] = []
    with ExitStack() as places:
        for label, path in _files(directory, places):
            if path.name in names and label.startswith(f"{BAK}/"):
                changed += [path.name] if _without_rows(path, values) else []
            elif _names_somebody(path, values):
                files.append(label)
                if with_files:
                    path.unlink(missing_ok=True)
                    fsync_directory(path.parent)
    with engine.begin() as connection:
        examples = _without_examples(connection, imports, imports.c.claim_id, client, values)
        examples += _without_examples(connection, notices, notices.c.id, client, values)
        connection.execute(delete(users).where(is_user(users, format_, client, key)))
        named = [number for number, text in _mails(connection, client) if _names(text, values)]
        if with_files:
            connection.execute(delete(mails).where(mails.c.id.in_(named)))
    return Forgotten(
        was_user=was_user,
        reports=tuple(changed),
        files=tuple(files),
        mails=tuple(named),
        examples=examples,
    )


def _user(connection: Connection, users: Table, format_: Format, client: str, key: str) -> tuple[frozenset[str], bool]:
    """What the person is known by, without case, and whether there is such a user."""
    query = select(*(users.c[name] for name in unique_columns(format_))).where(is_user(users, format_, client, key))
    row = connection.execute(query).one_or_none()
    return frozenset(value.casefold() for value in (key, *(row or ())) if value), row is not None


def _without_examples(connection: Connection, table: Any, id_: Any, client: str, values: frozenset[str]) -> int:  # noqa: ANN401 - tables and columns
    """Remove the examples that repeat one of the values; returns how many."""
    column = table.c.reasons if "reasons" in table.c else table.c.facts
    removed = 0
    for row in [*connection.execute(select(id_, column).where(table.c.client == client))]:
        told = row[1]
        reasons = told if column.name == "reasons" else told.get("reasons") or []
        found = [reason for reason in reasons if _names(reason["example"], values)]
        for reason in found:
            reason["example"] = ""
        if found:
            connection.execute(update(table).where(id_ == row[0]).values({column.name: told}))
            removed += len(found)
    return removed


def _mails(connection: Connection, client: str) -> Iterator[tuple[int, str]]:
    for row in connection.execute(select(mails.c.id, mails.c.subject, mails.c.text).where(mails.c.client == client)):
        yield row.id, f"{row.subject}\n{row.text}"


def _names(text: str, values: frozenset[str]) -> bool:
    """Whether one of the values stands in a text, as a word of its own."""
    either = "|".join(map(re.escape, values))
    return re.search(rf"(?<!\w)(?:{either})(?!\w)", text, re.IGNORECASE) is not None


def _report_names(connection: Connection, client: str) -> Iterable[str]:
    query = select(imports.c.report).where(imports.c.client == client, imports.c.report.is_not(None))
    return connection.execute(query).scalars()


def _files(directory: Path, places: ExitStack) -> Iterator[tuple[str, Path]]:
    """The files in bak and in quarantine: what they are called, and a path that is good until `places` closes."""
    with suppress(FileNotFoundError, NotADirectoryError):
        bak = places.enter_context(anchored(directory / BAK))
        for path in sorted(path for path in bak.iterdir() if path.is_file() and not path.is_symlink()):
            yield f"{BAK}/{path.name}", path
    for each in set_aside(directory):
        path = places.enter_context(lying_aside(each, directory))
        yield f"{QUARANTINE_DIRECTORY}/{each.claim_id}/{each.name}", path


def _without_rows(report: Path, values: frozenset[str]) -> bool:
    """Write a report anew without the rows that name the person; False where none does."""
    if not _names_somebody(report, values):
        return False
    draft = report.with_name(_DRAFT)
    with report.open("rb") as old, draft.open("wb") as new:
        for number, record in enumerate(whole_records(old)):
            if number == 0 or not _is_named(record.decode("utf-8", "surrogateescape"), values):
                new.write(record)
        status = os.fstat(old.fileno())
        os.fchmod(new.fileno(), status.st_mode)
        os.fchown(new.fileno(), -1, status.st_gid)
        new.flush()
        os.fsync(new.fileno())
    draft.replace(report)
    fsync_directory(report.parent)
    return True


def _names_somebody(path: Path, values: frozenset[str]) -> bool:
    with ExitStack() as stack:
        file: BinaryIO = stack.enter_context(path.open("rb"))
        head = file.read(4)
        file.seek(0)
        if head.startswith(GZIP_MAGIC):
            file = stack.enter_context(gzip.open(file))  # type: ignore[assignment]
        encodings: Sequence[str] = [marked[0]] if (marked := marked_encoding(head)) else ["utf-8", "cp1252"]
        try:
            return any(_is_named(line, values) for line in _lines(file, encodings))
        except (EOFError, gzip.BadGzipFile):
            return False  # a damaged file, of which nothing was imported


def _lines(file: BinaryIO, encodings: Sequence[str]) -> Iterator[str]:
    """Its lines in each encoding that it may have; bytes that are none stay apart."""
    if encodings[0].startswith("utf-16"):
        yield from file.read().decode(encodings[0], "replace").splitlines()
        return
    for line in file:
        for encoding in encodings:
            yield line.decode(encoding, "replace")


def _is_named(record: str, values: frozenset[str]) -> bool:
    return any(cell.strip(_AROUND).casefold() in values for cell in _SEPARATORS.split(record))
