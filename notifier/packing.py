"""How the reports of a mail travel: as they are, merged, zipped, cut, or not at all."""

import contextlib
import io
import os
import stat
import zipfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import BinaryIO

from notifier.csv_cutting import Cut, first_records, header_of
from notifier.letters import MOST_ATTACHMENTS, Notes
from notifier.model import Report, StoredMail

LARGEST = 10_000_000
"""Bytes of a whole message, where the server names no smaller SIZE."""
ENCODED = 1.37
"""How much base64 with its line ends adds."""
_CHUNK = 1 << 16
_PLAIN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


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
            OSError: a report is gone or cannot be read.
        """
        for file in self._files():
            yield from iter(partial(file.read, _CHUNK), b"")

    def lines(self) -> Generator[bytes]:
        """The same in lines."""
        for file in self._files():
            yield from file

    def _files(self) -> Generator[BinaryIO]:
        for number, report in enumerate(self.reports):
            file = _find(report)
            if file is None:
                raise FileNotFoundError(report.in_bak)
            with file:
                file.seek(self.header_bytes if number else 0)
                yield file


def pack(mail: StoredMail, reports: Sequence[Report], notes: Notes, *, largest: int, at_least: Packing) -> Packed:
    """Read the reports of a mail and pack them so that the message stays within `largest` bytes, if it can.

    More than MOST_ATTACHMENTS reports are merged, those with equal headers into one. What is too large becomes a ZIP,
    and what is too large as that is cut behind the first rows that fit.

    Args:
        mail: whose reports they are.
        reports: where they lie; one that is nowhere is named in the note.
        notes: the words for what the letter could not know.
        largest: bytes of the whole message.
        at_least: the first packing to consider, after the server refused the one before.
    """
    if not mail.letter.attachments:
        return Packed(packing=Packing.NOTHING)
    try:
        parts = _parts(reports)
        there = {report.attachment for part in parts for report in part.reports}
        lost = [attachment.filename for attachment in mail.letter.attachments if attachment not in there]
        packed = _packed(parts, notes, _budget(mail, largest), at_least) if parts else Packed(packing=Packing.NOTHING)
    except OSError:
        return Packed(packing=Packing.NOTHING, note=notes.too_large([report.in_bak for report in reports]))
    note = " ".join(filter(None, (packed.note, notes.lost(lost) if lost else "")))
    return Packed(packing=packed.packing, files=packed.files, note=note)


def _budget(mail: StoredMail, largest: int) -> int:
    """Bytes of attachments before they are encoded."""
    return int((largest - 2 * len(mail.letter.text) - 2 * len(mail.letter.html) - 4096) / ENCODED)


def _packed(parts: Sequence[_Part], notes: Notes, budget: int, at_least: Packing) -> Packed:
    fits = sum(part.size for part in parts) <= budget
    if at_least <= Packing.FILES and fits and len(parts) <= MOST_ATTACHMENTS:
        files = tuple((part.name, b"".join(part.chunks())) for part in parts)
        return Packed(packing=Packing.FILES, files=files)
    if at_least <= Packing.ZIP and (zipped := _zip(parts, budget)) is not None:
        return Packed(packing=Packing.ZIP, files=(("failed.zip", zipped),), note=notes.zipped())
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
    with file:
        return header_of(file), os.fstat(file.fileno()).st_size


def _find(report: Report) -> BinaryIO | None:
    """The report, opened at the first place where it lies."""
    return next((file for place in report.places if (file := _opened(place))), None)


def _opened(place: Path) -> BinaryIO | None:
    """A plain file of our own, or None.

    Who owns the upload directory can put links there; neither bak nor the report may lead to a file of anybody else.
    """
    with contextlib.suppress(OSError):
        directory = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            descriptor = os.open(place.name, _PLAIN, dir_fd=directory)
        finally:
            os.close(directory)
        file = os.fdopen(descriptor, "rb")
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == os.geteuid():
            return file
        file.close()
    return None


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
