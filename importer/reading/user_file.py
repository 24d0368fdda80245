"""A user file → blocks of rows, with every record accounted for.

The front decides encoding, separator, header and width; then blocks of some megabytes are split into records
(`importer.reading.records`) while the block before is parsed on a second thread (`importer.reading.parsing`). Memory
does not grow with the number of rows.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, NamedTuple, Self

import numpy as np

from importer.formats.code_pages import CodePage
from importer.formats.columns import HeaderNames
from importer.model import FileRefused, Remark
from importer.reading.dialect import Dialect, marked_encoding, named_encoding, refuse_if_not_text
from importer.reading.ending import MARKS, ended, without_end_marks
from importer.reading.grammar import LINE_END, WHITE_SPACE, Grammar
from importer.reading.guarding import is_report, unguarded_text
from importer.reading.heading import HeaderLine, read_header
from importer.reading.lines import counts
from importer.reading.nobodies import Expected, Nobodies
from importer.reading.opening_remarks import remarks
from importer.reading.parsing import Block, Noted, Reject, Shape, named, parse, remark_of
from importer.reading.records import split
from importer.reading.splits import Rules, Split
from importer.reading.surveying import Body, Proof, nothing_is_proven, surveyed
from importer.reading.tallying import BalanceError, Tally
from importer.reading.transcoding import (
    HARMLESS_EXPANSION,
    MOST_EXPANSION,
    ByteSource,
    Found,
    unmarked_encoding,
    utf8_chunks,
)
from importer.reading.utf8 import Ints, Text, part_of
from importer.reading.widths import widths_of
from importer.words.reasons import refusal, shown_size, warning

__all__ = ["BalanceError", "Block", "Expected", "Limits", "Plain", "Reject", "UserFile", "open_user_file"]

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
    path: Path,
    *,
    name: str,
    header_names: HeaderNames,
    limits: Limits,
    code_page: CodePage = CodePage.AUTO,
    block_bytes: int = BLOCK_BYTES,
    expected: Expected = Expected(),  # noqa: B008 - it is frozen
    proves: Proof = nothing_is_proven,
) -> "UserFile":
    """Open a file for reading its blocks once.

    Args:
        path: where the bytes are.
        name: the sender's name of the file; a compressed one must end with `.gz`.
        header_names: `Format.header_names`, by which the separator is recognised.
        limits: beyond them the file, or the row, is refused.
        code_page: what it is written in where it is not UTF-8.
        block_bytes: bytes of the file that are read at once; any number from 1 gives the same records.
        expected: what tells users from lines that are nobody.
        proves: tells whether the columns of a body that is wider than its header prove that nothing is shifted.

    Raises:
        FileRefused: nothing of the file can be imported.
    """
    file = path.open("rb")
    try:
        source = _source(file, name, limits)
        found = _found(source, block_bytes, code_page)
        return _opened(source, found, _Known(header_names, limits, expected, proves), block_bytes)
    except BaseException:
        file.close()
        raise


class _Known(NamedTuple):
    """What is known of the files of a format, and the bounds that they must keep."""

    header_names: HeaderNames
    limits: Limits
    expected: Expected
    proves: Proof


def _source(file: BinaryIO, name: str, limits: Limits) -> ByteSource:
    size = os.fstat(file.fileno()).st_size
    if size > limits.max_bytes:
        raise FileRefused(refusal("file_too_large", limit=shown_size(limits.max_bytes)))
    return ByteSource(file, name=name, max_expanded_bytes=limits.max_expanded_bytes)


def _opened(source: ByteSource, found: Found, known: _Known, block_bytes: int) -> "UserFile":
    text = without_end_marks(utf8_chunks(source.chunks(block_bytes), found.encoding, found.mark_length))
    begin, is_whole = _begin(text)
    header = _header(begin, known.header_names, known.limits)
    body = begin[header.end :]
    rules = _rules(header, known.limits, known.expected)
    shape, sample = surveyed(
        Body(ended(body) if is_whole else body, is_whole, part_of(found.invalid, header.end, len(begin))),
        Shape(rules=rules, header=header.cells, encoding=found.encoding, program=found.program),
        SURVEY_BYTES - header.end,
        known.proves,
    )
    is_wider = shape.rules.widths.is_wider
    is_kept = is_whole and found.invalid is not None and not is_wider and not header.skipped
    return UserFile(
        dialect=Dialect(
            encoding=named_encoding(found.encoding), is_compressed=source.is_compressed, separator=header.separator
        ),
        header=shape.names,
        warnings=tuple(remarks(found, header, body, is_wider=is_wider)),
        total_bytes=source.size,
        expected_records=int(sample.begins.sum()) * source.size // max(source.position, 1),
        _source=source,
        _text=text,
        _begin=body,
        _shape=shape,
        _whole=sample if is_kept else None,
        _position=header.end,
        _invalid=found.invalid,
        _tally=Tally(first_row=header.row + 1, row=header.row + 1, line=header.lines + 1),
        _ends_with_line=begin.endswith((b"\n", b"\r")),
        _block_bytes=block_bytes,
    )


def _found(source: ByteSource, block_bytes: int, code_page: CodePage) -> Found:
    """The encoding of a file that is text."""
    head = source.head()
    if not head:
        raise FileRefused(refusal("empty_file"))
    refuse_if_not_text(head.rstrip(MARKS) or head)
    marked = marked_encoding(head)
    if marked is None:
        return unmarked_encoding(source, block_bytes, code_page)
    if source.is_compressed:
        source.check(block_bytes)
    encoding, mark_length = marked
    return Found(encoding=encoding, mark_length=mark_length)


def _begin(text: Iterator[bytes]) -> tuple[bytes, bool]:
    """The first SURVEY_BYTES of the text or more, and whether that is all of it."""
    chunks, size = [], 0
    for chunk in text:
        chunks.append(chunk)
        size += len(chunk)
        if size >= SURVEY_BYTES:
            return b"".join(chunks), False
    return b"".join(chunks), True


def _header(begin: bytes, header_names: HeaderNames, limits: Limits) -> HeaderLine:
    header = read_header(
        begin,
        header_names=header_names,
        longest_record=limits.max_record_bytes,
        longest_cell=limits.max_cell_bytes,
    )
    columns = len(named(header.cells))
    if columns > limits.max_columns:
        raise FileRefused(refusal("too_many_columns", columns=columns, limit=limits.max_columns))
    if is_report(header.cells):
        return replace(header, cells=tuple(unguarded_text(cell).strip(WHITE_SPACE) for cell in header.cells))
    return header


def _rules(header: HeaderLine, limits: Limits, expected: Expected) -> Rules:
    return Rules(
        grammar=Grammar(header.separator),
        widths=widths_of(header.cells),
        nobodies=Nobodies(header=named(header.cells), expected=expected),
        longest_record=limits.max_record_bytes,
        longest_cell=limits.max_cell_bytes,
    )


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
    _complete: Ints = field(default_factory=lambda: np.empty(0, np.int64))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._source.close()

    @property
    def bytes_read(self) -> int:
        """How many bytes of the file were read so far."""
        return self._source.position

    @property
    def expanded_bytes(self) -> int:
        """How many bytes the file holds; a compressed one was read through once when it was opened."""
        return self._source.expanded_size

    @property
    def first_row(self) -> int:
        """The number of the first record, which follows that of the header."""
        return self._tally.first_row

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
            and not (whole.problems or whole.blank or whole.empty_tail or whole.marks)
            and not (whole.widths() > self._shape.rules.widths.declared).any()
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
        noted: defaultdict[str, list[Noted]] = defaultdict(list)
        for block in self._parsed():
            for some in block.noted:
                noted[some.kind].append(some)
            self._tally.add_records(accepted=block.frame.height, rejected=len(block.rejects), blank=block.blank)
            yield block
        self._tally.check(first_line)
        self.warnings += tuple(map(remark_of, noted.values()))
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
            data = ended(data)
            self._tally.line_ends += 1
        block = split(
            data,
            self._shape.rules,
            is_last=is_last,
            invalid=text.invalid,
            row=self._tally.row + self._tally.empty,
            complete=self._complete,
        )
        self._complete = block.complete
        return block

    def _cut(self, carry: Text) -> Text:
        """The undecided text; of a last line that is too long by now, just enough to show so."""
        size, longest = len(carry.data), self._shape.rules.longest_record
        if size <= longest + 1:
            return carry
        end = _last_line(carry.data) + longest + 1
        if size <= end:
            return carry
        begin = carry.part(0, end)
        return begin.followed_by(carry.part(size - 1, size)) if carry.data.endswith(b"\r") else begin

    def _surplus_of(self, carry: bytes, piece: bytes) -> int:
        """How many of the piece's bytes belong to a line that is too long already; no line end is among them."""
        longest = self._shape.rules.longest_record
        if len(carry) <= longest or carry.endswith(b"\r") or len(carry) - _last_line(carry) <= longest:
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


def _last_line(text: bytes) -> int:
    """The offset at which the last line begins, which has no line end; a CR at the very end may be half of one."""
    return max(text.rfind(b"\n"), text.rfind(b"\r", 0, max(len(text) - 1, 0))) + 1


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
