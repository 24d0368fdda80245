"""LibreOffice opens our reports: it finds no formula in them, and saves the cells that it found."""

import csv
import io
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from importer.reading.guarding import unguarded_text
from tests.importer.reading.test_guarding import FORMULAS, PLAIN, REWRITTEN
from tests.importing import report_bytes, report_rows
from tests.servers.tools import environment, needs

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]

IN_UTF_8 = "CSV:44,34,76,1"
"""How LibreOffice reads: separator, quote, UTF-8, from the first line; the columns' types are its own guesses."""
CELLS = [cell for cell in (*FORMULAS, *REWRITTEN, *PLAIN) if not {"\n", "\r"} & {*cell}]


def report(cells: Sequence[str] = CELLS, separator: str = ",") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(["uid", "shoe", "city"])
    writer.writerows([["", cell, "xxxxxxxxxxx"] for cell in cells])
    return report_bytes(text.getvalue())


def converted(directory: Path, content: bytes, *arguments: str, read_as: str = IN_UTF_8) -> bytes:
    """The content of a CSV after LibreOffice has opened it and saved it as something."""
    source, target = directory / "report.csv", directory / "out"
    source.write_bytes(content)
    program = needs("soffice")
    profile = f"-env:UserInstallation=file://{directory}/profile"
    command = [program, "--headless", "--norestore", profile, f"--infilter={read_as}", "--convert-to", *arguments]
    subprocess.run(
        [*command, "--outdir", str(target), str(source)],
        check=True,
        capture_output=True,
        env=environment(HOME=str(directory)),
        timeout=200,
    )
    (found,) = target.iterdir()
    return found.read_bytes()


def test_libreoffice_finds_no_formula_in_a_report(tmp_path: Path) -> None:
    assert len(FORMULAS) >= 40
    sheet = converted(tmp_path, report(), "fods").decode()
    assert re.findall(r'table:formula="[^"]*"', sheet) == []
    assert sheet.count("<table:table-row") >= len(CELLS)


@pytest.mark.parametrize(("separator", "other"), [(";", ","), (",", ";"), (",", "\t")])
def test_libreoffice_finds_no_formula_in_a_report_that_it_splits_elsewhere(
    tmp_path: Path, separator: str, other: str
) -> None:
    content = report([f"x{other}{cell}" for cell in CELLS], separator)
    sheet = converted(tmp_path, content, "fods", read_as=IN_UTF_8.replace("44", str(ord(other)), 1)).decode()
    assert re.findall(r'table:formula="[^"]*"', sheet) == []
    assert sheet.count("<table:table-cell") > len(CELLS)


def test_libreoffice_would_find_formulas_if_cells_were_not_guarded(tmp_path: Path) -> None:
    sheet = converted(tmp_path, b"uid,shoe\r\nU1,=1+1\r\nU2,=A1\r\n", "fods").decode()
    assert len(re.findall(r'table:formula="[^"]*"', sheet)) == 2


def test_what_libreoffice_saves_comes_back_byte_for_byte(tmp_path: Path) -> None:
    content = report()
    saved = converted(tmp_path, content, "csv:Text - txt - csv (StarCalc):44,34,76,1")
    rows = list(csv.reader(io.StringIO(saved.decode("utf-8-sig"), newline="")))
    assert [row[:6] for row in rows] == [row[:6] for row in report_rows(content)]
    assert [unguarded_text(row[1]) for row in rows[1:]] == CELLS
