"""When import runs come, and in which order they take files."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from watcher.uploads.batching import next_tick, seconds_to_tick

NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
times = st.datetimes(
    min_value=dt.datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis wants it naive and adds the zone
    max_value=dt.datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(dt.UTC),
)
intervals = st.integers(1, 60).map(lambda minutes: dt.timedelta(minutes=minutes))


def at(clock: str) -> dt.datetime:
    return dt.datetime.combine(NOON.date(), dt.time.fromisoformat(clock), tzinfo=dt.UTC)


def test_ticks_come_at_multiples_of_the_interval_like_cron() -> None:
    five = dt.timedelta(minutes=5)
    assert next_tick(at("12:00:00"), five) == at("12:05:00")
    assert next_tick(at("12:04:59.999999"), five) == at("12:05:00")
    assert next_tick(at("12:57:30"), five) == at("13:00:00")
    assert next_tick(at("12:59:59"), dt.timedelta(minutes=1)) == at("13:00:00")


def test_every_hour_begins_anew_where_the_interval_does_not_divide_it() -> None:
    seven = dt.timedelta(minutes=7)
    assert next_tick(at("12:56:00"), seven) == at("13:00:00")
    assert next_tick(at("13:00:00"), seven) == at("13:07:00")


def test_the_tick_after_the_last_one_of_a_day_is_at_midnight() -> None:
    assert next_tick(at("23:58:00"), dt.timedelta(minutes=5)) == at("00:00:00") + dt.timedelta(days=1)


@given(now=times, interval=intervals)
def test_a_tick_lies_ahead_on_a_multiple_of_the_interval_and_not_beyond_it(
    now: dt.datetime, interval: dt.timedelta
) -> None:
    tick = next_tick(now, interval)
    assert now < tick <= now + interval
    assert (tick.second, tick.microsecond) == (0, 0)
    assert tick.minute % (interval // dt.timedelta(minutes=1)) == 0


@given(now=times, interval=intervals)
def test_an_hour_has_the_same_ticks_as_any_other_hour(now: dt.datetime, interval: dt.timedelta) -> None:
    assert next_tick(now + HOUR, interval) == next_tick(now, interval) + HOUR


@given(now=times, due=times, interval=intervals, since=st.floats(0, 10_000))
def test_two_ticks_are_never_more_than_an_interval_apart_whatever_the_wall_clock_says(
    now: dt.datetime, due: dt.datetime, interval: dt.timedelta, since: float
) -> None:
    wait = seconds_to_tick(now, due, interval, since)
    assert wait >= 0
    assert since + wait <= max(since, interval.total_seconds()) + 1e-6


@given(start=times, interval=intervals)
def test_ticks_are_at_multiples_of_the_interval_from_the_first_one_on(
    start: dt.datetime, interval: dt.timedelta
) -> None:
    now, due, last = start, next_tick(start, interval), start
    for _ in range(5):
        now += dt.timedelta(seconds=seconds_to_tick(now, due, interval, (now - last).total_seconds()))
        assert now == due
        assert now.minute % (interval.seconds // 60 or 60) == 0
        due, last = next_tick(now, interval), now


def test_a_tick_is_due_when_its_time_has_come_and_stays_due() -> None:
    five = dt.timedelta(minutes=5)
    assert seconds_to_tick(at("12:04:59"), at("12:05:00"), five, 29) == 1
    assert seconds_to_tick(at("12:05:00"), at("12:05:00"), five, 30) == 0
    assert seconds_to_tick(at("12:07:00"), at("12:05:00"), five, 150) == 0


def test_a_clock_that_was_set_back_does_not_delay_a_tick() -> None:
    five = dt.timedelta(minutes=5)
    assert seconds_to_tick(at("11:00:01"), at("12:05:00"), five, 290) == 10
    assert seconds_to_tick(at("11:00:01"), at("12:05:00"), five, 1000) == 0
