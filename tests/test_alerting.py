"""When the administrator is told about a condition, and when not."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from structlog.testing import capture_logs

from notifier.alerting import LIMIT, Board, after, decide, is_open, opened, resolved, restored
from notifier.alerts import Alerts
from notifier.model import AlertKind, AlertMail, Occasion
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


def _odd(board: Board, detail: str, now: datetime) -> Board:
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


def test_changes_count_for_the_hourly_limit() -> None:
    board, mails = _told(_opened(), _at(30)), 1
    for minute in range(1, 60):
        board = opened(board, ARCHIVE, "acme", f"why {minute}", _at(60 * minute))
        mails += len(decide(board, _at(60 * minute + 30)))
        board = _told(board, _at(60 * minute + 30))
    assert mails == LIMIT


def test_an_alert_is_logged_when_its_detail_changes_and_silent_at_every_other_tick() -> None:
    alerts = Alerts(Clock())
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


def test_at_most_20_mails_an_hour_the_last_counts_the_others() -> None:
    board = Board()
    for number in range(50):
        board = opened(board, ARCHIVE, f"client {number}", "why", NOW)
    first = decide(board, _at(30))
    assert len(first) == LIMIT
    assert [mail.suppressed for mail in first] == [0] * 19 + [30]
    board = after(board, first, _at(30))
    assert decide(board, _at(3600)) == ()
    assert len(decide(board, _at(3630))) == LIMIT


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
        self.mailed: list[tuple[datetime, AlertMail]] = []

    def _last(self, kind: AlertKind, client: str) -> Occasion | None:
        about = [mail for _, mail in self.mailed if (mail.alert.kind, mail.alert.client) == (kind, client)]
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
        for mail in decide(self.board, self.now):
            self._check(mail)
            self.mailed.append((self.now, mail))
        self.board = after(self.board, decide(self.board, self.now), self.now)

    def _check(self, mail: AlertMail) -> None:
        alert, last = mail.alert, self._last(mail.alert.kind, mail.alert.client)
        if mail.occasion is Occasion.OPENED:
            assert last in {None, Occasion.RESOLVED}
            assert self.now - alert.opened_at >= timedelta(seconds=30)
        elif alert.kind is not SMTP:
            assert last in {Occasion.OPENED, Occasion.CHANGED, Occasion.REPEATED}
        if mail.occasion is Occasion.CHANGED:
            assert alert.changed_at is not None
            assert self.now - alert.changed_at >= timedelta(seconds=30)
            assert alert.detail not in alert.told
        assert alert.kind is not SMTP or mail.occasion is Occasion.RESOLVED
        assert is_open(alert) == (mail.occasion is not Occasion.RESOLVED)

    @invariant()
    def no_flood(self) -> None:
        assert sum(self.now - at < timedelta(hours=1) for at, _ in self.mailed) <= LIMIT

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
        for kind, client in {(mail.alert.kind, mail.alert.client) for _, mail in self.mailed}:
            assert self._last(kind, client) is Occasion.RESOLVED


TestAlertMachine = AlertMachine.TestCase


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


def test_what_keeps_alerts_from_being_mailed_is_told_as_long_as_it_lasts() -> None:
    clock = Clock()
    alerts = Alerts(clock)
    alerts.open(AlertKind.SMTP, detail="connect: 421 busy")
    alerts.open(AlertKind.LOW_DISK, detail="bak")
    clock.advance(seconds=1)
    alerts.open(AlertKind.DATABASE, detail="The queue of mails met OperationalError.")
    mails, database = alerts.unmailed()
    assert mails.startswith("mail cannot be sent: connect: 421 busy. Files are imported as usual.")
    assert database.startswith("the database cannot be used: The queue of mails met OperationalError. No file is")
    alerts.resolve(AlertKind.SMTP)
    assert alerts.unmailed() == [database]
