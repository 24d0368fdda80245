"""What a record is: cells, separators and quotes, as regular expressions that take linear time.

A cell is either text that does not begin with a quote (quotes further on are text), or begins with a quote, has inner
quotes doubled and ends with a quote before the separator or the line end (RFC 4180, section 2). Blanks outside the
quotes of a cell are nothing, as some programs write them; text after its closing quote is an error.
"""

import re
from collections.abc import Iterable
from enum import Enum, auto
from typing import Final

LINE_END: Final = re.compile(rb"\r\n|\r|\n")
QUOTE: Final = b'"'
BLANKS: Final = b" \t"
_UP_TO_QUOTE: Final = re.compile(rb'[^"]*(?:""[^"]*)*')
"""The text within quotes up to the closing one."""
WHITE_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""Unicode White_Space. `str.strip()` would also take U+001C to U+001F, which are control characters to us."""


class LineKind(Enum):
    """The kind of a line that is read from outside quotes."""

    WHOLE = auto()
    """A well-formed record by itself."""
    OPEN = auto()
    """Well-formed up to a quote that is not closed on it."""
    BROKEN = auto()
    """Neither, whatever follows."""


class Grammar:
    """The record grammar for one separator (a single ASCII character).

    The patterns do without possessive quantifiers and atomic groups, which Python's own `re` matched wrongly before
    3.11.5 and 3.12.0b4. They need none: what follows a cell decides where it ends, so there is nothing to try again.
    """

    def __init__(self, separator: str) -> None:
        self.separator = separator.encode("ascii")
        mark = re.escape(self.separator)
        self._blanks = b" " if separator == "\t" else b" \t"
        no_quote = b'(?![%s]*")' % self._blanks
        quoted_cell = rb'[%s]*"[^"]*"(?:"[^"]*")*[%s]*' % (self._blanks, self._blanks)
        self._cells = re.compile(
            b"%s(?:%s(?=%s|\\Z)|%s[^%s]*|.*)" % (mark, quoted_cell, mark, no_quote, mark), re.DOTALL
        )
        line_cell = b"(?:%s|%s[^%s\r\n]*)" % (quoted_cell, no_quote, mark)
        self._record = re.compile(b"%s(?:%s%s)*(?=\r|\n|\\Z)" % (line_cell, mark, line_cell))

    def shape(self, line: bytes) -> tuple[LineKind, int]:
        """The kind of a line, and its number of separators outside quotes (0 where it is broken)."""
        if QUOTE not in line:
            return LineKind.WHOLE, line.count(self.separator)
        *before, last = self._cells.findall(self.separator + line)
        shape = self._shape_of_cell(last[1:])
        return shape, 0 if shape is LineKind.BROKEN else len(before)

    def split(self, line: bytes) -> tuple[LineKind, list[bytes]]:
        """The kind of a line, and its cells as `cells` has them."""
        if QUOTE not in line:
            return LineKind.WHOLE, line.split(self.separator)
        cells = self.cells(line)
        return self._shape_of_cell(cells[-1]), cells

    def _shape_of_cell(self, cell: bytes) -> LineKind:
        """The kind of a line's last cell, or of all that begins where a cell should."""
        text = cell.lstrip(self._blanks)
        if not text.startswith(QUOTE):
            return LineKind.WHOLE
        end = _end_of_quoted(text, 1)
        if end == len(text):
            return LineKind.OPEN
        return LineKind.BROKEN if text[end + 1 :].strip(self._blanks) else LineKind.WHOLE

    def separators(self, line: bytes, *, is_inside: bool) -> int:
        """How many separators a line of a record has where a quote that it opens or closes is taken for text.

        Args:
            line: one of several lines of a well-formed record.
            is_inside: whether a quote is open where the line begins.
        """
        before = 0
        if QUOTE not in line:
            return line.count(self.separator)
        if is_inside:
            end = _end_of_quoted(line, 0)
            if end == len(line):
                return line.count(self.separator)
            before, line = line.count(self.separator, 0, end), b'""' + line[end + 1 :]
        shape, cells = self.split(line)
        return before + len(cells) - 1 + (cells[-1].count(self.separator) if shape is LineKind.OPEN else 0)

    def record_end(self, text: bytes, start: int, end: int) -> int | None:
        """The offset of the end of the well-formed record at `start`, its line end aside; None if there is none."""
        found = self._record.match(text, start, end)
        return None if found is None else found.end()

    def cells(self, record: bytes) -> list[bytes]:
        """The cells of a record without its line end, as written: with their quotes.

        Where it is not well-formed, the last one is all that begins where it goes wrong.
        """
        return [cell[1:] for cell in self._cells.findall(self.separator + record)]


def _end_of_quoted(text: bytes, start: int) -> int:
    """The offset of the quote that closes the text within quotes from `start` on; the end of the text if none does."""
    found = _UP_TO_QUOTE.match(text, start)
    return len(text) if found is None else found.end()


def value(cell: bytes) -> bytes:
    """The text of a cell of a well-formed record, without its quotes and what is outside them."""
    if QUOTE not in cell:
        return cell
    text = cell.strip(BLANKS)
    return text[1:-1].replace(b'""', QUOTE) if text.startswith(QUOTE) else cell


def quoted(cell: bytes) -> bytes:
    """The cell within quotes, each of its quotes doubled, for parsers that know no quotes in unquoted cells."""
    if QUOTE not in cell:
        return cell
    text = cell.strip(BLANKS)
    return text if text.startswith(QUOTE) else QUOTE + cell.replace(QUOTE, b'""') + QUOTE


def has_stray_quotes(cells: Iterable[bytes]) -> bool:
    """Whether two unquoted cells have an odd number of quotes: between them a separator was lost before a quote."""
    odd = (cell for cell in cells if cell.count(QUOTE) & 1 and not cell.lstrip(BLANKS).startswith(QUOTE))
    return next(odd, None) is not None and next(odd, None) is not None


def is_blank(text: bytes) -> bool:
    """Whether the text, UTF-8 as far as it is text at all, is nothing but white space."""
    rest = text.strip(b" \t\n\v\f\r")
    return not rest or (rest[0] > 0x7F and not rest.decode(errors="replace").strip(WHITE_SPACE))
