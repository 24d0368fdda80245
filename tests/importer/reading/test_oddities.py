"""What a block's bytes tell of its cells: whatever is odd is found, and nothing is found in what is common."""

import re
import sys
import unicodedata
from collections.abc import Iterator

import pytest

from importer.reading.cell_ends import cell_ends
from importer.reading.grammar import Grammar
from importer.reading.nobodies import Nobodies
from importer.reading.oddities import NOTHING_ODD, Odd, oddities
from importer.reading.records import split
from importer.reading.splits import Rules
from importer.reading.widths import widths_of
from tests.generate.values import DEBRIS
from tests.reference.debris import HIDDEN, JOINERS

RULES = Rules(
    grammar=Grammar(","),
    widths=widths_of(("first", "last")),
    nobodies=Nobodies(header=("first", "last")),
    longest_record=1 << 20,
    longest_cell=1 << 16,
)
COMMON = (
    "Ana,Élodie Côté-Bélanger\nJosé,Ngô Thị Ánh\n\u041f\u0451\u0442\u0440,Ωμέγα\n김민준,山田太郎\n"
    "ヤマダ,\u0645\u062d\u0645\u062f\n"
    "L\N{RIGHT SINGLE QUOTATION MARK}Écuyer,Anne\N{EN DASH}Marie\nO'Brien,Rue Saint-Jean #12\n+1613555,(613) 555-0142\n"
    "0012,2001-05-03\n3f2e-12e4,12.50\nNullan,Nathan\na_b@example.org,A-1E5\n"
)
NO_DEBRIS = re.compile(r"(?i)nan|null|x\\y|'a|1\.0|1E5|< ?clear ?>")
"""What only looks like debris."""


def odd(text: str) -> Odd:
    found = split(text.encode(), RULES, is_last=True, invalid=None)
    return oddities(found, cell_ends(found.lines.delimiters, found.consumed))


def _doubtful() -> Iterator[str]:
    """The characters that are not in NFC, may be composed or moved by it, or are not seen."""
    seconds = {
        chr(int(parts[-1], 16))
        for parts in (unicodedata.decomposition(chr(code)).split() for code in range(sys.maxunicode + 1))
        if len(parts) == 2 and not parts[0].startswith("<")
    }
    jamo = {*map(chr, (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)))}
    others = seconds | jamo | HIDDEN | JOINERS
    for code in (*range(0xA0, 0xD800), *range(0xE000, sys.maxunicode + 1)):
        character = chr(code)
        is_moved = unicodedata.combining(character) or unicodedata.normalize("NFC", character) != character
        if is_moved or character in others:
            yield character


def _missed(characters: list[str]) -> list[str]:
    return [hex(ord(each)) for each in characters if Odd.UNUSUAL not in odd(f"a{each}b,x\n")]


def test_characters_that_nobody_sees_or_that_are_composed_are_found() -> None:
    assert _missed([*_doubtful()][::40]) == []


@pytest.mark.full
def test_every_character_that_nobody_sees_or_that_is_composed_is_found() -> None:
    every = [*_doubtful()]
    assert len(every) > 6_000
    assert _missed(every) == []


def test_nothing_is_found_in_what_is_common() -> None:
    assert odd(COMMON) == NOTHING_ODD
    assert all(odd(f"{line}\n") == NOTHING_ODD for line in COMMON.splitlines())


@pytest.mark.parametrize("debris", [each for each in DEBRIS if not NO_DEBRIS.fullmatch(each)])
def test_debris_is_found_in_the_first_and_in_the_last_cell(debris: str) -> None:
    cell = debris.replace('"', '""')
    for quote in ('"', "") if not {*debris} & {*',"'} else ('"',):
        for text in (f"{quote}{cell}{quote},x\n", f"x,{quote}{cell}{quote}\r\n", f"x,y\nx,{quote}{cell}{quote}\n"):
            assert odd(text) != NOTHING_ODD
