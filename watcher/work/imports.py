"""The task that has files imported, one client's turn after the other, and tells what became of each file."""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import structlog

from importer.client_lock import LockedElsewhereError
from importer.model import (
    Audience,
    Notice,
    NoticeKind,
    claim_id,
    shown_name,
)
from importer.words.reasons import refusal
from notifier.alerts import Alerts
from notifier.model import AlertKind
from watcher.uploads.model import Replaced, Sighting, Upload
from watcher.uploads.snapshot import Clocks, RunningImport
from watcher.work.counting import Counting
from watcher.work.doing import DISK_KINDS, PURGE_SECONDS, Desk, JobRunner
from watcher.work.jobs import (
    ImportFiles,
    OutageError,
    OutageKind,
    Prepare,
    Purge,
    Recover,
    Supersede,
    Tell,
)
from watcher.work.turns import Turn, Turns
from watcher.work.worker import Worker

SUSPECT_SECONDS = 15 * 60.0
"""Seconds that a file during whose import the service ended waits for others' files, where some always wait."""
MOST_DEATHS_IN_A_ROW = 20
"""The deaths of the worker in a row above which the machine is at fault; one file may cause three."""

log = structlog.get_logger()


class Imports:
    """The task that feeds the worker.

    Args:
        worker: the worker that does the jobs.
        alerts: the administrator's alerts.
        elapsed: the monotonic clock, in seconds.
        told: called when there may be mail to form.
        released: called with a client and the names of files that were dealt with, one way or another.
        purges: whether the site does not keep files in bak for ever.
        now: the wall clock, UTC.
    """

    def __init__(
        self,
        *,
        worker: Worker,
        alerts: Alerts,
        elapsed: Callable[[], float],
        told: Callable[[], None],
        released: Callable[[str, list[str]], None],
        purges: bool,
        now: Callable[[], datetime],
    ) -> None:
        self._purges = purges
        self._now = now
        self._jobs = JobRunner(worker=worker, alerts=alerts, elapsed=elapsed, now=now)
        self._alerts = alerts
        self._elapsed = elapsed
        self._told = told
        self._released = released
        self._desks = self._jobs.desks
        self._turns = Turns()
        self._has_work = asyncio.Event()

    @property
    def counting(self) -> Counting:
        """The counts of what has become of files."""
        return self._jobs.counting

    @property
    def owed_since(self) -> float | None:
        """The time since which the worker owes the next outcome, in monotonic seconds.

        None while it owes none, or may take as long as it needs.
        """
        return self._jobs.owed_since

    @property
    def met_database(self) -> asyncio.Event:
        """The event that is set when the first job has ended, well or not: the tables exist, or an alert is open."""
        return self._jobs.met_database

    def running(self, clocks: Clocks) -> RunningImport | None:
        """The import that runs now."""
        return self._jobs.running(clocks)

    def serve(self, client: str, directory: Path, *, language: str = "en") -> None:
        """Serve a client, new or known; what a run left half done is finished, with reasons in the given language."""
        desk = self._desks.setdefault(client, Desk(directory=directory))
        desk.directory, desk.language = directory, language
        desk.must_recover = True
        self._ask(client)
        self._ask_purge(client)

    def add(self, client: str, uploads: Sequence[Upload]) -> None:
        """Have a tick's files imported after those of the client that wait already, oldest first.

        Without any, what is half done is finished.
        """
        self._desks[client].has_ticked = True
        if uploads:
            self._turns.add(client, uploads)
            self._has_work.set()
        else:
            if not self._turns.has_files(client) and not self._desks[client].files:
                self._alerts.resolve(AlertKind.CLIENT_WORK, client)
            self._desks[client].wants_disk = False
            # An alert of an earlier run is known only after what that has left was finished.
            self._desks[client].must_recover |= any(self._alerts.is_open(kind, client) for kind in DISK_KINDS)
            self._ask(client)
        self._ask_purge(client)

    def report_incomplete(self, client: str, seen: Sighting) -> None:
        """Have the sender told that an upload was cut off, once for each content."""
        self._turns.tell(client, seen)
        self._has_work.set()

    def report_replaced(self, client: str, seen: Sighting) -> None:
        """Have it recorded that a complete upload was replaced by a newer one of its name before it was taken.

        Where another node imports the client's files, it may have taken that one.
        """
        if self._desks[client].is_held_elsewhere:
            return
        id_ = claim_id(self._now(), secrets.token_hex(7))
        about = {"client": client, "file": shown_name(seen.name), "size": seen.content.size}
        log.warning("upload_replaced", claim=id_, **about)
        self._turns.tell(client, Replaced(sighting=seen, claim_id=id_))
        self._has_work.set()

    async def prepare(self, *, patience: float | None = None) -> None:
        """Bring the database up to date.

        Args:
            patience: how many seconds to wait for a database that is out; None for ever.

        Raises:
            UnusableSetupError: format file or database cannot be used as they are.
            OutageError: patience has ended.
        """
        await self._jobs.patiently(Prepare(), patience)

    async def run(self, stopping: asyncio.Event) -> None:
        """Import until `stopping` is set; the file in hand is finished."""
        while not stopping.is_set():
            self._has_work.clear()
            if (suspected := self._suspected()) is not None:
                await self._try_alone(suspected)
                continue
            turn = self._turns.take()
            if turn is not None:
                await self._have(turn, stopping)
                continue
            work = asyncio.ensure_future(self._has_work.wait())
            stop = asyncio.ensure_future(stopping.wait())
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            work.cancel()
            stop.cancel()

    async def work_off(self, stopping: asyncio.Event) -> None:
        """Take every turn that waits now."""
        while not stopping.is_set() and (turn := self._turns.take()) is not None:
            await self._have(turn, stopping)

    async def drain(self, stopping: asyncio.Event) -> None:
        """Import everything that waits now.

        Raises:
            LockedElsewhereError: another node imports a client's files, and these were left to it.
            OutageError: something was left half done, to be finished by the next run.
        """
        await self.work_off(stopping)
        while not stopping.is_set() and (suspected := self._suspected(must_have_ticked=False)) is not None:
            await self._try_alone(suspected)
            await self.work_off(stopping)
        for client, desk in self._desks.items():
            if desk.is_held_elsewhere:
                raise LockedElsewhereError(client)
        for desk in self._desks.values():
            if desk.must_recover and not stopping.is_set():
                raise desk.outage or OutageError(OutageKind.DISK, "not every file reached its end")

    def _ask(self, client: str) -> None:
        self._turns.ask(client)
        self._has_work.set()

    def _ask_purge(self, client: str) -> None:
        """Ask for a purge of a client's bak once a day, whether the client has files or not."""
        if self._purges and self._elapsed() - self._desks[client].purged_at >= PURGE_SECONDS:
            self._turns.purge(client)
            self._has_work.set()

    async def _have(self, turn: Turn, stopping: asyncio.Event) -> None:
        """Take a turn: one job for what is half done and one for the group; the rest is for the client's next turn."""
        desk = self._desks[turn.client]
        await self._tell_of(turn.client, turn.to_tell)
        if desk.must_recover and not stopping.is_set() and not await self._recover(turn.client, desk):
            if 0 < desk.deaths < MOST_DEATHS_IN_A_ROW:
                self._turns.give_back(replace(turn, to_tell=()))
            else:
                desk.deaths = 0
                self._drop(turn, desk)
            return
        if turn.uploads and not stopping.is_set():
            self._begin(turn, desk)
            desk.done += await self._import(turn, desk)
        self._release(turn.client, turn.uploads)
        if turn.ends and desk.files:
            self._end(turn.client, desk)
            self._end_want_of_room(turn.client, desk)
        if turn.purges and not stopping.is_set():
            await self._purge(turn.client, desk)

    async def _purge(self, client: str, desk: Desk) -> None:
        """Purge a part of a client's bak; each further part has a turn of its own."""
        desk.has_more_to_purge = False
        if await self._jobs.do(Purge(client=client, directory=desk.directory, language=desk.language)) is None:
            return
        if desk.has_more_to_purge:
            self._turns.purge(client)
        else:
            desk.purged_at = self._elapsed()

    def _suspected(self, *, must_have_ticked: bool = True) -> str | None:
        """The client one of whose suspects is to be tried now: nobody waits, or it has waited for too long."""
        for client, desk in self._desks.items():
            if not desk.suspects:
                continue
            has_waited = self._elapsed() - min(desk.suspected[id_] for id_ in desk.suspects) >= SUSPECT_SECONDS
            if has_waited or (not self._turns and (desk.has_ticked or not must_have_ticked)):
                return client
        return None

    async def _try_alone(self, client: str) -> None:
        """Try a suspect while nothing else is done; what ends the service then is the file's fault.

        A suspect that meets an outage waits for the next tick: at once it would meet it again, and fill the disk again.
        """
        desk = self._desks[client]
        waiting = set(desk.suspects)
        if await self._recover(client, desk, alone=True):
            return
        if desk.outage is None:
            self._turns.ask(client)
        else:
            desk.suspected |= dict.fromkeys(waiting, self._elapsed())
            desk.has_ticked = False

    async def _tell_of(self, client: str, uploads: Iterable[Sighting | Replaced]) -> None:
        for each in uploads:
            if isinstance(each, Replaced):
                await self._jobs.patiently(self._superseded(client, each))
            else:
                await self._jobs.patiently(_told_incomplete(client, each))
        if uploads:
            self._told()

    def _superseded(self, client: str, replaced: Replaced) -> Supersede:
        seen = replaced.sighting
        directory = self._desks[client].directory
        return Supersede(
            client=client,
            directory=directory,
            name=seen.name,
            size=seen.content.size,
            claim_id=replaced.claim_id,
        )

    async def _recover(self, client: str, desk: Desk, *, alone: bool = False) -> bool:
        """Finish what is half done of a client; False while that is not possible."""
        job = Recover(client=client, directory=desk.directory, language=desk.language, alone=alone)
        if await self._jobs.do(job) is None:
            return False
        if not desk.must_recover:
            self._alerts.resolve(AlertKind.ARCHIVE, client)
        self._told()
        return True

    async def _import(self, turn: Turn, desk: Desk) -> int:
        """Import a group; returns how many of its files have reached their end."""
        self.counting.begun(turn.uploads, self._now())
        uploads = tuple((upload.name, upload.sighting.content) for upload in turn.uploads)
        job = ImportFiles(
            client=turn.client,
            directory=desk.directory,
            uploads=uploads,
            unseen_ends=frozenset(upload.name for upload in turn.uploads if upload.is_end_unseen),
            language=desk.language,
        )
        done = await self._jobs.do(job)
        if done is None:
            desk.has_no_room |= self._alerts.is_open(AlertKind.CLIENT_WORK, turn.client)  # nothing has shown otherwise
            self._turns.ask(turn.client)
        self._told()
        return done or 0

    def _drop(self, turn: Turn, desk: Desk) -> None:
        """Leave the client's batch in hand to a later tick, at which it is found again."""
        rest = () if turn.ends or not turn.uploads else self._turns.abandon(turn.client)
        self._release(turn.client, (*turn.uploads, *rest))
        if desk.files:
            self._end(turn.client, desk)

    def _release(self, client: str, uploads: Sequence[Upload]) -> None:
        if uploads:
            self._released(client, [upload.name for upload in uploads])

    def _begin(self, turn: Turn, desk: Desk) -> None:
        if turn.begins is not None:
            batch = turn.begins
            desk.began_at, desk.files, desk.done = self._elapsed(), batch.files, 0
            desk.has_no_room = False
            log.info("batch_started", client=turn.client, files=batch.files, bytes=batch.bytes)

    def _end(self, client: str, desk: Desk) -> None:
        seconds = round(self._elapsed() - desk.began_at, 3)
        log.info("batch_finished", client=client, files=desk.files, done=desk.done, seconds=seconds)
        desk.files = 0

    def _end_want_of_room(self, client: str, desk: Desk) -> None:
        """Resolve the alert about a client's want of room, once all files that a tick has found of it were taken."""
        if not desk.has_no_room:
            self._alerts.resolve(AlertKind.CLIENT_WORK, client)
        desk.has_no_room = False


def _told_incomplete(client: str, seen: Sighting) -> Tell:
    content = seen.content
    notice = Notice(
        client=client,
        audience=Audience.CLIENT,
        kind=NoticeKind.INCOMPLETE,
        file=shown_name(seen.name),
        refusal=refusal("incomplete", size=f"{content.size:,}"),
    )
    # Without the device, whose number differs between the machines on which a directory is mounted.
    return Tell(notice=notice, once=f"incomplete {client} {content.inode} {content.size} {content.modified_ns}")
