"""What people really send, and what is right: the files, and what becomes of them when they are dropped.

Files `NN-…-1`, `-2` and so on are dropped one after the other under one name, `NN-….csv`. The tests lie in modules by
kind: what goes wrong is the same in each of them, and the files are instances of it.
"""

import datetime as dt
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from importer.formats.columns import Format
from importer.formats.format_file import load_format
from importer.judging.examining import examine
from importer.judging.judge import Source
from importer.model import FileRefused, Refusal
from tests.importing import LIMITS, NOW, make_site, report_rows

FILES = Path(__file__).parent / "files"
BUILT_IN = load_format(None)
WITH_DEFAULT = load_format(None, default_login_source="OPSCOM")
"""The built-in format where `USERDROP_DEFAULT_LOGIN_SOURCE` is OPSCOM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """What became of one drop.

    Attributes:
        status: of the ledger's entry: imported, refused, …
        counts: records, accepted, failed and blank.
        refusal: the sentence of a file that was refused, as others than its sender read it; empty otherwise.
        remarks: code and sentence of each remark about the file.
        report: the rows of the failed-users CSV, its header first; empty where nothing failed.
        users: key → stored user, after the drop.
        notices: kind and audience of each notice so far.
    """

    status: str
    counts: tuple[int, int, int, int]
    refusal: str
    remarks: list[tuple[str, str]]
    report: list[list[str]] = field(default_factory=list)
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    notices: list[tuple[str, str]] = field(default_factory=list)

    @property
    def codes(self) -> list[str]:
        """The codes of the remarks."""
        return [code for code, _ in self.remarks]

    @property
    def errors(self) -> dict[int, str]:
        """Row of the file → what its report says of it."""
        if not self.report:
            return {}
        error, row = (self.report[0].index(name) for name in ("import_error", "import_row"))
        return {int(cells[row]): cells[error] for cells in self.report[1:]}


def drop(place: Path, *contents: bytes, format_: Format = BUILT_IN, name: str = "users.csv") -> list[Dropped]:
    """Drop contents one after the other, under one name, as one client with a database of its own."""
    site = make_site(place, format_)
    dropped = []
    for night, content in enumerate(contents):
        before = set(site.archived())
        site.drop(name, content)
        site.take(name, now=NOW + dt.timedelta(days=night), tokens=f"t{night}.")
        entry = site.ledger()[-1]
        new = {path: text for path, text in site.archived().items() if path not in before}
        reports = [_rows(text) for path, text in new.items() if "failed" in path]
        dropped.append(
            Dropped(
                status=entry["status"],
                counts=(entry["records"], entry["accepted"], entry["failed"], entry["blank"]),
                refusal=entry["refusal_message"] or "",
                remarks=[(warning["code"], warning["message"]) for warning in entry["warnings"]],
                report=reports[0] if reports else [],
                users=site.users(),
                notices=site.notices(),
            )
        )
    return dropped


def _rows(report: bytes) -> list[list[str]]:
    """The rows of a report, which is separated as the file was that was dropped."""
    separated = (report_rows(report, separator) for separator in ",;\t|")
    return next(rows for rows in separated if "import_error" in rows[0])


def drop_case(place: Path, number: int, format_: Format = BUILT_IN) -> list[Dropped]:
    """Drop the files of a case, in their order."""
    paths = sorted(FILES.glob(f"{number:02}-*"))
    name = re.sub(r"-\d(?=\.\w+$)", "", paths[0].name)
    return drop(place, *(path.read_bytes() for path in paths), format_=format_, name=name)


def refusal_of(place: Path, content: bytes, format_: Format = BUILT_IN) -> Refusal:
    """Why a content is refused as a whole, as its sender is told."""
    path = place / "refused"
    path.write_bytes(content)
    source = Source(path=path, name="users.csv", format=format_, limits=LIMITS)
    with pytest.raises(FileRefused) as refused, examine(source, today=NOW.date(), spool_directory=None):
        pass
    return refused.value.refusal


def refusal_of_case(place: Path, number: int) -> Refusal:
    """Why the only file of a case is refused."""
    (path,) = FILES.glob(f"{number:02}-*")
    return refusal_of(place, path.read_bytes())
