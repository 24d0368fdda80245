"""Verdicts of the server's log on files, by directory: which file a line means, and that one reader serves all."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.watcher.uploads.test_server_log import FAILED, OK, append, line, renaming
from watcher.uploads import server_log
from watcher.uploads.server_log import LogEntry, ServerLog
from watcher.uploads.verdicts import ServerVerdicts, SharedLog, fair_share

NOW = 1000.0


def shared(path: Path, root: Path, prefix: str = "/") -> SharedLog:
    return SharedLog(ServerLog(path, prefix), root, elapsed=lambda: NOW)


def rotate(path: Path) -> None:
    path.rename(path.with_name("vsftpd.log.1"))


def empty(path: Path) -> None:
    path.write_bytes(b"")


async def poll(verdicts: ServerVerdicts, names: list[str]) -> list[str]:
    """Read what was logged; returns those of the names that it is about."""
    await verdicts.refresh()
    return await verdicts.told_of(names)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vsftpd.log"


@pytest.fixture
def log(path: Path, tmp_path: Path) -> Iterator[SharedLog]:
    made = shared(path, tmp_path / "upload")
    yield made
    made.close()


@pytest.fixture
def verdicts(log: SharedLog, tmp_path: Path) -> ServerVerdicts:
    return log.of(tmp_path / "upload")


async def test_a_verdict_is_told_once(path: Path, verdicts: ServerVerdicts) -> None:
    assert await poll(verdicts, ["a.csv"]) == []
    append(path, line())
    assert await poll(verdicts, ["a.csv", "b.csv"]) == ["a.csv"]
    assert verdicts.take("b.csv", 5, ["a.csv", "b.csv"]) is None
    assert verdicts.take("a.csv", 5, ["a.csv", "b.csv"]) is OK
    assert verdicts.take("a.csv", 5, ["a.csv", "b.csv"]) is None


async def test_the_last_transfer_of_a_name_counts(path: Path, verdicts: ServerVerdicts) -> None:
    await poll(verdicts, [])
    append(path, line(result=b"FAIL"), line())
    await poll(verdicts, [])
    assert verdicts.take("a.csv", 5, []) is OK
    append(path, line(), line(result=b"FAIL"))
    await poll(verdicts, [])
    assert verdicts.take("a.csv", 5, []) is FAILED


async def test_an_old_line_counts_only_for_a_file_of_its_size(path: Path, verdicts: ServerVerdicts) -> None:
    append(path, line(size=5), line(b"/b.csv", size=5, result=b"FAIL"), line(b"/c.csv", size=5))
    await poll(verdicts, [])
    assert verdicts.take("a.csv", 5, []) is OK
    assert verdicts.take("b.csv", 5, []) is FAILED
    assert verdicts.take("c.csv", 6, []) is None


async def test_an_old_line_of_an_empty_upload_counts(path: Path, verdicts: ServerVerdicts) -> None:
    append(path, line(b"/empty.csv", size=None))
    append(path, line(b"/.in.other.csv", size=None), renaming(b"/.in.other.csv /other.csv"))
    names = ["empty.csv", "other.csv"]
    await poll(verdicts, names)
    assert [verdicts.take(name, 0, names) for name in names] == [OK, OK]


async def test_a_resumed_transfer_tells_its_own_bytes_and_still_counts(path: Path, verdicts: ServerVerdicts) -> None:
    await poll(verdicts, [])
    append(path, line(size=5))
    await poll(verdicts, [])
    assert verdicts.take("a.csv", 1_000_005, []) is OK


async def test_names_that_are_logged_alike_get_no_verdict(path: Path, verdicts: ServerVerdicts) -> None:
    await poll(verdicts, [])
    append(path, line(b"/??.csv"))
    await poll(verdicts, [])
    assert verdicts.take("é.csv", 5, ["é.csv", "è.csv"]) is None
    assert verdicts.take("é.csv", 5, ["è.csv"]) is None, "whether or not it is among the names itself"
    assert verdicts.take("é.csv", 5, ["é.csv"]) is OK, "as soon as it can mean no other"


async def test_a_question_mark_of_the_senders_own_is_a_name_like_any(path: Path, verdicts: ServerVerdicts) -> None:
    await poll(verdicts, [])
    append(path, line(b"/who?.csv"))
    assert await poll(verdicts, ["who?.csv"]) == ["who?.csv"]
    assert verdicts.take("who?.csv", 5, ["who?.csv", "who.csv"]) is OK


async def test_paths_are_those_of_the_sessions_root(path: Path, tmp_path: Path) -> None:
    log = shared(path, tmp_path / "home")
    verdicts = log.of(tmp_path / "home" / "ana" / "upload")
    await poll(verdicts, [])
    append(path, line(b"/ana/upload/a.csv"), line(b"/b.csv"))
    assert await poll(verdicts, ["a.csv", "b.csv"]) == ["a.csv"]
    log.close()


async def test_a_verdict_goes_with_a_file_that_is_renamed(path: Path, verdicts: ServerVerdicts) -> None:
    append(path, line(b"/old.csv.part", size=7), renaming(b"/old.csv.part /old.csv"))
    append(path, line(b"/cut.csv.part", result=b"FAIL", size=7), renaming(b"/cut.csv.part /cut.csv"))
    await poll(verdicts, [])
    assert verdicts.take("old.csv", 7, []) is OK
    assert verdicts.take("cut.csv", 7, []) is FAILED
    append(path, line(b"/new.csv.part"), renaming(b"/new.csv.part /new.csv"))
    assert await poll(verdicts, ["new.csv"]) == ["new.csv"]
    assert verdicts.take("new.csv", 5, []) is OK


async def test_a_rename_of_a_file_that_nothing_is_known_of_counts_as_its_end_unless_it_is_an_old_one(
    path: Path, verdicts: ServerVerdicts
) -> None:
    append(path, renaming(b"/1.part /1.csv"))
    await poll(verdicts, [])
    append(path, line(b"/2.csv", result=b"FAIL"), renaming(b"/2.part /2.csv"))
    await poll(verdicts, [])
    assert verdicts.take("1.csv", 5, []) is None
    assert verdicts.take("2.csv", 5, []) is OK, "it took the place of the one that failed"


async def test_a_log_tells_all_when_it_has_told_of_a_transfer_into_the_directory(
    path: Path, verdicts: ServerVerdicts
) -> None:
    append(path, line(b"/elsewhere/a.csv"), renaming(b"/a /b"))
    await poll(verdicts, [])
    assert not verdicts.tells_all_of("a.csv")
    append(path, line(b"/other.csv", result=b"FAIL"))
    await poll(verdicts, [])
    assert verdicts.tells_all_of("a.csv")
    assert not verdicts.tells_all_of("é.csv"), "it may be told by a line that may mean another file"


async def test_what_was_logged_before_the_last_rotation_is_read_at_the_start(
    path: Path, verdicts: ServerVerdicts
) -> None:
    append(path.with_name("vsftpd.log.1"), line(), line(b"/b.csv", result=b"FAIL"))
    append(path, line(b"/b.csv"))
    await poll(verdicts, [])
    assert verdicts.take("a.csv", 5, []) is OK
    assert verdicts.take("b.csv", 5, []) is OK, "the last one counts"


async def test_what_is_said_of_files_that_are_not_there_is_forgotten_at_the_second_sweep(
    path: Path, verdicts: ServerVerdicts
) -> None:
    append(path, *[line(b"/%d.csv" % number) for number in range(3)])
    await poll(verdicts, [])
    await verdicts.sweep(["0.csv"])
    await verdicts.sweep(["0.csv", "2.csv"])
    taken = [verdicts.take(f"{number}.csv", 5, []) for number in range(3)]
    assert taken == [OK, None, OK]


async def test_a_flood_of_other_names_is_forgotten_and_said_to_be(
    path: Path, verdicts: ServerVerdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.uploads.verdicts._MOST_PENDING", 100)
    await poll(verdicts, [])
    append(path, line(b"/first.csv"), *[line(b"/%d.csv" % number) for number in range(100)])
    await poll(verdicts, [])
    assert verdicts.lost_at == NOW
    assert verdicts.take("first.csv", 5, []) is None
    assert verdicts.take("99.csv", 5, []) is OK


async def test_a_log_that_was_cut_short_is_said_to_have_lost_lines(path: Path, verdicts: ServerVerdicts) -> None:
    append(path, line(), line())
    await poll(verdicts, [])
    rotate(path)
    append(path, line())
    await poll(verdicts, [])
    assert verdicts.lost_at < 0, "a rotation loses nothing"
    empty(path)
    await poll(verdicts, [])
    assert verdicts.lost_at == NOW


@pytest.mark.parametrize("damage", [lambda path: path.unlink(missing_ok=True), lambda path: path.write_bytes(b"")])
async def test_a_log_that_is_removed_or_emptied_is_followed_when_it_is_back(
    path: Path, verdicts: ServerVerdicts, damage: Callable[[Path], object]
) -> None:
    append(path, line(b"/x.csv"), line(b"/y.csv"))
    await poll(verdicts, [])
    damage(path)
    assert await poll(verdicts, ["a.csv"]) == []
    append(path, line())
    assert await poll(verdicts, ["a.csv"]) == ["a.csv"]


# Of several directories


@pytest.fixture
def two(log: SharedLog, tmp_path: Path) -> tuple[ServerVerdicts, ServerVerdicts]:
    return log.of(tmp_path / "upload" / "acme"), log.of(tmp_path / "upload" / "other")


async def test_each_directory_is_told_of_its_own_files(path: Path, two: tuple[ServerVerdicts, ServerVerdicts]) -> None:
    acme, other = two
    woken: list[str] = []
    acme.listen(lambda: woken.append("acme"))
    other.listen(lambda: woken.append("other"))
    append(path, line(b"/acme/old.csv"))
    await poll(acme, [])
    assert not woken
    append(path, line(b"/acme/a.csv"), line(b"/other/b.csv", result=b"FAIL"), line(b"/other/a.csv", result=b"FAIL"))
    assert await poll(acme, ["a.csv", "b.csv"]) == ["a.csv"]
    assert await poll(other, ["a.csv", "b.csv"]) == ["a.csv", "b.csv"]
    assert sorted(woken) == ["acme", "other"]
    assert (acme.take("a.csv", 5, []), acme.take("b.csv", 5, [])) == (OK, None)
    assert (other.take("a.csv", 5, []), other.take("b.csv", 5, [])) == (FAILED, FAILED)


async def test_each_line_is_understood_once_whatever_the_number_of_directories(
    path: Path, tmp_path: Path, log: SharedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    understood: list[bytes] = []
    parse = server_log.parse

    def counted(raw: bytes, *, is_live: bool, root: str = "/") -> LogEntry | None:
        understood.append(raw)
        return parse(raw, is_live=is_live, root=root)

    monkeypatch.setattr(server_log, "parse", counted)
    every = [log.of(tmp_path / "upload" / f"{number}") for number in range(300)]
    append(path, *[line(b"/%d/a.csv" % number) for number in range(300)])
    await asyncio.gather(*(each.refresh() for each in every))
    append(path, *[line(b"/%d/b.csv" % number) for number in range(300)])
    await asyncio.gather(*(each.refresh() for each in every))
    assert [each.take("a.csv", 5, []) for each in every] == [OK] * 300
    assert [each.take("b.csv", 5, []) for each in every] == [OK] * 300
    assert len(understood) == 600


async def test_who_asks_while_the_log_is_read_hears_of_what_was_logged_before(
    path: Path, two: tuple[ServerVerdicts, ServerVerdicts]
) -> None:
    first = asyncio.create_task(two[0].refresh())
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # it reads now
    append(path, line(b"/other/a.csv"))
    await two[1].refresh()
    assert two[1].take("a.csv", 5, []) is OK
    await first


async def test_a_flood_of_one_directory_costs_no_other_one_its_verdicts(
    path: Path, two: tuple[ServerVerdicts, ServerVerdicts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.uploads.verdicts._MOST_PENDING", 100)
    acme, other = two
    await poll(acme, [])
    append(path, *[line(b"/other/%d.csv" % number) for number in range(10)])
    append(path, *[line(b"/acme/%d.csv" % number) for number in range(500)])
    await poll(acme, [])
    assert len(acme.pending) == 90
    assert [other.take(f"{number}.csv", 5, []) for number in range(10)] == [OK] * 10
    assert (acme.lost_at, other.lost_at) == (NOW, float("-inf"))


@given(st.lists(st.integers(0, 1000)), st.integers(0, 5000))
def test_a_fair_share_is_the_largest_bound_under_which_all_together_keep_to_theirs(sizes: list[int], most: int) -> None:
    def kept(bound: int) -> int:
        return sum(min(size, bound) for size in sizes)

    share = fair_share(sizes, most)
    assert kept(share) <= most
    assert kept(share + 1) > most or share >= max(sizes, default=0)


async def test_a_directory_that_comes_later_has_what_was_said_of_its_files_as_said_before_our_time(
    path: Path, tmp_path: Path, log: SharedLog
) -> None:
    first = log.of(tmp_path / "upload" / "first")
    await poll(first, [])
    append(path, line(b"/late/a.csv"), line(b"/late/b.csv"))
    await poll(first, [])
    late = log.of(tmp_path / "upload" / "late")
    assert late.tells_all_of("a.csv")
    assert (late.take("a.csv", 5, []), late.take("b.csv", 6, [])) == (OK, None), "only with the same size"
    append(path, line(b"/late/c.csv"))
    await poll(late, [])
    late.close()
    assert log.of(tmp_path / "upload" / "late").take("c.csv", 5, []) is OK, "one that goes and comes again, too"


async def test_directories_that_are_logged_alike_get_no_verdict(path: Path, tmp_path: Path, log: SharedLog) -> None:
    one = log.of(tmp_path / "upload" / "\xe9cole")
    await poll(one, [])
    append(path, line(b"/??cole/a.csv"))
    other = log.of(tmp_path / "upload" / "\xe8cole")
    await poll(other, [])
    assert one.take("a.csv", 5, []) is None
    assert other.take("a.csv", 5, []) is None
    other.close()
    assert one.take("a.csv", 5, []) is OK, "as soon as it can mean no other"


async def test_a_transfer_into_another_clients_directory_does_not_seem_to_have_gone_astray(
    path: Path, two: tuple[ServerVerdicts, ServerVerdicts]
) -> None:
    await poll(two[0], [])
    append(path, line(b"/other/a.csv"), line(b"/nobody/b.csv"))
    await poll(two[0], [])
    assert two[0].take("a.csv", 5, []) is None
    assert two[0].astray is None
    assert two[0].take("b.csv", 5, []) is None
    assert two[0].astray == ("b.csv", "/nobody/b.csv")


async def test_a_verdict_goes_with_a_file_that_is_renamed_into_a_directory(
    path: Path, two: tuple[ServerVerdicts, ServerVerdicts]
) -> None:
    await poll(two[0], [])
    append(path, line(b"/draft/a.csv", result=b"FAIL"), renaming(b"/draft/a.csv /acme/a.csv"))
    append(path, line(b"/acme/sub/b.csv", result=b"FAIL"), renaming(b"/acme/sub/b.csv /acme/b.csv"))
    append(path, renaming(b"/unknown.csv /acme/c.csv"))
    await poll(two[0], [])
    assert [two[0].take(name, 5, []) for name in ("a.csv", "b.csv", "c.csv")] == [FAILED, FAILED, OK]


async def test_what_is_told_while_the_others_are_swept_stays(path: Path, verdicts: ServerVerdicts) -> None:
    await poll(verdicts, [])
    append(path, line(b"/a.csv", result=b"FAIL"))
    await poll(verdicts, [])
    await verdicts.sweep([])
    append(path, line(b"/a.csv"))
    await poll(verdicts, [])
    await verdicts.sweep([])
    assert verdicts.take("a.csv", 5, []) is OK


async def test_a_log_that_may_not_be_read_is_told_once_and_its_silence_means_nothing(tmp_path: Path) -> None:
    log = shared(tmp_path, tmp_path)  # a directory
    one, other = log.of(tmp_path / "one"), log.of(tmp_path / "other")
    with capture_logs() as events:
        for each in (one, other, one):
            await each.refresh()
    assert [event["event"] for event in events] == ["server_log_unreadable"]
    assert (one.lost_at, other.lost_at) == (NOW, NOW)


async def test_the_log_is_read_every_second_from_when_it_is_first_asked_for(
    path: Path, verdicts: ServerVerdicts, log: SharedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.uploads.verdicts.LOG_POLL_SECONDS", 0.01)
    stopping, told = asyncio.Event(), asyncio.Event()
    verdicts.listen(told.set)
    running = asyncio.create_task(log.run(stopping))
    await asyncio.sleep(0)
    await verdicts.refresh()
    append(path, line())
    await asyncio.wait_for(told.wait(), 20)
    assert verdicts.take("a.csv", 5, []) is OK
    stopping.set()
    await asyncio.wait_for(running, 20)
