"""A stored mail becomes the bytes that travel: headers of our own, two bodies, the reports."""

import base64
import io
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from html import escape
from typing import BinaryIO

from notifier.model import LeasedMail
from notifier.packing import Packed
from notifier.safety import plain

_LINE_BYTES = 57
"""What one line of base64 holds."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message whose attachments are not in its tree: they are encoded once, straight into the bytes that travel.

    Attributes:
        tree: headers and bodies; each attachment holds its stand-in.
        files: the content of each attachment behind its stand-in.
    """

    tree: EmailMessage
    files: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)

    def __getitem__(self, header: str) -> str:
        """A header's value."""
        return str(self.tree[header])


def encode(message: Message) -> bytes:
    """The message with CRLF, in seven bits unless an address needs SMTPUTF8."""
    wire = io.BytesIO()
    rest = message.tree.as_bytes()
    for stand_in, content in message.files:
        before, _, rest = rest.partition(stand_in)
        wire.write(before)
        _write_base64(wire, content)
    wire.write(rest)
    return wire.getvalue()


def _write_base64(wire: BinaryIO, content: bytes) -> None:
    """The content in lines; the line end of the last one is behind the stand-in already."""
    lines = range(0, len(content), _LINE_BYTES)
    wire.writelines(
        (b"\r\n" if start else b"") + base64.b64encode(content[start : start + _LINE_BYTES]) for start in lines
    )


def build(mail: LeasedMail, sender: str, packed: Packed) -> Message:
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
    said = mail.letter.bodies(attached=bool(packed.files))
    message.set_content(_with_note(said.text, packed.note))
    message.add_alternative(_with_note_html(said.html, packed.note), subtype="html")
    identity = "".join(filter(str.isalnum, mail.message_id.partition("@")[0]))
    stand_ins = [f"=_{number}_{identity}_file" for number in range(len(packed.files))]
    for stand_in, (name, _) in zip(stand_ins, packed.files, strict=True):
        _attach(message, name, stand_in)
    # Bodies and attachments move the headers of the content that they find.
    message["Content-Language"] = mail.letter.language
    _fix_boundaries(message, identity)
    contents = (content for _, content in packed.files)
    return Message(message, tuple(zip((stand_in.encode() for stand_in in stand_ins), contents, strict=True)))


def _fix_boundaries(message: EmailMessage, identity: str) -> None:
    """Boundaries from the Message-ID, so that a mail that is sent twice is byte for byte the same."""
    multiparts = [part for part in message.walk() if part.is_multipart()]
    for number, part in enumerate(multiparts):
        part.set_boundary(f"=_{number}_{identity}")


def _with_note(text: str, note: str) -> str:
    return f"{text}\n{plain(note)}\n" if note else text


def _with_note_html(html: str, note: str) -> str:
    return html.replace("</body>", f"<p>{escape(note)}</p>\n</body>") if note else html


def _attach(message: EmailMessage, name: str, stand_in: str) -> None:
    """An attachment that holds its stand-in where its base64 is to be."""
    if name.endswith(".zip"):
        message.add_attachment(b"", maintype="application", subtype="zip", filename=name)
    else:
        message.add_attachment(b"", maintype="text", subtype="csv", params={"charset": "utf-8"}, filename=name)
    *_, attachment = message.iter_attachments()
    attachment.set_payload(f"{stand_in}\n")
