"""vsftpd's log: which lines tell of an upload, which file they mean, and that none is lost at a rotation."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.model import ServerVerdict
from watcher.server_log import Entry, Renamed, ServerLog, ServerVerdicts, Transfer, logged_path, parse

OK, FAILED = ServerVerdict.OK, ServerVerdict.FAILED


def line(path: bytes = b"/a.csv", *, result: bytes = b"OK", size: int | None = 5, kind: bytes = b"UPLOAD") -> bytes:
    """A line as vsftpd 3.0.3 writes it, line break included."""
    amount = b"" if size is None else b", %d bytes" % size
    head = b"Wed Jul  1 12:00:00 2026 [pid 4711] [ftp] " + result + b" " + kind
    return head + b': Client "::ffff:127.0.0.1", "' + path + b'"' + amount + b", 103.05Kbyte/sec\n"


def transfer(path: bytes = b"/a.csv", verdict: ServerVerdict = OK, size: int | None = 5) -> Transfer:
    return Transfer(path=path, verdict=verdict, size=size, is_live=True)


def parsed(raw: bytes) -> Entry | None:
    return parse(raw.rstrip(b"\n"), is_live=True)


def test_an_upload_that_ended_well_and_one_that_did_not() -> None:
    assert parsed(line()) == transfer()
    assert parsed(line(result=b"FAIL", size=0)) == transfer(verdict=FAILED, size=0)


def test_a_line_without_a_size_still_tells_the_verdict() -> None:
    assert parsed(line(size=None)) == transfer(size=None)


@pytest.mark.parametrize(
    "other",
    [
        b'Wed Jul  1 12:00:00 2026 [pid 2] CONNECT: Client "127.0.0.1"\n',
        b'Wed Jul  1 12:00:00 2026 [pid 1] [ftp] OK LOGIN: Client "127.0.0.1", anon password "x"\n',
        b'Wed Jul  1 12:00:00 2026 [pid 3] [ftp] FAIL RENAME: Client "127.0.0.1", "/.in.a.csv /a.csv"\n',
        b'Wed Jul  1 12:00:00 2026 [pid 3] [ftp] OK MKDIR: Client "127.0.0.1", "/a.csv"\n',
        line(kind=b"DOWNLOAD"),
        b"\n",
        b"\xff\x00 no line at all\n",
        line()[:-9] + b"\n",
    ],
)
def test_other_lines_tell_nothing(other: bytes) -> None:
    assert parsed(other) is None


def renaming(both: bytes) -> bytes:
    return b'Wed Jul  1 12:00:00 2026 [pid 3] [ftp] OK RENAME: Client "127.0.0.1", "' + both + b'"\n'


def test_a_rename_tells_both_names_and_where_blanks_leave_doubt_all_that_it_may_mean() -> None:
    assert parsed(renaming(b"/.in.a.csv //a.csv")) == Renamed(readings=((b"/.in.a.csv", b"/a.csv"),), is_live=True)
    assert parsed(renaming(b"/a /b /c.csv")) == Renamed(
        readings=((b"/a", b"/b /c.csv"), (b"/a /b", b"/c.csv")), is_live=True
    )


def test_a_name_that_looks_like_a_line_is_still_a_name() -> None:
    forged = b'/x] OK UPLOAD: Client "1", "/victim.csv'
    assert parsed(line(forged, result=b"FAIL")) == transfer(forged, FAILED)
    assert parsed(line(forged, kind=b"DOWNLOAD")) is None


@pytest.mark.parametrize("name", [b'a"b.csv', b'a", 9 bytes, 1.00Kbyte/sec.csv', b"[a] b.csv", b" a .csv", b"a\\b.csv"])
def test_odd_names_are_read_from_the_right(name: bytes) -> None:
    assert parsed(line(b"/" + name)) == transfer(b"/" + name)


@pytest.mark.parametrize(
    "path", [b"/a.csv", b"//a.csv", b"///a.csv", b"/./a.csv", b"/b/../a.csv", b"/../a.csv", b"a.csv"]
)
def test_paths_are_normalised(path: bytes) -> None:
    assert parsed(line(path)) == transfer(b"/a.csv")


def test_what_is_not_printable_ascii_is_logged_as_question_marks() -> None:
    assert logged_path("/é.csv") == b"/??.csv"
    assert logged_path("/a\n\x1b\udcff~ .csv") == b"/a???~ .csv"


@given(
    st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1).map(lambda text: f"x{text}")
)
def test_a_files_name_finds_its_line_whatever_it_is(name: str) -> None:
    assert parsed(line(logged_path(f"/{name}"))) == transfer(logged_path(f"/{name}"))


@given(st.binary())
def test_no_line_is_an_error(raw: bytes) -> None:
    parse(raw, is_live=False)


# The file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vsftpd.log"


def append(path: Path, *lines: bytes) -> None:
    with path.open("ab") as file:
        file.writelines(lines)


def names(found: list[Entry]) -> list[bytes]:
    return [each.path for each in found if isinstance(each, Transfer)]


def test_the_log_need_not_exist_yet(path: Path) -> None:
    log = ServerLog(path)
    assert log.poll() == []
    append(path, line())
    assert log.poll() == [transfer()]
    assert log.poll() == []
    log.close()


def test_lines_from_before_our_time_are_told_apart(path: Path) -> None:
    append(path, line(b"/old.csv"))
    log = ServerLog(path)
    assert log.poll() == [replace(transfer(b"/old.csv"), is_live=False)]
    append(path, line(b"/new.csv"))
    assert log.poll() == [transfer(b"/new.csv")]
    log.close()


def test_a_line_is_told_when_it_is_whole(path: Path) -> None:
    log = ServerLog(path)
    append(path, line()[:40])
    assert log.poll() == []
    append(path, line()[40:-1])
    assert log.poll() == []
    append(path, b"\n")
    assert log.poll() == [transfer()]
    log.close()


def test_of_a_long_log_only_the_end_is_read_at_the_start(path: Path) -> None:
    append(path, line(b"/ancient.csv"), b"x" * (5 << 20), b"\n", line(b"/recent.csv"))
    log = ServerLog(path)
    assert names(log.poll()) == [b"/recent.csv"]
    log.close()


def test_a_rotation_by_rename_loses_no_line(path: Path) -> None:
    log = ServerLog(path)
    append(path, line(b"/1.csv"))
    log.poll()
    append(path, line(b"/2.csv"))
    old = path.rename(path.with_name("vsftpd.log.1"))
    assert names(log.poll()) == [b"/2.csv"]
    append(path, line(b"/3.csv"))
    assert names(log.poll()) == [b"/3.csv"]
    append(old, line(b"/4.csv"))
    assert names(log.poll()) == [b"/4.csv"], "a session from before the rotation still writes to the old file"
    log.close()


def test_the_old_file_is_let_go_at_the_next_rotation(path: Path) -> None:
    log = ServerLog(path)
    for number in range(4):
        append(path, line(b"/%d.csv" % number))
        assert names(log.poll()) == [b"/%d.csv" % number]
        path.rename(path.with_name(f"vsftpd.log.{number}"))
    append(path.with_name("vsftpd.log.0"), line(b"/late.csv"))
    assert log.poll() == []
    log.close()


def test_a_truncated_log_is_read_from_its_beginning(path: Path) -> None:
    log = ServerLog(path)
    append(path, line(b"/1.csv"), line(b"/2.csv"))
    log.poll()
    path.write_bytes(line(b"/3.csv"))
    assert names(log.poll()) == [b"/3.csv"]
    append(path, *[line(b"/%d.csv" % number) for number in range(4, 9)])
    assert names(log.poll()) == [b"/%d.csv" % number for number in range(4, 9)]
    log.close()


def test_a_log_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        ServerLog(tmp_path).poll()


# Verdicts by name


@pytest.fixture
def verdicts(path: Path, tmp_path: Path) -> ServerVerdicts:
    return ServerVerdicts(ServerLog(path), tmp_path / "upload", tmp_path / "upload")


def test_a_verdict_is_told_once(path: Path, verdicts: ServerVerdicts) -> None:
    assert verdicts.poll(["a.csv"]) == []
    append(path, line())
    assert verdicts.poll(["a.csv", "b.csv"]) == ["a.csv"]
    assert verdicts.take("b.csv", 5, ["a.csv", "b.csv"]) is None
    assert verdicts.take("a.csv", 5, ["a.csv", "b.csv"]) is OK
    assert verdicts.take("a.csv", 5, ["a.csv", "b.csv"]) is None
    verdicts.close()


def test_the_last_transfer_of_a_name_counts(path: Path, verdicts: ServerVerdicts) -> None:
    verdicts.poll([])
    append(path, line(result=b"FAIL"), line())
    verdicts.poll([])
    assert verdicts.take("a.csv", 5, []) is OK
    append(path, line(), line(result=b"FAIL"))
    verdicts.poll([])
    assert verdicts.take("a.csv", 5, []) is FAILED
    verdicts.close()


def test_an_old_line_counts_only_for_a_file_of_its_size(path: Path, verdicts: ServerVerdicts) -> None:
    append(path, line(size=5), line(b"/b.csv", size=5, result=b"FAIL"), line(b"/c.csv", size=5))
    verdicts.poll([])
    assert verdicts.take("a.csv", 5, []) is OK
    assert verdicts.take("b.csv", 5, []) is FAILED
    assert verdicts.take("c.csv", 6, []) is None
    verdicts.close()


def test_a_resumed_transfer_tells_its_own_bytes_and_still_counts(path: Path, verdicts: ServerVerdicts) -> None:
    verdicts.poll([])
    append(path, line(size=5))
    verdicts.poll([])
    assert verdicts.take("a.csv", 1_000_005, []) is OK
    verdicts.close()


def test_names_that_are_logged_alike_get_no_verdict(path: Path, verdicts: ServerVerdicts) -> None:
    verdicts.poll([])
    append(path, line(b"/??.csv"))
    verdicts.poll([])
    assert verdicts.take("é.csv", 5, ["é.csv", "è.csv"]) is None
    assert verdicts.take("é.csv", 5, ["è.csv"]) is None, "whether or not it is among the names itself"
    assert verdicts.take("é.csv", 5, ["é.csv"]) is OK, "as soon as it can mean no other"
    verdicts.close()


def test_a_question_mark_of_the_senders_own_is_a_name_like_any(path: Path, verdicts: ServerVerdicts) -> None:
    verdicts.poll([])
    append(path, line(b"/who?.csv"))
    assert verdicts.poll(["who?.csv"]) == ["who?.csv"]
    assert verdicts.take("who?.csv", 5, ["who?.csv", "who.csv"]) is OK
    verdicts.close()


def test_paths_are_those_of_the_sessions_root(path: Path, tmp_path: Path) -> None:
    verdicts = ServerVerdicts(ServerLog(path), tmp_path / "home" / "ana" / "upload", tmp_path / "home")
    verdicts.poll([])
    append(path, line(b"/ana/upload/a.csv"), line(b"/b.csv"))
    assert verdicts.poll(["a.csv", "b.csv"]) == ["a.csv"]
    verdicts.close()


def test_a_verdict_goes_with_a_file_that_is_renamed(path: Path, verdicts: ServerVerdicts) -> None:
    append(path, line(b"/old.csv.part", size=7), renaming(b"/old.csv.part /old.csv"))
    append(path, line(b"/cut.csv.part", result=b"FAIL", size=7), renaming(b"/cut.csv.part /cut.csv"))
    verdicts.poll([])
    assert verdicts.take("old.csv", 7, []) is OK
    assert verdicts.take("cut.csv", 7, []) is FAILED
    append(path, line(b"/new.csv.part"), renaming(b"/new.csv.part /new.csv"))
    assert verdicts.poll(["new.csv"]) == ["new.csv"]
    assert verdicts.take("new.csv", 5, []) is OK
    verdicts.close()


def test_a_rename_of_a_file_that_nothing_is_known_of_counts_as_its_end_unless_it_is_an_old_one(
    path: Path, verdicts: ServerVerdicts
) -> None:
    append(path, renaming(b"/1.part /1.csv"))
    verdicts.poll([])
    append(path, line(b"/2.csv", result=b"FAIL"), renaming(b"/2.part /2.csv"))
    verdicts.poll([])
    assert verdicts.take("1.csv", 5, []) is None
    assert verdicts.take("2.csv", 5, []) is OK, "it took the place of the one that failed"
    verdicts.close()


def test_a_log_tells_all_when_it_has_told_of_a_transfer_into_the_directory(
    path: Path, verdicts: ServerVerdicts
) -> None:
    append(path, line(b"/elsewhere/a.csv"), renaming(b"/a /b"))
    verdicts.poll([])
    assert not verdicts.tells_all_of("a.csv")
    append(path, line(b"/other.csv", result=b"FAIL"))
    verdicts.poll([])
    assert verdicts.tells_all_of("a.csv")
    assert not verdicts.tells_all_of("é.csv"), "it may be told by a line that may mean another file"
    verdicts.close()


def test_what_was_logged_before_the_last_rotation_is_read_at_the_start(path: Path, verdicts: ServerVerdicts) -> None:
    append(path.with_name("vsftpd.log.1"), line(), line(b"/b.csv", result=b"FAIL"))
    append(path, line(b"/b.csv"))
    verdicts.poll([])
    assert verdicts.take("a.csv", 5, []) is OK
    assert verdicts.take("b.csv", 5, []) is OK, "the last one counts"
    verdicts.close()


def test_what_is_said_of_files_that_are_not_there_is_forgotten_at_the_second_sweep(
    path: Path, verdicts: ServerVerdicts
) -> None:
    append(path, *[line(b"/%d.csv" % number) for number in range(3)])
    verdicts.poll([])
    verdicts.sweep(["0.csv"])
    verdicts.sweep(["0.csv", "2.csv"])
    taken = [verdicts.take(f"{number}.csv", 5, []) for number in range(3)]
    assert taken == [OK, None, OK]
    verdicts.close()


def test_a_flood_of_other_names_is_forgotten_and_said_to_be(
    path: Path, verdicts: ServerVerdicts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.server_log._MOST_PENDING", 100)
    verdicts.poll([])
    append(path, line(b"/first.csv"), *[line(b"/%d.csv" % number) for number in range(100)])
    verdicts.poll([])
    assert verdicts.has_lost
    assert verdicts.take("first.csv", 5, []) is None
    assert verdicts.take("99.csv", 5, []) is OK
    verdicts.poll([])
    assert not verdicts.has_lost
    verdicts.close()


def test_a_log_that_was_cut_short_is_said_to_have_lost_lines(path: Path, verdicts: ServerVerdicts) -> None:
    append(path, line(), line())
    verdicts.poll([])
    assert not verdicts.has_lost
    path.write_bytes(line())
    verdicts.poll([])
    assert verdicts.has_lost
    path.rename(path.with_name("vsftpd.log.1"))
    append(path, line())
    verdicts.poll([])
    assert not verdicts.has_lost
    verdicts.close()


@pytest.mark.parametrize("damage", [lambda path: path.unlink(missing_ok=True), lambda path: path.write_bytes(b"")])
def test_a_log_that_is_removed_or_emptied_is_followed_when_it_is_back(
    path: Path, verdicts: ServerVerdicts, damage: Callable[[Path], object]
) -> None:
    append(path, line(b"/x.csv"), line(b"/y.csv"))
    verdicts.poll([])
    damage(path)
    assert verdicts.poll(["a.csv"]) == []
    append(path, line())
    assert verdicts.poll(["a.csv"]) == ["a.csv"]
    verdicts.close()
