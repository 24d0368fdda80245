"""A small house that does a whole import, from the upload to the mail, and what must be true of it in the end.

Its collaborators may be replaced by wrong ones: see `tests.crashes.seeded`.
"""

import asyncio
import datetime as dt
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from email import message_from_bytes
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from importer.database.engines import make_engine
from importer.database.failures import is_outage
from importer.database.tables import mails, notices
from importer.importing import Importer
from importer.model import Fingerprint, Outcome
from notifier.alerts import Alerts
from notifier.delivering import Delivery
from notifier.smtp import FolderTransport, SmtpTransport, Tls, Transport
from tests.importing import LIMITS, NOW, PEOPLE, Site, clock, make_site, rows_of
from tests.mailing import ADDRESSES, LETTERS
from tests.servers.ports import LOOPBACK

LATER = NOW + dt.timedelta(hours=2)
"""When the restarted house sends what the one before it could not."""
BUG = 70
"""How the importing process ends at an error that is no outage, see `watcher.work.child`."""

_CLIENT = "acme"
_MOST_OUTAGES = 10
_BEFORE = "uid,email\nU1,a@b.ca\n"
_FIRST = "first.csv"
_STAMP = "20261122T101013Z"
_STRANGER = b"This file lay in bak before.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file and what must become of it: the status, inserted, updated and unchanged users, the keys reported."""

    content: str
    status: str = "imported"
    counts: tuple[int, int, int] = (0, 0, 0)
    reported: tuple[str, ...] = ()

    @property
    def told(self) -> tuple[str, ...]:
        """Who is told."""
        return ("client", "admin") if self.status == "refused" else ("client",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Uploads in the order of their import, and key → e-mail and city of the users afterwards."""

    uploads: dict[str, Upload]
    users: dict[str, tuple[str | None, str | None]]


ONE_FILE = Story(
    uploads={
        "people.csv": Upload(
            content="uid,email,city\nU1,new@b.ca,Hull\nU2,a@b.ca,\nU3,x,\nU4,c@b.ca,\nU4,d@b.ca,\n",
            counts=(2, 1, 0),
            reported=("U3", "U4"),
        )
    },
    users={"U1": ("new@b.ca", "Hull"), "U2": ("a@b.ca", None), "U4": ("c@b.ca", None)},
)
"""On top of a user: an update, a new one who takes over its value, a bad row, a new one, and that one again."""

SEVERAL_FILES = Story(
    uploads={
        **ONE_FILE.uploads,
        "second.csv": Upload(
            content="uid,email,city\nU1,new@b.ca,Laval\nU5,e@b.ca,\nU4,c@b.ca,\nU6,x,\n",
            counts=(1, 1, 1),
            reported=("U6",),
        ),
        "third.csv": Upload(content="", status="refused"),
    },
    users={**ONE_FILE.users, "U1": ("new@b.ca", "Laval"), "U5": ("e@b.ca", None)},
)
"""Taken together: the same, then a file that builds on it, then one that is refused."""


def to_folder(place: Path, engine: Engine) -> Transport:
    """Mails become files."""
    del engine
    return FolderTransport(directory=place / "mail")


def to_smtp(place: Path, engine: Engine) -> Transport:
    """Mails go to a server on loopback, whose port stands in a file beside the house."""
    del engine
    port = int((place.parent / "port").read_text(encoding="ascii"))
    return SmtpTransport(host=LOOPBACK, port=port, tls=Tls.NONE, connect_tries=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Which collaborators the house is made of."""

    importer: type[Importer] = Importer
    engine: Callable[[str], Engine] = make_engine
    transport: Callable[[Path, Engine], Transport] = to_folder


RIGHT = Build()


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Where it stands, what happens in it, and what it is made of."""

    place: Path
    story: Story
    build: Build = RIGHT

    @property
    def url(self) -> str:
        """Of its database."""
        return f"sqlite:///{self.place / 'state' / 'userdrop.db'}"

    def site(self) -> Site:
        """Its upload directory and its database."""
        return Site(directory=self.place / "upload", engine=self.build.engine(self.url), format=PEOPLE)

    def importer(self, site: Site, tokens: str) -> Importer:
        """What imports there; the tokens are those of one run of the service."""
        importer = self.build.importer(site.engine, PEOPLE, LIMITS, clock(tokens=tokens))
        importer.run = tokens
        return importer

    def copied_to(self, place: Path) -> "House":
        """Another house in the same state."""
        shutil.copytree(self.place, place)
        return replace(self, place=place)


def furnish(house: House) -> None:
    """A user who was imported before, a stranger's file in bak under the name that is wanted first, and the uploads."""
    site = make_site(house.place, PEOPLE)
    (house.place / "mail").mkdir()
    site.drop(_FIRST, _BEFORE)
    site.take(_FIRST, tokens="a")
    _stranger(site).write_bytes(_STRANGER)
    for name, upload in house.story.uploads.items():
        site.drop(name, upload.content)
    site.engine.dispose()


def import_all(house: House) -> None:
    """The importing process: the files together."""
    _import(house, [house.site().seen(name) for name in house.story.uploads])


def give_back_all(house: House) -> None:
    """The same, of files that were longer when the watcher saw them: they are taken and given back."""
    seen = [house.site().seen(name) for name in house.story.uploads]
    _import(house, [(name, replace(found, size=found.size + 1)) for name, found in seen])


def _import(house: House, uploads: list[tuple[str, Fingerprint]]) -> None:
    """After an outage it goes on as `watcher.work.imports` has it do."""
    site = house.site()
    importer = house.importer(site, "c")
    if _ends_in_outage(lambda: list(importer.import_files(_CLIENT, site.folder, uploads))):
        # strace counts the calls of each thread, so each of those that wait for the disk may fail once.
        all(_ends_in_outage(lambda: _recover(site, importer)) for _ in range(_MOST_OUTAGES))
    site.engine.dispose()


def _ends_in_outage(work: Callable[[], object]) -> bool:
    try:
        work()
    except (SQLAlchemyError, OSError) as error:
        if not is_outage(error):
            os._exit(BUG)
        return True
    return False


def deliver(house: House) -> None:
    """The sending process: everything that is to be told."""
    engine = house.build.engine(house.url)
    asyncio.run(_deliver(house, engine, NOW))


def finish(house: House) -> list[str]:
    """A restart: recovery, a tick, and the mails; returns what is not as it must be."""
    site = house.site()
    importer = house.importer(site, "r")
    _recover(site, importer)
    uploads = [site.seen(name) for name in house.story.uploads if (site.directory / name).exists()]
    list(importer.import_files(_CLIENT, site.folder, uploads))
    _recover(site, importer)
    asyncio.run(_deliver(house, site.engine, LATER))
    found = [*_wrong(site, house.story), *_wrong_mails(site.engine, house.story)]
    if house.build.transport is not to_smtp:
        found += _wrong_folder(house)
    site.engine.dispose()
    return found


def message_ids(house: House) -> list[str]:
    """Of the mails that the house has formed."""
    engine = make_engine(house.url)
    found = sorted(row["message_id"] for row in rows_of(engine, mails))
    engine.dispose()
    return found


def _recover(site: Site, importer: Importer) -> list[Outcome]:
    """As long as there is something to finish: a name in bak that was taken meanwhile needs another look.

    Nothing else waits, so that a file during whose import the run before was ended is tried.
    """
    done: list[Outcome] = []
    for _ in range(4):
        found = list(importer.recover(_CLIENT, site.folder, alone=True))
        if not found:
            break
        done += found
    return done


async def _deliver(house: House, engine: Engine, now: dt.datetime) -> None:
    """All that touches the disk is done by one thread, so that no other one's calls are counted beside its own."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
    delivery = Delivery(
        engine=engine,
        transport=house.build.transport(house.place, engine),
        addresses=ADDRESSES,
        letters=LETTERS,
        clock=lambda: now,
        next_run=lambda: None,
        jitter=lambda: 0.0,
        alerts=Alerts(lambda: now, lambda: 0.0),
    )
    await delivery.once()
    await asyncio.to_thread(engine.dispose)


def _stranger(site: Site) -> Path:
    return site.bak / f"people.{_STAMP}.csv"


def _wrong(site: Site, story: Story) -> Iterator[str]:
    users = {key: (user["email"], user["city"]) for key, user in site.users().items()}
    if users != story.users:
        yield f"users: {users}"
    entries = [entry for entry in site.ledger() if entry["file"] != _FIRST]
    if sorted(entry["file"] for entry in entries) != sorted(story.uploads):
        yield f"ledger: {[(entry['file'], entry['status']) for entry in entries]}"
    archived = site.archived()
    for entry in entries:
        yield from _wrong_entry(entry, story.uploads[entry["file"]], archived)
    known = {_stranger(site).name, *(name for entry in site.ledger() for name in (entry["archive"], entry["report"]))}
    if {*archived} != known - {None}:
        yield f"bak: {sorted(archived)}, known {sorted(known - {None})}"
    if archived.get(_stranger(site).name) != _STRANGER:
        yield "bak: a stranger's file was overwritten"
    if site.left() not in ([], [".importing"]):
        yield f"left over: {site.left()}"


def _wrong_entry(entry: dict[str, Any], upload: Upload, archived: dict[str, bytes]) -> Iterator[str]:
    name = entry["file"]
    if entry["status"] != upload.status:
        yield f"{name}: {entry['status']}"
    if (counts := (entry["inserted"], entry["updated"], entry["unchanged"])) != upload.counts:
        yield f"{name}: inserted, updated, unchanged: {counts}"
    if entry["archived_at"] is None:
        yield f"{name}: not archived"
    if archived.get(entry["archive"]) != upload.content.encode():
        yield f"{name}: its bytes are not in bak"
    report = archived.get(entry["report"] or "", b"").decode("utf-8-sig").splitlines()[1:]
    if tuple(line.partition(",")[0] for line in report) != upload.reported:
        yield f"{name}: reported {report}"


def _wrong_mails(engine: Engine, story: Story) -> Iterator[str]:
    stored = rows_of(engine, notices)
    told = Counter((row["facts"]["file"], row["audience"]) for row in stored)
    if told != Counter((name, who) for name, upload in story.uploads.items() for who in upload.told):
        yield f"notices: {dict(told)}"
    if any(row["formed_at"] is None for row in stored):
        yield "notices: not all became mails"
    formed = rows_of(engine, mails)
    recipients = Counter(row["recipient"] for row in formed if row["client"] == _CLIENT)  # the others are alerts
    wanted = {who for upload in story.uploads.values() for who in upload.told}
    addresses = {"client": ADDRESSES.failed_import[0], "admin": ADDRESSES.admin}
    if recipients != Counter(addresses[who] for who in wanted):
        yield f"mails: {dict(recipients)}"
    if any(row["state"] != "sent" for row in formed):
        yield f"mails: {[row['state'] for row in formed]}"


def _wrong_folder(house: House) -> Iterator[str]:
    formed = message_ids(house)
    received = [message_from_bytes(path.read_bytes())["Message-ID"] for path in (house.place / "mail").glob("*.eml")]
    if missing := set(formed) - set(received):  # an alert of the database is sent without it
        yield f"mail files: {len(missing)} of {len(formed)} are missing"
    if len(received) > len(set(received)):
        yield "mail files: one came twice"
