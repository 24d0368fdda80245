"""The match of a file's header with the format: the meaning of each column, and what is wrong with the header."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from importer.formats.columns import REPORT_COLUMNS, Column, Format, by_name
from importer.formats.names import normalised, spellings
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
    meanings = [_meaning(name, known) for name in names]
    problem = _problem(names, meanings, format_)
    if problem is not None:
        return problem
    return Header(
        names=tuple(names),
        positions={column.name: meanings.index(column) for column in format_.columns if column in meanings},
        reported=tuple(index for index, name in enumerate(names) if _is_foreign(name)),
        warnings=tuple(_warnings(names, meanings, format_)),
    )


def _meaning(name: str, known: Mapping[str, Column]) -> Column | None:
    return next((known[form] for form in spellings(name) if form in known), None)


def _problem(names: Sequence[str], meanings: Sequence[Column | None], format_: Format) -> Refusal | None:
    found = _listed(names)
    if not any(meanings) and not any(_hinted(name, format_.columns) for name in names):
        expected = _listed([column.name for column in format_.columns])
        return refusal("no_known_column", found=found, expected=expected)
    for column in format_.columns:
        same = [name for name, meaning in zip(names, meanings, strict=True) if meaning is column]
        if len(same) > 1:
            return refusal("repeated_column", column=column.name, found=_listed(same))
    missing = [column for column in format_.columns if column not in meanings and format_.is_needed(column)]
    return _missing(missing[0], names, meanings, format_) if missing else None


def _missing(column: Column, names: Sequence[str], meanings: Sequence[Column | None], format_: Format) -> Refusal:
    """The refusal of a file without a column; where one of its columns seems to be it, that is to be renamed."""
    found = _listed(names)
    unknown = [name for name, meaning in zip(names, meanings, strict=True) if meaning is None and _is_foreign(name)]
    meant = [name for name in unknown if _hinted(name, [column])]
    meant += [name for name in unknown if column in _nearest(name, format_.columns)]
    if not meant:
        return refusal("missing_column", expected=column.name, found=found)
    return refusal("missing_column", expected=column.name, found=found, renamed=shown(meant[0]))


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(shown(name) or "(no name)" for name in names[:_NAMES_SHOWN])
    return listed if len(names) <= _NAMES_SHOWN else f"{listed}, …"


def _warnings(names: Sequence[str], meanings: Sequence[Column | None], format_: Format) -> Iterator[Remark]:
    absent = [column for column in format_.columns if column not in meanings]
    for number, (name, meaning) in enumerate(zip(names, meanings, strict=True), start=1):
        if is_password(name):
            yield warning("password_column", column=shown(name))
        elif not name:
            yield warning("unknown_column.unnamed", column="", number=number)
        elif meaning is None and normalised(name) not in _REPORT:
            suggestion = " / ".join(column.name for column in _suggested(name, absent, format_))
            if suggestion:
                yield warning("unknown_column.suggestion", column=shown(name), suggestion=suggestion)
            else:
                yield warning("unknown_column", column=shown(name))


def _is_foreign(name: str) -> bool:
    """Whether a column is neither one of our report's nor one of passwords."""
    return normalised(name) not in _REPORT and not is_password(name)


def _suggested(name: str, absent: Sequence[Column], format_: Format) -> list[Column]:
    """The columns that an unknown name may mean: by meaning those that the file has not, or else by its letters."""
    return _hinted(name, absent) or _nearest(name, format_.columns)


def _hinted(name: str, columns: Sequence[Column]) -> list[Column]:
    forms = {*spellings(name)}
    return [column for column in columns if not forms.isdisjoint(map(normalised, column.hints))]


def _nearest(name: str, columns: Sequence[Column]) -> list[Column]:
    """The column one of whose names is nearest to a name by letters, if one is near."""
    candidates = by_name(columns)
    nearest = get_close_matches(normalised(name), candidates, n=1, cutoff=0.75)
    return [candidates[nearest[0]]] if nearest else []
