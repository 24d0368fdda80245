"""Rows that were handed on, against what the generator wrote: which were lost, and which are wrong."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from tests.generate.big import COLUMNS, person, planned

NUMBER = re.compile("U([0-9]{9})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Good rows that are missing, and rows that nobody wrote so (or that are broken in structure, or twice there)."""

    lost: int
    wrong: int


def judged(path: Path, *, records: int, broken_share: float, validated: bool) -> Judged:
    """Judge a CSV of rows with a header.

    Args:
        path: the rows, as a CSV with the generator's column names in any order.
        records: how many the generator wrote.
        broken_share: how many of them it broke.
        validated: whether rows with a bad value should be missing; a reader alone hands them on.
    """
    structure, content = planned(records, broken_share)
    right = wrong = 0
    seen = bytearray(records)
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        order = [header.index(name) for name in COLUMNS.split(",")] if header else []
        for row in rows:
            number = NUMBER.fullmatch(row[order[0]])
            n = int(number[1]) if number else records
            is_expected = n < records and not seen[n] and n not in structure and not (validated and n in content)
            written = content[n](person(n)) if n in content else person(n) if is_expected else ""
            if is_expected and [row[index] for index in order] == next(csv.reader([written])):
                seen[n] = 1
                right += 1
            else:
                wrong += 1
    expected = records - len(structure) - (len(content) if validated else 0)
    return Judged(lost=expected - right, wrong=wrong)
