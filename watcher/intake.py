"""The task that owns settling and batching: it looks at files when something hints at them, and at all at each tick.

Nothing else knows which files wait. What is complete at a tick is handed on, and is not handed on again
until it is given back (`release`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from heapq import nsmallest
from itertools import chain, islice
from pathlib import Path

import structlog

from importer.model import Fingerprint, NotTakenWhy, shown_name
from notifier.alerts import Alerts
from notifier.model import AlertKind
from watcher.batching import next_tick, oldest_first, seconds_to_tick
from watcher.evidence import look_at_all
from watcher.gauging import IMPORTING, Gauges, gauges
from watcher.model import ServerVerdict, Sighting, Upload
from watcher.observing import Observers
from watcher.scanning import Scan, is_candidate, scan
from watcher.server_log import ServerVerdicts
from watcher.settling import Decision, Held, Patience, Settled, Waiting, Watched, decide, look
from watcher.snapshot import (
    MOST_FILES_SHOWN,
    ClientSnapshot,
    Clocks,
    FileNow,
    WaitReason,
    refused_files,
    waiting_file,
    waiting_files,
)
from watcher.watching import Supervisor

LONGEST_WAIT_SECONDS = 30.0
"""The wait for a tick is worked out anew at least this often, because the wall clock may jump."""
LOG_POLL_SECONDS = 1.0
SCAN_SECONDS = 5.0
"""How often the directory is scanned while its events cannot be relied on."""
SCAN_SHARE = 0.25
"""How much of the time such scans may take, where a directory is large or slow."""
LOOKS_AT_ONCE = 100
"""How many files are looked at before others have their turn in the event loop."""
MOVED_AT_ONCE = 5_000
"""How many files are handed on, or forgotten, before others have their turn."""

log = structlog.get_logger()


class Intake:
    """Watches one client's directory and hands on what is complete at each tick.

    Args:
        client: whose directory it is.
        directory: where uploads appear.
        interval: from tick to tick.
        patience: how long a file must lie unchanged.
        verdicts: of the FTP server's log, where it may be read.
        now: the wall clock, UTC.
        elapsed: monotonic seconds.
        alerts: the administrator's.
        hand_on: gets what each tick finds complete, oldest first; there may be none.
        hold: gets each upload that was cut off, once for each content.
        observers: shared with other clients' intakes.

    Attributes:
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
        hold: Callable[[Sighting], None],
        observers: Observers | None = None,
    ) -> None:
        self._client = client
        self._directory = directory
        self._interval = interval
        self._patience = patience
        self._verdicts = verdicts
        self._now = now
        self._elapsed = elapsed
        self._alerts = alerts
        self._hand_on = hand_on
        self._hold = hold
        self._awake = asyncio.Event()
        self._watch = Supervisor(
            client=client, directory=directory, elapsed=elapsed, alerts=alerts, changed=self.wake, observers=observers
        )
        self.got_on = elapsed()
        self._scan_at = elapsed()
        self._watched: dict[str, Watched] = {}
        self._deadlines: dict[str, float] = {}
        self._settled: dict[str, Upload] = {}
        self._held: dict[str, Fingerprint] = {}
        self._not_taken: dict[str, NotTakenWhy] = {}
        self._handed_on: dict[str, Watched] = {}
        self._log_lost_at = float("-inf")
        self._is_log_unreadable = False
        self._renamed: set[str] = set()
        self._released: set[str] = set()
        self._last_tick = elapsed()
        self._next_tick = next_tick(now(), interval)
        self._tick_asked = False

    def tick(self) -> None:
        """Have a tick at once."""
        self._tick_asked = True
        self.wake()

    def wake(self) -> None:
        """There may be something to look at."""
        self._awake.set()

    def release(self, names: Iterable[str]) -> None:
        """These files were dealt with; those that still lie in the directory are looked at anew."""
        for name in names:
            self._forget(name)
            known = self._handed_on.pop(name, None)
            if known is not None:  # what the server's log said of it is not said again
                self._watched[name] = replace(known, since=self._elapsed())
            self._released.add(name)
        self.wake()

    @property
    def settled(self) -> int:
        """How many complete files wait for the next tick."""
        return len(self._settled)

    @property
    def outstanding(self) -> int:
        """How many files are not dealt with yet."""
        return len(self._watched) + len(self._not_taken) + len(self._handed_on)

    @property
    def unsettled(self) -> int:
        """How many files wait for their quiet time."""
        return len(self._deadlines)

    def snapshot(self) -> ClientSnapshot:
        """What is shown of the client's directory; what was handed on waits no more.

        All files are counted, but only those that are shown are put into words: 100,000 would hold up the loop for 1 s.
        """
        clocks = Clocks(now=self._now(), elapsed=self._elapsed())
        oldest = nsmallest(MOST_FILES_SHOWN, self._watched.values(), key=lambda each: (each.since, each.sighting.name))
        seen = [waiting_file(each, self._decided(each), clocks) for each in oldest]
        refused = refused_files({name: self._not_taken[name] for name in nsmallest(MOST_FILES_SHOWN, self._not_taken)})
        return ClientSnapshot(
            client=self._client,
            directory=shown_name(str(self._directory)),
            watch=self._watch.snapshot(clocks),
            next_tick=clocks.utc_second(clocks.elapsed + self._seconds_to_tick()),
            waiting=replace(
                waiting_files([*seen, *refused]),
                files=len(self._watched) + len(self._not_taken),
                bytes=sum(each.sighting.content.size for each in self._watched.values()),
            ),
        )

    def file(self, name: str) -> FileNow:
        """What is shown of one file."""
        clocks = Clocks(now=self._now(), elapsed=self._elapsed())
        refused = refused_files({name: self._not_taken[name]}) if name in self._not_taken else ()
        seen = [waiting_file(each, self._decided(each), clocks) for each in [self._watched.get(name)] if each]
        return FileNow(
            waiting=next(iter([*seen, *refused]), None),
            is_handed_on=name in self._handed_on,
            next_tick=clocks.utc_second(clocks.elapsed + self._seconds_to_tick()),
        )

    def gauges(self) -> Gauges:
        """The client's directory as numbers; what was handed on is counted as well.

        The states are those of the snapshot, found without making a value for each file.
        """
        settled, held = self._settled.keys(), self._held.keys()
        waiting = [each for name, each in self._watched.items() if name not in settled and name not in held]
        cut_off = [self._watched[name] for name in held]
        return gauges(
            self._client,
            self._watch.state,
            seen={
                WaitReason.COMPLETE: [self._watched[name] for name in settled],
                WaitReason.LOCKED: [each for each in waiting if each.sighting.is_locked],
                WaitReason.QUIET: [each for each in waiting if not each.sighting.is_locked],
                WaitReason.LOG_SAID_FAIL: [each for each in cut_off if each.verdict is ServerVerdict.FAILED],
                WaitReason.LOG_IS_SILENT: [each for each in cut_off if each.verdict is not ServerVerdict.FAILED],
                IMPORTING: [*self._handed_on.values()],
            },
            refused=(each.value for each in self._not_taken.values()),
            now=self._elapsed(),
            last_tick=self._last_tick,
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Watch until `stopping`."""
        async with self._supervised():
            await self._rescan()
            while not stopping.is_set():
                self.got_on = self._elapsed()
                await self._sleep(self._seconds_to_tick())
                if stopping.is_set():
                    break
                await self._look_again()
                if self._tick_asked or self._seconds_to_tick() <= 0:
                    await self._tick()
        await self.close()

    async def settle(self, stopping: asyncio.Event) -> None:
        """Wait out the quiet time of what lies in the directory now, then have one tick."""
        async with self._supervised():
            await self._rescan()
            while self._deadlines and not stopping.is_set():
                await self._sleep()
                await self._look_again()
            if not stopping.is_set():
                await self._tick()

    async def close(self) -> None:
        """End the watch."""
        await self._watch.close()
        if self._verdicts is not None:
            self._verdicts.close()

    @asynccontextmanager
    async def _supervised(self) -> AsyncIterator[None]:
        """Keep the watch meanwhile; it is armed before the block begins, so that a scan then misses nothing."""
        ending = asyncio.Event()
        await self._watch.step()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch.run(ending))
            yield
            ending.set()
            self._watch.wake()

    def _decided(self, watched: Watched) -> Decision:
        """What the last look at the file made of it."""
        name = watched.sighting.name
        if name in self._settled:
            return Settled(self._settled[name].evidence)
        return Held() if name in self._held else Waiting(self._deadlines.get(name, self._elapsed()))

    def _seconds_to_tick(self) -> float:
        return seconds_to_tick(self._now(), self._next_tick, self._interval, self._elapsed() - self._last_tick)

    async def _sleep(self, longest: float = LONGEST_WAIT_SECONDS) -> None:
        waits = [LONGEST_WAIT_SECONDS, longest]
        if self._deadlines:
            waits.append(min(self._deadlines.values()) - self._elapsed())
        if self._deadlines and self._verdicts is not None:
            waits.append(LOG_POLL_SECONDS)
        if not self._watch.is_live:
            waits.append(self._scan_at - self._elapsed())
        try:
            async with asyncio.timeout(max(0.0, min(waits))):
                await self._awake.wait()
        except TimeoutError:
            pass
        self._awake.clear()

    async def _tick(self) -> None:
        self._tick_asked = False
        self._last_tick = self._elapsed()
        self._next_tick = next_tick(self._now(), self._interval)
        self._watch.wake()
        await self._rescan()
        if self._watch.unwritable is not None:  # nothing can be claimed; what is settled waits for a later tick
            self._hand_on([])
            return
        batch = await asyncio.to_thread(oldest_first, [*self._settled.values()])
        while self._settled:
            for name in [*islice(self._settled, MOVED_AT_ONCE)]:
                self._handed_on[name] = self._watched.pop(name)
                del self._settled[name]
            await asyncio.sleep(0)
        self._hand_on(batch)

    async def _look_again(self) -> None:
        marks = self._watch.drain()
        self._renamed |= {name for name in marks.renamed if is_candidate(name)}
        if marks.everything or (not self._watch.is_live and self._elapsed() >= self._scan_at):
            await self._rescan()
            return
        now = self._elapsed()
        due = {name for name, deadline in self._deadlines.items() if deadline <= now}
        await self._look_at(marks.names | due | self._taken_back())

    def _taken_back(self) -> set[str]:
        """Released files: under their names newer uploads may have come, whose events were not heeded."""
        released, self._released = self._released, set()
        return released

    async def _rescan(self) -> None:
        started = self._elapsed()
        found = await self._scanned()
        there = set() if found is None else set(found.candidates)
        gone = [name for name in chain(self._watched, self._not_taken) if name not in there]
        for first in range(0, len(gone), MOVED_AT_ONCE):
            for name in gone[first : first + MOVED_AT_ONCE]:
                self._forget(name)
            await asyncio.sleep(0)
        if found is not None:
            await self._look_at(found.candidates)
            self._tell_odd(sorted([*found.odd, *self._refused(NotTakenWhy.NOT_A_PLAIN_FILE)]))
            if self._verdicts is not None:
                await asyncio.to_thread(self._verdicts.sweep, {*found.candidates, *self._handed_on})
        ended = self._elapsed()
        self._scan_at = ended + max(SCAN_SECONDS, (ended - started) / SCAN_SHARE)

    async def _scanned(self) -> Scan | None:
        try:
            found = await asyncio.to_thread(scan, self._directory)
        except OSError as error:
            self._alerts.open(AlertKind.UPLOAD_DIRECTORY, self._client, error.strerror or type(error).__name__)
            return None
        if self._watch.unwritable is None:
            self._alerts.resolve(AlertKind.UPLOAD_DIRECTORY, self._client)
        else:
            self._alerts.open(AlertKind.UPLOAD_DIRECTORY, self._client, f"not writable: {self._watch.unwritable}")
        return found

    def _tell_odd(self, odd: list[str]) -> None:
        if odd:
            self._alerts.open(AlertKind.ODD_FILE, self._client, ", ".join(shown_name(name) for name in odd[:10]))
        else:
            self._alerts.resolve(AlertKind.ODD_FILE, self._client)

    async def _look_at(self, names: Iterable[str]) -> None:
        named = (*names, *await self._logged())
        wanted = await asyncio.to_thread(lambda: [*dict.fromkeys(filter(is_candidate, named))])
        there = self._names(wanted)
        for first in range(0, len(wanted), LOOKS_AT_ONCE):
            self.got_on = self._elapsed()
            some = [name for name in wanted[first : first + LOOKS_AT_ONCE] if name not in self._handed_on]
            for name, seen in await asyncio.to_thread(look_at_all, self._directory, some):
                self._see(name, seen, there)
        self._tell_astray()
        self._tell_unreadable(self._refused(NotTakenWhy.UNREADABLE))

    def _names(self, more: Iterable[str]) -> AbstractSet[str]:
        """All that may be meant by a name in the server's log; nothing where none is read."""
        return set() if self._verdicts is None else {*self._handed_on, *self._watched, *more}

    def _see(self, name: str, seen: Sighting | NotTakenWhy, there: AbstractSet[str]) -> None:
        if isinstance(seen, Sighting):
            self._not_taken.pop(name, None)
            self._apply(self._with_hints(seen, there))
        else:
            self._forget(name)
            self._renamed.discard(name)
            if seen is not NotTakenWhy.GONE:
                self._not_taken[name] = seen

    def _tell_astray(self) -> None:
        """That the log seems to call files of here by paths that do not lead here."""
        if self._verdicts is None:
            return
        if self._verdicts.astray is None:
            self._alerts.resolve(AlertKind.SERVER_LOG, self._client)
        else:
            file, path = self._verdicts.astray
            detail = f"{file} lies here, and the log calls it {path}"
            self._alerts.open(AlertKind.SERVER_LOG, self._client, detail)

    def _refused(self, why: NotTakenWhy) -> list[str]:
        return [name for name, its in self._not_taken.items() if its is why]

    def _tell_unreadable(self, unreadable: list[str]) -> None:
        if unreadable:
            self._alerts.open(AlertKind.UNREADABLE_FILE, self._client, ", ".join(map(shown_name, unreadable[:10])))
        else:
            self._alerts.resolve(AlertKind.UNREADABLE_FILE, self._client)

    async def _logged(self) -> list[str]:
        """Names of watched files that the server's log has something to say of."""
        if self._verdicts is None:
            return []
        try:
            told = await asyncio.to_thread(self._verdicts.poll, [*self._watched])
        except OSError as error:
            if not self._is_log_unreadable:
                log.warning("server_log_unreadable", error=error.strerror)
            self._is_log_unreadable = True
            self._log_lost_at = self._elapsed()
            return []
        self._is_log_unreadable = False
        if self._verdicts.has_lost:
            self._log_lost_at = self._elapsed()
        return told

    def _with_hints(self, seen: Sighting, there: AbstractSet[str]) -> Sighting:
        came_by_rename = seen.name in self._renamed
        self._renamed.discard(seen.name)
        verdict = None
        if self._verdicts is not None:
            verdict = self._verdicts.take(seen.name, seen.content.size, there)
        is_locked = None if self._watch.is_remote and not seen.is_locked else seen.is_locked
        return replace(seen, came_by_rename=came_by_rename, verdict=verdict, is_locked=is_locked)

    def _apply(self, seen: Sighting) -> None:
        before = self._watched.get(seen.name)
        watched = look(before, seen, self._elapsed())
        self._watched[seen.name] = watched
        if before is None or before.sighting.content.inode != seen.content.inode:
            log.info("upload_seen", client=self._client, file=shown_name(seen.name), size=seen.content.size)
        match decide(watched, self._patience, self._elapsed(), is_unlogged=self._is_unlogged(watched)):
            case Waiting(until):
                if seen.name in self._settled or seen.name in self._held:
                    size = seen.content.size
                    log.info("upload_resumed", client=self._client, file=shown_name(seen.name), size=size)
                self._settled.pop(seen.name, None)
                self._held.pop(seen.name, None)
                self._deadlines[seen.name] = until
            case Settled(evidence):
                self._settle(Upload(client=self._client, sighting=seen, evidence=evidence))
            case Held():
                self._hold_back(seen)

    def _is_unlogged(self, watched: Watched) -> bool:
        """Whether the server's log, read all the time since the file came, has said nothing of it."""
        if self._verdicts is None or watched.since <= self._log_lost_at:
            return False
        return watched.verdict is None and self._verdicts.tells_all_of(watched.sighting.name)

    def _settle(self, upload: Upload) -> None:
        self._deadlines.pop(upload.name, None)
        self._held.pop(upload.name, None)
        if upload.name not in self._settled:
            log.info(
                "upload_settled",
                client=self._client,
                file=shown_name(upload.name),
                size=upload.size,
                evidence=upload.evidence.value,
            )
        self._settled[upload.name] = upload

    def _hold_back(self, seen: Sighting) -> None:
        self._deadlines.pop(seen.name, None)
        self._settled.pop(seen.name, None)
        if self._held.get(seen.name) != seen.content:
            self._held[seen.name] = seen.content
            log.warning("upload_held", client=self._client, file=shown_name(seen.name), size=seen.content.size)
            self._hold(seen)

    def _forget(self, name: str) -> None:
        self._watched.pop(name, None)
        self._deadlines.pop(name, None)
        self._settled.pop(name, None)
        self._held.pop(name, None)
        self._not_taken.pop(name, None)
