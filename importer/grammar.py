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

_QUOTED_TEXT = rb'[^"]*+(?:""[^"]*+)*+'


class Shape(Enum):
    """What a line is when it is read from outside quotes."""

    WHOLE = auto()
    """A well-formed record by itself."""
    OPEN = auto()
    """Well-formed up to a quote that is not closed on it."""
    BROKEN = auto()
    """Neither, whatever follows."""


class Grammar:
    """The record grammar for one separator (a single ASCII character)."""

    def __init__(self, separator: str) -> None:
        self.separator = separator.encode("ascii")
        mark = re.escape(self.separator)
        blanks = b"[ ]" if separator == "\t" else b"[ \\t]"
        text = rb'(?!%s*+")[^%s]*+' % (blanks, mark)
        cell = rb'(?:"%s"|%s)' % (_QUOTED_TEXT, text)
        self._shape = re.compile(rb'(?:%s%s)*+(?:%s\Z|("%s\Z))' % (cell, mark, cell, _QUOTED_TEXT))
        self._cells = re.compile(rb'%s(?:"%s"|[^%s]*+)' % (mark, _QUOTED_TEXT, mark))
        line_text = rb'(?!%s*+")[^%s\r\n]*+' % (blanks, mark)
        line_cell = rb'(?:"%s"|%s)' % (_QUOTED_TEXT, line_text)
        self._record = re.compile(rb"%s(?:%s%s)*+(?=\r|\n|\Z)" % (line_cell, mark, line_cell))

    def shape(self, line: bytes) -> tuple[Shape, int]:
        """What the line is, and how many separators outside quotes it has (0 where it is broken)."""
        if QUOTE not in line:
            return Shape.WHOLE, line.count(self.separator)
        found = self._shape.match(line)
        if found is None:
            return Shape.BROKEN, 0
        if found.start(1) < 0:
            return Shape.WHOLE, len(self._cells.findall(self.separator + line)) - 1
        closed = line[: found.start(1)]
        return Shape.OPEN, len(self._cells.findall(self.separator + closed[:-1])) if closed else 0

    def record_end(self, text: bytes, start: int, end: int) -> int | None:
        """Where the well-formed record that begins at `start` ends, before its line end; None if there is none."""
        found = self._record.match(text, start, end)
        return None if found is None else found.end()

    def cells(self, record: bytes) -> list[bytes]:
        """The cells of a well-formed record without its line end, as written: with their quotes."""
        return [cell[1:] for cell in self._cells.findall(self.separator + record)]


def value(cell: bytes) -> bytes:
    """What a cell of a well-formed record says: without its quotes."""
    return cell[1:-1].replace(b'""', QUOTE) if cell.startswith(QUOTE) else cell


def quoted(cell: bytes) -> bytes:
    """The same cell with every quote in its place, for parsers that know no quotes inside unquoted cells."""
    if cell.startswith(QUOTE) or QUOTE not in cell:
        return cell
    return QUOTE + cell.replace(QUOTE, b'""') + QUOTE


def is_blank(text: bytes) -> bool:
    """Whether the text, UTF-8 as far as it is text at all, is nothing but white space."""
    rest = text.strip(b" \t\n\v\f\r")
    return not rest or (rest[0] > 0x7F and not rest.decode(errors="replace").strip(WHITE_SPACE))
