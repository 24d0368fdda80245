"""How the reports of a mail travel: as they are, merged, zipped, cut, or not at all."""

import contextlib
import errno
import io
import os
import stat
import zipfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import BinaryIO

from importer.words.details import detail, os_error_detail
from notifier.csv_cutting import Cut, first_records, header_of
from notifier.letters import MOST_ATTACHMENTS, Notes
from notifier.model import LeasedMail, Report

LARGEST = 10_000_000
"""Bytes of a whole message, where the server names no smaller SIZE."""
ENCODED = 1.37
"""How much base64 with its line ends adds."""
_CHUNK = 1 << 16
_PLAIN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NOTHING_THERE = {errno.ENOENT, errno.ELOOP, errno.ENXIO}
"""No file; a link, or a socket, that somebody has put in its place."""


class Packing(IntEnum):
    """How the reports travel; each step is smaller than the one before."""

    FILES = 0
    ZIP = 1
    FIRST_ROWS = 2
    NOTHING = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """The files that a message carries, and what its reader must know about those it does not."""

    packing: Packing
    files: tuple[tuple[str, bytes], ...] = ()
    note: str = ""


class UnreadError(Exception):
    """A report cannot be read, and nothing proves that it is gone; `detail` names the directory and why."""

    def __init__(self, report: Report, error: OSError) -> None:
        super().__init__(report, error)
        self.detail = detail("at", where=str(report.directory), why=os_error_detail(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A CSV to attach: one report, or several with the same header one after the other."""

    name: str
    reports: tuple[Report, ...]
    header_bytes: int
    size: int

    def chunks(self) -> Generator[bytes]:
        """Its bytes.

        Raises:
            UnreadError: a report is gone meanwhile, or cannot be read.
        """
        for report, file in self._files():
            with _reading(report):
                yield from iter(partial(file.read, _CHUNK), b"")

    def lines(self) -> Generator[bytes]:
        """The same in lines."""
        for report, file in self._files():
            with _reading(report):
                yield from file

    def _files(self) -> Generator[tuple[Report, BinaryIO]]:
        for number, report in enumerate(self.reports):
            file = _find(report)
            if file is None:
                raise UnreadError(report, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
            with file:
                file.seek(self.header_bytes if number else 0)
                yield report, file


def pack(
    mail: LeasedMail,
    reports: Sequence[Report],
    notes: Notes,
    *,
    largest: int,
    at_least: Packing,
    waits: bool = True,
) -> Packed:
    """Read the reports of a mail and pack them so that the message stays within `largest` bytes, if it can.

    More than MOST_ATTACHMENTS reports are merged, those with equal headers into one. What is too large becomes a ZIP,
    and what is too large as that is cut behind the first rows that fit.

    Args:
        mail: whose reports they are.
        reports: where they lie; one that is nowhere is named in the note.
        notes: the words for what the letter could not know.
        largest: bytes of the whole message.
        at_least: the first packing to consider, after the server refused the one before.
        waits: whether the mail waits for a report that cannot be read; otherwise the note names it.

    Raises:
        UnreadError: a report cannot be read for now, and the mail waits for it.
    """
    if not mail.letter.attachments:
        return Packed(packing=Packing.NOTHING)
    bounds = _Bounds(budget=_budget(mail, largest), at_least=at_least)
    try:
        return _packed_with_notes(mail, reports, notes, bounds)
    except UnreadError:
        if waits:
            raise
    unread = [report for report in reports if not _is_readable(report)]
    readable = [report for report in reports if report not in unread]
    try:
        return _packed_with_notes(mail, readable, notes, bounds, unread=unread)
    except UnreadError:
        return _packed_with_notes(mail, (), notes, bounds, unread=reports)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bounds:
    """Bytes of attachments before they are encoded, and the first packing to consider."""

    budget: int
    at_least: Packing


def _packed_with_notes(
    mail: LeasedMail, reports: Sequence[Report], notes: Notes, bounds: _Bounds, *, unread: Sequence[Report] = ()
) -> Packed:
    parts = _parts(reports)
    known = {report.attachment for report in (*unread, *(report for part in parts for report in part.reports))}
    lost = [attachment.filename for attachment in mail.letter.attachments if attachment not in known]
    packed = _packed(parts, notes, bounds) if parts else Packed(packing=Packing.NOTHING)
    said = (packed.note, notes.lost(lost), notes.unread([report.in_bak for report in unread]))
    return Packed(packing=packed.packing, files=packed.files, note=" ".join(filter(None, said)))


def _budget(mail: LeasedMail, largest: int) -> int:
    """Bytes of attachments before they are encoded."""
    return int((largest - 2 * len(mail.letter.text) - 2 * len(mail.letter.html) - 4096) / ENCODED)


def _packed(parts: Sequence[_Part], notes: Notes, bounds: _Bounds) -> Packed:
    budget, at_least = bounds.budget, bounds.at_least
    fits = sum(part.size for part in parts) <= budget
    if at_least <= Packing.FILES and fits and len(parts) <= MOST_ATTACHMENTS:
        files = tuple((part.name, b"".join(part.chunks())) for part in parts)
        return Packed(packing=Packing.FILES, files=files)
    if at_least <= Packing.ZIP and (zipped := _zip(parts, budget)) is not None:
        note = notes.many_zipped() if fits and at_least < Packing.ZIP else notes.zipped()
        return Packed(packing=Packing.ZIP, files=(("failed.zip", zipped),), note=note)
    names = [report.in_bak for part in parts for report in part.reports]
    if at_least <= Packing.FIRST_ROWS:
        cuts = [(part, _cut(part, budget // min(len(parts), MOST_ATTACHMENTS))) for part in parts[:MOST_ATTACHMENTS]]
        files = tuple((_first_name(part.name), cut.content) for part, cut in cuts if cut.records)
        if files:
            note = notes.first_rows(sum(cut.records for _, cut in cuts), names)
            return Packed(packing=Packing.FIRST_ROWS, files=files, note=note)
    return Packed(packing=Packing.NOTHING, note=notes.too_large(names))


def _cut(part: _Part, limit: int) -> Cut:
    with contextlib.closing(part.lines()) as lines:
        return first_records(lines, limit)


def _first_name(name: str) -> str:
    return f"{name.removesuffix('.csv').removesuffix('.failed')}.first-rows.failed.csv"


def _parts(reports: Sequence[Report]) -> list[_Part]:
    """The CSVs that there are to attach, in the order of the reports; those that lie nowhere are left out."""
    looks = [(report, *look) for report in reports if (look := _looked_at(report)) is not None]
    if len(looks) <= MOST_ATTACHMENTS:
        return [
            _Part(name=report.attachment.filename, reports=(report,), header_bytes=len(header), size=size)
            for report, header, size in looks
        ]
    alike: dict[bytes, list[tuple[Report, int]]] = {}
    for report, header, size in looks:
        alike.setdefault(header, []).append((report, size))
    return [
        _Part(
            name=f"failed-users{f'-{number}' if number > 1 else ''}.csv",
            reports=tuple(report for report, _ in members),
            header_bytes=len(header),
            size=sum(size for _, size in members) - (len(members) - 1) * len(header),
        )
        for number, (header, members) in enumerate(alike.items(), start=1)
    ]


def _looked_at(report: Report) -> tuple[bytes, int] | None:
    """The header of a report and its size in bytes, where it lies somewhere."""
    file = _find(report)
    if file is None:
        return None
    with file, _reading(report):
        return header_of(file), os.fstat(file.fileno()).st_size


def _is_readable(report: Report) -> bool:
    try:
        file = _find(report)
    except UnreadError:
        return False
    if file is not None:
        file.close()
    return True


@contextlib.contextmanager
def _reading(report: Report) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnreadError(report, error) from error


def _find(report: Report) -> BinaryIO | None:
    """The report, opened at the first place where it lies; None where it is proven to lie nowhere.

    Proof is the service's own directory in which it would lie: the place where an upload directory was mounted, or
    another one that was put there, has none. All is looked for in one directory that is held open, as one that comes
    back meanwhile proves nothing of what was looked for before. An import that ends moves its report, but once only.

    Raises:
        UnreadError: nothing is proven.
    """
    with _reading(report), _held(report.directory) as upload:
        places = [upload / place.relative_to(report.directory) for place in report.places]
        for _ in range(2):
            file = next((file for place in places if (file := _opened(place))), None)
            if file is not None:
                return file
            _prove_gone(upload / report.places[0].relative_to(report.directory).parts[0])
    return None


@contextlib.contextmanager
def _held(directory: Path) -> Iterator[Path]:
    """A path that stays with a directory, whatever takes its name meanwhile."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _prove_gone(inside: Path) -> None:
    """Look into where a report would lie most likely.

    Raises:
        OSError: it cannot, or is none of the service's own.
    """
    with _own_directory(inside):
        return


def _opened(place: Path) -> BinaryIO | None:
    """A plain file of our own, or None where none lies.

    Who owns the upload directory can put links there; neither bak nor the report may lead to a file of anybody else.

    Raises:
        OSError: it cannot be looked for.
    """
    try:
        with _own_directory(place.parent) as directory:
            descriptor = os.open(place.name, _PLAIN, dir_fd=directory)
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return None
        raise
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == os.geteuid():
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    return None


@contextlib.contextmanager
def _own_directory(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
        yield descriptor
    finally:
        os.close(descriptor)


def _zip(parts: Sequence[_Part], budget: int) -> bytes | None:
    """A ZIP of the CSVs, written in chunks; None as soon as it is larger than the budget."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in parts:
            member = zipfile.ZipInfo(part.name)
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w", force_zip64=True) as target:
                for chunk in part.chunks():
                    target.write(chunk)
                    if packed.tell() > budget:
                        return None
    return packed.getvalue() if packed.tell() <= budget else None
