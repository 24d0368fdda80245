r"""The line of a record that could not be split is read again, as a sender has corrected it in a report of ours.

It is the text of one record, in the separator of the file that it came from. What is still as it was fails again: bytes
that were not text are told by their `\xNN`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from importer.reading.grammar import WHITE_SPACE, Grammar
from importer.reading.nobodies import Nobodies
from importer.reading.parsing import SHOWN_BYTES, Shape, listed, parse
from importer.reading.records import split
from importer.reading.splits import Rules
from importer.reading.widths import widths_of

_SEPARATORS: Final = ",;\t|"
_NOT_TEXT: Final = re.compile(r"\\x[0-9a-f]{2}")
_CUT: Final = 3
"""The bytes by which a text that was cut between two characters may be shorter than SHOWN_BYTES."""


@dataclass(frozen=True, slots=True)
class Unread:
    """Why a line still cannot be split: a key of `reasons.ROW_SENTENCES`, and what that sentence names."""

    kind: str
    facts: Mapping[str, object]


def reread(text: str, header: Sequence[str]) -> tuple[str, ...] | Unread:
    """The cells of a line, one for each name of the header; or why there are none."""
    found = _split(text, header)
    if isinstance(found, tuple) and [cell.strip(WHITE_SPACE) for cell in found] == [*header]:
        return Unread("repeated_header", {})
    return found


def _split(text: str, header: Sequence[str]) -> tuple[str, ...] | Unread:
    if odd := {*_NOT_TEXT.findall(text)}:
        is_nul = odd == {r"\x00"}
        return Unread("control_character.row", {}) if is_nul else Unread("bad_encoding", {"encoding": "UTF-8"})
    if len(text.encode()) > SHOWN_BYTES - _CUT:
        return Unread("too_large", {"limit": f"{SHOWN_BYTES >> 10} KB"})
    separators = sorted(filter(text.count, _SEPARATORS), key=text.count, reverse=True) or [_SEPARATORS[0]]
    if not {'"', "\n", "\r"}.isdisjoint(text):
        found = [_parsed(text, separator, header) for separator in separators]
        return next((cells for cells in found if isinstance(cells, tuple)), found[0])
    for separator in separators:
        if text.count(separator) == len(header) - 1:
            return tuple(text.split(separator))
    return _of_other_width(text.split(separators[0]), header)


def _parsed(text: str, separator: str, header: Sequence[str]) -> tuple[str, ...] | Unread:
    names = tuple(f"column {number}" for number in range(len(header)))
    rules = Rules(
        grammar=Grammar(separator),
        widths=widths_of(names),
        nobodies=Nobodies(header=names),
        longest_record=SHOWN_BYTES,
        longest_cell=SHOWN_BYTES,
    )
    shape = Shape(rules=rules, header=names, encoding="utf-8")
    block = parse(split(f"{text}\n".encode(), rules, is_last=True), shape, row=1, line=1)
    if block.frame.height == 1 and not (block.rejects or block.blank):
        return tuple(block.frame.row(0)[2:])
    if len(block.rejects) == 1 and block.rejects[0].cells is not None:
        return _of_other_width(block.rejects[0].cells, header)
    if len(block.rejects) == 1:
        return Unread(block.rejects[0].kind, dict(block.rejects[0].facts))
    return Unread("bad_quotes", {})


def _of_other_width(cells: Sequence[str], header: Sequence[str]) -> Unread:
    widths = {"cells": len(cells), "expected": len(header)}
    if len(cells) < len(header):
        return Unread("too_few_cells", {**widths, "missing": listed(header[len(cells) :])})
    return Unread("too_many_cells", {**widths, "beyond": listed(cells[len(header) :])})
