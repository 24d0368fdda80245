"""The importer against the slow reference on generated files: they must agree in everything but the sentences.

A case is made from its seed alone. Where the two differ, the failure shows the seed and the shortest file that still
makes them differ.
"""

import gzip
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from importer.formats.columns import Format
from tests import reference
from tests.generate import every_kind, garbage, messy_file, user_files, users
from tests.reference import Failure, Refused, Verdict
from tests.verdicts import TODAY, Reader, as_read, checked, read

MOST_BLOCKS, FEW_BLOCKS = 80, 6
MOST_TRIES = 500
SEEDS = [range(start, start + 100) for start in range(0, 1_000, 100)]
MANY_SEEDS_TO_JUDGE = [range(start, start + 500) for start in range(10_000, 13_000, 500)]
MANY_SEEDS_TO_READ = [range(start, start + 1_000) for start in range(10_000, 56_000, 1_000)]
RARE = {
    "just_our_own_columns_are_filled": b"unique_id,login_source,import_error,import_row\nA,OPSCOM,,\n,,x,2\n",
    "an_unreadable_line_of_a_report": b"unique_id,login_source,import_line,import_row\nA,OPSCOM,,\n,,x y,2\n",
    "a_value_that_is_cleared_and_repeated": b"unique_id,login_source,email\nA,OPSCOM,<clear>\nB,OPSCOM,<clear>\n",
    "the_first_of_three_fails": b"unique_id,login_source\nA,x\nA,OPSCOM\nA,OPSCOM\n",
    "a_row_that_fails_as_a_duplicate_holds_its_email": (
        b"unique_id,login_source,email\nA,OPSCOM,\nA,OPSCOM,a@b.ca\nB,OPSCOM,A@B.CA\n"
    ),
    "surplus_cells": b"unique_id,login_source,,\nA,OPSCOM,,\nB,OPSCOM,x,\n,,,x\n,,,\n",
}
"""What the generators make too seldom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A file, and how it is to be read."""

    data: bytes
    name: str
    format: Format
    reader: Reader = field(default_factory=Reader)


def case_to_judge(seed: int) -> Case:
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    format_ = rng.choice((users(), every_kind()))
    data = garbage(rng) if seed % 8 == 0 else messy_file(rng, format_=format_)
    return _perhaps_compressed(rng, Case(data=data, name="users.csv", format=format_))


def case_to_read(seed: int, most_blocks: int) -> Case:
    rng = random.Random(f"read {seed}")  # noqa: S311 - not for secrets
    format_ = rng.choice((users(), every_kind()))
    data = garbage(rng) if seed % 3 == 0 else messy_file(rng, format_=format_)
    reader = Reader(
        record_bytes=rng.choice((1 << 20, 1 << 20, rng.randrange(20, 200))),
        cell_bytes=rng.choice((1 << 16, 1 << 16, rng.randrange(8, 40))),
        block_bytes=_block_bytes(rng, len(data), most_blocks),
    )
    return _perhaps_compressed(rng, Case(data=data, name="users.csv", format=format_, reader=reader))


def _block_bytes(rng: random.Random, size: int, most: int) -> int:
    """Any size from 1, the small ones often, that cuts the file into no more than about so many."""
    fewest = max(1, size // most)
    return rng.choice((fewest, rng.randint(fewest, 2 * fewest), rng.randint(fewest, size + fewest), 8 << 20))


def _perhaps_compressed(rng: random.Random, case: Case) -> Case:
    if rng.random() < 0.97:
        return case
    data = gzip.compress(case.data, mtime=0)
    return replace(case, data=data[: rng.choice((len(data), len(data), len(data) // 2))], name="users.CSV.gz")


def differences_in_judging(case: Case) -> list[str]:
    theirs = reference.check(case.data, name=case.name, format=case.format, today=TODAY)
    return _differences(_comparable(checked(case.data, case.format, name=case.name)), _comparable(theirs))


def differences_in_reading(case: Case) -> list[str]:
    known_names = case.format.known_names
    theirs = reference.read(
        case.data,
        name=case.name,
        known_names=known_names,
        max_record_bytes=case.reader.record_bytes,
        max_cell_bytes=case.reader.cell_bytes,
    )
    ours = read(case.data, case.reader, name=case.name, known_names=known_names)
    shown = case.reader.record_bytes // 4
    return _differences(_cut(asdict(ours), shown), _cut(asdict(as_read(theirs)), shown))


def _cut(reading: dict[str, Any], characters: int) -> dict[str, Any]:
    """A reading in which too long texts are cut: over several blocks, the importer keeps little more than the limit."""
    for record in reading.get("records", ()):
        if record.get("code") == "too_large":
            record["text"] = record["text"][:characters]
    return reading


def _comparable(verdict: Verdict | Refused) -> dict[str, object]:
    """Everything of a verdict but the columns of its warnings, which the importer names as the sender wrote them."""
    if isinstance(verdict, Refused):
        return asdict(verdict)
    return {**asdict(verdict), "warnings": {code for code, _ in verdict.warnings}}


def _differences(ours: dict[str, object], theirs: dict[str, object]) -> list[str]:
    if ours.keys() != theirs.keys():
        return [f"importer {ours}, reference {theirs}"]
    return [f"{name}: importer {ours[name]}, reference {theirs[name]}" for name in ours if ours[name] != theirs[name]]


def agree(case: Case, differences: Callable[[Case], list[str]], seed: int) -> None:
    """Fail with a short file that shows a difference."""
    if not differences(case):
        return
    shortest = shrunk(case.data, lambda data: bool(differences(replace(case, data=data))))
    found = "\n".join(differences(replace(case, data=shortest)))
    kind = "users" if case.format is users() else "every_kind"
    pytest.fail(f"seed {seed}, {kind}(), {case.name}, {case.reader}\n{shortest!r}\n{found}", pytrace=False)


def shrunk(data: bytes, still_differs: Callable[[bytes], bool]) -> bytes:
    """Shorter data that still differs: pieces are left out, half the size each time, as long as tries are left."""
    size, tries = len(data) // 2, MOST_TRIES
    while size and tries:
        at = 0
        while at < len(data) and tries:
            tries -= 1
            shorter = data[:at] + data[at + size :]
            if still_differs(shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data


def _from(seeds: range) -> str:
    return f"from_{seeds.start}"


@pytest.mark.parametrize("seeds", SEEDS, ids=_from)
def test_every_row_of_a_messy_file_is_judged_as_the_reference_judges_it(seeds: range) -> None:
    for seed in seeds:
        agree(case_to_judge(seed), differences_in_judging, seed)


@pytest.mark.parametrize("seeds", SEEDS, ids=_from)
def test_every_record_is_read_as_the_reference_reads_it_whatever_the_blocks(seeds: range) -> None:
    for seed in seeds:
        agree(case_to_read(seed, MOST_BLOCKS), differences_in_reading, seed)


@pytest.mark.parametrize("case", RARE)
def test_what_is_rare_is_judged_as_the_reference_judges_it(case: str) -> None:
    assert not differences_in_judging(Case(data=RARE[case], name="users.csv", format=users()))


@pytest.mark.full
@pytest.mark.parametrize("seeds", MANY_SEEDS_TO_JUDGE, ids=_from)
def test_many_messy_files_are_judged_as_the_reference_judges_them(seeds: range) -> None:
    for seed in seeds:
        agree(case_to_judge(seed), differences_in_judging, seed)


@pytest.mark.full
@pytest.mark.parametrize("seeds", MANY_SEEDS_TO_READ, ids=_from)
def test_many_messy_files_are_read_as_the_reference_reads_them(seeds: range) -> None:
    for seed in seeds:
        agree(case_to_read(seed, FEW_BLOCKS), differences_in_reading, seed)


@settings(max_examples=100, deadline=None)
@given(data=user_files())
def test_any_file_is_judged_as_the_reference_judges_it(data: bytes) -> None:
    assert not differences_in_judging(Case(data=data, name="users.csv", format=users()))


@settings(max_examples=100, deadline=None)
@given(
    data=user_files().filter(lambda data: len(data) < 4_000),
    block_bytes=st.integers(min_value=1, max_value=400),
    record_bytes=st.sampled_from((1 << 20, 60)),
    cell_bytes=st.sampled_from((1 << 16, 12)),
)
def test_any_file_is_read_as_the_reference_reads_it(
    data: bytes, block_bytes: int, record_bytes: int, cell_bytes: int
) -> None:
    reader = Reader(
        record_bytes=record_bytes, cell_bytes=cell_bytes, block_bytes=max(block_bytes, len(data) // MOST_BLOCKS)
    )
    assert not differences_in_reading(Case(data=data, name="users.csv", format=users(), reader=reader))


def test_a_difference_is_shown_with_a_short_file_that_makes_it() -> None:
    assert shrunk(b"a,b,c\n1,x,3\n4,5,6\n", lambda data: b"x" in data) == b"x"


def test_verdicts_that_differ_in_a_reason_are_told_apart() -> None:
    failure = Failure(row=2, line=2, key=None, reasons=(("required", "unique_id"),))
    verdict = Verdict(accepted={}, failures=[failure], blank=0, warnings=frozenset())
    other = replace(verdict, failures=[replace(failure, reasons=(("too_long", "unique_id"),))])
    assert _differences(_comparable(verdict), _comparable(other))
