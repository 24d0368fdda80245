"""What is told by HTTP when the database is well, slow, or out."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import QueuePool, event, text

from importer.words.details import detail
from notifier import outbox
from notifier.alerts import Alerts
from notifier.model import AlertKind, Delivered
from tests.mailing import ADDRESSES, LETTERS, NOW, database, failed_rows, store
from tests.servers.tools import wait_until
from tests.tools.page import client, service
from watcher.uploads.gauging import Gauges, gauges
from watcher.uploads.snapshot import FileNow, FileSnapshot, ServiceSnapshot
from watcher.uploads.supervision import WatchState
from watcher.web.gathering import Gathering
from watcher.work.counting import Counting

NO_ANSWER = (detail("database_is_silent"),)


class House:
    """A service without its tasks."""

    def __init__(self, directory: Path) -> None:
        self.engine = database(directory)
        self.folder = directory / "acme"
        self.folder.mkdir()
        self.alerts = Alerts(lambda: NOW, lambda: 0.0)

    @property
    def is_quiet(self) -> bool:
        """Whether no thread has a connection any more."""
        pool = self.engine.pool
        return isinstance(pool, QueuePool) and pool.checkedout() == 0

    def gathering(self, **patience: float) -> Gathering:
        async def shown() -> ServiceSnapshot:
            return service(client("acme"))

        async def known(_: str, name: str) -> FileSnapshot:
            return FileSnapshot(file=FileNow(is_handed_on=name == "a.csv"), alerts=(), events=())

        async def numbers() -> tuple[Gauges, ...]:
            return (gauges("acme", WatchState.LIVE, seen={}, refused=(), now=0.0, last_tick=0.0),)

        return Gathering(
            engine=self.engine,
            interval=timedelta(minutes=5),
            now=lambda: NOW,
            service=shown,
            clients=numbers,
            file=known,
            folder={"acme": self.folder}.get,
            alerts=self.alerts,
            counting=Counting(),
            delivered=lambda: Delivered(sent=7),
            **patience,
        )


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    wait_until(lambda: made.is_quiet, "who has stopped waiting for an answer to let go of the database")
    made.engine.dispose()


async def metrics(gathering: Gathering) -> list[str]:
    return (await gathering.metrics()).decode().splitlines()


async def test_what_is_told_of_a_service_that_is_well(house: House) -> None:
    store(house.engine, failed_rows())
    outbox.form(house.engine, LETTERS, ADDRESSES, now=NOW, next_run=None)
    house.alerts.open(AlertKind.ODD_FILE, "acme")
    gathering = house.gathering()
    assert (await gathering.readiness()).is_ready
    told = await metrics(gathering)
    assert 'userdrop_mails{state="queued"} 1.0' in told
    assert "userdrop_mails_sent_total 7.0" in told
    assert 'userdrop_alerts_open{kind="odd_file"} 1.0' in told
    assert "userdrop_ready 1.0" in told
    assert "Last imports" in (await gathering.page("en")).text
    gathering.close()


async def test_a_database_without_its_tables_is_none_that_answers(house: House) -> None:
    with house.engine.begin() as connection:
        for table in ("mails", "imports"):
            connection.execute(text(f"DROP TABLE {table}"))
    gathering = house.gathering()
    assert (await gathering.readiness()).complaints == NO_ANSWER
    assert {"userdrop_ready 0.0", "userdrop_database_up 0.0"} <= {*await metrics(gathering)}
    assert "The database does not answer" in (await gathering.page("en")).text
    gathering.close()


async def test_a_database_that_takes_too_long_for_the_page_still_answers_the_probe(house: House) -> None:
    goes_on = threading.Event()

    def wait(*given: Any) -> None:  # noqa: ANN401 - as SQLAlchemy calls it
        if "FROM imports" in given[2]:
            goes_on.wait(30)

    event.listen(house.engine, "before_cursor_execute", wait)
    gathering = house.gathering(page_patience=0.01)
    assert "The database does not answer" in (await gathering.page("en")).text
    assert (await gathering.readiness()).is_ready
    goes_on.set()
    gathering.close()


async def test_a_database_that_hangs_is_none_that_answers_and_is_one_when_it_goes_on(house: House) -> None:
    goes_on = threading.Event()
    event.listen(house.engine, "before_cursor_execute", lambda *_: goes_on.wait(30) and None)
    hasty = house.gathering(patience=0.01)
    assert (await hasty.readiness()).complaints == NO_ANSWER
    goes_on.set()
    patient = house.gathering(patience=30)
    assert (await patient.readiness()).is_ready
    for gathering in (hasty, patient):
        gathering.close()


async def test_the_story_of_a_file_is_told_from_directory_service_and_ledger(house: House) -> None:
    (house.folder / "a.csv").write_bytes(b"unique_id\n")
    gathering = house.gathering()
    html = await gathering.story("acme", "a.csv", "en")
    assert html is not None
    assert "it lies in the upload directory, 10 bytes; it is imported now" in html.text
    french = await gathering.story("acme", "never.csv", "fr")
    assert french is not None
    assert "un tel fichier." in french.text


@pytest.mark.parametrize("name", ["", ".", "..", "../acme/a.csv", "/etc/passwd", "a\0b"])
async def test_a_name_that_leads_elsewhere_has_no_story(house: House, name: str) -> None:
    assert await house.gathering().story("acme", name, "en") is None


async def test_who_is_no_client_has_no_files(house: House) -> None:
    assert await house.gathering().story("stranger", "a.csv", "en") is None
