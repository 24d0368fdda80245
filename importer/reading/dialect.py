"""How a file is written: its encoding and its separator; and what is no text at all.

Pure: first bytes in, decisions out.
"""

from dataclasses import dataclass
from typing import Final, Literal

from importer.formats.code_pages import CodePage
from importer.model import FileRefused
from importer.words.reasons import refusal

Encoding = Literal["utf-8", "utf-16-le", "utf-16-be", "unknown"] | CodePage
"""What a text is written in; of an unknown one nothing but ASCII can be read."""

HEAD_BYTES: Final = 65_536
"""How much of a file decides whether it is text."""

SEPARATORS: Final = (",", ";", "\t", "|")
"""In the order of preference where the header does not decide."""

_MARKS: Final[tuple[tuple[bytes, Literal["utf-8", "utf-16-le", "utf-16-be"]], ...]] = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)

GZIP_MAGIC: Final = b"\x1f\x8b"
_KINDS: Final = (
    (b"PK\x03\x04", "an Excel workbook or another archive"),
    (b"PK\x05\x06", "an empty archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG\r\n\x1a\n", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF87a", "an image"),
    (b"GIF89a", "an image"),
    (GZIP_MAGIC, "a compressed file with the wrong name; name it .csv.gz"),
    (b"7z\xbc\xaf\x27\x1c", "an archive"),
    (b"Rar!\x1a\x07", "an archive"),
    (b"BZh", "a compressed file"),
    (b"\xfd7zXZ\x00", "a compressed file"),
    (b"\x7fELF", "a program"),
    (b"\xff\xfe\x00\x00", "a UTF-32 text"),
    (b"\x00\x00\xfe\xff", "a UTF-32 text"),
)
_BINARY: Final = "a binary file"
NOT_TEXT_WORDS: Final = (*dict.fromkeys(kind for _, kind in _KINDS), _BINARY)
"""Words of ours that refusals name: what a file is instead of text."""
_CONTROLS: Final = bytes(set(range(0x20)) - set(b"\t\n\v\f\r"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The way in which a file is written: its encoding, compression and separator.

    Attributes:
        encoding: the name of what its bytes are; invalid ones fail their row.
        is_compressed: whether the text is gzipped.
        separator: one of SEPARATORS.
    """

    encoding: str
    is_compressed: bool
    separator: str


def named_encoding(encoding: Encoding) -> str:
    """The name of an encoding for programs; a guessed code page has that of what it was guessed to be."""
    return CodePage.WINDOWS_1252.value if encoding is CodePage.AUTO else str(encoding)


def not_text_kind(head: bytes) -> str | None:
    """Name the kind of a file that is no text by its first bytes; None where they belong to no well-known kind."""
    for magic, kind in _KINDS:
        if head.startswith(magic):
            return kind
    return None


def marked_encoding(head: bytes) -> tuple[Encoding, int] | None:
    """The encoding that a byte order mark tells, and the length of the mark."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    return None


FEWEST_CONTROLS: Final = 32
"""So many control characters, and one in a hundred bytes, are a text's; in a short file they cost only their rows."""


def refuse_if_not_text(head: bytes) -> None:
    """Refuse what no reading can make sense of, by the first HEAD_BYTES of the file.

    Raises:
        FileRefused: a well-known kind of file that is no text, UTF-16 without a mark, or binary.
    """
    if kind := not_text_kind(head):
        raise FileRefused(refusal("not_text", kind=kind))
    encoding, length = marked_encoding(head) or ("utf-8", 0)
    if encoding != "utf-8":
        return
    text = head[length : length + HEAD_BYTES]
    if _alternates_with_nul(text):
        raise FileRefused(refusal("unmarked_utf16"))
    if _count_of(_CONTROLS, text) > max(FEWEST_CONTROLS, len(text) // 100):
        raise FileRefused(refusal("not_text", kind=_BINARY))


def _alternates_with_nul(text: bytes) -> bool:
    """Whether NULs are over a tenth of the bytes, and over half of every other byte, but not of those between."""
    even, odd = text[::2], text[1::2]
    is_mostly_nul = [2 * half.count(0) > len(half) for half in (even, odd)]
    return 10 * text.count(0) > len(text) and is_mostly_nul[0] != is_mostly_nul[1]


def _count_of(wanted: bytes, text: bytes) -> int:
    return len(text) - len(text.translate(None, wanted))
