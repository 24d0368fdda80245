"""vsftpd's log: which lines tell of an upload, which file they mean, and that none is lost at a rotation."""

import gzip
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.uploads.model import ServerVerdict, Transfer
from watcher.uploads.server_log import LogEntry, Renamed, ServerLog, logged_path, parse

OK, FAILED = ServerVerdict.OK, ServerVerdict.FAILED


def line(path: bytes = b"/a.csv", *, result: bytes = b"OK", size: int | None = 5, kind: bytes = b"UPLOAD") -> bytes:
    """A line as vsftpd 3.0.3 writes it, line break included."""
    amount = b"" if size is None else b", %d bytes" % size
    head = b"Wed Jul  1 12:00:00 2026 [pid 4711] [ftp] " + result + b" " + kind
    return head + b': Client "::ffff:127.0.0.1", "' + path + b'"' + amount + b", 103.05Kbyte/sec\n"


def transfer(path: bytes = b"/a.csv", verdict: ServerVerdict = OK, size: int | None = 5) -> Transfer:
    return Transfer(path=path, verdict=verdict, size=size, is_live=True)


def parsed(raw: bytes) -> LogEntry | None:
    return parse(raw.rstrip(b"\n"), is_live=True)


def test_an_upload_that_ended_well_and_one_that_did_not() -> None:
    assert parsed(line()) == transfer()
    assert parsed(line(result=b"FAIL", size=0)) == transfer(verdict=FAILED, size=0)


@pytest.mark.parametrize("result", [OK, FAILED])
def test_of_a_transfer_of_nothing_vsftpd_names_no_size(result: ServerVerdict) -> None:
    named = b"OK" if result is OK else b"FAIL"
    assert parsed(line(result=named, size=None)) == transfer(verdict=result, size=0)


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


def names(found: list[LogEntry]) -> list[bytes]:
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


@pytest.mark.parametrize("name", ["vsftpd.log.1", "vsftpd.log-20260701", "vsftpd.log-20260701.gz", "vsftpd.log.1.gz"])
def test_the_log_before_the_last_rotation_is_read_at_the_start_whatever_its_name(path: Path, name: str) -> None:
    rotated = path.with_name(name)
    rotated.write_bytes(gzip.compress(line(b"/old.csv")) if name.endswith(".gz") else line(b"/old.csv"))
    older = path.with_name("vsftpd.log.2")
    append(older, line(b"/ancient.csv"))
    os.utime(older, (0, 0))
    append(path, line(b"/new.csv"))
    log = ServerLog(path)
    assert names(log.poll()) == [b"/old.csv", b"/new.csv"]
    log.close()


def test_a_rotated_log_that_is_damaged_is_passed_over(path: Path) -> None:
    path.with_name("vsftpd.log.1.gz").write_bytes(gzip.compress(line())[:-6])
    path.with_name("vsftpd.log.d").mkdir()
    append(path, line(b"/new.csv"))
    log = ServerLog(path)
    assert names(log.poll()) == [b"/new.csv"]
    log.close()


def test_a_truncated_log_that_has_grown_again_is_known_to_be_another(path: Path) -> None:
    """As by logrotate's copytruncate, when much is logged before the next look."""
    log = ServerLog(path)
    append(path, line(b"/1.csv"))
    log.poll()
    path.write_bytes(line(b"/2.csv", result=b"FAIL") + line(b"/3.csv"))
    assert names(log.poll()) == [b"/2.csv", b"/3.csv"]
    assert log.was_cut
    log.close()


def test_a_log_that_was_rotated_twice_between_two_looks_is_known_to_have_lost_lines(path: Path) -> None:
    log = ServerLog(path)
    for number in range(3):
        append(path, line())
        os.utime(path, ns=(number, number))
        if number != 1:
            log.poll()
        assert log.was_cut == (number == 2)
        path.rename(path.with_name(f"vsftpd.log.{number}"))
    log.close()
