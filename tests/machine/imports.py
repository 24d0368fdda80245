"""The real importer on a real database, driven by hypothesis beside the model.

Files of a client are committed in the order in which they were claimed, whatever goes wrong, but for those during whose
import the service ended, which come last: so after each step the database must be what the model makes of the first so
many of them, and the ledger says how many.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Engine, Table, select
from sqlalchemy.exc import SQLAlchemyError

from importer.database.failures import is_outage
from importer.database.tables import imports, notices, user_table
from importer.files.attempts import MAX_ATTEMPTS
from importer.files.claiming import QUARANTINE_DIRECTORY, WORK_DIRECTORY, fingerprint
from importer.importing import Importer
from importer.model import Suspected, Unarchived
from tests.importing import LIMITS, PEOPLE, by_name
from tests.machine.fates import Crash, Fate, Fault, Kind
from tests.machine.files import CONTENTS, DROPS, NAMES, corrected, reported_rows
from tests.machine.model import NOBODY, Judged, Users, judge, quarantined

CLIENTS = st.sampled_from(["acme", "beta"])
FAULTS = st.sampled_from(Kind).flatmap(
    lambda kind: st.builds(Fault, kind=st.just(kind), step=st.integers(1, 12 if kind is Kind.DISK else 40))
)


@dataclass(slots=True, kw_only=True)
class File:
    """What a client dropped.

    Attributes:
        crashes: how often the process ended while the importer had it.
        claim: the id of its claim, where that was seen.
    """

    name: str
    content: bytes
    crashes: int = 0
    claim: str | None = None


@dataclass(slots=True, kw_only=True)
class Client:
    """A client of the model.

    Attributes:
        waiting: name → the file under it, in the order they came.
        taken: claimed and not committed, as far as we have looked.
        done: committed, in their order.
        ids: of their claims.
        suspects: claims of which the importer has said that they come last.
    """

    name: str
    directory: Path
    users: Users = field(default_factory=dict)
    waiting: dict[str, File] = field(default_factory=dict)
    taken: list[File] = field(default_factory=list)
    done: list[tuple[File, Judged]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    suspects: list[str] = field(default_factory=list)
    needs_recovery: bool = False

    @property
    def bak(self) -> Path:
        """Where its files go."""
        return self.directory / "bak"

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do."""
        return not (self.waiting or self.taken or self.needs_recovery)

    def take(self, entry: Mapping[str, Any]) -> File:
        """The file that the entry is about; the oldest one, where there is no suspect that others have overtaken."""
        found = next((number for number, file in enumerate(self.taken) if file.claim == entry["claim_id"]), 0)
        if self.suspects and self.taken[found].claim != entry["claim_id"]:
            found = next(
                number
                for number, file in enumerate(self.taken)
                if entry["file"] == file.name and entry["sha256"] in {"", hashlib.sha256(file.content).hexdigest()}
            )
        return self.taken.pop(found)

    def drop(self, name: str, content: bytes) -> None:
        """A whole file comes; one of the name that waits is replaced."""
        self.waiting.pop(name, None)
        self.waiting[name] = File(name=name, content=content)
        path = self.directory / name
        path.unlink(missing_ok=True)
        path.write_bytes(content)


@dataclass(slots=True, kw_only=True)
class World:
    """What the runs of a machine share, each with clients of its own.

    Attributes:
        working: the engine of the importer; it obeys `fate`.
        looking: ours, at the same database.
    """

    place: Path
    working: Engine
    looking: Engine
    importer: type[Importer] = Importer
    fate: Fate = field(default_factory=Fate)
    runs: int = 0

    def __post_init__(self) -> None:
        self.fate.rule(self.working)


class Imports(RuleBasedStateMachine):
    """Drops, ticks, and all that goes wrong."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.fate = world.fate
        self.fate.start_again()
        self.service = 0
        self.clients: dict[str, Client] = {}
        self.importer = self._started()

    def _started(self) -> Importer:
        importer = self.world.importer(self.world.working, PEOPLE, LIMITS, self.fate.clock())
        importer.run = f"run {self.service}"
        return importer

    @initialize()
    def two_clients(self) -> None:
        self.world.runs += 1
        for name in ("acme", "beta"):
            directory = self.world.place / f"{name}-{self.world.runs}"
            directory.mkdir()
            self.clients[name] = Client(name=directory.name, directory=directory)

    @rule(name=CLIENTS, files=DROPS)
    def drop(self, name: str, files: Mapping[str, bytes]) -> None:
        for file, content in files.items():
            self.clients[name].drop(file, content)

    @rule(name=CLIENTS, file=NAMES, content=CONTENTS)
    def replace(self, name: str, file: str, content: bytes) -> None:
        self.clients[name].drop(file, content)

    @rule(name=CLIENTS, file=NAMES, which=st.integers(0, 5))
    def drop_the_same_again(self, name: str, file: str, which: int) -> None:
        client = self.clients[name]
        if client.done:
            client.drop(file, client.done[which % len(client.done)][0].content)

    @rule(name=CLIENTS, size=st.integers(1, 4))
    def tick(self, name: str, size: int) -> None:
        self._work(self.clients[name], size, None)

    @rule(name=CLIENTS, files=DROPS, size=st.integers(1, 4), fault=FAULTS)
    def something_goes_wrong(self, name: str, files: Mapping[str, bytes], size: int, fault: Fault) -> None:
        self.drop(name, files)
        self._work(self.clients[name], size, fault)

    @precondition(lambda self: self.fate.is_down)
    @rule()
    def the_database_is_back(self) -> None:
        self.fate.is_down = False

    @rule(seconds=st.sampled_from([1, 60, 86_400]))
    def time_passes(self, seconds: int) -> None:
        self.fate.pass_time(seconds)

    @rule(name=CLIENTS)
    def bak_is_in_the_way(self, name: str) -> None:
        client = self.clients[name]
        if not client.bak.exists():
            client.bak.write_bytes(b"")

    @rule(name=CLIENTS)
    def bak_is_free(self, name: str) -> None:
        client = self.clients[name]
        if client.bak.is_file():
            client.bak.unlink()

    @rule(name=CLIENTS, file=NAMES, content=CONTENTS, step=st.integers(1, 30))
    def a_file_ends_the_process_each_time(self, name: str, file: str, content: bytes, step: int) -> None:
        self.clients[name].drop(file, content)
        for _ in range(MAX_ATTEMPTS + 1):
            self._work(self.clients[name], 1, Fault(kind=Kind.CRASH, step=step))

    @rule(name=CLIENTS, file=NAMES, content=CONTENTS, step=st.integers(1, 30))
    def a_file_ends_the_service_each_time(self, name: str, file: str, content: bytes, step: int) -> None:
        self.clients[name].drop(file, content)
        for _ in range(MAX_ATTEMPTS + 2):
            self._work(self.clients[name], 1, Fault(kind=Kind.SERVICE, step=step))

    @precondition(lambda self: not self.fate.is_down)
    @rule(name=CLIENTS, which=st.integers(0, 5))
    def correct(self, name: str, which: int) -> None:
        """With nothing else on its way, as another file may change what was right."""
        client = self.clients[name]
        self.bak_is_free(name)
        self._work(client, 4, None)
        self.everything_is_as_the_model_says()
        reports = [entry["report"] for entry in self._rows(imports, client) if entry["report"]]
        if reports:
            report = (client.bak / reports[which % len(reports)]).read_bytes()
            client.drop("corrected.csv", corrected(report, client.users))
            self._work(client, 1, None)
            self.everything_is_as_the_model_says()
            counts = client.done[-1][1].counts
            assert counts["accepted"] == counts["records"] > 0

    def _work(self, client: Client, size: int, fault: Fault | None) -> None:
        """Recover where that is due, then import what waits, in groups."""
        handed: list[File] = []
        self.fate.arm(fault)
        try:
            self._recover(client)
            while client.waiting:
                handed = [*client.waiting.values()][:size]
                uploads = [(file.name, fingerprint(os.lstat(client.directory / file.name))) for file in handed]
                done = list(self.importer.import_files(client.name, by_name(client.directory), uploads))
                client.needs_recovery |= any(isinstance(outcome, Unarchived) for outcome in done)
                self._take(client, handed)
            self._try_suspects(client)
        except Crash:
            self._take(client, handed)
            for file in client.taken:
                file.crashes += 1
            self.service += fault is not None and fault.kind is Kind.SERVICE
            self.world.working.dispose()
            self.importer = self._started()
            client.needs_recovery = True
        except (SQLAlchemyError, OSError) as error:
            self._expect(error)
            self._take(client, handed)
            client.needs_recovery = True
        finally:
            self.fate.arm(None)

    def _expect(self, error: Exception) -> None:
        assert is_outage(error)
        assert self.fate.has_struck or self.fate.is_down

    def _recover(self, client: Client) -> None:
        if client.needs_recovery:
            client.needs_recovery = False
            self._finish(client, alone=False)

    def _try_suspects(self, client: Client) -> None:
        """When nothing else waits, one after the other."""
        while not client.needs_recovery and any(id_ not in client.ids for id_ in client.suspects):
            left = len(client.suspects)
            self._finish(client, alone=True)
            self.everything_is_as_the_model_says()
            assert left == len(client.suspects)

    def _finish(self, client: Client, *, alone: bool) -> None:
        done = []
        for outcome in self.importer.recover(client.name, by_name(client.directory), alone=alone):
            done.append(outcome)
            if isinstance(outcome, Suspected) and outcome.claim.id not in client.suspects:
                client.suspects.append(outcome.claim.id)
        client.needs_recovery |= any(isinstance(outcome, Unarchived) for outcome in done)

    def _take(self, client: Client, handed: list[File]) -> None:
        """The importer has what it was handed and no longer lies under its name; it must come to an end."""
        for file in handed:
            if client.waiting.get(file.name) is file and not (client.directory / file.name).exists():
                client.taken.append(client.waiting.pop(file.name))
        self._see_claims(client)

    def _see_claims(self, client: Client) -> None:
        """An entry of a suspect names the file alone, where another of that name may have been taken since."""
        known = {file.claim for file in client.taken}
        for work in sorted((client.directory / ".importing").glob("[0-9]*")):
            found = (
                file
                for file in client.taken
                if file.claim is None and (path := work / file.name).is_file() and path.read_bytes() == file.content
            )
            if work.name not in known and (file := next(found, None)) is not None:
                file.claim = work.name

    def _rows(self, table: Table, client: Client) -> list[dict[str, Any]]:
        with self.world.looking.begin() as connection:
            query = select(table).where(table.c.client == client.name).order_by(*table.primary_key.columns)
            return [dict(row) for row in connection.execute(query).mappings()]

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        for client in self.clients.values():
            entries = {entry["claim_id"]: entry for entry in self._rows(imports, client)}
            assert len(entries) <= len(client.done) + len(client.taken), "a file was imported twice"
            # Suspects come after the others, in the order of their claims.
            new = sorted(entries.keys() - {*client.ids}, key=lambda id_: (id_ in client.suspects, id_))
            for id_ in new:
                self._judge(client, client.take(entries[id_]), entries[id_])
                client.ids.append(id_)
            ledger = [entries[id_] for id_ in client.ids]
            self._look_at_the_database(client, ledger)
            self._look_at_the_disk(client, ledger)

    def _judge(self, client: Client, file: File, entry: Mapping[str, Any]) -> None:
        """The ledger says that the file came to its end: the model follows."""
        is_quarantined = entry["status"] == "quarantined"
        assert not is_quarantined or file.crashes >= MAX_ATTEMPTS
        judged = quarantined(client.users) if is_quarantined else judge(client.users, file.content)
        client.users = judged.users
        client.done.append((file, judged))

    def _look_at_the_database(self, client: Client, ledger: list[dict[str, Any]]) -> None:
        users = {row["uid"]: {name: row[name] for name in NOBODY} for row in self._rows(user_table(PEOPLE), client)}
        assert users == client.users
        assert len(ledger) == len(client.done)
        first: dict[str, str] = {}
        told: Counter[tuple[str, str, str]] = Counter()
        for entry, (file, judged) in zip(ledger, client.done, strict=True):
            assert (entry["file"], entry["status"], entry["refusal_code"]) == (file.name, judged.status, judged.refusal)
            assert {name: entry[name] for name in judged.counts} == dict(judged.counts), (
                {name: entry[name] for name in judged.counts},
                dict(judged.counts),
                file,
                ledger.index(entry),
            )
            assert entry["accepted"] + entry["failed"] + entry["blank"] == entry["records"]
            reasons = Counter({(reason["code"], reason["column"]): reason["count"] for reason in entry["reasons"]})
            assert reasons == Counter(reason for found in judged.failed.values() for reason in found)
            if judged.status != "quarantined":
                sha256 = hashlib.sha256(file.content).hexdigest()
                assert (entry["sha256"], entry["same_as"]) == (sha256, first.get(sha256))
                first.setdefault(sha256, entry["claim_id"])
            told.update({(entry["claim_id"], *who): times for who, times in judged.told.items()})
        found = [
            (row["facts"]["claim_id"], row["facts"]["kind"], row["audience"]) for row in self._rows(notices, client)
        ]
        assert Counter(found) == told

    def _look_at_the_disk(self, client: Client, ledger: list[dict[str, Any]]) -> None:
        lying = {path.name: path.read_bytes() for path in client.directory.glob("[!.]*.*")}
        assert lying == {file.name: file.content for file in client.waiting.values()}
        archived = {path.name: path.read_bytes() for path in client.bak.iterdir()} if client.bak.is_dir() else {}
        known: set[str] = set()
        for entry, (file, judged) in zip(ledger, client.done, strict=True):
            if entry["archived_at"] is not None:
                assert archived.get(entry["archive"]) == file.content
                assert (entry["report"] is not None) == bool(judged.failed)
                if entry["report"]:
                    assert reported_rows(archived.get(entry["report"], b"")) == sorted(judged.failed)
            known |= {entry["archive"], entry["report"]}
        assert {*archived} <= known
        if client.is_settled:
            assert all(entry["archived_at"] for entry in ledger if entry["status"] != "quarantined")
            work = client.directory / WORK_DIRECTORY
            assert not work.exists() or list(work.iterdir()) == []
            aside = list((client.directory / QUARANTINE_DIRECTORY).glob("*/[!R]*"))
            assert len(aside) == [entry["status"] for entry in ledger].count("quarantined")

    def teardown(self) -> None:
        """In the end everything is well, and everything is done."""
        self.fate.is_down = False
        for name, client in self.clients.items():
            self.bak_is_free(name)
            self._work(client, 4, None)
            assert not client.waiting
            assert not client.needs_recovery
        self.everything_is_as_the_model_says()
        assert all(client.is_settled for client in self.clients.values())
