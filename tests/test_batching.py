"""When import runs come, and in which order they take files."""

import datetime as dt
from collections import defaultdict
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from importer.model import Fingerprint
from watcher.batching import MAX_BYTES, MAX_FILES, groups, next_tick, seconds_to_tick
from watcher.model import Evidence, Group, Sighting, Upload

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


def upload(client: str, name: str, *, size: int = 1, changed_ns: int = 0) -> Upload:
    content = Fingerprint(device=1, inode=1, size=size, modified_ns=0)
    seen = Sighting(name=name, content=content, changed_ns=changed_ns, is_locked=False)
    return Upload(client=client, sighting=seen, evidence=Evidence.QUIET_AND_UNLOCKED)


sizes = st.one_of(st.integers(0, 100), st.integers(0, 3 * MAX_BYTES))
some_uploads = st.lists(
    st.builds(
        upload,
        st.sampled_from("abc"),
        st.uuids().map(str),
        size=sizes,
        changed_ns=st.integers(0, 5),
    ),
    max_size=40,
)


def by_client(made: list[Group]) -> dict[str, list[Group]]:
    found = defaultdict(list)
    for group in made:
        found[group.client].append(group)
    return found


@given(some_uploads)
def test_every_upload_is_taken_exactly_once_and_under_its_client(uploads: list[Upload]) -> None:
    taken = [(group.client, each) for group in groups(uploads) for each in group.uploads]
    assert sorted(taken, key=repr) == sorted(((each.client, each) for each in uploads), key=repr)


@given(some_uploads)
def test_within_a_client_the_oldest_comes_first(uploads: list[Upload]) -> None:
    for of_client in by_client(groups(uploads)).values():
        taken = [each.sighting.changed_ns for group in of_client for each in group.uploads]
        assert taken == sorted(taken)


@given(some_uploads)
def test_a_group_keeps_its_limits_and_a_large_file_is_alone(uploads: list[Upload]) -> None:
    for group in groups(uploads):
        assert 1 <= len(group.uploads) <= MAX_FILES
        assert len(group.uploads) == 1 or sum(each.size for each in group.uploads) <= MAX_BYTES


@given(some_uploads)
def test_a_group_is_as_large_as_the_limits_allow(uploads: list[Upload]) -> None:
    for of_client in by_client(groups(uploads)).values():
        for group, following in pairwise(of_client):
            size = sum(each.size for each in group.uploads)
            assert len(group.uploads) == MAX_FILES or size + following.uploads[0].size > MAX_BYTES


@given(some_uploads)
def test_no_client_has_a_second_turn_before_every_other_had_one(uploads: list[Upload]) -> None:
    turns: defaultdict[str, int] = defaultdict(int)
    order = []
    for group in groups(uploads):
        turns[group.client] += 1
        order.append((turns[group.client], group.client))
    assert order == sorted(order)


def test_a_thousand_files_of_one_client_do_not_delay_the_only_file_of_another() -> None:
    many = [upload("a", f"{number:04}.csv") for number in range(1000)]
    made = groups([*many, upload("b", "one.csv", changed_ns=9)])
    assert [(group.client, len(group.uploads)) for group in made] == [
        ("a", 256),
        ("b", 1),
        ("a", 256),
        ("a", 256),
        ("a", 232),
    ]


def test_nothing_makes_no_group() -> None:
    assert groups([]) == []
