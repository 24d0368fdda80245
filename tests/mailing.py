"""What the notifier's tests share: a clock that is set by hand, sample facts, and a database that holds them."""

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert, select

from importer.database.engines import make_engine
from importer.database.tables import imports, mails, metadata, notices
from importer.model import Audience, Claim, Counts, Notice, NoticeKind, ReasonCount, Refusal, Remark
from notifier.letters import Letters
from notifier.model import Addresses
from notifier.templating import Templates

NOW = datetime(2026, 3, 1, 14, 33, 7, tzinfo=UTC)
ADDRESSES = Addresses(failed_import=("registrar@client.example",), admin="admin@parking.example")
LETTERS = Letters(Templates())
NOTES = LETTERS.notes("en")
REPORT = b"unique_id,email,import_error\r\nU1,ana@,email 'ana@' is not a valid address\r\n"


class Clock:
    """A time that only the test moves; seconds that have passed are counted by `advance` alone."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now
        self._passed = timedelta(0)

    def elapsed(self) -> float:
        return self._passed.total_seconds()

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **parts: float) -> None:
        self.now += timedelta(**parts)
        self._passed += timedelta(**parts)


def failed_rows(number: int = 1, **changes: Any) -> Notice:  # noqa: ANN401 - any field of a notice
    """37 of 1,204 users of students.csv failed."""
    notice = Notice(
        client="acme",
        audience=Audience.CLIENT,
        kind=NoticeKind.IMPORTED,
        file="students.csv",
        claim_id=f"claim-{number}",
        counts=Counts(records=1205, accepted=1167, failed=37, blank=1, inserted=1167),
        reasons=(
            ReasonCount(
                code="invalid", column="email", count=30, example_row=17, example="email 'ana@' is not a valid address"
            ),
            ReasonCount(code="required", column="unique_id", count=7, example_row=3, example="unique_id is required"),
        ),
        warnings=(Remark(code="unknown_column", column="Colour", message="the column 'Colour' was ignored"),),
        archive=f"students.20260301T143301Z.{number}.csv",
        report=f"students.20260301T143301Z.{number}.failed.csv",
    )
    return dataclasses.replace(notice, **changes)


def refused(number: int = 1, **changes: Any) -> Notice:  # noqa: ANN401 - any field of a notice
    """A file of which nothing was imported."""
    notice = Notice(
        client="acme",
        audience=Audience.CLIENT,
        kind=NoticeKind.REFUSED,
        file="empty.csv",
        claim_id=f"refused-{number}",
        refusal=Refusal(code="empty_file", message="the file is empty; export it again and drop it again"),
        archive="empty.20260301T143301Z.csv",
    )
    return dataclasses.replace(notice, **changes)


def database(directory: Path) -> Engine:
    """A new SQLite file with the tables of the service."""
    engine = make_engine(f"sqlite:///{directory / 'userdrop.sqlite'}")
    metadata.create_all(engine)
    return engine


def store(engine: Engine, *stored: Notice, at: datetime = NOW) -> None:
    """What the importer's transaction writes for its notices."""
    with engine.begin() as connection:
        for notice in stored:
            values = {"client": notice.client, "audience": notice.audience, "facts": dataclasses.asdict(notice)}
            connection.execute(insert(notices).values(values | {"created_at": at}))


def store_import(
    engine: Engine, notice: Notice, directory: Path, *, archived: bool, report: bytes | None = REPORT
) -> Path:
    """The ledger's row of a notice, and its report where the ledger says that it lies."""
    claim = Claim(id=str(notice.claim_id), client=notice.client, directory=directory, name=notice.file)
    place = directory / "bak" / str(notice.report) if archived else claim.report
    if report is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(report)
    values = {
        "claim_id": claim.id,
        "client": claim.client,
        "directory": str(directory),
        "file": claim.name,
        "status": "imported",
        "size": 1,
        "sha256": "0" * 64,
        **dataclasses.asdict(notice.counts),
        "reasons": [],
        "warnings": [],
        "seconds": 0.1,
        "committed_at": NOW,
        "archive": notice.archive,
        "report": notice.report,
        "archived_at": NOW if archived else None,
    }
    with engine.begin() as connection:
        connection.execute(insert(imports).values(values))
    return place


def queue(engine: Engine) -> list[dict[str, Any]]:
    """All mails as they are stored."""
    with engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(select(mails).order_by(mails.c.id))]  # noqa: SLF001
