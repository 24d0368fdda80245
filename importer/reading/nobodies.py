"""Lines between the users of a file that are nobody: rulers, totals, comments, a header once more.

A line is looked at only if it may be one of them, which its first byte or its length tells.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from importer.formats.columns import Format
from importer.formats.names import normalised
from importer.reading.grammar import WHITE_SPACE, value
from importer.reading.guarding import is_report, unguarded_text
from importer.reading.lines import Lines
from importer.reading.utf8 import Ints

Nobody = Literal["ruler", "comment", "default", "total", "header"]

_RULER: Final = "-=_+"
_RULERS: Final = frozenset(mark.encode() for mark in _RULER)
_MAY_BEGIN_RULER: Final = np.isin(np.arange(256), [*map(ord, _RULER), *b" \t"])
_QUOTE: Final = 0x22
_MAY_BE_TOTAL: Final = re.compile(
    rb"(?i)tot|count|row|record|user|line|number|nombre|ligne|enreg|util|person|people|entr|item|student|tudiant|employ"
)
_THINGS: Final = (
    r"(?:rows?|records?|users?|lines?|entry|entries|items?|people|persons?|students?|employees?"
    r"|lignes?|enregistrements?|utilisateurs?|personnes?|entrées?|étudiante?s?|employée?s?)"
)
_NUMBER: Final = r"[0-9](?:[0-9.,\s]*[0-9])?"
_DONE: Final = (
    r"(?:selected|affected|returned|exported|found|in set|total|in total|sélectionnée?s?|exportée?s?|au total)"
)
_TOTAL: Final = re.compile(
    rf"(?:grand[ -]|sub-?|sous-)?tot(?:als?|aux)(?:[\s:=,-]+(?:{_THINGS}|{_NUMBER}|of|number|count|de|des|général))*"
    rf"|\(?{_NUMBER}\s+{_THINGS}(?:\s+{_DONE})?(?:\s+\([^)]*\))?\)?"
    rf"|(?:{_THINGS}\s+)?count(?:\s+of\s+{_THINGS})?\s*[:=]?\s*{_NUMBER}(?:\s+{_THINGS})?"
    rf"|(?:(?:total\s+)?number\s+of\s+|nombre\s+d(?:e\s+|es\s+|['’]))?{_THINGS}\s*[:=]\s*{_NUMBER}"  # noqa: RUF001 - French
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What is known of the columns of any file before it is read.

    Attributes:
        known: the normalised names that mean something.
        spellings: how the names of columns are usually written.
        key: the normalised names of the key.
        defaults: normalised names of columns with a default, each with the default.
        lookups: the normalised names of columns that hold one of a list of known things, as fillers do everywhere.
    """

    known: frozenset[str] = frozenset()
    spellings: frozenset[str] = frozenset()
    key: frozenset[str] = frozenset()
    defaults: frozenset[tuple[str, str]] = frozenset()
    lookups: frozenset[str] = frozenset()


def expected_of(format_: Format) -> Expected:
    """What a format says of the columns."""
    names = [name for column in format_.columns for name in (column.name, *column.aliases)]
    return Expected(
        known=format_.header_names.columns | format_.header_names.others,
        spellings=frozenset(spelling for name in names for spelling in _spellings(name)),
        key=format_.column(format_.key).names,
        defaults=frozenset(
            (name, default)
            for column, default in format_.defaults.items()
            if default
            for name in format_.column(column).names
        ),
        lookups=frozenset().union(*(column.names for column in format_.columns if column.kind == "lookup")),
    )


def _spellings(name: str) -> Iterable[str]:
    for spaced in (name, name.replace("_", " "), name.replace("_", "-"), name.replace("_", "").replace(" ", "")):
        yield from (spaced, spaced.lower(), spaced.upper(), spaced.title(), spaced.capitalize())


@dataclass(frozen=True, slots=True, kw_only=True)
class Nobodies:
    """The lines of one file that are nobody.

    Attributes:
        header: the names of its columns, without trailing empty ones.
        expected: what was known of the columns before.
        has_comments: whether a line that begins with `#` and is narrower than the header is a comment.
        key: the index of the key; None where the file has none.
        default: the index of a column with a default, and the default.
        fillers: the indexes of columns that hold one of a list of known things.
    """

    header: tuple[str, ...]
    expected: Expected = Expected()
    has_comments: bool = False
    key: int | None = field(init=False)
    default: tuple[int, bytes] | None = field(init=False)
    fillers: frozenset[int] = field(init=False)
    _is_report: bool = field(init=False)

    def __post_init__(self) -> None:
        names = [normalised(name) for name in self.header]
        keys = [index for index, name in enumerate(names) if name in self.expected.key]
        defaults = dict(self.expected.defaults)
        found = [(index, defaults[name].encode()) for index, name in enumerate(names) if name in defaults]
        object.__setattr__(self, "key", keys[0] if keys else None)
        fillers = frozenset(index for index, name in enumerate(names) if name in self.expected.lookups)
        object.__setattr__(self, "fillers", fillers)
        object.__setattr__(self, "_is_report", is_report(self.header))
        object.__setattr__(self, "default", found[0] if found else None)

    def kind(self, text: bytes, cells: list[bytes]) -> Nobody | None:
        """What a line that is a record by itself is instead of a user; its cells are as written, with their quotes."""
        if cells[0].lstrip(b' \t"')[:1] in _RULERS and self._is_ruler(cells):
            return "ruler"
        if self.has_comments and text.startswith(b"#") and len(cells) < len(self.header):
            return "comment"
        if self._is_default(text, cells):
            return "default"
        if _MAY_BE_TOTAL.search(text, 0, 200) and _is_total(cells):
            return "total"
        if not self._may_repeat_header(cells):
            return None
        return (
            "header"
            if self.repeats_header([self._unguarded(_text(cell)).strip(WHITE_SPACE) for cell in cells])
            else None
        )

    def _is_ruler(self, cells: list[bytes]) -> bool:
        """Whether the cells, but those of known things, are rulers or empty; the first is a ruler."""
        others = [_text(cell) for index, cell in enumerate(cells) if index not in self.fillers]
        return bool(_text(cells[0])) and not any(cell.strip(_RULER) for cell in others)

    def _is_default(self, text: bytes, cells: list[bytes]) -> bool:
        if self.default is None or len(text) != len(cells) - 1 + len(self.default[1]):
            return False
        index, default = self.default
        return index < len(cells) and cells[index] == default and not any(cells[:index] + cells[index + 1 :])

    def _may_repeat_header(self, cells: list[bytes]) -> bool:
        if self.key is not None and self.key < len(cells) and _text(cells[self.key]) in self.expected.spellings:
            return True
        return (
            bool(self.header) and len(cells) >= len(self.header) and self._unguarded(_text(cells[0])) == self.header[0]
        )

    def repeats_header(self, cells: list[str]) -> bool:
        """Whether trimmed cells are the header once more, as it is or in other words."""
        names = len(self.header)
        if names and tuple(cells[:names]) == self.header and not any(cells[names:]):
            return True
        if self.key is None or self.key >= len(cells) or cells[self.key] not in self.expected.spellings:
            return False
        filled = [cell for cell in cells if cell]
        return 2 * sum(normalised(cell) in self.expected.known for cell in filled) > len(filled)

    def _unguarded(self, cell: str) -> str:
        return unguarded_text(cell) if self._is_report else cell

    def candidates(self, lines: Lines, width: int) -> Ints:
        """The perfect lines that may be nobody, but for a header; few, unless most cells of the file are empty.

        Args:
            lines: the lines of a block.
            width: the number of columns with names.
        """
        starts, ends = lines.starts, lines.ends
        delimiters = lines.delimiters
        first = delimiters.block.take(starts, mode="clip")
        may_be = _MAY_BEGIN_RULER[np.where(first == _QUOTE, delimiters.block.take(starts + 1, mode="clip"), first)]
        if width <= _NARROW:
            may_be[:] = True
        else:
            empty = width - _NARROW
            may_be |= delimiters.at[np.maximum(delimiters.line_ends - empty, 0)] == ends - empty
        if self.default is not None:
            may_be |= ends - starts == lines.widths - 1 + len(self.default[1])
        return np.flatnonzero(may_be & lines.perfect)


_NARROW: Final = 2
"""The cells that a total and its number may take."""


def _text(cell: bytes) -> str:
    return value(cell).decode(errors="replace").strip(WHITE_SPACE)


def _is_total(cells: list[bytes]) -> bool:
    """Whether the cells are a total or a count, perhaps with its number beside it, and nothing else."""
    first, second = _text(cells[0]), _text(cells[1]) if len(cells) > 1 else ""
    if any(cells[_NARROW:]) or not first or (second and not re.fullmatch(_NUMBER, second)):
        return False
    return _TOTAL.fullmatch(f"{first} {second}".casefold().rstrip(" .")) is not None
