"""A stored mail becomes the bytes that travel: headers of our own, two bodies, the reports."""

import contextlib
import io
import os
import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from enum import IntEnum
from html import escape
from pathlib import Path
from typing import BinaryIO

from notifier.model import Report, StoredMail

LARGEST = 10_000_000
"""Bytes of a whole message, where the server names no smaller SIZE."""
ENCODED = 1.37
"""How much base64 with its line ends adds."""
_CHUNK = 1 << 16
_PLAIN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_Open = tuple[Report, BinaryIO]


class Packing(IntEnum):
    """How the reports travel; each step is smaller than the one before."""

    FILES = 0
    ZIP = 1
    NOTHING = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """The files that a message carries, and what its reader must know about those it does not."""

    packing: Packing
    files: tuple[tuple[str, bytes], ...] = ()
    note: str = ""


def encode(message: EmailMessage) -> bytes:
    """The message with CRLF, in seven bits unless an address needs SMTPUTF8."""
    return message.as_bytes()


def build(mail: StoredMail, sender: str, packed: Packed) -> EmailMessage:
    """The message; equal arguments give equal Message-ID, Date and content."""
    ascii_only = (sender + mail.recipient).isascii()
    message = EmailMessage(policy=(SMTP if ascii_only else SMTPUTF8).clone(cte_type="7bit"))
    message["From"] = message["Reply-To"] = sender
    message["To"] = mail.recipient
    message["Subject"] = mail.letter.subject
    message["Date"] = format_datetime(mail.created_at)
    message["Message-ID"] = mail.message_id
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(_with_note(mail.letter.text, packed.note))
    message.add_alternative(_with_note_html(mail.letter.html, packed.note), subtype="html")
    for name, content in packed.files:
        _attach(message, name, content)
    _fix_boundaries(message, mail.message_id)
    return message


def _fix_boundaries(message: EmailMessage, message_id: str) -> None:
    """Boundaries from the Message-ID, so that a mail that is sent twice is byte for byte the same."""
    identity = "".join(filter(str.isalnum, message_id.partition("@")[0]))
    multiparts = [part for part in message.walk() if part.is_multipart()]
    for number, part in enumerate(multiparts):
        part.set_boundary(f"=_{number}_{identity}")


def _with_note(text: str, note: str) -> str:
    return f"{text}\n{note}\n" if note else text


def _with_note_html(html: str, note: str) -> str:
    return html.replace("</body>", f"<p>{escape(note)}</p>\n</body>") if note else html


def _attach(message: EmailMessage, name: str, content: bytes) -> None:
    if name.endswith(".zip"):
        message.add_attachment(content, maintype="application", subtype="zip", filename=name)
    else:
        message.add_attachment(content, maintype="text", subtype="csv", params={"charset": "utf-8"}, filename=name)


def pack(mail: StoredMail, reports: Sequence[Report], *, largest: int, at_least: Packing) -> Packed:
    """Read the reports of a mail and pack them so that the message stays within `largest` bytes, if it can.

    Args:
        mail: whose reports they are.
        reports: where they lie; one that is nowhere is named in the note.
        largest: bytes of the whole message.
        at_least: the first packing to consider, after the server refused the one before.
    """
    try:
        with contextlib.ExitStack() as stack:
            found = [(report, stack.enter_context(file)) for report in reports if (file := _find(report))]
            return _pack_open(mail, found, largest, at_least)
    except OSError:
        return Packed(packing=Packing.NOTHING, note=_note_of_large(reports))


def _pack_open(mail: StoredMail, found: Sequence[_Open], largest: int, at_least: Packing) -> Packed:
    lost = _note_of_lost(mail, found)
    if not found:
        return Packed(packing=Packing.NOTHING, note=lost)
    budget = int((largest - 2 * len(mail.letter.text) - 2 * len(mail.letter.html) - 4096) / ENCODED)
    if at_least <= Packing.FILES and sum(os.fstat(file.fileno()).st_size for _, file in found) <= budget:
        files = tuple((report.attachment.filename, file.read()) for report, file in found)
        return Packed(packing=Packing.FILES, files=files, note=lost)
    zipped = _zip(found, budget) if at_least <= Packing.ZIP else None
    if zipped is not None:
        note = "The attached reports are packed into one ZIP file, because they are large."
        return Packed(packing=Packing.ZIP, files=(("failed.zip", zipped),), note=f"{note} {lost}".strip())
    note = _note_of_large([report for report, _ in found])
    return Packed(packing=Packing.NOTHING, note=f"{note} {lost}".strip())


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


def _zip(found: Sequence[_Open], budget: int) -> bytes | None:
    """A ZIP of the reports, read in chunks; None as soon as it is larger than the budget."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for report, source in found:
            with archive.open(_member(report), "w", force_zip64=True) as target:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)
                    if packed.tell() > budget:
                        return None
    return packed.getvalue() if packed.tell() <= budget else None


def _member(report: Report) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(report.attachment.filename)
    member.compress_type = zipfile.ZIP_DEFLATED
    return member


def _note_of_large(reports: Sequence[Report]) -> str:
    if not reports:
        return ""
    names = ", ".join(f"bak/{report.in_bak}" for report in reports)
    return f"The reports do not fit into a mail and are not attached. Fetch them from the server: {names}."


def _note_of_lost(mail: StoredMail, found: Sequence[_Open]) -> str:
    here = {report.attachment for report, _ in found}
    lost = [attachment.filename for attachment in mail.letter.attachments if attachment not in here]
    return f"Not attached, because the file is no longer there: {', '.join(lost)}." if lost else ""
