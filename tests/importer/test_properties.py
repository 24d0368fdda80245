"""What holds for the verdict on any file, whatever the rules are."""

import csv
import io
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from importer.checking import check
from importer.formats.columns import REPORT_COLUMNS, Column, Format
from tests import reference
from tests.generate import every_kind, user_files, users
from tests.generate.values import value
from tests.reference import Reading, Verdict
from tests.verdicts import TODAY, checked

MARK = b"\xef\xbb\xbf"
"""So that the encoding never depends on what bytes a part of a file happens to hold."""

MOST_ROWS = 14
"""With a sound row beside them, less than 95 % of the rows can have a wrong width, which would refuse the file."""

MAX_BYTES = 1 << 30
Cells = list[str]
Outcome = tuple[object, ...]
cases = given(seed=st.integers(0, 2**32 - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Columns of a format in some order, in the words of one separator."""

    format: Format
    columns: tuple[Column, ...]
    separator: str

    def row(self, rng: random.Random, number: int, bad_share: float) -> Cells:
        """A row that shares no unique value with one of another number."""
        return [self._cell(rng, number, column, bad_share) for column in self.columns]

    def _cell(self, rng: random.Random, number: int, column: Column, bad_share: float) -> str:
        if not (column.unique or column.name == self.format.key):
            return value(rng, column, self.format, bad_share)
        if rng.random() < bad_share:
            return rng.choice(("", "x" * 200, "bell\x07"))
        own = {"email": f"u{number}@Example.org", "integer": str(number)}
        return own.get(column.kind, f" B{number}")

    def good_rows(self, rng: random.Random, count: int) -> list[Cells]:
        """Rows that are accepted: the reference chooses them among ten times as many."""
        rows = [self.row(rng, number, 0.0) for number in range(10 * count)]
        verdict = reference.check(self.file(map(self.record, rows)), name="users.csv", format=self.format, today=TODAY)
        return [rows[row - 2] for row in verdict.accepted][:count] if isinstance(verdict, Verdict) else []

    def record(self, cells: Cells) -> str:
        return self.separator.join(self._written(cell) for cell in cells)

    def _written(self, cell: str) -> str:
        if any(character in cell for character in (self.separator, '"', "\r", "\n")):
            return '"' + cell.replace('"', '""') + '"'
        return cell

    @property
    def header(self) -> Cells:
        return [column.name for column in self.columns]

    def file(self, records: Iterator[str] | list[str]) -> bytes:
        lines = [self.record(self.header), *records]
        return MARK + "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")

    def checked(self, records: list[str]) -> Verdict:
        verdict = checked(self.file(records), self.format)
        assert isinstance(verdict, Verdict), verdict
        return verdict

    @property
    def needed(self) -> list[tuple[str, str | None]]:
        """How a row without any cell fails."""
        return [("required", column.name) for column in self.format.columns if self.format.is_needed(column)]


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - not for secrets


def sheet(rng: random.Random) -> Sheet:
    format_ = rng.choice((users(), every_kind()))
    columns = [column for column in format_.columns if format_.is_needed(column) or rng.random() < 0.5]
    rng.shuffle(columns)
    return Sheet(format=format_, columns=tuple(columns), separator=rng.choice(",;\t|"))


def spoiled(rng: random.Random, sheet: Sheet, cells: Cells) -> str:
    """A record on one line, broken in a way that cannot touch its neighbours."""
    cells = [" ".join(cell.split()).replace('"', "") for cell in cells]
    record = sheet.record(cells)
    breaks: tuple[Callable[[], str], ...] = (
        lambda: sheet.record(cells[:-1]) if any(cells[:-1]) else record + sheet.separator + "x",
        lambda: record + sheet.separator + "x",
        lambda: record + "\0",
        lambda: record + "\udcff",
        lambda: f'"a"b{sheet.separator}{record}',
        lambda: sheet.record(sheet.header),
    )
    return rng.choice(breaks)()


def records(rng: random.Random, sheet: Sheet, first: int) -> list[str]:
    """Some records of all sorts, blank ones too, and a sound one at the end."""
    count = rng.randrange(MOST_ROWS)
    rows = [sheet.row(rng, first + number, 0.1) for number in range(count)]
    some = [
        sheet.separator * (len(sheet.columns) - 1)
        if rng.random() < 0.1
        else spoiled(rng, sheet, row)
        if rng.random() < 0.2
        else sheet.record(row)
        for row in rows
    ]
    return [*some, sheet.record(sheet.row(rng, first + count, 0.0))]


def outcomes(verdict: Verdict, count: int) -> list[Outcome]:
    """What became of each record, in file order, without its number and line."""
    failed = {failure.row: (failure.key, failure.reasons) for failure in verdict.failures}
    known: dict[int, Outcome] = {row: ("accepted", values) for row, values in verdict.accepted.items()}
    known |= {row: ("failed", *facts) for row, facts in failed.items()}
    blank = [row for row in range(2, count + 2) if row not in known]
    assert len(blank) == verdict.blank
    return [known.get(row, ("blank",)) for row in range(2, count + 2)]


@settings(max_examples=60, deadline=None)
@cases
def test_shuffled_rows_get_the_same_verdicts_in_the_new_order(seed: int) -> None:
    rng = seeded(seed)
    table = sheet(rng)
    rows = records(rng, table, 0)
    order = rng.sample(range(len(rows)), len(rows))
    before = outcomes(table.checked(rows), len(rows))
    after = outcomes(table.checked([rows[index] for index in order]), len(rows))
    assert after == [before[index] for index in order]


@settings(max_examples=60, deadline=None)
@cases
def test_two_halves_of_a_file_get_together_the_verdict_of_the_whole(seed: int) -> None:
    rng = seeded(seed)
    table = sheet(rng)
    first, second = records(rng, table, 0), records(rng, table, 100)
    halves = [outcomes(table.checked(rows), len(rows)) for rows in (first, second)]
    whole = outcomes(table.checked([*first, *second]), len(first) + len(second))
    assert whole == halves[0] + halves[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A failed-users CSV, read by Python's csv."""

    delimiter: str
    header: Cells
    rows: list[dict[str, str]]

    def written(self) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.header, delimiter=self.delimiter, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue().encode("utf-8-sig")


def report_of(data: bytes, format_: Format, separator: str) -> tuple[bytes, Report]:
    """The report as written, and what it holds."""
    with TemporaryDirectory() as directory:
        path, failed = Path(directory) / "users.csv", Path(directory) / "users.failed.csv"
        path.write_bytes(data)
        check(path, format_=format_, max_bytes=MAX_BYTES, today=TODAY, failed=failed)
        content = failed.read_bytes()
    delimiter = ";" if separator == ";" else ","
    reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=delimiter)
    rows = [*reader]
    return content, Report(delimiter=delimiter, header=[*(reader.fieldnames or ())], rows=rows)


def planted(rng: random.Random, sheet: Sheet, rows: list[Cells]) -> list[str]:
    """The rows as records; about half of them are broken, or have a bad cell, or the key of a row before them."""
    sound: list[Cells] = []
    key = sheet.header.index(sheet.format.key)
    result = []
    for cells in rows:
        dice = rng.random()
        if dice < 0.5 or not sound:
            sound.append(cells)
            result.append(sheet.record(cells))
        elif dice < 0.65:
            result.append(spoiled(rng, sheet, cells))
        elif dice < 0.8:
            result.append(sheet.record([*cells[:key], rng.choice(sound)[key], *cells[key + 1 :]]))
        else:
            at = rng.randrange(len(cells))
            result.append(sheet.record([*cells[:at], rng.choice(("bell\x07", "é" * 101)), *cells[at + 1 :]]))
    return result


@settings(max_examples=60, deadline=None)
@cases
def test_a_corrected_report_is_accepted_whole_and_completes_the_file(seed: int) -> None:
    rng = seeded(seed)
    table = sheet(rng)
    rows = table.good_rows(rng, MOST_ROWS)
    everything = table.checked([table.record(row) for row in rows])
    data = table.file(planted(rng, table, rows))
    first = checked(data, table.format)
    assert isinstance(first, Verdict)
    _, report = report_of(data, table.format, table.separator)
    assert [int(row["import_row"]) for row in report.rows] == [failure.row for failure in first.failures]
    for row in report.rows:
        row.update(zip(table.header, rows[int(row["import_row"]) - 2], strict=True))
        row["import_line"] = ""
    completed = dict(first.accepted)
    if report.rows:
        second = checked(report.written(), table.format)
        assert isinstance(second, Verdict)
        assert second.failures == []
        completed |= {int(row["import_row"]): second.accepted[at] for at, row in enumerate(report.rows, start=2)}
    assert not everything.failures
    assert completed == everything.accepted


@settings(max_examples=60, deadline=None)
@cases
def test_an_uncorrected_report_fails_again_row_by_row(seed: int) -> None:
    rng = seeded(seed)
    table = sheet(rng)
    data = table.file(records(rng, table, 0))
    first = checked(data, table.format)
    assert isinstance(first, Verdict)
    content, report = report_of(data, table.format, table.separator)
    assert report.header == [*table.header, *REPORT_COLUMNS]
    if not first.failures:
        return
    second = checked(content, table.format)
    assert isinstance(second, Verdict)
    expected = [table.needed if failure.reasons[0][1] is None else [*failure.reasons] for failure in first.failures]
    assert [[*failure.reasons] for failure in second.failures] == expected
    _, again = report_of(content, table.format, report.delimiter)
    assert [row["import_line"] for row in again.rows] == [row["import_line"] for row in report.rows]


@settings(max_examples=60, deadline=None)
@cases
def test_accepted_values_are_accepted_again_as_they_are(seed: int) -> None:
    rng = seeded(seed)
    table = sheet(rng)
    if table.format is not users():
        return
    data = table.file(records(rng, table, 0))
    with TemporaryDirectory() as directory:
        path, accepted = Path(directory) / "users.csv", Path(directory) / "accepted.csv"
        path.write_bytes(data)
        first = check(path, format_=table.format, max_bytes=MAX_BYTES, today=TODAY, accepted=accepted)
        if not first.counts.accepted:
            return
        again = checked(accepted.read_bytes(), table.format)
    before = checked(data, table.format)
    assert isinstance(again, Verdict)
    assert isinstance(before, Verdict)
    assert not again.failures
    assert [*again.accepted.values()] == [*before.accepted.values()]


@settings(max_examples=100, deadline=None)
@given(data=user_files())
def test_a_second_check_says_the_same_and_every_record_is_counted_once(data: bytes) -> None:
    first, second = (_json(data) for _ in range(2))
    assert first == second
    facts = json.loads(first)
    assert facts["records"] == facts["accepted"] + facts["failed"] + facts["blank"]
    assert facts["failed"] == len(facts["failures"])
    if facts["refused"] is None:
        reading = reference.read(data, name="users.csv", known_names=users().known_names)
        assert isinstance(reading, Reading)
        assert facts["records"] == len(reading.records)


def _json(data: bytes) -> str:
    text = io.StringIO()
    with TemporaryDirectory() as directory:
        path = Path(directory) / "users.csv"
        path.write_bytes(data)
        check(path, format_=users(), max_bytes=MAX_BYTES, today=TODAY, json_to=text)
    return text.getvalue()
