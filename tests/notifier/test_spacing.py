"""When files that are refused again and again are told of, and that nothing is told late or never."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from importer.model import Audience, Refusal
from notifier.spacing import LONGEST_HOLD, REMEMBERED, ToldReason, code_of, news_first, told_from
from tests.mailing import NOW, failed_rows, refused

CLIENT, ADMIN = Audience.CLIENT, Audience.ADMIN
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
MOST_A_DAY = 36


class Mailbox:
    """What is mailed of files that come one by one, each with its reason, by the rule alone."""

    def __init__(self, audience: Audience) -> None:
        self.audience = audience
        self.told: list[ToldReason] = []
        self.waiting: list[tuple[datetime, str | None]] = []
        self.until: datetime | None = None
        self.mails: list[tuple[datetime, list[datetime]]] = []

    def look(self, now: datetime, *codes: str | None) -> None:
        if self.until is not None and self.until <= now:
            codes = (*codes, *(code for _, code in self.waiting))
        elif not codes:
            return
        at = told_from({*codes}, self.told, self.audience, now)
        self.waiting += [(now, code) for code in codes if self.until is None or self.until > now]
        if at > now:
            self.until = at
            return
        every = {*(code for _, code in self.waiting), *codes}
        self.mails.append((now, [since for since, _ in self.waiting]))
        self.told += [ToldReason(code=code, at=now) for code in every if code is not None]
        self.waiting, self.until = [], None


def dropped(audience: Audience, every: timedelta, number: int) -> Mailbox:
    """A file each `every`, refused for the same reason; the loop looks each minute."""
    mailbox, steps = Mailbox(audience), every // MINUTE
    for minute in range(number * steps):
        codes = ("refused no_key",) if minute % steps == 0 else ()
        mailbox.look(NOW + minute * MINUTE, *codes)
    return mailbox


def test_who_sends_a_bad_file_each_hour_is_told_of_each_in_its_minute() -> None:
    for audience in (CLIENT, ADMIN):
        mails = dropped(audience, timedelta(hours=1), 72).mails
        assert [at for at, _ in mails] == [NOW + hour * timedelta(hours=1) for hour in range(72)]


def test_who_corrects_a_file_and_drops_it_again_is_answered_at_once() -> None:
    assert [at for at, _ in dropped(CLIENT, 4 * MINUTE, 5).mails] == [NOW + tries * 4 * MINUTE for tries in range(5)]


def test_a_refused_file_at_each_tick_is_36_mails_a_day_at_most_and_30_later() -> None:
    for audience in (CLIENT, ADMIN):
        mails = [at for at, _ in dropped(audience, MINUTE, 3 * 24 * 60).mails]
        for day, most in ((0, MOST_A_DAY), (1, 30), (2, 30)):
            assert sum(NOW + day * DAY <= at < NOW + (day + 1) * DAY for at in mails) <= most


def test_a_new_reason_is_told_at_once_with_all_that_waited() -> None:
    mailbox = dropped(ADMIN, MINUTE, 20)
    waiting = len(mailbox.waiting)
    now = NOW + 20 * MINUTE
    mailbox.look(now, "refused empty_file")
    assert waiting > 1
    assert (mailbox.mails[-1][0], len(mailbox.mails[-1][1])) == (now, waiting + 1)


def test_a_file_of_which_rows_were_imported_is_never_held_back() -> None:
    assert code_of(failed_rows()) is None
    told = [ToldReason(code="refused empty_file", at=NOW - minute * MINUTE) for minute in range(30)]
    assert told_from({None}, told, CLIENT, NOW) == NOW
    assert told_from({None, "refused empty_file"}, told, CLIENT, NOW) == NOW
    assert told_from({"refused empty_file"}, told, CLIENT, NOW) > NOW


def test_the_reason_is_the_kind_and_the_code_and_no_word_of_the_file() -> None:
    assert code_of(refused()) == "refused empty_file"
    assert code_of(refused(refusal=None)) == "refused"


@given(
    ages=st.lists(st.tuples(st.integers(-100, 3000), st.sampled_from("ab"))),
    codes=st.sets(st.sampled_from([None, "a", "b", "c"]), min_size=1),
    audience=st.sampled_from(Audience),
)
def test_nothing_waits_longer_than_the_longest_hold_whatever_was_told(
    ages: list[tuple[int, str]], codes: set[str | None], audience: Audience
) -> None:
    told = [ToldReason(code=code, at=NOW - minutes * MINUTE) for minutes, code in ages]
    assert NOW <= told_from(codes, told, audience, NOW) <= NOW + LONGEST_HOLD


@given(
    steps=st.lists(
        st.tuples(st.integers(1, 120), st.sampled_from(["refused a", "refused b", "incomplete"])), max_size=60
    ),
    audience=st.sampled_from([CLIENT, ADMIN]),
)
def test_each_file_is_in_exactly_one_mail_and_none_waits_longer_than_that(
    steps: list[tuple[int, str]], audience: Audience
) -> None:
    mailbox, now, dropped_at = Mailbox(audience), NOW, list[datetime]()
    for minutes, code in steps:
        for _ in range(minutes):
            now += MINUTE
            mailbox.look(now)
        mailbox.look(now, code)
        dropped_at.append(now)
    for _ in range(60):
        now += MINUTE
        mailbox.look(now)
    assert sorted(since for _, files in mailbox.mails for since in files) == dropped_at
    assert all(at - since <= LONGEST_HOLD for at, files in mailbox.mails for since in files)


def test_what_was_told_a_day_ago_or_under_a_clock_that_was_ahead_is_forgotten() -> None:
    for at in (NOW - REMEMBERED, NOW + MINUTE):
        assert told_from({"a"}, [ToldReason(code="a", at=at)], ADMIN, NOW) == NOW


def test_reports_and_new_reasons_come_before_what_is_told_again() -> None:
    again = [refused(number) for number in range(12)]
    other = refused(90, refusal=Refusal(code="no_key", message="there is no column unique_id"))
    reports = [failed_rows(91), failed_rows(92)]
    told = news_first([*again, other, *reports])
    assert told == [again[0], other, *reports, *again[1:]]


@given(st.lists(st.sampled_from(["imported", "a", "b"]), max_size=30))
def test_nothing_is_told_twice_or_never_however_it_is_ordered(kinds: list[str]) -> None:
    notices = [
        failed_rows(number) if kind == "imported" else refused(number, refusal=Refusal(code=kind, message="why"))
        for number, kind in enumerate(kinds)
    ]
    told = news_first(notices)
    assert sorted(map(str, told)) == sorted(map(str, notices))
    assert [each for each in told if code_of(each) is None] == [each for each in notices if code_of(each) is None]
