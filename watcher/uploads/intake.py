"""The task that owns settling and batching: it has files looked at when something hints at them, and all at each tick.

Nothing else knows which files wait. What is complete at a tick is handed on, and is not handed on again
until it is given back (`release`). `run` is made of the steps `wait`, `look_again`, `rescan` and `have_tick`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from heapq import nsmallest
from pathlib import Path
from typing import assert_never

from importer.model import shown_name
from notifier.alerts import Alerts
from watcher.uploads.batching import next_tick, oldest_first, seconds_to_tick
from watcher.uploads.gauging import Gauges, by_state, gauges
from watcher.uploads.inspecting import MOVED_AT_ONCE, Inspector
from watcher.uploads.memory import ClientMemory
from watcher.uploads.model import Sighting, Upload
from watcher.uploads.observing import Observers
from watcher.uploads.settling import Patience, Settled, Waiting
from watcher.uploads.snapshot import (
    MOST_FILES_SHOWN,
    ClientSnapshot,
    Clocks,
    FileNow,
    left_files,
    refused_files,
    waiting_file,
    waiting_files,
)
from watcher.uploads.tracking import HandedOn, Seen, Untaken, settled_uploads
from watcher.uploads.verdicts import ServerVerdicts
from watcher.uploads.watching import Supervisor

LONGEST_WAIT_SECONDS = 30.0
"""The wait for a tick is worked out anew at least this often, because the wall clock may jump."""
SCAN_SECONDS = 5.0
"""Seconds from one scan of the directory to the next while its events cannot be relied on."""
SCAN_SHARE = 0.25
"""The share of the time that such scans may take, where a directory is large or slow."""


class Intake:
    """Watches one client's directory and hands on what is complete at each tick.

    Args:
        client: the client to whom the directory belongs.
        directory: the directory in which uploads appear.
        interval: the time from one tick to the next.
        patience: how long a file must lie unchanged.
        verdicts: the verdicts of the FTP server's log; None where that is not read.
        now: the wall clock, UTC.
        elapsed: the monotonic clock, in seconds.
        alerts: the administrator's alerts.
        hand_on: gets what each tick finds complete, oldest first; there may be none.
        tell_doubt: gets each upload whose end is not certain, once for each content, some time after its last change.
        tell_replaced: gets each complete upload that a newer one has replaced before it was taken; None for nobody.
        observers: shared with other clients' intakes.
        memory: what was decided of the client's files before a restart; None where that is not kept.
        stagger: seconds by which it wakes later for what all clients wake for, so that not all wake at one moment.

    Attributes:
        watch: the watch on the directory.
        got_on: when it last did something, monotonic seconds; it never sleeps for longer than `LONGEST_WAIT_SECONDS`.
    """

    def __init__(
        self,
        *,
        client: str,
        directory: Path,
        interval: timedelta,
        patience: Patience,
        verdicts: ServerVerdicts | None,
        now: Callable[[], datetime],
        elapsed: Callable[[], float],
        alerts: Alerts,
        hand_on: Callable[[list[Upload]], None],
        tell_doubt: Callable[[Sighting], None],
        tell_replaced: Callable[[Sighting], None] | None = None,
        observers: Observers | None = None,
        memory: ClientMemory | None = None,
        stagger: float = 0.0,
    ) -> None:
        self._client = client
        self._directory = directory
        self._interval = interval
        self._now = now
        self._elapsed = elapsed
        self._hand_on = hand_on
        self._awaits_end = patience.reads_log and not patience.serves_sftp
        self._stagger = stagger
        self._awake = asyncio.Event()
        self.got_on = elapsed()
        self.watch = Supervisor(
            client=client,
            directory=directory,
            elapsed=elapsed,
            alerts=alerts,
            changed=self.wake,
            observers=observers,
            stagger=stagger,
        )
        self._inspector = Inspector(
            client=client,
            directory=directory,
            patience=patience,
            watch=self.watch,
            verdicts=verdicts,
            memory=memory or ClientMemory({}, lambda: None),
            elapsed=elapsed,
            alerts=alerts,
            tell_doubt=tell_doubt,
            tell_replaced=tell_replaced or (lambda _: None),
            got_on=self._note_progress,
        )
        if verdicts is not None:
            verdicts.listen(self.wake)
        self._files = self._inspector.files
        self._released: set[str] = set()
        self._scan_at = elapsed()
        self._last_tick = elapsed()
        self._next_tick = next_tick(now(), interval)
        self._tick_asked = False

    def tick(self) -> None:
        """Ask for a tick at once."""
        self._tick_asked = True
        self.wake()

    def wake(self) -> None:
        """Have the task look at what may have changed."""
        self._awake.set()

    def release(self, names: Iterable[str]) -> None:
        """Take back files that were dealt with; those that still lie in the directory are looked at anew."""
        for name in names:
            self._inspector.take_back(name)
            self._released.add(name)
        self.wake()

    @property
    def settled(self) -> int:
        """The number of complete files that wait for the next tick."""
        return self._files.number(Settled)

    @property
    def outstanding(self) -> int:
        """The number of files that are not dealt with yet."""
        return len(self._files)

    @property
    def unsettled(self) -> int:
        """The number of files that wait for their quiet time."""
        return self._files.number(Waiting)

    def snapshot(self) -> ClientSnapshot:
        """The state of the client's directory as it is shown; what was handed on does not wait any more.

        All files are counted, but only those that are shown are put into words: 100,000 would hold up the loop for 1 s.
        """
        clocks = self._clocks()
        lying, untaken = self._files.seen().values(), self._files.untaken()
        oldest = nsmallest(MOST_FILES_SHOWN, lying, key=lambda each: (each.watched.since, each.watched.sighting.name))
        seen = [waiting_file(each.watched, each.decision, clocks) for each in oldest]
        refused = refused_files({name: untaken[name] for name in nsmallest(MOST_FILES_SHOWN, untaken)})
        return ClientSnapshot(
            client=self._client,
            directory=shown_name(str(self._directory)),
            watch=self.watch.snapshot(clocks),
            next_tick=clocks.utc_second(clocks.elapsed + self._seconds_to_tick()),
            waiting=replace(
                waiting_files([*seen, *refused]),
                files=len(lying) + len(untaken),
                bytes=sum(each.watched.sighting.content.size for each in lying),
            ),
            left_alone=left_files(self._inspector.left_alone, clocks),
            server_log=self._inspector.log_state,
        )

    def file(self, name: str) -> FileNow:
        """The state of one file as it is shown."""
        clocks = self._clocks()
        next_run = clocks.utc_second(clocks.elapsed + self._seconds_to_tick())
        now = FileNow(next_tick=next_run, server_log=self._inspector.log_state)
        match known := self._files.get(name):
            case None:
                return now
            case Seen():
                return replace(now, waiting=waiting_file(known.watched, known.decision, clocks))
            case HandedOn():
                return replace(now, is_handed_on=True)
            case Untaken():
                return replace(now, waiting=next(iter(refused_files({name: known.why})), None))
            case _:
                assert_never(known)

    def gauges(self) -> Gauges:
        """The client's directory as numbers; what was handed on is counted as well.

        The states are those of the snapshot, found without making a value for each file.
        """
        return gauges(
            self._client,
            self.watch.state,
            seen=by_state(self._files.all()),
            refused=(each.value for each in self._files.untaken().values()),
            now=self._elapsed(),
            last_tick=self._last_tick,
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Watch the directory until `stopping` is set."""
        async with self._supervised():
            await self.rescan()
            while not stopping.is_set():
                self._note_progress()
                await self.wait(self._seconds_to_tick() + self._stagger)
                if stopping.is_set():
                    break
                await self.look_again()
                if self._tick_asked or self._seconds_to_tick() <= 0:
                    await self.have_tick()
        await self.close()

    async def settle(self, stopping: asyncio.Event) -> None:
        """Wait out the quiet time of what lies in the directory now, then have one tick."""
        async with self._supervised():
            await self.rescan()
            while self.unsettled and not stopping.is_set():
                await self.wait()
                await self.look_again()
            if not stopping.is_set():
                await self.have_tick()
            self._inspector.tell_doubts(early=True)

    async def wait(self, longest: float = LONGEST_WAIT_SECONDS) -> None:
        """Return when there may be something to do, after so many seconds at the latest."""
        now = self._elapsed()
        waits = [LONGEST_WAIT_SECONDS, longest, self._files.no_look_before - now, self._inspector.next_doubt - now]
        if not self.watch.is_live:
            waits.append(self._scan_at - now)
        try:
            async with asyncio.timeout(max(0.0, min(waits))):
                await self._awake.wait()
        except TimeoutError:
            pass
        self._awake.clear()

    async def have_tick(self) -> None:
        """Have a tick: hand on what is complete now."""
        self._tick_asked = False
        self._last_tick = self._elapsed()
        self._next_tick = next_tick(self._now(), self._interval)
        self.watch.wake()
        await self.rescan()
        if self.watch.unwritable is not None:  # nothing can be claimed; what is settled waits for a later tick
            self._hand_on([])
            return
        settled = self._files.settled()
        uploads = partial(settled_uploads, self._client, settled, awaits_end=self._awaits_end)
        batch = await asyncio.to_thread(lambda: oldest_first(uploads()))
        for first in range(0, len(settled), MOVED_AT_ONCE):
            for each in settled[first : first + MOVED_AT_ONCE]:
                self._files.put(each.watched.sighting.name, HandedOn(watched=each.watched))
            await asyncio.sleep(0)
        self._hand_on(batch)

    async def look_again(self) -> None:
        """Look at the files of which something was heard, and at those whose quiet time has ended."""
        marks = self.watch.drain()
        self._inspector.note_renamed(marks.renamed)
        if marks.everything or (not self.watch.is_live and self._elapsed() >= self._scan_at):
            await self.rescan()
            return
        await self.look_at(marks.names | self._files.due(self._elapsed()) | self._taken_back())

    async def look_at(self, names: Iterable[str]) -> None:
        """Look at some files now."""
        await self._inspector.look_at(names)

    async def rescan(self) -> None:
        """Find all files of the directory anew, and look at each."""
        started = self._elapsed()
        await self._inspector.rescan()
        ended = self._elapsed()
        self._scan_at = ended + max(SCAN_SECONDS, (ended - started) / SCAN_SHARE)

    async def close(self) -> None:
        """End the watch; what the server's log said is kept for when the client is found again."""
        await self.watch.close()
        self._inspector.close()

    @asynccontextmanager
    async def _supervised(self) -> AsyncIterator[None]:
        """Keep the watch while the block runs; it is armed before, so that a scan in the block misses nothing."""
        ending = asyncio.Event()
        await self.watch.step()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.watch.run(ending))
            yield
            ending.set()
            self.watch.wake()

    def _clocks(self) -> Clocks:
        return Clocks(now=self._now(), elapsed=self._elapsed())

    def _note_progress(self) -> None:
        self.got_on = self._elapsed()

    def _seconds_to_tick(self) -> float:
        return seconds_to_tick(self._now(), self._next_tick, self._interval, self._elapsed() - self._last_tick)

    def _taken_back(self) -> set[str]:
        """Take back released files: newer uploads may have come by their names, whose events were not heeded."""
        released, self._released = self._released, set()
        return released
