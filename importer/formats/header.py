"""The match of a file's header with the format: the meaning of each column, and what is wrong with the header."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from importer.formats.columns import REPORT_COLUMNS, Column, Format, by_name, normalised
from importer.formats.passwords import is_password
from importer.model import Refusal, Remark
from importer.words.reasons import SHOWN_CHARACTERS, refusal, shown, warning

_REPORT = frozenset(normalised(name) for name in REPORT_COLUMNS)
_NAMES_SHOWN = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A header that can be imported.

    Attributes:
        names: every column of the file as the sender wrote it, in file order.
        positions: column of the format → its index in the file, in the format's order.
        reported: the indexes of the columns that the failed-users CSV repeats: all but its own and passwords.
        warnings: warnings about unknown and forbidden columns.
    """

    names: tuple[str, ...]
    positions: Mapping[str, int]
    reported: tuple[int, ...]
    warnings: tuple[Remark, ...]

    @property
    def has_passwords(self) -> bool:
        """Whether one of the columns holds passwords."""
        return any(map(is_password, self.names))

    def label(self, column: str) -> str:
        """The name of a column as the sender wrote it, or the format's where the file has no such column.

        A name that is longer than a sentence can hold is shortened, as each failed row would repeat it.
        """
        name = self.names[self.positions[column]] if column in self.positions else column
        return name if len(name) <= SHOWN_CHARACTERS else shown(name)


def match_header(names: Sequence[str], format_: Format) -> Header | Refusal:
    """Find out what each column of a file means.

    Args:
        names: the header's cells, trimmed, without trailing empty ones.
        format_: the columns that have a meaning.
    """
    known = by_name(format_.columns)
    meanings = [known.get(normalised(name)) for name in names]
    problem = _problem(names, meanings, format_)
    if problem is not None:
        return problem
    return Header(
        names=tuple(names),
        positions={column.name: meanings.index(column) for column in format_.columns if column in meanings},
        reported=tuple(index for index, name in enumerate(names) if _is_reported(name)),
        warnings=tuple(_warnings(names, meanings, format_)),
    )


def _is_reported(name: str) -> bool:
    return normalised(name) not in _REPORT and not is_password(name)


def _problem(names: Sequence[str], meanings: Sequence[Column | None], format_: Format) -> Refusal | None:
    found = _listed(names)
    if not any(meanings):
        expected = _listed([column.name for column in format_.columns])
        return refusal("no_known_column", found=found, expected=expected)
    for column in format_.columns:
        same = [name for name, meaning in zip(names, meanings, strict=True) if meaning is column]
        if len(same) > 1:
            return refusal("repeated_column", column=column.name, found=_listed(same))
    for column in format_.columns:
        if column not in meanings and format_.is_needed(column):
            return refusal("missing_column", expected=column.name, found=found)
    return None


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(shown(name) or "(no name)" for name in names[:_NAMES_SHOWN])
    return listed if len(names) <= _NAMES_SHOWN else f"{listed}, …"


def _warnings(names: Sequence[str], meanings: Sequence[Column | None], format_: Format) -> Iterator[Remark]:
    candidates = {normalised(alias): column.name for column in format_.columns for alias in column.names}
    for name, meaning in zip(names, meanings, strict=True):
        if is_password(name):
            yield warning("password_column", column=shown(name))
        elif meaning is None and normalised(name) not in _REPORT:
            nearest = get_close_matches(normalised(name), candidates, n=1, cutoff=0.75)
            if nearest:
                suggestion = candidates[nearest[0]]
                yield warning("unknown_column.suggestion", column=shown(name), suggestion=suggestion)
            else:
                yield warning("unknown_column", column=shown(name))
