"""How a file is written: its encoding, its separator, its header; and what is no text at all.

Pure: first bytes in, decisions out.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from importer.formats.columns import normalised
from importer.model import FileRefused
from importer.reading.grammar import LINE_END, QUOTE, WHITE_SPACE, Grammar, is_blank, value
from importer.words.reasons import refusal


class _Problem(StrEnum):
    """Why a header cannot be read."""

    LONG = "it is too long"
    LONG_NAME = "a name in it is too long"
    BYTES = "it has bytes that are not text"
    NUL = "it holds a NUL character"
    QUOTES = "its quotes do not match"


Encoding = Literal["utf-8", "utf-16-le", "utf-16-be", "windows-1252"]

HEAD_BYTES: Final = 65_536
"""How much of a file decides whether it is text."""

SEPARATORS: Final = (",", ";", "\t", "|")
"""In the order of preference where the header does not decide."""

_MARKS: Final[tuple[tuple[bytes, Encoding], ...]] = (
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
NOT_TEXT_WORDS: Final = (*dict.fromkeys(kind for _, kind in _KINDS), _BINARY, *_Problem)
"""Words of ours that refusals name: what a file is instead of text, and why a header cannot be read."""
_CONTROLS: Final = bytes(set(range(0x20)) - set(b"\t\n\v\f\r"))
_SEPARATOR_LINE: Final = re.compile(rb'(?:sep=([,;\t|])|"sep=([,;\t|])")(?:\r\n|\r|\n|\Z)', re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The way in which a file is written: its encoding, compression and separator.

    Attributes:
        encoding: what its bytes are; invalid ones fail their row.
        is_compressed: whether the text is gzipped.
        separator: one of SEPARATORS.
    """

    encoding: Encoding
    is_compressed: bool
    separator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderLine:
    """The first record of a file, and where it ends.

    Attributes:
        separator: one of SEPARATORS.
        cells: its trimmed cells, trailing empty ones included.
        end: the offset of the text below it.
        lines: the physical lines before that offset.
    """

    separator: str
    cells: tuple[str, ...]
    end: int
    lines: int


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


def read_header(text: bytes, *, known_names: frozenset[str], longest_record: int, longest_cell: int) -> HeaderLine:
    """The header of a text, after a `sep=` line and empty lines.

    Args:
        text: the text's begin, longer than the longest record if the text is.
        known_names: the normalised names by which the separator is recognised.
        longest_record: in bytes.
        longest_cell: in bytes.

    Raises:
        FileRefused: there is nothing but white space, or the header cannot be read.
    """
    start, lines, separator = _separator_line(text)
    if is_blank(text[start:]):
        raise FileRefused(refusal("empty_file"))
    while line_end := LINE_END.match(text, start):
        start, lines = line_end.end(), lines + 1
    separator = separator or choose_separator(_header_text(text, start, longest_record), known_names)
    grammar = Grammar(separator)
    end = _header_end(text, start, grammar, longest_record)
    cells = [value(cell) for cell in grammar.cells(text[start:end])]
    if max(map(len, cells)) > longest_cell:
        raise _bad_header(_Problem.LONG_NAME)
    line_end = LINE_END.match(text, end)
    return HeaderLine(
        separator=separator,
        cells=tuple(cell.decode().strip(WHITE_SPACE) for cell in cells),
        end=line_end.end() if line_end else end,
        lines=lines + len(LINE_END.findall(text, start, end)) + 1,
    )


def _separator_line(text: bytes) -> tuple[int, int, str | None]:
    """Excel's `sep=` line: the offset behind it, the number of its lines, and the separator it tells."""
    found = _SEPARATOR_LINE.match(text)
    return (found.end(), 1, (found[1] or found[2]).decode()) if found else (0, 0, None)


def _header_text(text: bytes, start: int, longest: int) -> bytes:
    """The header as far as its separator goes: up to the first line end outside quotes."""
    quotes, begin = 0, start
    for line_end in LINE_END.finditer(text, start):
        if line_end.start() - start > longest:
            break
        quotes += text.count(QUOTE, begin, line_end.start())
        begin = line_end.end()
        if quotes % 2 == 0:
            return text[start : line_end.start()]
    return _whole_text_or_first_line(text, start, longest)


def _whole_text_or_first_line(text: bytes, start: int, longest: int) -> bytes:
    whole = text[start : start + longest + 1]
    if len(whole) <= longest and whole.count(QUOTE) % 2 == 0:
        return whole
    return LINE_END.split(whole, maxsplit=1)[0]


def choose_separator(header: bytes, known_names: frozenset[str]) -> str:
    """The separator by which the header has the most known names; then the most cells; then the usual one."""
    scores = {separator: _score(header, separator, known_names) for separator in SEPARATORS}
    return max(SEPARATORS, key=lambda separator: scores[separator])


def _score(header: bytes, separator: str, known_names: frozenset[str]) -> tuple[int, int]:
    names = _loosely_split(header.decode(errors="replace"), separator)
    return sum(normalised(name) in known_names for name in names), len(names)


def _loosely_split(header: str, separator: str) -> list[str]:
    """The names in a header that need not be well-formed: cut at separators that an even number of quotes precedes."""
    names = [""]
    for number, part in enumerate(header.split('"')):
        first, *others = part.split(separator) if number % 2 == 0 else [part]
        names[-1] += ('"' if number else "") + first
        names += others
    return [name.strip(WHITE_SPACE).strip('"').strip(WHITE_SPACE) for name in names]


def _header_end(text: bytes, start: int, grammar: Grammar, longest: int) -> int:
    """Where the header record ends, before its line end.

    Raises:
        FileRefused: it is too long, not text, or its quotes do not match.
    """
    end = grammar.record_end(text, start, start + longest + 1)
    first_line = LINE_END.split(text[start : start + longest + 1], maxsplit=1)[0]
    if len(first_line) > longest:
        raise _bad_header(_Problem.LONG)
    is_whole = end is not None and end - start <= longest
    record = text[start:end] if is_whole else first_line
    if problem := _unreadable(record):
        raise _bad_header(problem)
    if end is None or not is_whole:
        raise _bad_header(_Problem.QUOTES)
    return end


def _unreadable(record: bytes) -> _Problem | None:
    try:
        record.decode()
    except UnicodeDecodeError:
        return _Problem.BYTES
    return _Problem.NUL if b"\0" in record else None


def _bad_header(problem: _Problem) -> FileRefused:
    return FileRefused(refusal("bad_header", problem=problem.value))
