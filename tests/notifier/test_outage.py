"""Days without a mail server, on a clock that the test moves."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from importer.database.engines import make_engine
from importer.database.tables import mails
from notifier.alerts import Alerts
from notifier.delivering import Delivery
from notifier.messages import Message
from notifier.model import AlertKind, Failure, SendError, Stage
from notifier.retrying import FIRST_WAIT
from tests.mailing import ADDRESSES, LETTERS, NOW, Clock, database, queue

OUTAGE = timedelta(days=5)
MOST_TRIES = 170


class DeadServer:
    """Refuses every connection until a moment; then takes everything. Notes tries and when the first was taken."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.back_at = NOW + OUTAGE
        self.tries: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()
        self.first_taken: timedelta | None = None

    async def send(self, message: Message, recipient: str) -> None:
        self.tries[recipient] += 1
        if self.clock.now < self.back_at:
            raise SendError(Failure(stage=Stage.CONNECT, text="refused"))
        if recipient != ADDRESSES.admin:
            self.taken[message["Message-ID"]] += 1
            self.first_taken = self.first_taken or self.clock.now - self.back_at


@pytest.mark.parametrize(
    ("waiting", "step"),
    [
        (100, timedelta(hours=1)),
        pytest.param(10_000, timedelta(minutes=20), marks=[pytest.mark.full, pytest.mark.timeout(1800)]),
    ],
)
async def test_after_five_days_without_a_server_every_mail_arrives(
    tmp_path: Path, waiting: int, step: timedelta
) -> None:
    clock = Clock()
    server = DeadServer(clock)
    engine = database(tmp_path)
    with engine.begin() as connection:
        connection.execute(insert(mails), [_mail(number) for number in range(waiting)])
    rounds = 0
    looking = make_engine(engine.url.render_as_string())
    delivery = _delivery(looking, server, clock)
    while clock.now < server.back_at + FIRST_WAIT:
        await delivery.once()
        rounds += 1
        clock.now = min(clock.now + step, server.back_at + FIRST_WAIT)
        if rounds % 20 == 0:  # the service is started anew, and knows what the tables know
            looking.dispose()
            looking = make_engine(engine.url.render_as_string())
            delivery = _delivery(looking, server, clock)
    await delivery.once()
    rows = [row for row in queue(engine) if row["recipient"] != ADDRESSES.admin]
    assert {row["state"] for row in rows} == {"sent"}
    assert len(server.taken) == waiting
    assert set(server.taken.values()) == {1}
    assert server.first_taken is not None
    assert server.first_taken <= timedelta(seconds=60)
    assert max(row["tries"] for row in rows) <= MOST_TRIES
    assert not delivery.alerts.is_open(AlertKind.SMTP)
    engine.dispose()
    looking.dispose()


def _delivery(engine: Engine, server: DeadServer, clock: Clock) -> Delivery:
    return Delivery(
        engine=engine,
        transport=server,
        addresses=ADDRESSES,
        letters=LETTERS,
        clock=clock,
        next_run=lambda: None,
        jitter=lambda: 0.5,
        alerts=Alerts(clock, clock.elapsed),
    )


def _mail(number: int) -> dict[str, object]:
    return {
        "message_id": f"<{number}@parking.example>",
        "recipient": f"r{number}@client.example",
        "client": "acme",
        "subject": "s",
        "text": "t\n",
        "html": "<p>t</p>",
        "attachments": [],
        "language": "en",
        "state": "queued",
        "tries": 0,
        "created_at": NOW,
        "next_try_at": NOW,
    }
