"""Whether events of a directory can be relied on: a pure state machine. Times are seconds of a monotonic clock.

Only a canary that was heard makes a watch live: threads may live and hear nothing. In every other state the directory
is scanned every few seconds, so that nothing waits for a watch. Whatever goes wrong with a watch leads to a new one
and a scan; one that cannot be had is tried again for ever.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

CHECK_SECONDS = 5.0
"""How often threads and root are looked at, and a watch or a canary that could not be had is tried again."""
CANARY_SECONDS = 60.0
HEARING_SECONDS = 5.0
"""How long a canary's event may take."""
MOUNT_SECONDS = 60.0
"""How often a file system that tells nothing of other hosts is asked for its type again: it may be unmounted."""


class WatchState(StrEnum):
    """How new files are found.

    `starting`: no watch was live yet. `live`: events come. `deaf`: they came, and come no more. `rebuilding`: a new
    watch is being made and proved. `scanning_only`: there are no events to be had, so that is tried again.
    """

    STARTING = "starting"
    LIVE = "live"
    DEAF = "deaf"
    REBUILDING = "rebuilding"
    SCANNING_ONLY = "scanning_only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervision:
    """What is known of the watch on one directory.

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
    mute: str | None = None
    is_alerted: bool = False


@dataclass(frozen=True, slots=True)
class Passed:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Built:
    """There is a new watch."""


@dataclass(frozen=True, slots=True)
class NotBuilt:
    """There is none, and why; `is_told` where a scan of the directory fails for the same reason, and tells it."""

    why: str
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class Unhearable:
    """The file system tells nothing of what other hosts do, so that a watch would prove nothing."""

    why: str


@dataclass(frozen=True, slots=True)
class Heard:
    """The canary that is out was heard."""


@dataclass(frozen=True, slots=True)
class Mute:
    """No canary can be made, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Faulted:
    """The watch is broken, has lost events, or is one on another directory; `is_told` as in `NotBuilt`."""

    why: str
    is_told: bool = False


Event = Passed | Built | NotBuilt | Unhearable | Heard | Mute | Faulted


@dataclass(frozen=True, slots=True)
class Build:
    """Make a new watch; answered by `Built`, `NotBuilt` or `Unhearable`."""


@dataclass(frozen=True, slots=True)
class Scan:
    """Have the whole directory looked at."""


@dataclass(frozen=True, slots=True)
class SendCanary:
    """Do something in the directory that a live watch hears: `Heard` then, `Mute` where it can't be done."""


@dataclass(frozen=True, slots=True)
class Publish:
    """The state has changed."""

    before: WatchState
    after: WatchState
    why: str


@dataclass(frozen=True, slots=True)
class Alert:
    """Tell the administrator."""

    why: str


@dataclass(frozen=True, slots=True)
class Resolve:
    """Tell the administrator that it is over."""


Order = Build | Scan | SendCanary | Publish | Alert | Resolve
Step = tuple[Supervision, tuple[Order, ...]]


def advance(known: Supervision, event: Event, now: float) -> Step:
    """What is known after an event, and what is to be done, in that order."""
    match event:
        case Passed():
            step = _passed(known, now)
        case Built():
            built = replace(known, build_at=None, built_at=now, canary_at=None, heard_by=now + HEARING_SECONDS)
            step = built, (Scan(), SendCanary())
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
    """When to say that time has passed, at the latest."""
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
        return _faulted(known, "its events do not arrive", now, is_told=False)
    if known.canary_at is not None and now >= known.canary_at:
        return replace(known, canary_at=None, heard_by=now + HEARING_SECONDS), (SendCanary(),)
    return known, ()


def _heard(known: Supervision, now: float) -> Step:
    if known.heard_by is None:
        return known, ()
    after, orders = _to(known, WatchState.LIVE, "its events arrive")
    scan = () if known.mute is None else (Scan(),)
    after = replace(after, heard_by=None, canary_at=now + CANARY_SECONDS, mute=None)
    return _resolved(after, (*orders, *scan))


def _mute(known: Supervision, why: str, now: float) -> Step:
    after = replace(known, heard_by=None, canary_at=now + CHECK_SECONDS, mute=why)
    scan = () if known.mute == why else (Scan(),)
    if known.state is WatchState.LIVE:
        return after, scan
    after, orders = _to(after, WatchState.SCANNING_ONLY, f"it cannot be proved: {why}")
    return after, (*orders, *scan)


def _faulted(known: Supervision, why: str, now: float, *, is_told: bool) -> Step:
    if known.build_at is not None:
        return known, ()
    if known.state is not WatchState.LIVE:
        return _without(known, why, now + CHECK_SECONDS, is_alert=not is_told)
    not_before = now if known.built_at is None else known.built_at + CHECK_SECONDS
    after, orders = _to(known, WatchState.DEAF, why)
    after = replace(after, build_at=max(now, not_before), canary_at=None, heard_by=None)
    return after if is_told else replace(after, is_alerted=True), orders if is_told else (*orders, Alert(why))


def _without(known: Supervision, why: str, build_at: float, *, is_alert: bool) -> Step:
    after, orders = _to(known, WatchState.SCANNING_ONLY, why)
    after = replace(after, build_at=build_at, canary_at=None, heard_by=None)
    return replace(after, is_alerted=known.is_alerted or is_alert), (*orders, Alert(why)) if is_alert else orders


def _resolved(known: Supervision, orders: tuple[Order, ...]) -> Step:
    return replace(known, is_alerted=False), (*orders, Resolve()) if known.is_alerted else orders


def _to(known: Supervision, state: WatchState, why: str) -> Step:
    if known.state is state:
        return known, ()
    return replace(known, state=state), (Publish(known.state, state, why),)
