"""Bytes → text → physical lines."""

import gzip
import re
import zlib
from dataclasses import dataclass

from tests.reference.nouns import Refused, RefusedError

LOOKED_AT_BYTES = 64 << 10
WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""Unicode's White_Space property; str.strip() alone would also take U+001C-1F."""

NOT_TEXT = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\xd0\xcf\x11\xe0",
    b"%PDF",
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF87a",
    b"GIF89a",
    b"\x1f\x8b",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
    b"\xfd7zXZ\x00",
    b"\x7fELF",
    b"\xff\xfe\0\0",
    b"\0\0\xfe\xff",
)
"""Begins of files that are no text; the last two are the marks of UTF-32."""

BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17\x72\x45\x38\x50\x90)")
BAD = re.compile("[\udc00-\udcff]")
"""How a byte that is no text stands in a decoded text: U+DC00 + the byte, for every encoding."""


def trimmed(text: str) -> str:
    """The text without outer white space."""
    return text.strip(WHITE_SPACE)


def bytes_of(text: str) -> int:
    """The length of the text in UTF-8, one for each byte that is no text."""
    return len(BAD.sub("?", text).encode())


def expanded(data: bytes, name: str) -> bytes:
    """What a compressed file holds; any other file as it is."""
    if not (data.startswith(b"\x1f\x8b") and name.lower().endswith(".gz")):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        raise RefusedError(Refused(code="broken_gzip")) from None


def decoded(data: bytes) -> tuple[str, str]:
    """The text without its byte order mark, and its encoding."""
    if data.startswith(NOT_TEXT) or BZIP2.match(data):
        raise RefusedError(Refused(code="not_text"))
    if data.startswith(b"\xff\xfe"):
        return _utf16(data[2:], "little"), "utf-16-le"
    if data.startswith(b"\xfe\xff"):
        return _utf16(data[2:], "big"), "utf-16-be"
    marked = data.startswith(b"\xef\xbb\xbf")
    body = data[3:] if marked else data
    _refuse_binary(body)
    if marked or _mostly_utf8(body):
        return body.decode("utf-8", "surrogateescape"), "utf-8"
    return body.decode("cp1252", "surrogateescape"), "windows-1252"


def _refuse_binary(data: bytes) -> None:
    head = data[:LOOKED_AT_BYTES]
    halves = (head[::2], head[1::2])
    if head.count(0) * 10 > len(head) and sum(half.count(0) * 2 > len(half) for half in halves) == 1:
        raise RefusedError(Refused(code="unmarked_utf16"))
    if sum(byte < 0x20 and byte not in b"\t\n\v\f\r" for byte in head) > max(32, len(head) // 100):
        raise RefusedError(Refused(code="not_text"))


def _mostly_utf8(data: bytes) -> bool:
    runs = re.findall(rb"[\x80-\xff]+", data)
    valid = sum(_is_utf8(run) for run in runs)
    return valid == len(runs) or 2 * valid > len(runs)


def _is_utf8(run: bytes) -> bool:
    try:
        run.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _utf16(data: bytes, order: str) -> str:
    """The text; a lone surrogate becomes the three bytes UTF-8 would write it with, an odd last byte stays a byte."""
    even = len(data) // 2 * 2
    codec = "utf-16-le" if order == "little" else "utf-16-be"
    units = [data[at : at + 2] for at in range(0, even, 2)]
    characters = []
    at = 0
    while at < len(units):
        for length in (1, 2):
            try:
                characters.append(b"".join(units[at : at + length]).decode(codec))
                break
            except UnicodeDecodeError:
                continue
        else:
            length = 1
            as_bytes = units[at].decode(codec, "surrogatepass").encode("utf-8", "surrogatepass")
            characters.append(as_bytes.decode("utf-8", "surrogateescape"))
        at += length
    characters += [chr(0xDC00 + byte) for byte in data[even:]]
    return "".join(characters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A physical line: text[start:end], without its line end."""

    start: int
    end: int


def lines_of(text: str) -> list[Line]:
    """The physical lines, without the empty ones at the end of the file."""
    lines = []
    start = 0
    for line_end in re.finditer("\r\n|\r|\n", text):
        lines.append(Line(start=start, end=line_end.start()))
        start = line_end.end()
    lines.append(Line(start=start, end=len(text)))
    while lines and lines[-1].start == lines[-1].end:
        lines.pop()
    return lines
