"""What a record is: cells, separators and quotes, as regular expressions that take linear time.

A cell is either text that does not begin with a quote (quotes further on are text), or begins with a quote, has inner
quotes doubled and ends with a quote directly before the separator or the line end (RFC 4180, section 2). Blanks
outside the quotes of a cell are an error, as is text after its closing quote.
"""

import re
from enum import Enum, auto
from typing import Final

LINE_END: Final = re.compile(rb"\r\n|\r|\n")
QUOTE: Final = b'"'
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
        quoted_cell = rb'"[^"]*"(?:"[^"]*")*'
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

    def _shape_of_cell(self, cell: bytes) -> LineKind:
        """The kind of a line's last cell, or of all that begins where a cell should."""
        if not cell.startswith(QUOTE):
            return LineKind.BROKEN if cell.lstrip(self._blanks).startswith(QUOTE) else LineKind.WHOLE
        _, closing, rest = cell[1:].replace(b'""', b"").partition(QUOTE)
        if closing:
            return LineKind.BROKEN if rest else LineKind.WHOLE
        return LineKind.OPEN

    def record_end(self, text: bytes, start: int, end: int) -> int | None:
        """The offset of the end of the well-formed record at `start`, its line end aside; None if there is none."""
        found = self._record.match(text, start, end)
        return None if found is None else found.end()

    def cells(self, record: bytes) -> list[bytes]:
        """The cells of a record without its line end, as written: with their quotes.

        Where it is not well-formed, the last one is all that begins where it goes wrong.
        """
        return [cell[1:] for cell in self._cells.findall(self.separator + record)]


def value(cell: bytes) -> bytes:
    """The text of a cell of a well-formed record, without its quotes."""
    return cell[1:-1].replace(b'""', QUOTE) if cell.startswith(QUOTE) else cell


def quoted(cell: bytes) -> bytes:
    """The cell within quotes, each of its quotes doubled, for parsers that know no quotes in unquoted cells."""
    if cell.startswith(QUOTE) or QUOTE not in cell:
        return cell
    return QUOTE + cell.replace(QUOTE, b'""') + QUOTE


def is_blank(text: bytes) -> bool:
    """Whether the text, UTF-8 as far as it is text at all, is nothing but white space."""
    rest = text.strip(b" \t\n\v\f\r")
    return not rest or (rest[0] > 0x7F and not rest.decode(errors="replace").strip(WHITE_SPACE))
