"""The watch as a state machine: what it orders, what it publishes, and that it always finds its way back to live."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from importer.words.details import detail
from watcher.uploads.supervision import (
    CANARY_SECONDS,
    CHECK_SECONDS,
    HEARING_SECONDS,
    MOUNT_SECONDS,
    Build,
    Built,
    Faulted,
    Heard,
    Mute,
    NotBuilt,
    Order,
    Passed,
    Publish,
    RaiseAlert,
    ResolveAlert,
    ScanAll,
    SendCanary,
    Supervision,
    Unhearable,
    WatchEvent,
    WatchState,
    advance,
    is_live,
    next_look,
)

STARTING, LIVE, DEAF, REBUILDING, SCANNING_ONLY = WatchState
LIMIT = NotBuilt("the limit is reached")
BROKEN = Faulted("the thread that reads its events has ended")


class Told:
    """A machine that is told events at given times, and what it ordered."""

    def __init__(self, *events: tuple[float, WatchEvent]) -> None:
        self.known = Supervision()
        self.orders: tuple[Order, ...] = ()
        for now, event in events:
            self.tell(now, event)

    def tell(self, now: float, event: WatchEvent) -> tuple[Order, ...]:
        self.known, self.orders = advance(self.known, event, now)
        return self.orders


def live(now: float = 0) -> Told:
    told = Told((now, Passed()), (now, Built()), (now, Heard()))
    assert told.known.state is LIVE
    return told


def test_a_watch_is_live_when_it_was_made_and_its_canary_was_heard() -> None:
    told = Told()
    assert told.tell(0, Passed()) == (Build(),)
    assert told.tell(0, Built()) == (ScanAll(), SendCanary())
    assert not is_live(told.known)
    assert told.tell(0.1, Heard()) == (Publish(STARTING, LIVE, "its events arrive"),)
    assert is_live(told.known)


def test_a_canary_is_sent_every_minute() -> None:
    told = live()
    assert told.tell(CANARY_SECONDS - 1, Passed()) == ()
    assert told.tell(CANARY_SECONDS, Passed()) == (SendCanary(),)
    assert told.tell(CANARY_SECONDS + 1, Heard()) == ()
    assert told.tell(CANARY_SECONDS + 2, Passed()) == ()


@pytest.mark.parametrize("fault", [BROKEN, None], ids=["broken", "silent"])
def test_a_watch_that_is_broken_or_silent_is_replaced_at_once_with_one_alert(fault: Faulted | None) -> None:
    told = live()
    now = CANARY_SECONDS
    told.tell(now, Passed())
    now += HEARING_SECONDS
    why = detail("events_do_not_arrive") if fault is None else fault.why
    assert told.tell(now, fault or Passed()) == (Publish(LIVE, DEAF, str(why)), RaiseAlert(why))
    assert told.tell(now, Passed()) == (Publish(DEAF, REBUILDING, "a new watch is made"), Build())
    assert told.tell(now, Built()) == (ScanAll(), SendCanary())
    assert told.tell(now, Heard()) == (Publish(REBUILDING, LIVE, "its events arrive"), ResolveAlert())


def test_a_watch_is_not_replaced_more_often_than_it_is_looked_at() -> None:
    told = live()
    told.tell(1, BROKEN)
    assert told.tell(1, Passed()) == ()
    assert next_look(told.known, 1) == CHECK_SECONDS
    assert Build() in told.tell(CHECK_SECONDS, Passed())


def test_where_no_watch_can_be_had_the_directory_is_scanned_and_it_is_tried_again_without_a_word() -> None:
    told = Told((0, Passed()))
    assert told.tell(0, LIMIT) == (Publish(STARTING, SCANNING_ONLY, str(LIMIT.why)), RaiseAlert(LIMIT.why))
    for now in (CHECK_SECONDS, 2 * CHECK_SECONDS):
        assert told.tell(now - 0.1, Passed()) == ()
        assert told.tell(now, Passed()) == (Build(),)
        assert told.tell(now, LIMIT) == (RaiseAlert(LIMIT.why),), "the same detail is not told again"
    told.tell(20, Passed())
    told.tell(20, Built())
    assert told.tell(20, Heard()) == (Publish(SCANNING_ONLY, LIVE, "its events arrive"), ResolveAlert())


def test_a_new_watch_that_is_silent_too_ends_in_scanning_only() -> None:
    told = live()
    told.tell(10, BROKEN)
    told.tell(10, Passed())
    told.tell(10, Built())
    silent = (
        Publish(REBUILDING, SCANNING_ONLY, "its events do not arrive"),
        RaiseAlert(detail("events_do_not_arrive")),
    )
    assert told.tell(10 + HEARING_SECONDS, Passed()) == silent


def test_what_a_scan_tells_anyway_is_no_alert_of_the_watch() -> None:
    told = live()
    assert told.tell(10, Faulted("gone", is_told=True)) == (Publish(LIVE, DEAF, "gone"),)
    told.tell(10, Passed())
    assert told.tell(10, NotBuilt("gone", is_told=True)) == (Publish(REBUILDING, SCANNING_ONLY, "gone"),)
    told.tell(20, Passed())
    told.tell(20, Built())
    assert told.tell(20, Heard()) == (Publish(SCANNING_ONLY, LIVE, "its events arrive"),)


def test_on_a_file_system_that_tells_nothing_of_other_hosts_there_is_no_alert_and_it_is_asked_again() -> None:
    told = Told((0, Passed()))
    remote = Unhearable("on nfs4 nothing is heard of other hosts")
    assert told.tell(0, remote) == (Publish(STARTING, SCANNING_ONLY, str(remote.why)),)
    assert told.tell(MOUNT_SECONDS - 1, Passed()) == ()
    assert told.tell(MOUNT_SECONDS, Passed()) == (Build(),)
    assert told.tell(MOUNT_SECONDS, remote) == ()


def test_a_live_watch_stays_live_where_no_canary_can_be_made_and_tries_again() -> None:
    told = live()
    told.tell(CANARY_SECONDS, Passed())
    assert told.tell(CANARY_SECONDS, Mute("denied")) == (ScanAll(),)
    again = CANARY_SECONDS + CHECK_SECONDS
    assert told.tell(again, Passed()) == (SendCanary(),)
    assert told.tell(again, Mute("denied")) == ()
    assert told.tell(again + CHECK_SECONDS, Passed()) == (SendCanary(),)
    assert told.tell(again + CHECK_SECONDS, Heard()) == (ScanAll(),)
    assert is_live(told.known)


def test_a_new_watch_that_cannot_be_proved_is_not_relied_on() -> None:
    told = Told((0, Passed()), (0, Built()))
    assert told.tell(0, Mute("denied")) == (
        Publish(STARTING, SCANNING_ONLY, "it cannot be proved: denied"),
        ScanAll(),
    )
    assert told.tell(CHECK_SECONDS, Passed()) == (SendCanary(),)
    assert told.tell(CHECK_SECONDS, Heard()) == (Publish(SCANNING_ONLY, LIVE, "its events arrive"), ScanAll())


def test_a_fault_of_what_is_being_replaced_and_an_echo_of_an_old_canary_say_nothing() -> None:
    told = live()
    assert told.tell(1, Heard()) == ()
    told.tell(10, BROKEN)
    before = told.known
    assert told.tell(10, BROKEN) == ()
    assert told.tell(10, Heard()) == ()
    assert told.known == before


class Watch(RuleBasedStateMachine):
    """A kernel, a directory and a clock that do as they like, beside a supervisor that obeys the machine."""

    def __init__(self) -> None:
        super().__init__()
        self.known = Supervision()
        self.now = 0.0
        self.answer: Built | NotBuilt | Unhearable = Built()
        self.is_mute = False
        self.is_hearing = True
        self.is_built = False
        self.is_broken = False
        self.is_alerted = False
        self.is_scanned_since_built = True
        self.published = STARTING

    def tell(self, event: WatchEvent) -> None:
        self.known, orders = advance(self.known, event, self.now)
        for order in orders:
            self.obey(order)

    def obey(self, order: Order) -> None:
        match order:
            case Build():
                self.is_built, self.is_broken = isinstance(self.answer, Built), False
                self.is_scanned_since_built = not self.is_built
                self.tell(self.answer)
            case SendCanary():
                assert self.is_built
                if self.is_mute:
                    self.tell(Mute("denied"))
                elif self.is_hearing and not self.is_broken:
                    self.tell(Heard())
            case ScanAll():
                self.is_scanned_since_built = True
            case Publish(before, after):
                assert before is self.published, "each state is left before the next one"
                assert after is not before
                self.published = after
            case RaiseAlert():
                self.is_alerted = True
            case ResolveAlert():
                assert self.is_alerted
                self.is_alerted = False

    @rule(answer=st.sampled_from([Built(), LIMIT, NotBuilt("gone", is_told=True), Unhearable("on nfs")]))
    def what_can_be_built_changes(self, answer: Built | NotBuilt | Unhearable) -> None:
        self.answer = answer

    @rule(is_mute=st.booleans(), is_hearing=st.booleans())
    def what_canaries_do_changes(self, *, is_mute: bool, is_hearing: bool) -> None:
        self.is_mute, self.is_hearing = is_mute, is_hearing

    @rule(is_told=st.booleans())
    @precondition(lambda self: self.is_built)
    def it_breaks(self, *, is_told: bool) -> None:
        self.is_broken = True
        self.tell(Faulted("broken", is_told=is_told))

    @rule()
    def it_is_looked_at_when_it_asks_for_it(self) -> None:
        self.now = max(self.now, next_look(self.known, self.now))
        self.tell(Passed())

    @rule(seconds=st.sampled_from([0.1, 1, 10, 100]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.tell(Passed())

    @rule()
    def all_is_mended_and_time_goes_on(self) -> None:
        self.answer, self.is_mute, self.is_hearing = Built(), False, True
        until = self.now + CANARY_SECONDS + MOUNT_SECONDS + 4 * CHECK_SECONDS
        while self.now < until:
            self.it_is_looked_at_when_it_asks_for_it()
        assert is_live(self.known)
        assert not self.is_alerted
        assert not self.is_broken

    @invariant()
    def it_is_looked_at_soon(self) -> None:
        assert (
            self.now <= next_look(self.known, self.now) <= self.now + CHECK_SECONDS or self.known.heard_by is not None
        )

    @invariant()
    def what_is_published_is_so(self) -> None:
        assert self.published is self.known.state
        assert self.is_alerted == self.known.is_alerted

    @invariant()
    def only_a_watch_that_was_heard_is_live(self) -> None:
        if is_live(self.known):
            assert self.is_built
            assert not self.is_broken
            assert self.is_scanned_since_built

    @invariant()
    def nothing_is_open_that_a_live_watch_has_ended(self) -> None:
        assert not (is_live(self.known) and self.is_alerted)


Watch.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestWatch = Watch.TestCase
