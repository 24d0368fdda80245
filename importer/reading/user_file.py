"""A user file → blocks of rows, with every record accounted for.

The front decides encoding, separator, header and width; then blocks of some megabytes are split into records
(`importer.reading.records`) while the block before is parsed on a second thread (`importer.reading.parsing`). Memory
does not grow with the number of rows.
"""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, NamedTuple, Self

import numpy as np

from importer.model import FileRefused, Remark
from importer.reading.dialect import Dialect, Encoding, HeaderLine, marked_encoding, read_header, refuse_if_not_text
from importer.reading.grammar import LINE_END, WHITE_SPACE, Grammar
from importer.reading.guarding import is_report, unguarded_text
from importer.reading.lines import counts
from importer.reading.parsing import Block, Reject, Shape, parse
from importer.reading.records import Rules, Split, split
from importer.reading.surveying import has_trailing_separator
from importer.reading.tallying import BalanceError, Tally
from importer.reading.transcoding import (
    HARMLESS_EXPANSION,
    MOST_EXPANSION,
    ByteSource,
    unmarked_encoding,
    utf8_chunks,
)
from importer.reading.utf8 import Ints, Text, part_of
from importer.words.reasons import refusal, shown_size, warning

__all__ = ["BalanceError", "Block", "Limits", "Plain", "Reject", "UserFile", "open_user_file"]

BLOCK_BYTES: Final = 8 << 20
SURVEY_BYTES: Final = 8 << 20
"""How much of the text decides what width most records have."""

_BLOCK_LINES: Final = 1 << 17
"""Denser text is read in smaller blocks, or its many rejects would need much memory."""
_NOTHING: Final = Text(b"", np.empty(0, np.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds that a file must keep; sizes are in bytes.

    Attributes:
        max_bytes: of the file as it lies there.
        max_expanded_bytes: of a compressed file's content.
        max_record_bytes: of one record's text in UTF-8, without its last line end.
        max_columns: cells of the header.
        max_cell_bytes: of one cell's text in UTF-8; a longer one rejects its row.
        max_work_bytes: that a client may have in work, on disk; None for as much as the disk has.
    """

    max_bytes: int
    max_expanded_bytes: int
    max_record_bytes: int = 1_048_576
    max_columns: int = 256
    max_cell_bytes: int = 65_536
    max_work_bytes: int | None = None

    def most_expanded(self, size: int, *, is_compressed: bool) -> int:
        """How much a file of that size may hold at most."""
        if not is_compressed:
            return size
        return min(self.max_expanded_bytes, max(HARMLESS_EXPANSION, MOST_EXPANSION * size))


def open_user_file(
    path: Path, *, name: str, known_names: frozenset[str], limits: Limits, block_bytes: int = BLOCK_BYTES
) -> "UserFile":
    """Open a file for reading its blocks once.

    Args:
        path: where the bytes are.
        name: the sender's name of the file; a compressed one must end with `.gz`.
        known_names: `Format.known_names`, by which the separator is recognised.
        limits: beyond them the file, or the row, is refused.
        block_bytes: bytes of the file that are read at once; any number from 1 gives the same records.

    Raises:
        FileRefused: nothing of the file can be imported.
    """
    file = path.open("rb")
    try:
        return _opened(file, name, known_names, limits, block_bytes)
    except BaseException:
        file.close()
        raise


def _opened(file: BinaryIO, name: str, known_names: frozenset[str], limits: Limits, block_bytes: int) -> "UserFile":
    size = os.fstat(file.fileno()).st_size
    if size > limits.max_bytes:
        raise FileRefused(refusal("file_too_large", limit=shown_size(limits.max_bytes)))
    source = ByteSource(file, name=name, max_expanded_bytes=limits.max_expanded_bytes)
    encoding, mark_length, invalid = _encoding(source, block_bytes)
    text = utf8_chunks(source.chunks(block_bytes), encoding, mark_length)
    begin, is_whole = _begin(text)
    header = _header(begin, known_names, limits)
    rules = _rules(header, limits)
    body = begin[header.end :]
    shape = Shape(rules=rules, header=header.cells, encoding=encoding)
    known = part_of(invalid, header.end, len(begin))
    sample = split(_ended(body) if is_whole else body, rules, is_last=is_whole, invalid=known)
    has_surplus = has_trailing_separator(sample, shape, SURVEY_BYTES - header.end)
    if has_surplus:
        shape = replace(shape, rules=replace(rules, width=rules.width + 1))
    whole = sample if is_whole and invalid is not None and not has_surplus else None
    return UserFile(
        dialect=Dialect(encoding=encoding, is_compressed=source.is_compressed, separator=header.separator),
        header=shape.names,
        warnings=_warnings(encoding, has_surplus=has_surplus),
        total_bytes=size,
        expected_records=int(sample.begins.sum()) * size // max(source.position, 1),
        _file=file,
        _source=source,
        _text=text,
        _begin=body,
        _shape=shape,
        _whole=whole,
        _position=header.end,
        _invalid=invalid,
        _tally=Tally(row=2, line=header.lines + 1),
        _ends_with_line=begin.endswith((b"\n", b"\r")),
        _block_bytes=block_bytes,
    )


def _encoding(source: ByteSource, block_bytes: int) -> tuple[Encoding, int, Ints | None]:
    """The encoding, the length of the byte order mark, and where the text is not valid UTF-8, if that is known."""
    head = source.head()
    if not head:
        raise FileRefused(refusal("empty_file"))
    refuse_if_not_text(head)
    marked = marked_encoding(head)
    if marked is None:
        encoding, invalid = unmarked_encoding(source, block_bytes)
        return encoding, 0, invalid
    if source.is_compressed:
        source.check(block_bytes)
    return *marked, None


def _begin(text: Iterator[bytes]) -> tuple[bytes, bool]:
    """The first SURVEY_BYTES of the text or more, and whether that is all of it."""
    chunks, size = [], 0
    for chunk in text:
        chunks.append(chunk)
        size += len(chunk)
        if size >= SURVEY_BYTES:
            return b"".join(chunks), False
    return b"".join(chunks), True


def _header(begin: bytes, known_names: frozenset[str], limits: Limits) -> HeaderLine:
    header = read_header(
        begin,
        known_names=known_names,
        longest_record=limits.max_record_bytes,
        longest_cell=limits.max_cell_bytes,
    )
    if len(header.cells) > limits.max_columns:
        raise FileRefused(refusal("too_many_columns", columns=len(header.cells), limit=limits.max_columns))
    if is_report(header.cells):
        return replace(header, cells=tuple(unguarded_text(cell).strip(WHITE_SPACE) for cell in header.cells))
    return header


def _rules(header: HeaderLine, limits: Limits) -> Rules:
    return Rules(
        grammar=Grammar(header.separator),
        width=len(header.cells),
        longest_record=limits.max_record_bytes,
        longest_cell=limits.max_cell_bytes,
    )


def _ended(text: bytes) -> bytes:
    """The text with a line end after its last line; a last CR becomes CRLF, which is one line end as well."""
    return text if not text or text.endswith(b"\n") else text + b"\n"


def _warnings(encoding: Encoding, *, has_surplus: bool) -> tuple[Remark, ...]:
    kinds = {"windows_1252": encoding == "windows-1252", "trailing_separator": has_surplus}
    return tuple(warning(kind) for kind, applies in kinds.items() if applies)


class Plain(NamedTuple):
    """All records of a small file, none of which is rejected for its structure."""

    shape: Shape
    split: Split


class _Numbered(NamedTuple):
    split: Split
    row: int
    line: int
    """The numbers of the split's first record and line."""
    blank: int
    """Empty lines before it that turned out to be records."""


@dataclass(slots=True, kw_only=True)
class UserFile:
    """An open user file; a context manager that closes it.

    Attributes:
        dialect: how it is written.
        header: the trimmed names of its columns, without trailing empty ones; column i is `c{i}` of the blocks.
        warnings: about the file as a whole, complete when all blocks were read.
        total_bytes: its size; `bytes_read` runs up to it.
        expected_records: about how many records it has, told by its first megabytes.
    """

    dialect: Dialect
    header: tuple[str, ...]
    warnings: tuple[Remark, ...]
    total_bytes: int
    expected_records: int
    _file: BinaryIO
    _source: ByteSource
    _text: Iterator[bytes]
    _begin: bytes
    _shape: Shape
    _whole: Split | None
    _position: int
    _invalid: Ints | None
    _tally: Tally
    _ends_with_line: bool
    _block_bytes: int
    _is_read: bool = field(default=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def bytes_read(self) -> int:
        """How many bytes of the file were read so far."""
        return self._source.position

    @property
    def expanded_bytes(self) -> int:
        """How many bytes the file holds; a compressed one was read through once when it was opened."""
        return self._source.expanded_size

    @property
    def records(self) -> int:
        """How many records were read so far: good, rejected and blank ones, without the header."""
        return self._tally.records

    def plain(self) -> Plain | None:
        """The records, where the file is small and holds nothing but records and each is in order; else None.

        It is a file whose `blocks` would be one block without rejects, blank records and warnings.
        """
        whole = self._whole
        is_plain = (
            whole is not None
            and self._ends_with_line
            and not (whole.problems or whole.blank or whole.empty_tail)
            and whole.stop == whole.lines.starts.size
            and bool(whole.good.any())
            and not whole.controls().size
        )
        return Plain(shape=self._shape, split=whole) if whole is not None and is_plain else None

    def blocks(self) -> Iterator[Block]:
        """Read the records, block by block; this can be done once.

        Raises:
            FileRefused: there are no records but blank ones (at the end).
            BalanceError: records or lines were lost; nothing of the file may be imported.
        """
        if self._is_read:
            message = "the blocks of a file are read once"
            raise RuntimeError(message)
        self._is_read = True
        first_line = self._tally.line
        for block in self._parsed():
            self._tally.add_records(accepted=block.frame.height, rejected=len(block.rejects), blank=block.blank)
            yield block
        self._tally.check(first_line)
        if not self._ends_with_line:
            self.warnings += (warning("may_be_cut"),)
        if self.records == self._tally.blank:
            raise FileRefused(refusal("no_records"))

    def _parsed(self) -> Iterator[Block]:
        """Blocks, each parsed while the next one is read and split."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="parse") as thread:
            before: Future[Block] | None = None
            for numbered in self._numbered():
                now = thread.submit(_block, numbered, self._shape)
                if before is not None:
                    yield before.result()
                before = now
            if before is not None:
                yield before.result()

    def _numbered(self) -> Iterator[_Numbered]:
        tally = self._tally
        for block in self._splits():
            line, blank = tally.line, tally.blank
            row = tally.row + (tally.empty if block.stop > block.empty_tail else 0)
            tally.add_lines(block)
            blank, tally.blank = tally.blank - blank, blank
            if block.stop:
                yield _Numbered(block, row, line, blank)

    def _splits(self) -> Iterator[Split]:
        """The text block by block; what a block leaves undecided is read again with the next one."""
        carry = _NOTHING
        texts = self._texts()
        text = next(texts, _NOTHING)
        while text.data:
            following = next(texts, _NOTHING)
            text = text.part(self._surplus_of(carry.data, text.data), len(text.data))
            both = carry.followed_by(text)
            if text.data or not following.data:
                block = self._split(both, is_last=not following.data)
                yield block
                carry = self._cut(both.part(block.consumed, len(both.data)))
            text = following

    def _split(self, text: Text, *, is_last: bool) -> Split:
        data = text.data
        if is_last and not data.endswith(b"\n"):
            data = _ended(data)
            self._tally.line_ends += 1
        return split(data, self._shape.rules, is_last=is_last, invalid=text.invalid)

    def _cut(self, carry: Text) -> Text:
        """The undecided text; of a line that is too long by now, just enough to show so."""
        size, longest = len(carry.data), self._shape.rules.longest_record
        if size <= longest + 1:
            return carry
        begin = carry.part(0, longest + 1)
        return begin.followed_by(carry.part(size - 1, size)) if carry.data.endswith(b"\r") else begin

    def _surplus_of(self, carry: bytes, piece: bytes) -> int:
        """How many of the piece's bytes belong to a line that is too long already; no line end is among them."""
        if len(carry) <= self._shape.rules.longest_record or carry.endswith(b"\r"):
            return 0
        line_end = LINE_END.search(piece)
        return line_end.start() if line_end else len(piece)

    def _texts(self) -> Iterator[Text]:
        """The text in pieces, whose line feeds are counted."""
        for piece, feeds in self._pieces():
            self._tally.line_ends += feeds
            begin, self._position = self._position, self._position + len(piece)
            yield Text(piece, part_of(self._invalid, begin, self._position))

    def _pieces(self) -> Iterator[tuple[bytes, int]]:
        """Pieces that are not too large and have not too many lines, each with its number of line feeds."""
        most = 2 * self._block_bytes  # what was read at once may be more by now, as UTF-8
        yield from _pieces(self._begin, most)
        self._begin = b""
        for chunk in self._text:
            self._ends_with_line = chunk.endswith((b"\n", b"\r"))
            yield from _pieces(chunk, most)


def _pieces(text: bytes, most_bytes: int) -> Iterator[tuple[bytes, int]]:
    if len(text) <= most_bytes:
        line_ends = b"\n\r" if b"\r" in text else b"\n"
        feeds, *returns = counts(np.frombuffer(text, np.uint8), *line_ends)
        if feeds + sum(returns) <= _BLOCK_LINES:
            if text:
                yield text, feeds
            return
    middle = len(text) // 2
    yield from _pieces(text[:middle], most_bytes)
    yield from _pieces(text[middle:], most_bytes)


def _block(numbered: _Numbered, shape: Shape) -> Block:
    block = parse(numbered.split, shape, row=numbered.row, line=numbered.line)
    return replace(block, blank=block.blank + numbered.blank) if numbered.blank else block
