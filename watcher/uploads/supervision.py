"""Whether events of a directory can be relied on: a pure state machine. Times are seconds of a monotonic clock.

Only a canary that was heard makes a watch live: threads may live and hear nothing. In every other state the directory
is scanned every few seconds, so that nothing waits for a watch. Whatever goes wrong with a watch leads to a new one
and a scan; one that cannot be had is tried again for ever.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from importer.model import Detail
from importer.words.details import detail

CHECK_SECONDS = 5.0
"""Seconds between looks at threads and root, and between attempts at a watch or a canary that could not be had."""
CANARY_SECONDS = 60.0
HEARING_SECONDS = 5.0
"""Seconds that a canary's event may take."""
MOUNT_SECONDS = 60.0
"""Seconds after which a file system that tells nothing of other hosts is looked at again: it may be unmounted."""


class WatchState(StrEnum):
    """The state of a watch: how new files are found.

    `starting`: no watch was live yet. `live`: events come. `deaf`: events came, and come no more. `rebuilding`: a new
    watch is being made and proved. `scanning_only`: there are no events to be had, which is tried again.
    """

    STARTING = "starting"
    LIVE = "live"
    DEAF = "deaf"
    REBUILDING = "rebuilding"
    SCANNING_ONLY = "scanning_only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """The knowledge about the watch on one directory.

    Attributes:
        build_at: when to make a new watch; None while one is there.
        built_at: when the last one was made; None before the first.
        canary_at: when to send the next canary; None while one is out, or without a watch.
        heard_by: until when the canary that is out must be heard; None while none is out.
        mute: why no canary can be made, None where it can.
        is_alerted: whether the administrator knows, and is still to be told the end.
    """

    state: WatchState = WatchState.STARTING
    build_at: float | None = 0.0
    built_at: float | None = None
    canary_at: float | None = None
    heard_by: float | None = None
    mute: Detail | str | None = None
    is_alerted: bool = False


@dataclass(frozen=True, slots=True)
class Passed:
    """Some time has passed, and nothing else has happened."""


@dataclass(frozen=True, slots=True)
class Built:
    """A new watch was made."""


@dataclass(frozen=True, slots=True)
class NotBuilt:
    """No watch could be made, and why; `is_told` where a scan of the directory fails by the same, and tells it."""

    why: Detail | str
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class Unhearable:
    """The file system tells nothing of what other hosts do, so that a watch would prove nothing."""

    why: Detail | str


@dataclass(frozen=True, slots=True)
class Heard:
    """The canary that is out was heard."""


@dataclass(frozen=True, slots=True)
class Mute:
    """No canary can be made, and why."""

    why: Detail | str


@dataclass(frozen=True, slots=True)
class Faulted:
    """The watch is broken, has lost events, or is one on another directory; `is_told` as in `NotBuilt`."""

    why: Detail | str
    is_told: bool = False


WatchEvent = Passed | Built | NotBuilt | Unhearable | Heard | Mute | Faulted


@dataclass(frozen=True, slots=True)
class Build:
    """Make a new watch; answered by `Built`, `NotBuilt` or `Unhearable`."""


@dataclass(frozen=True, slots=True)
class ScanAll:
    """Have the whole directory looked at."""


@dataclass(frozen=True, slots=True)
class SendCanary:
    """Do something in the directory that a live watch hears: `Heard` then, `Mute` where it can't be done."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish that the state of the watch has changed, and why."""

    before: WatchState
    after: WatchState
    why: str


@dataclass(frozen=True, slots=True)
class RaiseAlert:
    """Tell the administrator that events cannot be relied on."""

    why: Detail | str


@dataclass(frozen=True, slots=True)
class ResolveAlert:
    """Tell the administrator that events can be relied on again."""


Order = Build | ScanAll | SendCanary | Publish | RaiseAlert | ResolveAlert
Step = tuple[Supervision, tuple[Order, ...]]


def advance(known: Supervision, event: WatchEvent, now: float) -> Step:
    """Work out what is known after an event, and what is to be done, in that order."""
    match event:
        case Passed():
            step = _passed(known, now)
        case Built():
            built = replace(known, build_at=None, built_at=now, canary_at=None, heard_by=now + HEARING_SECONDS)
            step = built, (ScanAll(), SendCanary())
        case NotBuilt(why, is_told):
            step = _without(known, why, now + CHECK_SECONDS, is_alert=not is_told)
        case Unhearable(why):
            after, orders = _without(known, why, now + MOUNT_SECONDS, is_alert=False)
            step = _resolved(replace(after, mute=None), orders)
        case Heard():
            step = _heard(known, now)
        case Mute(why):
            step = _mute(known, why, now)
        case Faulted(why, is_told):
            step = _faulted(known, why, now, is_told=is_told)
        case _:
            assert_never(event)
    return step


def next_look(known: Supervision, now: float) -> float:
    """The time, in monotonic seconds, at which to say at the latest that time has passed."""
    times = (known.build_at, known.canary_at, known.heard_by)
    return min([now + CHECK_SECONDS, *(time for time in times if time is not None)])


def is_live(known: Supervision) -> bool:
    """Whether events can be relied on until the next tick."""
    return known.state is WatchState.LIVE


def _passed(known: Supervision, now: float) -> Step:
    if known.build_at is not None:
        if now < known.build_at:
            return known, ()
        is_after_deaf = known.state is WatchState.DEAF
        after, orders = _to(known, WatchState.REBUILDING, "a new watch is made") if is_after_deaf else (known, ())
        return after, (*orders, Build())
    if known.heard_by is not None and now >= known.heard_by:
        return _faulted(known, detail("events_do_not_arrive"), now, is_told=False)
    if known.canary_at is not None and now >= known.canary_at:
        return replace(known, canary_at=None, heard_by=now + HEARING_SECONDS), (SendCanary(),)
    return known, ()


def _heard(known: Supervision, now: float) -> Step:
    if known.heard_by is None:
        return known, ()
    after, orders = _to(known, WatchState.LIVE, "its events arrive")
    scan = () if known.mute is None else (ScanAll(),)
    after = replace(after, heard_by=None, canary_at=now + CANARY_SECONDS, mute=None)
    return _resolved(after, (*orders, *scan))


def _mute(known: Supervision, why: Detail | str, now: float) -> Step:
    after = replace(known, heard_by=None, canary_at=now + CHECK_SECONDS, mute=why)
    scan = () if known.mute == why else (ScanAll(),)
    if known.state is WatchState.LIVE:
        return after, scan
    after, orders = _to(after, WatchState.SCANNING_ONLY, f"it cannot be proved: {why}")
    return after, (*orders, *scan)


def _faulted(known: Supervision, why: Detail | str, now: float, *, is_told: bool) -> Step:
    if known.build_at is not None:
        return known, ()
    if known.state is not WatchState.LIVE:
        return _without(known, why, now + CHECK_SECONDS, is_alert=not is_told)
    not_before = now if known.built_at is None else known.built_at + CHECK_SECONDS
    after, orders = _to(known, WatchState.DEAF, why)
    after = replace(after, build_at=max(now, not_before), canary_at=None, heard_by=None)
    return after if is_told else replace(after, is_alerted=True), orders if is_told else (*orders, RaiseAlert(why))


def _without(known: Supervision, why: Detail | str, build_at: float, *, is_alert: bool) -> Step:
    after, orders = _to(known, WatchState.SCANNING_ONLY, why)
    after = replace(after, build_at=build_at, canary_at=None, heard_by=None)
    return replace(after, is_alerted=known.is_alerted or is_alert), (*orders, RaiseAlert(why)) if is_alert else orders


def _resolved(known: Supervision, orders: tuple[Order, ...]) -> Step:
    return replace(known, is_alerted=False), (*orders, ResolveAlert()) if known.is_alerted else orders


def _to(known: Supervision, state: WatchState, why: Detail | str) -> Step:
    if known.state is state:
        return known, ()
    return replace(known, state=state), (Publish(known.state, state, str(why)),)
