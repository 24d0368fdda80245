"""Whether a text or a cell names a person, who is known by some values: the key, an address, another unique value.

Pure. In doubt it does: what is shown of a value elsewhere is cut, composed, put on one line, quoted or escaped.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from importer.formats.columns import normalised
from importer.reading.grammar import WHITE_SPACE
from importer.words.reasons import shown

ELSEWHERE = "the key is in it, but in no column of keys, and nobody is stored under it"
_DROPPED = {"Cc", "Cf", "Cs", "Co", "Cn"}
_SHORT = 4
_LONG_NUMBER = 6
_BEFORE = "'\"«“\N{LEFT SINGLE QUOTATION MARK}(\\[,;|:<>="
_AFTER = "'\"»”\N{RIGHT SINGLE QUOTATION MARK})\\],;|.…<>&"


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The result of a look into a file; `hindrance` says why the person may be in it all the same."""

    is_named: bool
    hindrance: str | None = None


@dataclass(frozen=True)
class Person:
    """The person who is looked for.

    Attributes:
        values: what the person is known by; none is empty.
        key_names: the columns, by their normalised names, in which alone a value counts, as nobody is stored under the
            key: what is a key here may be a town there. Without any, every column counts.
    """

    values: frozenset[str]
    key_names: frozenset[str] = frozenset()

    def may_be_in(self, column: str) -> bool:
        """Whether a cell of a column of this name can be the person's."""
        return not self.key_names or normalised(column) in self.key_names

    @cached_property
    def cells(self) -> frozenset[str]:
        """The values in the form in which cells are compared, composed and decomposed."""
        return frozenset(
            cell_form(unicodedata.normalize(form, value)) for value in self.values for form in ("NFC", "NFD")
        )

    def is_cell(self, cell: str) -> bool:
        """Whether a cell is one of the values, but for case, white space around it and the apostrophe of a report."""
        form = cell_form(cell)
        return form in self.cells or cell_form(form.removeprefix("'")) in self.cells

    def is_in(self, text: str) -> bool:
        """Whether a text holds one of the values; a short one, or a number, only where it is set apart."""
        return any(self._pattern.search(folded(part)) for part in (text, *text.splitlines()))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        forms = sorted({form for value in self.values for form in _forms(value) if form}, key=len, reverse=True)
        return re.compile("|".join(map(_apart, forms)) or r"(?!)")


def person(values: Iterable[str | None], key_names: frozenset[str] = frozenset()) -> Person:
    """Who is known by those of the values that say something; for `key_names` see `Person`."""
    return Person(frozenset(value for value in values if value and folded(value)), key_names)


def cell_form(cell: str) -> str:
    """The form in which cells are compared."""
    return cell.strip(WHITE_SPACE).lower()


def folded(text: str) -> str:
    """The form in which texts are compared: composed, on one line, without case and what cannot be seen."""
    unseen = {ord(each): None for each in {*text} if _is_unseen(each)}
    return " ".join(unicodedata.normalize("NFC", text.translate(unseen)).replace("= ?", "=?").split()).casefold()


def _is_unseen(character: str) -> bool:
    return not character.isspace() and (
        character == "\N{REPLACEMENT CHARACTER}" or unicodedata.category(character) in _DROPPED
    )


def _forms(value: str) -> Iterator[str]:
    for each in (value, value.replace('"', '""')):
        yield folded(each)
    if (cut := shown(value)).endswith("…"):
        yield folded(cut)


def _apart(form: str) -> str:
    escaped = re.escape(form)
    if len(form) < _SHORT or (form.isdecimal() and len(form) < _LONG_NUMBER):
        return rf"(?:^|(?<=[{_BEFORE}])|(?<=[{_BEFORE}] )){escaped}(?=$|\s?[{_AFTER}])"
    before = r"(?<!\w)" if re.match(r"\w", form) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", form) else ""
    return f"{before}{escaped}{after}"
