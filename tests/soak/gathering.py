"""What there is in a house: asked of its database, its disks, its mail server and the kernel."""

import contextlib
import json
import sqlite3
import sys
from glob import glob
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from tests.servers.tools import environment, run
from tests.soak.house import RECIPIENTS, Soaked
from tests.soak.judging import Ending, World
from tests.soak.plan import CLIENTS

_ROUNDS, _ROUND_SECONDS = 12, 15
_OWN_NAMES = {"bak"}
_OUT = (SQLAlchemyError, sqlite3.Error)
"""The database does not answer now."""


def world(soaked: Soaked) -> World:
    """What the database says, and what lies in the clients' folders."""
    house = soaked.house
    ledger = house.records(
        "SELECT imports.* FROM imports LEFT JOIN soak_order ON soak_order.claim_id = imports.claim_id"
        " ORDER BY soak_order.number"
    )
    return World(
        users=house.records("SELECT * FROM users"),
        ledger=ledger,
        bak={client: _files(house.upload / client / "bak") for client in CLIENTS},
        waiting={client: _files(house.upload / client) for client in CLIENTS},
        left_over=_left_over(house.upload),
        dropped=[*soaked.dropped],
    )


def _files(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        return {}
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name not in _OWN_NAMES and path.is_file()
    }


def _left_over(upload: Path) -> list[str]:
    patterns = ("*/.importing/*/*", "*/.importing/[!.]*", "*/.quarantine/*/*", "*/bak/.*")
    return sorted(name for pattern in patterns for name in glob(pattern, root_dir=upload, include_hidden=True))  # noqa: PTH207 - Path.glob fails where one goes


def is_settled(soaked: Soaked) -> bool:
    """Whether every file has reached its end, seen twice, as files also come back."""
    return soaked.is_idle and all(_is_settled_now(soaked) for _ in range(2))


def _is_settled_now(soaked: Soaked) -> bool:
    house = soaked.house
    cut = {(drop.client, drop.name) for drop in soaked.dropped if drop.fate == "cut"}
    waits = [
        path
        for client in CLIENTS
        for path in (house.upload / client).iterdir()
        if path.is_file() and not path.name.startswith(".") and (client, path.name) not in cut
    ]
    if waits or _left_over(house.upload):
        return False
    try:
        return not house.records("SELECT claim_id FROM imports WHERE archived_at IS NULL")
    except _OUT:
        return False


def progress(soaked: Soaked) -> object:
    """What changes as files come to their end."""
    try:
        archived = soaked.house.records("SELECT COUNT(*) AS number, COUNT(archived_at) AS archived FROM imports")
    except _OUT:
        archived = []
    return len(soaked.dropped), archived


def settle_alerts(soaked: Soaked) -> None:
    """Wait until no alert lasts, with mails tried again by hand, as an operator would; what stays is judged later."""
    for _ in range(_ROUNDS):
        _retry_mails(soaked)
        if soaked.live_until(lambda: not _open_alerts(soaked) and not _unsent(soaked), _ROUND_SECONDS):
            return


def _retry_mails(soaked: Soaked) -> None:
    numbers = _unsent(soaked)
    if numbers:
        with contextlib.suppress(RuntimeError):  # one may be sent meanwhile
            command = [sys.executable, "-m", "watcher", "mail", "retry", *map(str, numbers)]
            run(command, env=environment(**soaked.house.environment))


def _open_alerts(soaked: Soaked) -> list[str]:
    found = soaked.house.records("SELECT kind, client, detail FROM alerts WHERE resolved_at IS NULL")
    return [f"{alert['kind']} {alert['client']}: {alert['detail']}" for alert in found]


def _unsent(soaked: Soaked) -> list[int]:
    return [mail["id"] for mail in soaked.house.records("SELECT id FROM mails WHERE state <> 'sent'")]


def ending(soaked: Soaked) -> Ending:
    """What there is when the service has ended."""
    notices = soaked.house.records("SELECT client, audience, CAST(facts AS TEXT) AS facts FROM notices")
    return Ending(
        notices=[
            json.loads(each["facts"]) | {"client": each["client"], "audience": each["audience"]} for each in notices
        ],
        mails=[mail.data for mail in soaked.smtp.received],
        recipients=RECIPIENTS,
        unsent=_unsent(soaked),
        alerts=_open_alerts(soaked),
        log=soaked.log,
        processes=_processes(str(soaked.house.state)),
    )


def _processes(state: str) -> list[str]:
    """The processes that have the house's state directory in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"USERDROP_STATE_DIR={state}".encode() in process.joinpath("environ").read_bytes().split(b"\0"):
                found.append(process.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found
