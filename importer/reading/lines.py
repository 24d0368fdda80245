"""All physical lines of a block classified at once, with numpy.

Most lines of most files are complete records whatever surrounds them, and are proven to be so here. Only the others
are looked at one by one, in `importer.reading.records`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from importer.reading.controls import places
from importer.reading.utf8 import Bytes, Flags, Ints, runs

_LF: Final = 0x0A
_CR: Final = 0x0D
_QUOTE: Final = 0x22
_CACHED_BYTES: Final = 1 << 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Delimiters:
    """The offsets of the bytes that split a block: line ends, separators and quotes.

    Attributes:
        block: the text.
        separator: one of its bytes.
        at: the offsets of line ends, separators and quotes.
        line_ends: which elements of `at` are line ends.
        quotes: which elements of `at` are quotes.
        lone_cr: the offsets of CRs that end a line by themselves.
    """

    block: Bytes
    separator: int
    at: Ints
    line_ends: Ints
    quotes: Ints
    lone_cr: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The physical lines of a block that have a line end; every array has one element for each.

    Attributes:
        starts: the offset of the line.
        ends: the offset behind its text, before its line end.
        nexts: the offset behind its line end.
        widths: one more than its separators outside quotes; meaningful for perfect and unquoted lines only.
        perfect: a record of the right width by itself, every quote of which opens or closes a quoted cell.
        quotes: how many quotes it has.
        long: so long that it, or a cell of it, may be longer than allowed.
        undecodable: with bytes that are not UTF-8.
        nul: with a NUL.
        delimiters: what they were split by (not one for each line).
    """

    starts: Ints
    ends: Ints
    nexts: Ints
    widths: Ints
    perfect: Flags
    quotes: Ints
    long: Flags
    undecodable: Flags
    nul: Flags
    delimiters: Delimiters

    @property
    def sound(self) -> Flags:
        """Lines whose bytes are all text, and that are surely not too long."""
        return ~(self.long | self.undecodable | self.nul)


def classify(data: bytes, *, separator: bytes, width: int, longest: int, invalid: Ints | None) -> Lines:
    """The lines of `data`, which begins at a line's start.

    A CR at the very end is not taken for a line end, because a LF may follow.

    Args:
        data: UTF-8, as far as it is text.
        separator: one ASCII byte.
        width: the number of cells that a record must have.
        longest: bytes of a line that need no closer look.
        invalid: the offsets at which `data` is not valid UTF-8, see `utf8.Runs`; None where they are not known yet.
    """
    block = np.frombuffer(data, np.uint8)
    delimiters = _delimiters(block, separator[0], may_have_cr=b"\r" in data)
    nexts = delimiters.at[delimiters.line_ends] + 1
    starts = np.concatenate((np.zeros(1, np.int64), nexts[:-1]))[: nexts.size]
    ends = _text_ends(block, starts, nexts)
    widths, quotes, in_order = quoting(delimiters, delimiters.line_ends)
    return Lines(
        starts=starts,
        ends=ends,
        nexts=nexts,
        widths=widths,
        perfect=in_order & (widths == width) & (ends > starts),
        quotes=quotes,
        long=ends - starts > longest,
        undecodable=_lines_of(runs(block).invalid if invalid is None else invalid, nexts),
        nul=_lines_of(places(data, b"\0", len(data)), nexts),
        delimiters=delimiters,
    )


def _delimiters(block: Bytes, separator: int, *, may_have_cr: bool) -> Delimiters:
    at = np.flatnonzero(_special(block, (_LF, separator, _QUOTE)))
    what = block.take(at)
    lone_cr = _lone_cr(block, at[what == _LF]) if may_have_cr else np.empty(0, np.int64)
    if lone_cr.size:
        at = np.sort(np.concatenate((at, lone_cr)), kind="stable")
        what = block[at]
    return Delimiters(
        block=block,
        separator=separator,
        at=at,
        line_ends=np.flatnonzero((what == _LF) | (what == _CR) if lone_cr.size else what == _LF),
        quotes=np.flatnonzero(what == _QUOTE),
        lone_cr=lone_cr,
    )


def _lone_cr(block: Bytes, feeds: Ints) -> Ints:
    """The offsets of CRs that no LF follows, but for one at the very end; most files have none, as counting tells."""
    pairs = np.count_nonzero(block[feeds[feeds > 0] - 1] == _CR)
    if counts(block, _CR) == [pairs + int(block[-1] == _CR)]:
        return np.empty(0, np.int64)
    at = np.flatnonzero(block[:-1] == _CR)
    found: Ints = at[block[at + 1] != _LF]
    return found


def counts(block: Bytes, *wanted: int) -> list[int]:
    """How often each of the bytes occurs.

    This is faster than `bytes.count` where that is often, and other threads can go on.
    """
    totals = [0] * len(wanted)
    for begin in range(0, block.size, _CACHED_BYTES):
        piece = block[begin : begin + _CACHED_BYTES]
        for number, byte in enumerate(wanted):
            totals[number] += int(np.count_nonzero(piece == byte))
    return totals


def _special(block: Bytes, delimiters: tuple[int, ...]) -> Flags:
    """Flags of the bytes that are delimiters, found in pieces that stay in the processor's cache."""
    special = np.empty(block.size, np.bool_)
    scratch = np.empty(_CACHED_BYTES, np.bool_)
    for begin in range(0, block.size, _CACHED_BYTES):
        piece, flags = block[begin : begin + _CACHED_BYTES], special[begin : begin + _CACHED_BYTES]
        np.equal(piece, delimiters[0], out=flags)
        for mark in delimiters[1:]:
            flags |= np.equal(piece, mark, out=scratch[: piece.size])
    return special


def _text_ends(block: Bytes, starts: Ints, nexts: Ints) -> Ints:
    """Offsets before the line ends; a CRLF is one line end."""
    ends: Ints = nexts - 1
    ends[(block[ends] == _LF) & (ends > starts) & (block[ends - 1] == _CR)] -= 1
    return ends


def _lines_of(offsets: Ints, nexts: Ints) -> Flags:
    """Flags of the lines that hold one of the offsets."""
    flags = np.zeros(nexts.size, np.bool_)
    found = np.searchsorted(nexts, offsets, side="right")
    flags[found[found < nexts.size]] = True
    return flags


def quoting(delimiters: Delimiters, ends: Ints) -> tuple[Ints, Ints, Flags]:
    """For each stretch of text its width, how many quotes it has, and whether these are in order.

    They are when each odd one opens a cell (or is the second of a doubled one), and each even one closes it. What lies
    between two such quotes are separators and line ends that separate nothing.

    Args:
        delimiters: what splits the text.
        ends: those of the line ends that end a stretch; what follows the last one is left out.
    """
    up_to = np.searchsorted(delimiters.quotes, ends)
    counts = np.diff(up_to, prepend=0)
    widths = np.diff(ends, prepend=-1) - counts
    in_order = (counts & 1) == 0
    if not counts.any():
        return widths, counts, in_order
    quotes = delimiters.quotes[: up_to[-1]]
    before = up_to - counts
    closes = ((np.arange(quotes.size) - np.repeat(before, counts)) & 1).astype(np.bool_)
    enclosed = np.zeros(quotes.size + 1, np.int64)
    np.cumsum(np.where(closes, np.diff(quotes, prepend=0) - 1, 0), out=enclosed[1:])
    widths -= enclosed[up_to] - enclosed[before]
    in_order &= ~_lines_of(_misplaced(delimiters, delimiters.at[quotes], closes), delimiters.at[ends] + 1)
    return widths, counts, in_order


def _misplaced(delimiters: Delimiters, at: Ints, closes: Flags) -> Ints:
    """The offsets of quotes that open within a cell's text or close before more of it."""
    boundary = np.zeros(256, np.bool_)
    boundary[[_LF, _CR, _QUOTE, delimiters.separator]] = True
    opening, closing = at[~closes], at[closes]
    previous = delimiters.block[opening - 1]
    if opening.size and opening[0] == 0:
        previous[0] = _LF
    return np.concatenate((opening[~boundary[previous]], closing[~boundary[delimiters.block[closing + 1]]]))
