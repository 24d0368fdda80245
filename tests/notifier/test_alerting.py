"""When the administrator is told about a condition, and when not."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from structlog.testing import capture_logs

from importer.model import Detail
from importer.words.details import detail, listed
from notifier.alert_texts import ALERT_TEXTS
from notifier.alerting import (
    MOST_OF_A_CLIENT,
    MOST_OF_A_KIND,
    MOST_OF_ALL,
    SUMMED_AFTER,
    Board,
    after,
    decide,
    held_back,
    is_open,
    opened,
    resolved,
    restored,
    told_by,
)
from notifier.alerts import Alerts
from notifier.model import Alert, AlertKind, AlertNotice, Occasion, Severity
from tests.mailing import NOW, Clock

ARCHIVE, ODD_FILE, SMTP = AlertKind.ARCHIVE, AlertKind.ODD_FILE, AlertKind.SMTP


def _at(seconds: float = 0, hours: float = 0) -> datetime:
    return NOW + timedelta(seconds=seconds, hours=hours)


def _opened(kind: AlertKind = ARCHIVE, client: str = "acme") -> Board:
    return opened(Board(), kind, client, "why", NOW)


def _occasions(board: Board, now: datetime) -> list[Occasion]:
    return [mail.occasion for mail in decide(board, now)]


def _told(board: Board, now: datetime) -> Board:
    return after(board, decide(board, now), now)


def test_of_a_kind_and_client_there_is_one_alert_and_what_changed_last_is_the_last() -> None:
    board = opened(opened(_opened(client="a"), ARCHIVE, "b", "why", NOW), SMTP, "", "why", NOW)
    board = opened(board, ARCHIVE, "a", "another why", NOW)
    assert [(alert.kind, alert.client) for alert in board.alerts] == [(ARCHIVE, "b"), (SMTP, ""), (ARCHIVE, "a")]
    assert board.find(ARCHIVE, "a") == board.alerts[-1]
    assert board.find(ARCHIVE, "c") is None


def test_the_first_mail_waits_30_seconds() -> None:
    board = _opened()
    assert decide(board, _at(29)) == ()
    assert _occasions(board, _at(30)) == [Occasion.OPENED]


def test_what_is_over_within_30_seconds_is_never_mailed() -> None:
    board = resolved(_opened(), ARCHIVE, "acme", _at(29))
    assert decide(board, _at(hours=9)) == ()
    assert after(board, (), _at(hours=9)).alerts == ()


def test_an_open_alert_is_repeated_every_four_hours() -> None:
    board = _told(_opened(), _at(30))
    assert decide(board, _at(29, hours=4)) == ()
    assert _occasions(board, _at(30, hours=4)) == [Occasion.REPEATED]
    assert decide(_told(board, _at(30, hours=4)), _at(31, hours=4)) == ()


def test_the_end_is_told_once_and_even_when_it_comes_in_the_same_moment() -> None:
    board = resolved(_told(_opened(), _at(30)), ARCHIVE, "acme", _at(30))
    assert _occasions(board, _at(30)) == [Occasion.RESOLVED]
    assert _told(board, _at(30)).alerts == ()


def test_an_open_alert_stays_as_it_is_when_it_is_opened_again() -> None:
    board = _opened()
    assert opened(board, ARCHIVE, "acme", "why", _at(10)) is board


def _odd(board: Board, detail: Detail | str, now: datetime) -> Board:
    return opened(board, ODD_FILE, "acme", detail, now)


def test_odd_files_are_named_once_and_not_repeated() -> None:
    board = _told(_odd(Board(), "a.xlsx", NOW), _at(30))
    assert decide(_odd(board, "a.xlsx", _at(60)), _at(hours=100)) == ()


def test_a_second_odd_file_is_named_once_30_seconds_after_it_was_seen() -> None:
    board = _told(_odd(Board(), "a.xlsx", NOW), _at(30))
    board = _odd(board, "a.xlsx, b.xlsx", _at(100))
    assert decide(board, _at(129)) == ()
    (mail,) = decide(_odd(board, "a.xlsx, b.xlsx", _at(120)), _at(130))
    assert (mail.occasion, mail.alert.detail) == (Occasion.CHANGED, "a.xlsx, b.xlsx")
    board = _told(board, _at(130))
    assert decide(_odd(board, "a.xlsx, b.xlsx", _at(140)), _at(hours=100)) == ()


def test_how_many_files_there_are_is_no_news_but_a_name_is() -> None:
    def stuck(number: int, *names: str) -> Detail:
        return listed([detail("held_files", files=listed([detail("in_all", number=number), *names]))])

    board = _told(_odd(Board(), stuck(11, "a.csv", "b.csv"), NOW), _at(30))
    assert decide(_odd(board, stuck(12, "a.csv", "b.csv"), _at(60)), _at(hours=100)) == ()
    (mail,) = decide(_odd(board, stuck(12, "a.csv", "c.csv"), _at(60)), _at(90))
    assert mail.occasion is Occasion.CHANGED


def test_a_file_that_went_is_no_news() -> None:
    board = _told(_odd(Board(), "a.xlsx, b.xlsx", NOW), _at(30))
    assert decide(_odd(board, "b.xlsx", _at(60)), _at(hours=100)) == ()


def test_details_that_take_turns_are_told_once_each() -> None:
    board, told = _told(_opened(), _at(30)), list[Occasion]()
    for turn in range(60):
        now = _at(60 * (turn + 1))
        told += _occasions(board, now)
        board = opened(_told(board, now), ARCHIVE, "acme", ("another why", "why")[turn % 2], now)
    assert told == [Occasion.CHANGED]


def test_a_detail_that_changes_before_the_first_mail_is_in_that_mail() -> None:
    board = opened(_opened(), ARCHIVE, "acme", "another why", _at(10))
    (mail,) = decide(board, _at(30))
    assert (mail.occasion, mail.alert.detail) == (Occasion.OPENED, "another why")
    assert decide(_told(board, _at(30)), _at(100)) == ()


def test_a_detail_that_changes_while_a_mail_is_stored_is_told_by_the_next() -> None:
    board = _opened()
    mails = decide(board, _at(30))
    board = after(opened(board, ARCHIVE, "acme", "another why", _at(30)), mails, _at(30))
    assert decide(board, _at(59)) == ()
    assert [(mail.occasion, mail.alert.detail) for mail in decide(board, _at(60))] == [
        (Occasion.CHANGED, "another why")
    ]


def _round(board: Board, now: datetime) -> tuple[Board, tuple[AlertNotice, ...]]:
    """What the loop does: count what is held back, and mail what is decided."""
    board = held_back(board, now)
    mails = decide(board, now)
    return after(board, mails, now), mails


def test_a_file_that_is_renamed_every_minute_is_three_mails_and_a_sum_every_quarter_of_an_hour() -> None:
    board, mails = Board(), list[tuple[int, AlertNotice]]()
    for minute in range(60):
        board, _ = _round(_odd(board, f"a{minute}.xlsx", _at(60 * minute)), _at(60 * minute))
        board, sent = _round(board, _at(60 * minute + 30))
        mails += [(minute, mail) for mail in sent]
    assert [minute for minute, _ in mails] == [0, 1, 2, 18, 34, 50]
    assert [[each.alert.held for each in mail.summed] for _, mail in mails] == [[], [], [], [16], [16], [16]]
    board, (last,) = _round(board, _at(60 * 67))
    assert [each.alert.held for each in last.summed] == [9]


def test_a_file_that_is_renamed_every_few_seconds_is_told_of_and_hides_no_other() -> None:
    board, mails = Board(), list[AlertNotice]()
    for turn in range(100):
        detail = f"a{turn}.xlsx, b.xlsx" if turn > 20 else f"a{turn}.xlsx"
        board, sent = _round(_odd(board, detail, _at(7 * turn)), _at(7 * turn))
        mails += sent
    assert [mail.occasion for mail in mails] == [Occasion.OPENED, Occasion.CHANGED, Occasion.CHANGED]
    assert "b.xlsx" in {name for mail in mails for name in str(mail.alert.detail).split(", ")} | {
        name for alert in board.alerts if alert.held for name in str(alert.detail).split(", ")
    }


def test_one_client_s_noise_leaves_the_mails_of_all_others_on_time() -> None:
    noisy = [kind for kind in AlertKind if kind is not SMTP]
    board = Board()
    for minute in range(120):
        for kind in noisy:
            board = opened(board, kind, "noisy", f"{minute}", _at(60 * minute))
        board, _ = _round(board, _at(60 * minute + 30))
    board = opened(opened(board, ARCHIVE, "quiet", "why", _at(7200)), AlertKind.LOW_DISK, "", "why", _at(7200))
    board = opened(board, AlertKind.DATABASE, "", "why", _at(7200))
    _, mails = _round(board, _at(7230))
    assert {(mail.alert.kind, mail.alert.client) for mail in mails} >= {
        (ARCHIVE, "quiet"),
        (AlertKind.LOW_DISK, ""),
        (AlertKind.DATABASE, ""),
    }


def test_however_many_clients_there_are_the_mails_of_an_hour_are_bounded() -> None:
    board, mailed = Board(), list[datetime]()
    for minute in range(150):
        for number in range(100):
            kind = (ARCHIVE, AlertKind.DISK_FULL)[number % 2]
            board = opened(board, kind, f"client {number}", f"{minute}", _at(60 * minute))
            board = opened(board, kind, "", f"{minute}", _at(60 * minute))
        board, mails = _round(board, _at(60 * minute + 30))
        mailed += [_at(60 * minute + 30)] * len(mails)
    most = 3 * MOST_OF_ALL + MOST_OF_A_KIND[Severity.CRITICAL] + timedelta(hours=1) // SUMMED_AFTER
    for at in mailed:
        assert sum(timedelta(0) <= at - other < timedelta(hours=1) for other in mailed) <= most


def test_what_opened_and_ended_while_it_was_held_back_is_in_the_next_sum() -> None:
    board = Board()
    for number in range(MOST_OF_ALL):
        board = opened(board, ARCHIVE, f"client {number}", "why", NOW)
    board, _ = _round(board, _at(30))
    board = opened(board, ARCHIVE, "short", "why", _at(40))
    board, _ = _round(board, _at(70))
    board, _ = _round(resolved(board, ARCHIVE, "short", _at(80)), _at(80))
    assert board.find(ARCHIVE, "short") is not None
    board = restored(board.alerts, _at(90))
    assert decide(board, _at(90)) == ()
    board, (mail,) = _round(board, _at(90) + SUMMED_AFTER)
    assert (mail.alert.client, mail.occasion, mail.alert.held) == ("short", Occasion.RESOLVED, 2)
    assert board.find(ARCHIVE, "short") is None


def test_what_is_told_of_one_reader_s_client_is_not_summed_up_for_another() -> None:
    board = Board()
    for number in range(2 * MOST_OF_ALL + 4):
        board = opened(board, ARCHIVE, f"{'ab'[number % 2]}{number}", "why", NOW)
    mails = decide(board, _at(30), lambda client: client[:1])
    assert len(mails) == 2 * MOST_OF_ALL
    for mail in mails:
        assert {each.alert.client[0] for each in mail.summed} <= {mail.alert.client[0]}
    assert len(told_by(mails)) == 2 * MOST_OF_ALL + 4


def test_an_alert_is_logged_when_its_detail_changes_and_silent_at_every_other_tick() -> None:
    alerts = Alerts(Clock(), lambda: 0.0)
    with capture_logs() as logs:
        for detail in ("a.xlsx", "a.xlsx", "a.xlsx, b.xlsx", "a.xlsx, b.xlsx"):
            alerts.open(ODD_FILE, "acme", detail)
    assert [(entry["event"], entry["detail"]) for entry in logs] == [
        ("alert_opened", "a.xlsx"),
        ("alert_opened", "a.xlsx, b.xlsx"),
    ]


def test_clients_have_alerts_of_their_own() -> None:
    board = opened(_opened(), ARCHIVE, "other", "why", NOW)
    assert len(decide(board, _at(30))) == 2


def test_mail_trouble_is_told_afterwards_with_since_and_until() -> None:
    board = _opened(SMTP, "")
    assert decide(board, _at(hours=30)) == ()
    board = resolved(board, SMTP, "", _at(hours=31))
    (mail,) = decide(board, _at(hours=31))
    assert (mail.occasion, mail.alert.opened_at, mail.alert.resolved_at) == (Occasion.RESOLVED, NOW, _at(hours=31))
    assert _told(board, _at(hours=31)).alerts == ()


def test_a_blink_of_the_mail_server_is_not_told() -> None:
    assert decide(resolved(_opened(SMTP, ""), SMTP, "", _at(5)), _at(60)) == ()


def test_of_fifty_clients_twenty_get_mails_and_the_last_of_these_tells_of_the_others() -> None:
    board = Board()
    for number in range(50):
        board = opened(board, ARCHIVE, f"client {number}", "why", NOW)
    board, mails = _round(board, _at(30))
    assert [len(mail.summed) for mail in mails] == [0] * 19 + [30]
    assert len(told_by(mails)) == 50
    assert decide(board, _at(3630)) == ()


def test_the_urgent_come_first() -> None:
    board = opened(opened(_opened(AlertKind.ODD_FILE), ARCHIVE, "", "", NOW), AlertKind.DATABASE, "", "", NOW)
    assert [mail.alert.kind for mail in decide(board, _at(30))] == [AlertKind.DATABASE, ARCHIVE, AlertKind.ODD_FILE]


def test_what_comes_back_before_its_end_was_told_is_the_same_alert() -> None:
    board = resolved(_told(_opened(), _at(30)), ARCHIVE, "acme", _at(60))
    board = opened(board, ARCHIVE, "acme", "why", _at(61))
    assert decide(board, _at(100)) == ()
    assert [alert.opened_at for alert in board.alerts] == [NOW]


def test_what_comes_back_while_its_end_is_being_mailed_is_a_new_alert() -> None:
    board = resolved(_told(_opened(), _at(30)), ARCHIVE, "acme", _at(60))
    mails = decide(board, _at(60))
    board = after(opened(board, ARCHIVE, "acme", "again", _at(61)), mails, _at(62))
    assert decide(board, _at(91)) == ()
    assert _occasions(board, _at(92)) == [Occasion.OPENED]


def test_what_ends_while_its_opening_is_being_mailed_is_told_resolved() -> None:
    board = _opened()
    mails = decide(board, _at(30))
    board = after(resolved(board, ARCHIVE, "acme", _at(30)), mails, _at(30))
    assert _occasions(board, _at(31)) == [Occasion.RESOLVED]


def test_a_restart_neither_repeats_the_opening_nor_forgets_the_end() -> None:
    board = restored(_told(_opened(), _at(30)).alerts, _at(60))
    assert decide(board, _at(60)) == ()
    assert _occasions(resolved(board, ARCHIVE, "acme", _at(70)), _at(70)) == [Occasion.RESOLVED]


def test_a_clock_that_is_set_back_silences_nothing() -> None:
    board = _told(_opened(), _at(30))
    assert _occasions(board, _at(hours=-100)) == [Occasion.REPEATED]


class AlertMachine(RuleBasedStateMachine):
    """Any order of openings, ends, rounds and restarts, on a clock that only goes forward."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.board = Board()
        self.mailed: list[tuple[datetime, AlertNotice]] = []
        self.told: list[AlertNotice] = []

    def _last(self, kind: AlertKind, client: str) -> Occasion | None:
        about = [mail for mail in self.told if (mail.alert.kind, mail.alert.client) == (kind, client)]
        return about[-1].occasion if about else None

    @rule(
        kind=st.sampled_from([ARCHIVE, SMTP, AlertKind.WORKER]),
        client=st.sampled_from(["", "acme"]),
        detail=st.sampled_from(["why", "another why", "why, another why"]),
    )
    def condition_is_seen(self, kind: AlertKind, client: str, detail: str) -> None:
        self.board = opened(self.board, kind, client, detail, self.now)

    @rule(kind=st.sampled_from([ARCHIVE, SMTP, AlertKind.WORKER]), client=st.sampled_from(["", "acme"]))
    def condition_ends(self, kind: AlertKind, client: str) -> None:
        self.board = resolved(self.board, kind, client, self.now)

    @rule(seconds=st.sampled_from([0.0, 1.0, 29.0, 30.0, 600.0, 3600.0, 14_400.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def restart(self) -> None:
        self.board = restored(self.board.alerts, self.now)

    @rule()
    def round_of_mails(self) -> None:
        self.board, mails = _round(self.board, self.now)
        for mail in told_by(mails):
            self._check(mail)
            self.told.append(mail)
        self.mailed += [(self.now, mail) for mail in mails]

    def _check(self, mail: AlertNotice) -> None:
        alert, last = mail.alert, self._last(mail.alert.kind, mail.alert.client)
        if mail.occasion is Occasion.OPENED:
            assert last in {None, Occasion.RESOLVED}
            assert self.now - alert.opened_at >= timedelta(seconds=30)
        elif alert.kind is not SMTP and not alert.held:
            assert last in {Occasion.OPENED, Occasion.CHANGED, Occasion.REPEATED}
        if mail.occasion is Occasion.CHANGED and not alert.held:
            assert alert.changed_at is not None
            assert self.now - alert.changed_at >= timedelta(seconds=30)
            assert alert.detail not in alert.told
        assert alert.kind is not SMTP or alert.held or mail.occasion is Occasion.RESOLVED
        assert is_open(alert) == (mail.occasion is not Occasion.RESOLVED)

    @invariant()
    def one_alert_of_a_kind_and_client(self) -> None:
        keys = [(alert.kind, alert.client) for alert in self.board.alerts]
        assert len(keys) == len(set(keys))

    def teardown(self) -> None:
        """In the end every end is told."""
        for alert in self.board.alerts:
            self.board = resolved(self.board, alert.kind, alert.client, self.now)
        self.now += timedelta(hours=1)
        self.round_of_mails()
        for kind, client in {(mail.alert.kind, mail.alert.client) for mail in self.told}:
            assert self._last(kind, client) is Occasion.RESOLVED


TestAlertMachine = AlertMachine.TestCase


class Noise(RuleBasedStateMachine):
    """One client does whatever it can, the loop looks every 5 s; another client and the service have one alert each."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.board = Board()
        self.mailed: list[tuple[datetime, AlertNotice]] = []
        self.held = self.summed = 0

    @rule(kind=st.sampled_from(AlertKind), detail=st.sampled_from("abcdefgh"))
    def noise(self, kind: AlertKind, detail: str) -> None:
        self.board = opened(self.board, kind, "noisy", detail, self.now)

    @rule(kind=st.sampled_from(AlertKind))
    def noise_ends(self, kind: AlertKind) -> None:
        self.board = resolved(self.board, kind, "noisy", self.now)

    @rule(steps=st.sampled_from([1, 6, 60]), flapping=st.sampled_from([None, *AlertKind]))
    def time_passes(self, steps: int, flapping: AlertKind | None) -> None:
        for step in range(steps):
            self.now += timedelta(seconds=30)
            if flapping is not None:
                self.board = opened(self.board, flapping, "noisy", f"{step}", self.now)
            self._look()

    @rule(kind=st.sampled_from([ARCHIVE, ODD_FILE, AlertKind.DISK_FULL]))
    def another_client_is_told_of_in_time(self, kind: AlertKind) -> None:
        self._in_time(kind, "quiet")

    @rule(kind=st.sampled_from([AlertKind.DATABASE, AlertKind.LOW_DISK, AlertKind.WORKER]))
    def the_service_is_told_of_in_time(self, kind: AlertKind) -> None:
        self._in_time(kind, "")

    def _in_time(self, kind: AlertKind, client: str) -> None:
        last_hour = [mail for at, mail in self.mailed if self.now - at < timedelta(hours=1)]
        if self.board.find(kind, client) or any(
            (each.alert.kind, each.alert.client) == (kind, client) for each in last_hour
        ):
            return
        since = self.now
        self.board = opened(self.board, kind, client, "why", since)
        self.now += timedelta(seconds=30)
        self._look()
        assert any((each.alert.kind, each.alert.client) == (kind, client) for at, each in self.mailed if at > since)
        self.board = resolved(self.board, kind, client, self.now)

    def _look(self) -> None:
        before = {(alert.kind, alert.client): alert.held for alert in self.board.alerts}
        self.board = held_back(self.board, self.now)
        self.held += sum(alert.held - before[alert.kind, alert.client] for alert in self.board.alerts)
        mails = decide(self.board, self.now)
        self.mailed += [(self.now, mail) for mail in mails]
        self.held += sum(each.alert.held - self._held(each.alert) for mail in mails for each in mail.summed)
        self.summed += sum(each.alert.held for mail in mails for each in mail.summed)
        self.board = after(self.board, mails, self.now)

    def _held(self, alert: Alert) -> int:
        known = self.board.find(alert.kind, alert.client)
        return 0 if known is None else known.held

    @invariant()
    def each_bound_holds(self) -> None:
        own = Counter(
            (ALERT_TEXTS[mail.alert.kind].severity is Severity.CRITICAL, mail.alert.client, mail.alert.kind)
            for at, mail in self.mailed
            if self.now - at < timedelta(hours=1)
        )
        sums = timedelta(hours=1) // SUMMED_AFTER
        for is_critical in (False, True):
            of_client = sum(
                number for (critical, client, _), number in own.items() if (critical, client) == (is_critical, "noisy")
            )
            assert of_client <= MOST_OF_A_CLIENT + sums
        assert all(number <= max(MOST_OF_A_KIND.values()) + sums for number in own.values())

    @invariant()
    def what_is_held_back_is_summed_up_or_still_to_be(self) -> None:
        assert self.held == self.summed + sum(alert.held for alert in self.board.alerts)

    @invariant()
    def nothing_is_held_back_for_long(self) -> None:
        for alert in self.board.alerts:
            assert alert.held_at is None or self.now - alert.held_at < SUMMED_AFTER


TestNoise = Noise.TestCase


@given(st.lists(st.sampled_from(["a", "b"])))
def test_a_board_can_be_stored_and_restored_at_any_point(clients: list[str]) -> None:
    board = Board()
    for step, client in enumerate(clients):
        now = _at(step * 20)
        known = board.find(ARCHIVE, client)
        is_new = known is None or not is_open(known)
        board = opened(board, ARCHIVE, client, "why", now) if is_new else resolved(board, ARCHIVE, client, now)
        board = _told(board, now)
        assert set(restored(board.alerts, now).alerts) == set(board.alerts)


def test_the_duration_of_an_alert_is_none_of_the_wall_clock_s() -> None:
    clock = Clock()
    alerts = Alerts(clock, clock.elapsed)
    alerts.open(ARCHIVE, "acme", "why")
    clock.advance(seconds=40)
    clock.now -= timedelta(hours=2)
    with capture_logs() as logs:
        alerts.resolve(ARCHIVE, "acme")
    assert [entry["seconds"] for entry in logs] == [40]


def test_the_duration_of_an_alert_goes_on_across_a_restart_and_is_never_negative() -> None:
    clock = Clock()
    (known,) = _opened().alerts
    for began, seconds in ((-60, 70), (3600, 10)):
        alerts = Alerts(clock, clock.elapsed)
        alerts.restore([replace(known, opened_at=clock.now + timedelta(seconds=began))], clock.now)
        clock.advance(seconds=10)
        with capture_logs() as logs:
            alerts.resolve(ARCHIVE, "acme")
        assert [entry["seconds"] for entry in logs] == [seconds]


def test_an_end_is_not_told_to_be_before_the_beginning() -> None:
    (alert,) = resolved(_opened(SMTP, ""), SMTP, "", _at(hours=-2)).alerts
    assert alert.resolved_at == alert.opened_at


def test_what_keeps_alerts_from_being_mailed_is_told_as_long_as_it_lasts() -> None:
    clock = Clock()
    alerts = Alerts(clock, clock.elapsed)
    alerts.open(AlertKind.SMTP, detail="connect: 421 busy")
    alerts.open(AlertKind.LOW_DISK, detail="bak")
    clock.advance(seconds=1)
    alerts.open(AlertKind.DATABASE, detail="The queue of mails met OperationalError.")
    mails, database = alerts.unmailed()
    assert mails.startswith("mail cannot be sent: connect: 421 busy. Files are imported as usual.")
    assert database.startswith("the database cannot be used: The queue of mails met OperationalError. No file is")
    alerts.resolve(AlertKind.SMTP)
    assert alerts.unmailed() == [database]
