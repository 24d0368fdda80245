"""A file's bytes as UTF-8 text, chunk by chunk, whatever its encoding and compression.

Bytes that its encoding does not know become bytes that are no UTF-8 either, so that only their row fails; nothing is
replaced. Two of those bytes stand for the odd last byte of UTF-16 (see `shown_text`).
"""

import codecs
import os
import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

import numpy as np
import polars as pl

from importer.model import FileRefused
from importer.reading.dialect import GZIP_MAGIC, HEAD_BYTES, Encoding
from importer.reading.utf8 import Ints, RunCounter
from importer.words.reasons import refusal, shown_size

_NOT_ASCII: Final = bytes(range(0x80, 0x100))
_OVERLONG: Final = re.compile(rb"[\xc0\xc1][\x80-\xbf]")
_CACHED_BYTES: Final = 1 << 20
"""What only looks at the bytes takes pieces that stay in the processor's cache: twice as fast, measured."""
_LONGEST_RUN: Final = 1 << 20
"""A run of non-ASCII bytes that is longer is looked at in parts."""
_MOST_OFFSETS: Final = 1 << 20
"""So many offsets of invalid bytes are kept; 8 bytes each."""

MOST_EXPANSION: Final = 200
"""How many times its own size a compressed file may unpack to: rosters do so 5 to 50 times, deflate could 1,032 times.
"""
HARMLESS_EXPANSION: Final = 1 << 20
"""So many bytes do no harm, whatever they were unpacked from."""
MOST_MEMBERS: Final = 100_000
"""Of a gzip file: each costs some time, though it may hold nothing. Who packs in blocks of 64 KB has 16,384 in 1 GB."""
_READ_BYTES: Final = 16 << 10
"""Of a gzip file at once, so few that what is left behind a small member is copied soon."""

_BEGUN_CHARACTER: Final = re.compile(rb"[\xc0-\xff][\x80-\xbf]{0,2}\Z")
"""The last character, if it may go on behind the end."""


def has_compressed_name(name: str) -> bool:
    """Whether a file of that name may be gzipped; its first bytes tell whether it is."""
    return name.lower().endswith(".gz")


class ByteSource:
    """The bytes of an open file, decompressed if its name and its first bytes say gzip.

    Attributes:
        is_compressed: whether they are.
        size: of the file in bytes.
        expanded_size: of its content, as far as that was read.
    """

    def __init__(self, file: BinaryIO, *, name: str, max_expanded_bytes: int) -> None:
        self._file = file
        self._limit = max_expanded_bytes
        self.size = file.seek(0, os.SEEK_END)
        file.seek(0)
        self.is_compressed = has_compressed_name(name) and file.read(2) == GZIP_MAGIC
        self.expanded_size = 0 if self.is_compressed else self.size

    @property
    def position(self) -> int:
        """How many bytes of the file itself were read."""
        return self._file.tell()

    def chunks(self, size: int) -> Iterator[bytes]:
        """The bytes from the start, in chunks of `size`; the last one may be shorter.

        Raises:
            FileRefused: the compressed file is damaged or expands too much.
        """
        self._file.seek(0)
        return self._expanded(size) if self.is_compressed else _chunks(self._file, size)

    def check(self, size: int) -> None:
        """Read the whole file, `size` bytes at once.

        Raises:
            FileRefused: the compressed file is damaged or expands too much.
        """
        for _ in self.chunks(size):
            pass

    def head(self) -> bytes:
        """The first bytes, which decide what the file is; a mark's length more than HEAD_BYTES.

        Raises:
            FileRefused: the compressed file is damaged.
        """
        return next(self.chunks(HEAD_BYTES + 3), b"")

    def _expanded(self, size: int) -> Iterator[bytes]:
        expanded = 0
        try:
            for chunk in _regrouped(_inflated(self._file, size), size):
                expanded += len(chunk)
                self.expanded_size = max(self.expanded_size, expanded)
                self._check_expansion(expanded)
                yield chunk
        except (EOFError, zlib.error) as error:
            raise FileRefused(refusal("broken_gzip")) from error

    def _check_expansion(self, expanded: int) -> None:
        if expanded > self._limit:
            raise FileRefused(refusal("expansion_too_large", limit=shown_size(self._limit)))
        if expanded > max(HARMLESS_EXPANSION, MOST_EXPANSION * self.size):
            raise FileRefused(refusal("expansion_too_great", times=MOST_EXPANSION))


def _chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    while chunk := file.read(size):
        yield chunk


def _inflated(file: BinaryIO, most: int) -> Iterator[bytes]:
    """The content of a gzip file's members, in pieces of at most `most` bytes; zeros between members are padding.

    Raises:
        EOFError: it is cut off.
        FileRefused: it has too many members.
        zlib.error: it is damaged.
    """
    data = file.read(_READ_BYTES)
    members = 0
    while data:
        members += 1
        if members > MOST_MEMBERS:
            raise FileRefused(refusal("too_many_members", limit=f"{MOST_MEMBERS:,}"))
        member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        while not member.eof:
            piece = member.decompress(data, most)
            if piece:
                yield piece
            data = member.unconsumed_tail
            if not (data or member.eof or len(piece) == most):  # else there may be more where that came from
                data = _some(file)
        data = _behind_padding(member.unused_data, file)


def _some(file: BinaryIO) -> bytes:
    data = file.read(_READ_BYTES)
    if not data:
        raise EOFError
    return data


def _behind_padding(data: bytes, file: BinaryIO) -> bytes:
    rest = data.lstrip(b"\0")
    while not rest and (data := file.read(_READ_BYTES)):
        rest = data.lstrip(b"\0")
    return rest


def _regrouped(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The bytes of the chunks, in pieces of `size`; the last one may be shorter."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) >= size:
            yield bytes(waiting[:size])
            del waiting[:size]
    if waiting:
        yield bytes(waiting)


def unmarked_encoding(source: ByteSource, chunk_bytes: int) -> tuple[Encoding, Ints | None]:
    """The encoding of a file without a byte order mark, and where it is not valid UTF-8 (see `utf8.Runs`).

    None stands for offsets that are too many to be kept, or mean nothing, as the text is transcoded.

    UTF-8 if over half of its runs of non-ASCII bytes are valid UTF-8, or if it has none; else Windows-1252.

    Raises:
        FileRefused: the compressed file is damaged or expands too much.
    """
    piece = min(chunk_bytes, _CACHED_BYTES)
    if all(map(_is_text, _between_runs(source.chunks(piece)))):
        return "utf-8", np.empty(0, np.int64)
    counter = RunCounter()
    position = known = 0
    invalid: list[Ints] = []
    for text in _between_runs(source.chunks(piece)):
        found = counter.add(np.frombuffer(text, np.uint8))
        known += found.size
        if found.size and known <= _MOST_OFFSETS:
            invalid.append(found + position)
        position += len(text)
    if 2 * counter.wrong >= counter.total:
        return "windows-1252", None
    return "utf-8", np.concatenate(invalid) if known <= _MOST_OFFSETS else None


def _is_text(text: bytes) -> bool:
    """Whether the bytes are valid UTF-8; polars sees that several times as fast as a decoder of text."""
    try:
        pl.Series([text], dtype=pl.Binary).cast(pl.String)
    except pl.exceptions.ComputeError:
        return False
    return True


def _between_runs(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes of the chunks, cut between runs of non-ASCII bytes; a very long run is cut between characters."""
    carry = b""
    for chunk in chunks:
        data = carry + chunk
        end = len(data.rstrip(_NOT_ASCII))
        if len(data) - end > _LONGEST_RUN:
            begun = _BEGUN_CHARACTER.search(data, len(data) - 3)
            end = begun.start() if begun else len(data)
        carry = data[end:]
        if end:
            yield data[:end]
    if carry:
        yield carry


def utf8_chunks(chunks: Iterator[bytes], encoding: Encoding, mark_length: int) -> Iterator[bytes]:
    """The text as UTF-8 without its byte order mark; bytes that are not text become bytes that are no UTF-8."""
    unmarked = _without_mark(chunks, mark_length)
    match encoding:
        case "utf-8":
            return unmarked
        case "windows-1252":
            return (chunk.decode("cp1252", "surrogateescape").encode("utf-8", "surrogateescape") for chunk in unmarked)
        case "utf-16-le" | "utf-16-be":
            return _from_utf16(unmarked, encoding)


def _without_mark(chunks: Iterator[bytes], length: int) -> Iterator[bytes]:
    for chunk in chunks:
        if length < len(chunk):
            yield chunk[length:]
        length = max(0, length - len(chunk))


def _from_utf16(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """UTF-16 as UTF-8; a lone surrogate becomes its three bytes, an odd last byte is kept as `_odd_byte`."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    for chunk in chunks:
        if text := decoder.decode(chunk):
            yield text.encode("utf-8", "surrogatepass")
    rest = decoder.getstate()[0]
    if len(rest) > 1:
        yield rest[:2].decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
    if len(rest) % 2:
        yield _odd_byte(rest[-1])


def _odd_byte(byte: int) -> bytes:
    """A byte that is no text: itself, or where it would look like ASCII, its overlong and so invalid form."""
    return bytes([byte]) if byte >= 0x80 else bytes([0xC0 | byte >> 6, 0x80 | byte & 0x3F])


def shown_text(data: bytes, encoding: Encoding) -> str:
    r"""The text with bytes that are not text as `\xNN`."""
    if encoding.startswith("utf-16"):
        data = _OVERLONG.sub(lambda found: b"\\x%02x" % ((found[0][0] & 3) << 6 | found[0][1] & 0x3F), data)
    return data.decode(errors="backslashreplace")
