"""Looks at the files of one client's directory: what the scan, the hints and the server's log make of each.

A file is given out by nobody here: `watcher.uploads.intake` says when to look, and hands on what is settled.
"""

import asyncio
import math
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import assert_never

import structlog

from importer.files.faults import fault
from importer.model import Fingerprint, NotTakenWhy, shown_name
from importer.words.details import detail
from notifier.alerts import Alerts
from notifier.model import AlertKind
from watcher.uploads.complaining import Complaints
from watcher.uploads.doubts import SELF_RETRY_SECONDS, Doubts
from watcher.uploads.evidence import can_be_entered, look_at_all
from watcher.uploads.left_alone import LeftAlone
from watcher.uploads.memory import ClientMemory
from watcher.uploads.model import LogState, Scan, Sighting
from watcher.uploads.replacing import Replacements
from watcher.uploads.scanning import is_candidate, scan
from watcher.uploads.settling import (
    InDoubt,
    Patience,
    Settled,
    Waiting,
    Watched,
    decide,
    is_end_seen,
    look,
    look_again,
)
from watcher.uploads.tracking import HandedOn, Seen, TrackedFiles, Untaken
from watcher.uploads.verdicts import ServerVerdicts
from watcher.uploads.watching import Supervisor

LOOKS_AT_ONCE = 100
"""The number of files that are looked at before others have their turn in the event loop."""
MOVED_AT_ONCE = 5_000
"""The number of files that are handed on, or forgotten, before others have their turn in the event loop."""

log = structlog.get_logger()


class Inspector:
    """Keeps what is known of each file of one client's directory.

    Args:
        client: the client to whom the directory belongs.
        directory: the directory in which uploads appear.
        patience: how long a file must lie unchanged.
        watch: the watch on that directory.
        verdicts: the verdicts of the FTP server's log; None where that is not read.
        memory: what was decided of the client's files before a restart.
        elapsed: the monotonic clock, in seconds.
        alerts: the administrator's alerts.
        tell_doubt: gets each upload whose end is not certain, once for each content, some time after its last change.
        tell_replaced: gets each complete upload that a newer one has replaced before it was taken.
        got_on: called again and again while many files are looked at.

    Attributes:
        files: what is known of each.
        left_alone: what lies in the directory and is not imported as it lies there.
    """

    def __init__(
        self,
        *,
        client: str,
        directory: Path,
        patience: Patience,
        watch: Supervisor,
        verdicts: ServerVerdicts | None,
        memory: ClientMemory,
        elapsed: Callable[[], float],
        alerts: Alerts,
        tell_doubt: Callable[[Sighting], None],
        tell_replaced: Callable[[Sighting], None],
        got_on: Callable[[], None],
    ) -> None:
        self.files = TrackedFiles()
        self.left_alone = LeftAlone()
        self._complaints = Complaints(client, alerts, elapsed)
        self._client = client
        self._directory = directory
        self._patience = patience
        self._watch = watch
        self._verdicts = verdicts
        self._memory = memory
        self._elapsed = elapsed
        self._alerts = alerts
        self._tell_doubt = tell_doubt
        self._tell_replaced = tell_replaced
        self._doubts = Doubts(min(SELF_RETRY_SECONDS, patience.long_quiet))
        self._got_on = got_on
        self._away: dict[str, Watched] = {}
        self._renamed: set[str] = set()
        self._is_new_here = True
        self._taken: set[str] = set()
        self._replacements = Replacements()

    def note_renamed(self, names: Iterable[str]) -> None:
        """Note that files were given these names after they were written."""
        self._renamed |= {name for name in names if is_candidate(name)}

    def take_back(self, name: str) -> None:
        """Take back a file that was dealt with and may still lie there; the server's log has nothing new of it."""
        known = self.files.get(name)
        self.files.forget(name)
        if isinstance(known, HandedOn):
            self._taken.add(name)
            self._put_seen_again(name, known.watched)

    async def rescan(self) -> None:
        """Find all files of the directory anew, and look at each."""
        found = await self._scanned()
        if found is None:
            self._put_away()
        else:
            self._bring_back(found.candidates)
        there = set() if found is None else set(found.candidates)
        gone = [name for name in (*self.files.seen(), *self.files.untaken()) if name not in there]
        for first in range(0, len(gone), MOVED_AT_ONCE):
            for name in gone[first : first + MOVED_AT_ONCE]:
                self._forget(name)
            await asyncio.sleep(0)
        if found is not None:
            await self.look_at(found.candidates)
            if self._is_new_here:
                self._memory.keep_only(found.candidates)
            self._is_new_here = False
            self.left_alone.update(found, self._elapsed())
            self._complaints.tell_odd(self.left_alone, self.files)
            self._complaints.tell_stuck(self.left_alone, self.files)
            if self._verdicts is not None:
                await self._verdicts.sweep({*found.candidates, *self.files.handed_on()})

    async def look_at(self, names: Iterable[str]) -> None:
        """Look at some files, and at those of which the server's log has something to say."""
        given = [*names]
        named = [*given, *await self._logged(is_known=not given)]
        wanted = await asyncio.to_thread(lambda: [*dict.fromkeys(filter(is_candidate, named))]) if named else []
        there = self._names(wanted)
        for first in range(0, len(wanted), LOOKS_AT_ONCE):
            self._got_on()
            some = wanted[first : first + LOOKS_AT_ONCE]
            some = [name for name in some if not isinstance(self.files.get(name), HandedOn)]
            looks = await asyncio.to_thread(look_at_all, self._directory, some)
            if looks and not any(isinstance(seen, Sighting) for _, seen in looks):
                await self._put_away_where_gone()
            for name, seen in looks:
                self._see(name, seen, there)
        self.tell_doubts()
        self._complaints.tell_unreadable(self.files)
        if self._verdicts is not None:
            self._complaints.tell_log(self._verdicts)

    @property
    def log_state(self) -> LogState:
        """What the FTP server's log is good for."""
        return LogState.NOT_READ if self._verdicts is None else self._verdicts.state

    @property
    def next_doubt(self) -> float:
        """The time at which the sender of an upload in doubt is to be told next, in monotonic seconds."""
        return self._doubts.next_due

    def tell_doubts(self, *, early: bool = False) -> None:
        """Tell of uploads in doubt whose client has had the time to try again; `early` where nobody waits for it."""
        for seen in self._doubts.due(math.inf if early else self._elapsed()):
            self._tell_doubt(seen)

    def close(self) -> None:
        """Leave the server's log; what it said is kept for when the client is found again."""
        if self._verdicts is None:
            return
        known = [each.watched for each in self.files.all() if not isinstance(each, Untaken)]
        for each in (*known, *self._away.values()):
            if each.verdict is not None:
                self._verdicts.take_back(each.sighting.name, each.verdict, each.sighting.content.size)
        self._verdicts.close()

    def _put_seen_again(self, name: str, known: Watched) -> None:
        """Keep what was known of a file until the next look at it, which is due at once."""
        now = self._elapsed()
        self.files.put(name, Seen(watched=replace(known, since=now), decision=Waiting(now)))

    def _put_away(self) -> None:
        """Remember what is known of files whose directory has gone: the server's log does not say it again."""
        self._is_new_here = True
        self._away |= {name: each.watched for name, each in self.files.seen().items()}

    async def _put_away_where_gone(self) -> None:
        """Remember what is known of the files where they are not found because their directory is not."""
        if not await asyncio.to_thread(can_be_entered, self._directory):
            self._put_away()

    def _bring_back(self, there: Iterable[str]) -> None:
        """Know again what was known of files whose directory is back; one that has changed is not taken for the old."""
        if self._away:
            for name in there:
                if name in self._away and not isinstance(self.files.get(name), Seen | HandedOn):
                    self._put_seen_again(name, self._away[name])
            self._away.clear()

    async def _scanned(self) -> Scan | None:
        try:
            found = await asyncio.to_thread(scan, self._directory)
        except OSError as error:
            self._alerts.open(AlertKind.UPLOAD_DIRECTORY, self._client, fault(error, self._directory))
            return None
        if self._watch.unwritable is None:
            self._alerts.resolve(AlertKind.UPLOAD_DIRECTORY, self._client)
        else:
            self._alerts.open(
                AlertKind.UPLOAD_DIRECTORY,
                self._client,
                detail("at", where=str(self._directory), why=detail("not_writable", why=self._watch.unwritable)),
            )
        return found

    def _names(self, more: Iterable[str]) -> AbstractSet[str]:
        """The names that may be meant by a name in the server's log; none where no log is read."""
        return set() if self._verdicts is None else {*self.files.handed_on(), *self.files.seen(), *more}

    async def _logged(self, *, is_known: bool) -> list[str]:
        """The seen files of which the server's log has something to say; `is_known` where the log was just read."""
        if self._verdicts is None:
            return []
        if not is_known:
            await self._verdicts.refresh()
        return await self._verdicts.told_of([*self.files.seen()])

    def _see(self, name: str, found: Sighting | NotTakenWhy, there: AbstractSet[str]) -> None:
        if isinstance(found, Sighting):
            self._apply(self._with_hints(found, there))
            return
        self._forget(name)
        self._renamed.discard(name)
        if found is not NotTakenWhy.GONE:
            self.files.put(name, Untaken(why=found))

    def _forget(self, name: str) -> None:
        known = self.files.get(name)
        self.files.forget(name)
        if self._is_new_here:
            return
        self._memory.forget(name)
        for older in self._replacements.gone(name):
            self._tell_replaced(older)
        if isinstance(known, Seen) and name not in self._taken:
            log.info("upload_gone", **self._about(known.watched.sighting))
        self._taken.discard(name)
        self._doubts.end(name)

    def _with_hints(self, seen: Sighting, there: AbstractSet[str]) -> Sighting:
        came_by_rename = seen.name in self._renamed
        self._renamed.discard(seen.name)
        verdict = None
        if self._verdicts is not None:
            verdict = self._verdicts.take(seen.name, seen.content.size, there)
        is_locked = None if self._watch.is_remote and not seen.is_locked else seen.is_locked
        return replace(
            seen,
            came_by_rename=came_by_rename,
            verdict=verdict,
            is_locked=is_locked,
            was_there=self._is_new_here,
        )

    def _apply(self, seen: Sighting) -> None:
        """Apply one more look at a file to what is known of it."""
        before = self.files.get(seen.name)
        before = before if isinstance(before, Seen) else None
        if before is not None and isinstance(before.decision, Settled):
            self._replacements.note(before.watched.sighting, seen)
        self._taken.discard(seen.name)
        watched = self._looked(before, seen)
        decision = decide(watched, self._patience, self._elapsed(), is_unlogged=self._is_unlogged(watched))
        now = Seen(watched=watched, decision=decision)
        self.files.put(seen.name, now)
        self._memory.keep(seen, decision)
        if before is None or before.watched.sighting.content.inode != seen.content.inode:
            log.info("upload_seen", **self._about(seen))
            if not (seen.was_there or seen.came_by_rename or self._patience.serves_sftp):
                self._complaints.note_upload(self.log_state)
        self._tell_decision(before, now)

    def _looked(self, before: Seen | None, seen: Sighting) -> Watched:
        """What is known of a file after one more look; before the first, what was decided before a restart."""
        now = self._elapsed()
        if before is not None:
            return look(before.watched, seen, now, is_proven=is_end_seen(before.decision))
        decided = self._memory.recall(seen)
        return look(None, seen, now) if decided is None else look_again(decided, seen, now)

    def _tell_decision(self, before: Seen | None, now: Seen) -> None:
        """Tell what a look has decided anew of a file."""
        known, seen = None if before is None else before.decision, now.watched.sighting
        if not isinstance(now.decision, InDoubt):
            self._doubts.end(seen.name)
        match now.decision:
            case Waiting():
                if isinstance(known, Settled | InDoubt):
                    log.info("upload_resumed", **self._about(seen))
            case Settled(evidence):
                last_bytes = None if self._verdicts is None else self._verdicts.last_bytes(seen.name)
                for older in self._replacements.ended(seen, last_bytes):
                    self._tell_replaced(older)
                if not isinstance(known, Settled):
                    log.info("upload_settled", **self._about(seen), evidence=evidence.value)
            case InDoubt():
                if not _is_in_doubt(before, seen.content):
                    log.warning("upload_held", **self._about(seen))
                    self._doubts.add(seen, now.watched.since)
            case _:
                assert_never(now.decision)

    def _about(self, seen: Sighting) -> dict[str, object]:
        return {"client": self._client, "file": shown_name(seen.name), "size": seen.content.size}

    def _is_unlogged(self, watched: Watched) -> bool:
        """Whether the server's log, read all the time since the file came, has said nothing of it."""
        if self._verdicts is None or watched.since <= self._verdicts.lost_at:
            return False
        return watched.verdict is None and self._verdicts.tells_all_of(watched.sighting.name)


def _is_in_doubt(known: Seen | None, content: Fingerprint) -> bool:
    """Whether the file was in doubt already, with the same content."""
    return known is not None and isinstance(known.decision, InDoubt) and known.watched.sighting.content == content
