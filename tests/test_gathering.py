"""What is told by HTTP when the database is well, slow, or out."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from notifier import outbox
from notifier.alerts import Alerts
from notifier.model import AlertKind, Delivered
from tests.mailing import ADDRESSES, LETTERS, NOW, database, failed_rows, store
from tests.page import client, service
from watcher.counting import Counting
from watcher.gauging import gauges
from watcher.supervision import WatchState
from watcher.web.gathering import Gathering

NO_ANSWER = ("database: no answer",)


class House:
    """A service without its tasks."""

    def __init__(self, directory: Path) -> None:
        self.engine = database(directory)
        self.alerts = Alerts(lambda: NOW)

    def gathering(self, **patience: float) -> Gathering:
        directory = gauges("acme", WatchState.LIVE, seen={}, refused=(), now=0.0, last_tick=0.0)
        return Gathering(
            engine=self.engine,
            interval=timedelta(minutes=5),
            now=lambda: NOW,
            service=lambda: service(client("acme")),
            clients=lambda: (directory,),
            alerts=self.alerts,
            counting=Counting(),
            delivered=lambda: Delivered(sent=7),
            **patience,
        )


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


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
    assert "Last imports" in (await gathering.page()).text
    gathering.close()


async def test_a_database_without_its_tables_is_none_that_answers(house: House) -> None:
    with house.engine.begin() as connection:
        for table in ("mails", "imports"):
            connection.execute(text(f"DROP TABLE {table}"))
    gathering = house.gathering()
    assert (await gathering.readiness()).complaints == NO_ANSWER
    assert {"userdrop_ready 0.0", "userdrop_database_up 0.0"} <= {*await metrics(gathering)}
    assert "The database does not answer" in (await gathering.page()).text
    gathering.close()


async def test_a_database_that_takes_too_long_for_the_page_still_answers_the_probe(house: House) -> None:
    goes_on = threading.Event()

    def wait(*given: Any) -> None:  # noqa: ANN401 - as SQLAlchemy calls it
        if "FROM imports" in given[2]:
            goes_on.wait(30)

    event.listen(house.engine, "before_cursor_execute", wait)
    gathering = house.gathering(page_patience=0.01)
    assert "The database does not answer" in (await gathering.page()).text
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
