"""The command line: what it prints, its exit codes, and that no mistake of a user ends in a traceback."""

import csv
import datetime as dt
import errno
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from importer.database.engines import make_engine
from importer.database.tables import mails, migrate
from importer.formats.columns import REPORT_COLUMNS
from importer.formats.format_file import load_format
from notifier import outbox
from tests.generate.big import big_file
from tests.importing import BUILT_IN, NOW, Site, make_site, rows_of
from tests.mailing import ADDRESSES, LETTERS, failed_rows, store
from tests.mailing import NOW as MAILED
from tests.servers.postgresql import PostgresqlServer
from tests.servers.tools import environment
from watcher.base.control import CONTROL
from watcher.base.exit_codes import ExitCode
from watcher.base.instance import AlreadyRunningError, InstanceLocks, node_name
from watcher.commands.cli import SUMMARIES, main
from watcher.commands.cli import userdrop as command_line
from watcher.settings.naming import PREFIX, variable
from watcher.settings.variables import Settings

ROOT = Path(__file__).parents[3]
FIXTURES = ROOT / "fixtures"
KEYS = {
    "file",
    "encoding",
    "separator",
    "records",
    "accepted",
    "failed",
    "blank",
    "warnings",
    "refused",
    "failures",
}
COMMANDS = [
    "run",
    "demo",
    "doctor",
    "status",
    "check",
    "history",
    "why",
    "user",
    "retry",
    "reimport",
    "now",
    "forget",
    "columns",
    "tables",
    "template",
    "settings",
    "setup",
    "client",
]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Userdrop = Callable[..., Ended]


@pytest.fixture
def userdrop(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Userdrop:
    """Run a command in this process: `userdrop("check", file, SMTP_HOST="…")`."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:  # noqa: TID251 - what settings read
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, **settings: object) -> Ended:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["userdrop", *map(str, arguments)])
            for name, value in settings.items():
                patch.setenv(PREFIX + name, str(value))
            with pytest.raises(SystemExit) as end:
                main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert isinstance(end.value.code, int)
        return Ended(end.value.code, out, err)

    return run


def process(
    *arguments: str, directory: Path, stdout: int = subprocess.PIPE, **settings: object
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process of its own."""
    variables = {PREFIX + name: str(value) for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "watcher", *arguments],
        env=environment(PYTHONPATH=str(ROOT), **variables),
        cwd=directory,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
    )


def checked(userdrop: Userdrop, file: Path, *arguments: object, **settings: object) -> tuple[Ended, dict[str, object]]:
    ended = userdrop("check", "--json", file, *arguments, **settings)
    assert ended.out.count("\n") == 1
    return ended, json.loads(ended.out)


# Help and usage


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_explains_itself(userdrop: Userdrop, command: list[str], option: str) -> None:
    ended = userdrop(*command, option)
    assert ended.code == 0
    assert ended.out.startswith("Usage: userdrop")
    assert "--help" in ended.out


def test_the_help_names_every_command(userdrop: Userdrop) -> None:
    assert all(f"  {name} " in userdrop("--help").out for name in COMMANDS)


def test_the_list_of_commands_tells_what_each_says_of_itself_and_is_sorted() -> None:
    assert {name: first_sentence(command.help) for name, command in command_line.commands.items()} == {**SUMMARIES}
    assert [*SUMMARIES] == sorted(SUMMARIES)


def first_sentence(text: str | None) -> str:
    return " ".join((text or "").partition("\n\n")[0].split())


def test_the_list_of_commands_loads_none_of_them() -> None:
    code = "import sys; from contextlib import suppress; from watcher.commands.cli import main\n"
    code += "with suppress(SystemExit): main()\n"
    code += "print(sorted(name.rpartition('.')[2] for name in sys.modules if name.startswith('watcher.commands.')))"
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], cwd=ROOT, env=environment(), capture_output=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == b"['cli', 'terminal']"


def test_no_help_names_a_code_with_which_nothing_ends() -> None:
    told = " ".join(str(each.help) for each in (command_line, *command_line.commands.values()))
    listed = re.findall(r"Exit codes: (.*?)\.(?:\s|$)", told)
    codes = {int(code) for line in listed for code in re.findall(r"(?:^|, )(\d+) ", line)}
    assert (len(listed), codes) == (15, {*ExitCode})


def test_the_demonstration_empties_no_directory_of_others(userdrop: Userdrop, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    ended = userdrop("demo", "--place", str(tmp_path))
    assert ended.code == ExitCode.USAGE
    assert ended.err.endswith("it holds files that are no demonstration's; name a directory by --place\n")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_version_is_shown(userdrop: Userdrop) -> None:
    assert userdrop("--version").out.startswith("userdrop, version ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sing"],
        ["--loud"],
        ["check"],
        ["check", "missing.csv"],
        ["check", "."],
        ["check", "/dev/null"],
        ["run", "--twice"],
        ["columns", "--html"],
        ["template", "users"],
        ["history", "--since", "0"],
        ["history", "people.csv"],
        ["user"],
        ["user", os.fsdecode(b"\xff")],
    ],
)
def test_wrong_usage_ends_with_3_and_a_sentence(userdrop: Userdrop, arguments: list[str]) -> None:
    ended = userdrop(*arguments)
    assert ended.code == 3
    assert ended.err


# check


@pytest.mark.parametrize("file", sorted(FIXTURES.glob("*.csv*")), ids=lambda file: file.name)
def test_check_prints_one_object_whose_counts_add_up_and_ends_with_its_verdict(userdrop: Userdrop, file: Path) -> None:
    ended, found = checked(userdrop, file)
    assert set(found) == KEYS
    assert found["file"] == file.name
    counts = {name: found[name] for name in ("records", "accepted", "failed", "blank")}
    assert all(isinstance(count, int) for count in counts.values())
    assert counts["accepted"] + counts["failed"] + counts["blank"] == counts["records"]  # type: ignore[operator]
    failures = found["failures"]
    assert isinstance(failures, list)
    assert len(failures) == counts["failed"]
    for failure in failures:
        assert set(failure) == {"row", "line", "key", "reasons"}
        assert failure["reasons"]
        assert all(set(reason) == {"code", "column", "message"} for reason in failure["reasons"])
    assert ended.code == (2 if found["refused"] else 1 if counts["failed"] else 0)


@pytest.mark.parametrize(("name", "code"), [("clean.csv", 0), ("demo.csv", 1), ("empty.csv", 2)])
def test_check_ends_with_the_same_code_without_json(userdrop: Userdrop, name: str, code: int) -> None:
    ended = userdrop("check", FIXTURES / name)
    assert ended.code == code
    assert name in ended.out


def test_check_shows_the_counts_and_an_example_of_each_mistake(userdrop: Userdrop) -> None:
    text = " ".join(userdrop("check", FIXTURES / "demo.csv").out.split())
    assert text.startswith("demo.csv: 14 rows, 11 accepted, 3 failed")
    assert "1 email invalid row 8: email" in text


def test_check_writes_the_accepted_rows_so_that_they_pass_again(userdrop: Userdrop, tmp_path: Path) -> None:
    target = tmp_path / "good.csv"
    userdrop("check", FIXTURES / "demo.csv", "--accepted", target)
    ended, found = checked(userdrop, target)
    assert (ended.code, found["accepted"], found["failed"]) == (0, 11, 0)


def test_check_writes_the_failed_rows_with_their_reasons(userdrop: Userdrop, tmp_path: Path) -> None:
    target = tmp_path / "bad.csv"
    userdrop("check", FIXTURES / "demo.csv", "--failed", target)
    with target.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert all(row["import_error"] for row in rows)
    assert set(rows[0]) & set(REPORT_COLUMNS) >= {"import_error", "import_row"}
    found = checked(userdrop, target)[1]
    assert (found["records"], found["failed"]) == (3, 2), (
        "the row that was a duplicate is the only one of its user here"
    )


def test_check_takes_the_size_limit_and_the_default_login_source_from_the_settings(
    userdrop: Userdrop, tmp_path: Path
) -> None:
    file = tmp_path / "a.csv"
    file.write_text("unique_id,first_name\nU1,Ana\n", encoding="utf-8")
    assert userdrop("check", file).code in {1, 2}
    assert userdrop("check", file, DEFAULT_LOGIN_SOURCE="OPSCOM").code == 0
    file.write_bytes(b"unique_id\n" * 200_000)
    ended, found = checked(userdrop, file, MAX_FILE_MB=1)
    assert ended.code == 2
    assert found["refused"]["code"] == "file_too_large"  # type: ignore[index]


def test_check_never_writes_over_what_it_reads(userdrop: Userdrop, tmp_path: Path) -> None:
    content = (FIXTURES / "demo.csv").read_bytes()
    file = tmp_path / "a.csv"
    file.write_bytes(content)
    (tmp_path / "link.csv").symlink_to(file)
    for arguments in (["--accepted", file], ["--failed", tmp_path / "link.csv"], ["--accepted", "x", "--failed", "x"]):
        assert userdrop("check", file, *arguments).code == 3
    assert file.read_bytes() == content


@pytest.mark.parametrize("option", ["--accepted", "--failed"])
@pytest.mark.parametrize("target", [".", "nowhere/out.csv", "/dev/full"])
def test_an_output_that_cannot_be_written_ends_with_3_and_a_sentence(
    userdrop: Userdrop, option: str, target: str
) -> None:
    ended = userdrop("check", FIXTURES / "demo.csv", option, target)
    assert ended.code == 3
    assert ended.err


def test_a_file_name_of_any_bytes_is_shown(userdrop: Userdrop, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\x1b[31m\n.csv")
    (tmp_path / name).write_bytes((FIXTURES / "clean.csv").read_bytes())
    ended = userdrop("check", name)
    assert ended.code == 0
    assert ended.out.startswith(r"\xff\x1b[31m\n.csv: 20 rows")
    assert checked(userdrop, tmp_path / name)[1]["file"] == name


def test_a_pipe_is_not_waited_for(userdrop: Userdrop, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.csv")
    assert userdrop("check", "x.csv").code == 3


# retry


def quarantined(upload: Path, *ids: str, name: str = "people.csv") -> None:
    for id_ in ids:
        place = upload / ".quarantine" / id_
        place.mkdir(parents=True)
        (place / name).write_bytes(b"x")
        (place / "REASON").write_bytes(b"y")


def test_a_file_of_the_quarantine_is_put_back_by_its_name(userdrop: Userdrop, tmp_path: Path) -> None:
    quarantined(tmp_path, "c1")
    ended = userdrop("retry", "people.csv", UPLOAD_DIR=tmp_path)
    assert (ended.code, ended.out) == (0, f"people.csv lies in {tmp_path} again\n")
    assert (tmp_path / "people.csv").read_bytes() == b"x"
    assert (
        userdrop("retry", "people.csv", UPLOAD_DIR=tmp_path).err == "userdrop: there is no people.csv in quarantine\n"
    )


def test_of_several_files_with_a_name_one_is_put_back_by_its_claim(userdrop: Userdrop, tmp_path: Path) -> None:
    quarantined(tmp_path, "c1", "c2")
    ended = userdrop("retry", "people.csv", UPLOAD_DIR=tmp_path)
    assert (ended.code, ended.err.count("c1, c2")) == (3, 1)
    assert userdrop("retry", "c2", UPLOAD_DIR=tmp_path).code == 0
    ended = userdrop("retry", "c1", UPLOAD_DIR=tmp_path)
    assert (ended.code, "a newer people.csv waits" in ended.err) == (1, True)
    assert (tmp_path / ".quarantine" / "c1" / "people.csv").exists()


def test_the_upload_directory_itself_may_be_a_link_of_the_administrators(userdrop: Userdrop, tmp_path: Path) -> None:
    quarantined(tmp_path / "disk", "c1")
    (tmp_path / "upload").symlink_to("disk")
    assert userdrop("retry", "people.csv", UPLOAD_DIR=tmp_path / "upload").code == 0
    assert (tmp_path / "disk" / "people.csv").read_bytes() == b"x"


@pytest.mark.parametrize("command", ["retry", "reimport"])
def test_an_upload_directory_that_is_missing_is_told(userdrop: Userdrop, tmp_path: Path, command: str) -> None:
    ended = userdrop(command, "people.csv", UPLOAD_DIR=tmp_path / "away")
    assert (ended.code, ended.err) == (
        3,
        f"userdrop: {tmp_path / 'away'} cannot be opened: No such file or directory\n",
    )


# dropped again; ticks that are asked for


def test_an_archived_file_is_dropped_again_by_either_name(userdrop: Userdrop, tmp_path: Path) -> None:
    bak = tmp_path / "bak"
    bak.mkdir()
    (bak / "people.20260301T143301Z.csv").write_bytes(b"old")
    (bak / "people.20260302T143301Z.csv").write_bytes(b"new")
    (bak / "people.20260302T143301Z.failed.csv").write_bytes(b"failed")
    ended = userdrop("reimport", "people.csv", UPLOAD_DIR=tmp_path)
    assert (ended.code, ended.out) == (
        0,
        f"people.20260302T143301Z.csv lies in {tmp_path} again, as people.csv\n",
    )
    assert (tmp_path / "people.csv").read_bytes() == b"new"
    ended = userdrop("reimport", "people.20260301T143301Z.csv", UPLOAD_DIR=tmp_path)
    assert (ended.code, "waits" in ended.err) == (1, True)
    assert (tmp_path / "people.csv").read_bytes() == b"new"
    assert userdrop("reimport", "nobody.csv", UPLOAD_DIR=tmp_path).err == "userdrop: there is no nobody.csv in bak\n"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["people.csv"]


def test_without_a_service_nothing_is_imported_now(userdrop: Userdrop, tmp_path: Path) -> None:
    (tmp_path / "userdrop.lock").write_text(str(os.getpid()))
    ended = userdrop("now", STATE_DIR=tmp_path)
    assert (ended.code, "no userdrop runs" in ended.err) == (1, True)
    ended = userdrop("status", STATE_DIR=tmp_path)
    assert (ended.code, "no userdrop runs" in ended.err) == (1, True)


def test_a_service_that_cannot_be_asked_is_said_to_be_so(userdrop: Userdrop, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / CONTROL))
        ended = userdrop("status", STATE_DIR=tmp_path)
    assert ended.code == 3
    assert ended.err == f"userdrop: userdrop's socket in {tmp_path} cannot be asked: Protocol wrong type for socket\n"


def test_a_service_of_another_version_is_said_to_be_one(userdrop: Userdrop, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other, ThreadPoolExecutor(1) as thread:
        other.bind(str(tmp_path / CONTROL))
        other.listen()
        answered = thread.submit(_answer, other, b'{"version": "0"}\n')
        ended = userdrop("status", STATE_DIR=tmp_path)
        answered.result(30)
    assert ended.code == 3
    assert ended.err == f"userdrop: the userdrop that runs with the state directory {tmp_path} is of another version\n"


def _answer(listener: socket.socket, line: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(100)
        connection.sendall(line)


# why


def test_the_story_of_a_file_is_told_from_the_ledger_while_no_service_runs(userdrop: Userdrop, site: Site) -> None:
    ended = asked(userdrop, site, "why", "second.csv", UPLOAD_DIR=site.directory)
    assert ended.code == 0
    imported, archived, mailed, now = ended.out.splitlines()
    assert imported[19:].startswith("  imported: ")
    assert mailed[19:].startswith("  a mail about it is to be written")
    assert archived[19:].startswith("  lies in bak as second.2")
    assert now.startswith("now                  it lies in bak as second.2")


def test_of_a_file_that_nobody_knows_there_is_no_story(userdrop: Userdrop, site: Site) -> None:
    ended = asked(userdrop, site, "why", "nobody.csv", UPLOAD_DIR=site.directory)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("userdrop: nothing is known of nobody.csv: it is not in ")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_without_a_database_nothing_is_known_of_a_file_that_lies_nowhere(
    userdrop: Userdrop, tmp_path: Path, options: list[str]
) -> None:
    ended = userdrop("why", "nobody.csv", *options, UPLOAD_DIR=tmp_path)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(
        f"userdrop: nothing is known of nobody.csv: it is not in {tmp_path}, and the ledger and the mails cannot be"
        " read: there is no database yet: "
    )
    (tmp_path / "there.csv").write_text("x")
    ended = userdrop("why", "there.csv", *options, UPLOAD_DIR=tmp_path)
    assert ended.code == 0
    assert "the ledger and the mails cannot be read: there is no database yet: " in ended.out


# forget


def test_a_person_is_forgotten_by_the_key(userdrop: Userdrop, site: Site) -> None:
    ended = asked(userdrop, site, "forget", "nobody", UPLOAD_DIR=site.directory)
    assert (ended.code, ended.err) == (1, "userdrop: nobody is known by that key\n")
    key = next(iter(site.users()))
    ended = asked(userdrop, site, "forget", key, UPLOAD_DIR=site.directory)
    assert (ended.code, ended.out.splitlines()[1]) == (2, "the user is removed")
    assert ended.out.startswith("searched: ")
    assert "names the person; --files removes it" in ended.out
    ended = asked(userdrop, site, "forget", key, "--files", UPLOAD_DIR=site.directory)
    assert (ended.code, ended.out.splitlines()[1]) == (0, "there was no such user")
    assert "left: " not in ended.out
    assert asked(userdrop, site, "forget", key, UPLOAD_DIR=site.directory).code == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("command", ["mail retry 1", "mail drop 1", "forget U1 --client acme"])
def test_commands_that_meet_an_import_say_so_and_change_nothing(userdrop: Userdrop, site: Site, command: str) -> None:
    with closing(sqlite3.connect(str(site.engine.url.database), isolation_level=None)) as importing:
        importing.execute("BEGIN IMMEDIATE")
        ended = userdrop(*command.split(), DATABASE_URL=site.engine.url, UPLOAD_DIR=site.directory)
        assert ended.code == 69
        assert "somebody else writes to it, such as an import: try again when `userdrop status` shows none" in ended.err
        assert "locked" not in ended.err
        assert asked(userdrop, site, "history", UPLOAD_DIR=site.directory).code == 0


# history, user


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    """Two files of a client: a good one, and one that changes its user and has a failed row."""
    place = tmp_path / "site"
    place.mkdir()
    made = make_site(place, BUILT_IN, database_url)
    made.drop("first.csv", "unique_id,login_source,first_name\nU1,OPSCOM,Hunter2\n")
    made.take("first.csv", tokens="a")
    made.drop("second.csv", "unique_id,login_source,first_name,email\nU1,OPSCOM,Hunter3,\nU2,OPSCOM,,@hunter4\n")
    made.take("second.csv", now=NOW + dt.timedelta(minutes=5), tokens="b")
    yield made
    made.engine.dispose()


def asked(userdrop: Userdrop, site: Site, *arguments: object, **settings: object) -> Ended:
    url = site.engine.url.render_as_string(hide_password=False)
    ended = userdrop(*arguments, "--client", "acme", DATABASE_URL=url, **settings)
    assert "unter" not in ended.out + ended.err, "a cell of a file"
    return ended


def objects(ended: Ended) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.out.splitlines()]


def test_history_shows_imports_the_newest_first(userdrop: Userdrop, site: Site) -> None:
    ended = asked(userdrop, site, "history")
    assert ended.code == 0
    assert ended.out.index("second.csv") < ended.out.index("first.csv")
    assert "2026-11-22" in ended.out
    found = objects(asked(userdrop, site, "history", "--json"))
    assert [each["file"] for each in found] == ["second.csv", "first.csv"]
    assert found[0]["committed_at"] == "2026-11-22T10:15:13+00:00"
    assert found[0]["counts"]["updated"] == found[0]["counts"]["failed"] == 1
    assert found[0]["reasons"] == [{"code": "invalid", "column": "email", "count": 1}]


def test_history_is_narrowed_by_options(userdrop: Userdrop, site: Site) -> None:
    assert [each["file"] for each in objects(asked(userdrop, site, "history", "--json", "--failed"))] == ["second.csv"]
    (first,) = objects(asked(userdrop, site, "history", "--json", "--file", "first.csv", "--since", 36_500))
    assert first["file"] == "first.csv"
    newest = asked(userdrop, site, "history", "--json", "--limit", 1)
    assert [each["file"] for each in objects(newest)] == ["second.csv"]
    assert "there are more" in newest.err
    day = first["committed_at"][:10]
    assert len(objects(asked(userdrop, site, "history", "--json", "--day", day))) == 2
    another = asked(userdrop, site, "history", "--json", "--day", "2001-02-03")
    assert (another.code, another.out) == (0, "")


def test_history_says_when_there_is_nothing(userdrop: Userdrop, site: Site) -> None:
    ended = asked(userdrop, site, "history", "--file", os.fsdecode(b"\xff.csv"))
    assert (ended.code, ended.out) == (0, "")
    assert "nothing" in ended.err


def in_folders(userdrop: Userdrop, site: Site, *arguments: object) -> Ended:
    """Ask where the site's directory is the folder of one of three clients."""
    for name in ("acme", "other", "third"):
        (site.directory / name).mkdir(exist_ok=True)
    url = site.engine.url.render_as_string(hide_password=False)
    return userdrop(*arguments, DATABASE_URL=url, UPLOAD_DIR=site.directory, CLIENT_FOLDERS="true")


def test_without_a_client_all_are_searched_and_named(userdrop: Userdrop, site: Site) -> None:
    assert {each["client"] for each in objects(in_folders(userdrop, site, "history", "--json"))} == {"acme"}
    assert " acme " in in_folders(userdrop, site, "history").out.replace("acme", " acme ")
    assert in_folders(userdrop, site, "user", "U1").out.startswith("client acme:\n")
    assert in_folders(userdrop, site, "why", "first.csv").out.startswith("client acme:\n")
    (story,) = objects(in_folders(userdrop, site, "why", "first.csv", "--json"))
    assert story["client"] == "acme"


def test_what_no_client_has_is_said_of_all(userdrop: Userdrop, site: Site) -> None:
    assert in_folders(userdrop, site, "history", "--file", "x.csv").err == (
        "there is nothing like that of any of 3 clients in the ledger\n"
    )
    for command, said in {
        "user U9": "no user of any of 3 clients has that unique_id",
        "why x.csv": "nothing is known of x.csv: it is not in any of 3 clients' folders, nor in the ledger",
        "reimport x.csv": "there is no x.csv in bak of any of 3 clients",
        "retry x.csv": "there is no x.csv in quarantine of any of 3 clients",
    }.items():
        ended = in_folders(userdrop, site, *command.split())
        assert (ended.code, ended.err) == (ExitCode.AMISS, f"userdrop: {said}\n")


def test_a_command_that_changes_something_asks_whose_it_is_where_several_have_it(
    userdrop: Userdrop, site: Site
) -> None:
    for name in ("acme", "other"):
        bak = site.directory / name / "bak"
        bak.mkdir(parents=True)
        (bak / "a.20261122T101013Z.csv").touch()
    ended = in_folders(userdrop, site, "reimport", "a.csv")
    assert (ended.code, ended.err) == (
        ExitCode.USAGE,
        "userdrop: several clients have a.csv in bak; give one as --client: acme, other\n",
    )
    ended = in_folders(userdrop, site, "forget", "U1")
    assert (ended.code, ended.err) == (
        ExitCode.USAGE,
        "userdrop: say by --client whose person that is: acme, other, third\n",
    )
    (site.directory / "other" / "bak" / "a.20261122T101013Z.csv").unlink()
    ended = in_folders(userdrop, site, "reimport", "a.csv")
    assert (ended.code, ended.out) == (
        0,
        f"a.20261122T101013Z.csv lies in {site.directory / 'acme'} again, as a.csv\n",
    )


def test_where_no_folder_is_a_client_there_is_nobody_to_search(userdrop: Userdrop, tmp_path: Path) -> None:
    ended = userdrop("history", UPLOAD_DIR=tmp_path, CLIENT_FOLDERS="true")
    assert ended.code == ExitCode.USAGE
    assert ended.err.endswith("is a client; --client names one that is gone\n")


def test_user_shows_the_file_that_brought_a_user_and_the_last_that_changed_it(userdrop: Userdrop, site: Site) -> None:
    ended = asked(userdrop, site, "user", "U1")
    assert ended.code == 0
    brought, changed = [line for line in ended.out.splitlines() if ".csv" in line and "2026-11" in line]
    assert "brought" in brought
    assert "changed" in changed
    (found,) = objects(asked(userdrop, site, "user", "U1", "--json"))
    assert (found["key"], found["brought"]["file"], found["changed"]["file"]) == ("U1", "first.csv", "second.csv")


def test_a_user_who_is_not_there_ends_with_1(userdrop: Userdrop, site: Site) -> None:
    ended = asked(userdrop, site, "user", "U2")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "userdrop: no user of the client acme has that unique_id\n"


@pytest.mark.parametrize("command", [["history"], ["user", "U1"]])
def test_who_asks_a_database_that_cannot_answer_is_told_why(
    userdrop: Userdrop, tmp_path: Path, command: list[str]
) -> None:
    assert userdrop(*command).code == 3
    assert [*tmp_path.iterdir()] == []
    sqlite3.connect(tmp_path / "empty.db").close()
    ended = userdrop(*command, DATABASE_URL=f"sqlite:///{tmp_path}/empty.db")
    assert ended.code == 3
    assert "no tables yet" in ended.err
    (tmp_path / "other.db").write_bytes(b"hunter2" * 1000)
    for url in (f"sqlite:///{tmp_path}/other.db", f"postgresql+psycopg://me:hunter2@/users?host={tmp_path}"):
        ended = userdrop(*command, DATABASE_URL=url)
        assert ended.code == 69
        assert ended.err.startswith("userdrop: the database cannot be read: ")
        assert "hunter2" not in ended.err


def test_who_may_not_read_the_tables_is_told_so(userdrop: Userdrop, postgresql: PostgresqlServer) -> None:
    url = postgresql.url()
    engine = make_engine(url)
    migrate(engine, BUILT_IN)
    engine.dispose()
    ended = userdrop("history", DATABASE_URL=postgresql.as_stranger(url))
    assert (ended.code, ended.err) == (3, "userdrop: the database's user may not read the tables\n")


# columns, template, settings


def test_columns_are_shown_for_people_and_as_markdown(userdrop: Userdrop) -> None:
    names = [column.name for column in load_format(None).columns]
    table = userdrop("columns")
    assert table.code == 0
    assert "unique_id" in table.out
    markdown = userdrop("columns", "--markdown").out.splitlines()
    assert [line.split("|")[1].strip() for line in markdown[2:]] == names
    assert {line.count("|") - line.count("\\|") for line in markdown} == {6}


def test_tables_are_told_with_the_columns_of_the_format_in_force(userdrop: Userdrop) -> None:
    ended = userdrop("tables", FORMAT_FILE=FIXTURES / "formats" / "hr.toml")
    assert ended.code == 0
    assert (
        "| `personnel_number` | text | yes | as the file says it; identifies the user within the client |" in ended.out
    )
    assert "| `claim_id` | varchar(40) |  | the import's id" in ended.out
    assert "unique_id" not in ended.out


def test_the_template_passes_check_with_and_without_a_default_login_source(userdrop: Userdrop, tmp_path: Path) -> None:
    made = userdrop("template")
    assert made.code == 0
    (tmp_path / "template.csv").write_text(made.out, encoding="utf-8", newline="")
    for settings in ({}, {"DEFAULT_LOGIN_SOURCE": "LDAP"}):
        ended, found = checked(userdrop, tmp_path / "template.csv", **settings)
        assert (ended.code, found["accepted"]) == (0, 1)


def test_settings_are_shown_and_secrets_masked(userdrop: Userdrop) -> None:
    ended = userdrop("settings", SMTP_PASSWORD="hunter2", DATABASE_URL="sqlite:///hunter2.db", INTERVAL_MINUTES=1)
    assert ended.code == 0
    shown = dict(line.split("=", 1) for line in ended.out.splitlines())
    assert set(shown) == {variable(name) for name in Settings.model_fields if name != "clients"}
    assert shown["USERDROP_SMTP_PASSWORD"] == shown["USERDROP_DATABASE_URL"] == "***"
    assert shown["USERDROP_INTERVAL_MINUTES"] == "1"
    assert "hunter2" not in ended.out


# Mistakes in settings and in the format file


@pytest.mark.parametrize(
    "command", [["run"], ["demo"], ["history"], ["user", "U1"], ["columns"], ["template"], ["settings"]]
)
def test_settings_that_cannot_be_used_end_every_command_with_3_and_all_mistakes(
    userdrop: Userdrop, command: list[str]
) -> None:
    ended = userdrop(*command, INTERVAL_MINUTES="x", SMPT_HOST="y")
    assert ended.code == 3
    assert len(ended.err.splitlines()) == 2
    assert all(line.startswith("userdrop: USERDROP_") for line in ended.err.splitlines())


def test_a_format_file_that_cannot_be_used_ends_with_3_and_all_mistakes(userdrop: Userdrop, tmp_path: Path) -> None:
    path = tmp_path / "format.toml"
    path.write_text('key = "nobody"\nrequired = ["nothing"]\n[columns.a]\nkind = "colour"\n', encoding="utf-8")
    assert userdrop("columns", FORMAT_FILE=path).code == 3
    path.write_text('key = "nobody"\nrequired = ["nothing"]\n[columns.a]\n', encoding="utf-8")
    ended = userdrop("check", FIXTURES / "demo.csv", FORMAT_FILE=path)
    assert ended.code == 3
    assert "nobody" in ended.err
    assert "nothing" in ended.err
    assert userdrop("columns", FORMAT_FILE=tmp_path / "missing.toml").code == 3
    assert userdrop("columns", FORMAT_FILE=tmp_path).code == 3


BAD_PATTERNS = (
    'key = "a"\n[columns.a]\nkind = "pattern"\npattern = "("\n[columns.b]\nkind = "pattern"\npattern = "[z"\n'
)


def test_patterns_that_are_not_understood_are_all_told_by_check(userdrop: Userdrop, tmp_path: Path) -> None:
    path = tmp_path / "format.toml"
    path.write_text(BAD_PATTERNS, encoding="utf-8")
    ended = userdrop("check", FIXTURES / "demo.csv", FORMAT_FILE=path)
    assert ended.code == 3
    assert [line.split()[1] for line in ended.err.splitlines()] == ["columns.a.pattern:", "columns.b.pattern:"]


@pytest.mark.parametrize("arguments", [["run"], ["run", "--once"]])
def test_patterns_that_are_not_understood_end_the_service_with_3(tmp_path: Path, arguments: list[str]) -> None:
    path = tmp_path / "format.toml"
    path.write_text(BAD_PATTERNS, encoding="utf-8")
    ended = process(*arguments, directory=tmp_path, FORMAT_FILE=path)
    assert ended.returncode == 3
    lines = [line.split()[1] for line in ended.stderr.decode().splitlines()]
    assert lines == ["columns.a.pattern:", "columns.b.pattern:"]


# run


def test_a_second_instance_is_refused_with_75_and_the_first_ones_pid(tmp_path: Path) -> None:
    locks = InstanceLocks(tmp_path, "postgresql+psycopg://")
    ended = process("run", directory=tmp_path, STATE_DIR=tmp_path)
    locks.release()
    assert ended.returncode == 75
    assert ended.stderr.decode() == f"userdrop: userdrop is running already, as process {os.getpid()}\n"


def test_a_second_instance_on_the_same_sqlite_file_is_refused_whatever_its_state_directory(tmp_path: Path) -> None:
    (tmp_path / "alias.db").symlink_to("users.db")
    locks = InstanceLocks(tmp_path, f"sqlite:///{tmp_path / 'users.db'}")
    ended = process("run", directory=tmp_path, STATE_DIR=tmp_path / "other", DATABASE_URL="sqlite:///alias.db")
    locks.release()
    assert ended.returncode == 75
    assert ended.stderr.decode() == f"userdrop: userdrop is running already, as process {os.getpid()}\n"


def test_instances_with_a_state_directory_each_may_share_a_postgresql_database(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("one", "two")]
    for place in places:
        place.mkdir()
    locks = [InstanceLocks(place, "postgresql+psycopg://db.example/userdrop") for place in places]
    with pytest.raises(AlreadyRunningError, match=str(os.getpid())):
        InstanceLocks(places[0], "postgresql+psycopg://db.example/userdrop")
    for each in locks:
        each.release()
    assert node_name(places[0]) == node_name(places[0]) != node_name(places[1])


def test_directories_that_cannot_be_made_end_the_service_with_3(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    below = tmp_path / "file" / "below"
    for ended in (
        process("run", directory=tmp_path, UPLOAD_DIR=below),
        process("run", directory=tmp_path, STATE_DIR=below),
        process("run", directory=tmp_path, MAIL_DIR=below),
    ):
        assert ended.returncode == 3
        assert ended.stderr.decode().startswith(f"userdrop: {tmp_path / 'file'}")


# Standard output


@pytest.mark.parametrize("arguments", [["template"], ["columns"], ["settings"], ["check", "--json", "a.csv"]])
def test_a_full_disk_behind_standard_output_is_told(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "a.csv").write_bytes((FIXTURES / "demo.csv").read_bytes())
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        ended = process(*arguments, directory=tmp_path, stdout=full.fileno())
    assert ended.returncode == 3
    assert ended.stderr.decode().startswith("userdrop: ")
    assert len(ended.stderr.splitlines()) == 1


def test_text_goes_out_as_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    variables = environment(PYTHONPATH=str(ROOT), PYTHONIOENCODING="ascii")
    ended = subprocess.run(
        [sys.executable, "-m", "watcher", "check", "--json", str(FIXTURES / "windows-1252.csv")],
        env=variables,
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert json.loads(ended.stdout)["accepted"] == 6


def test_a_long_check_shows_its_progress_on_a_terminal_and_nowhere_else(tmp_path: Path) -> None:
    big_file(tmp_path / "long.csv", 40_000, 0)
    ours, terminal = os.openpty()
    shown: list[bytes] = []
    reader = threading.Thread(target=lambda: shown.extend(iter(partial(read_terminal, ours), b"")))
    reader.start()
    command = [sys.executable, "-m", "watcher", "check", str(tmp_path / "long.csv")]
    variables = environment(PYTHONPATH=str(ROOT), TERM="xterm")
    for errors in (terminal, subprocess.PIPE):
        ended = subprocess.run(
            command, cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=errors, timeout=120, check=False
        )
        assert ended.stdout.startswith(b"long.csv: 40,000 rows, 40,000 accepted, 0 failed")
        assert (ended.returncode, ended.stderr) == (0, None if errors == terminal else b"")
    os.close(terminal)
    reader.join()
    os.close(ours)
    assert b"long.csv" in b"".join(shown)
    assert b"%" in b"".join(shown)


def read_terminal(descriptor: int) -> bytes:
    """What a terminal shows next; nothing once nobody writes to it any more. Source: pty(7)."""
    try:
        return os.read(descriptor, 1 << 16)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""


@pytest.mark.parametrize("loads", ["", "polars"])
def test_a_bug_ends_with_70_and_its_place_and_not_its_text_behind_what_was_said(loads: str) -> None:
    buggy = (
        "import sys; from watcher.__main__ import run; from watcher.commands.cli import userdrop\n"
        "@userdrop.command()\n"
        f"def buggy():\n    import click, {loads or 'click'}; print('said'); raise KeyError('ana.martin@example.edu')\n"
        "sys.argv = ['userdrop', 'buggy']; run()\n"
    )
    variables = {name: value for name, value in environment().items() if name != "PYTHONUNBUFFERED"}
    ended = subprocess.run(
        [sys.executable, "-c", buggy], cwd=ROOT, env=variables, capture_output=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (70, b"said\n")
    assert ended.stderr == b"userdrop: a bug has ended the command (KeyError in buggy, line 4)\n"


# mail


@pytest.fixture
def queued(tmp_path: Path, database_url: str) -> Iterator[Site]:
    """Mails 1 to 4: one that waits, one that is dead, one that was sent, and one that is being sent."""
    place = tmp_path / "queued"
    place.mkdir()
    made = make_site(place, BUILT_IN, database_url)
    store(made.engine, *(failed_rows(number, client=f"c{number}") for number in range(4)))
    outbox.form(made.engine, LETTERS, ADDRESSES, now=MAILED, next_run=None)
    states: dict[int, dict[str, object]] = {
        1: {},
        2: {"state": "dead", "tries": 3, "last_error": "550 no"},
        3: {"state": "sent"},
    }
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5)  # noqa: TID251 - the command's own clock is real
    states[4] = {"leased_until": soon, "leased_by": "x"}
    with made.engine.begin() as connection:
        for number, values in states.items():
            if values:
                connection.execute(update(mails).where(mails.c.id == number).values(values))
    yield made
    made.engine.dispose()


def told(userdrop: Userdrop, site: Site, *arguments: object) -> Ended:
    return userdrop("mail", *arguments, DATABASE_URL=site.engine.url.render_as_string(hide_password=False))


def test_mails_that_were_not_sent_are_listed(userdrop: Userdrop, queued: Site) -> None:
    table = told(userdrop, queued, "list").out
    assert [line.split()[0] for line in table.splitlines() if "2026-03" in line] == ["4", "2", "1"]
    found = objects(told(userdrop, queued, "list", "--json", "--all"))
    assert [(each["id"], each["state"], each["is_being_sent"]) for each in found] == [
        (4, "queued", True),
        (3, "sent", False),
        (2, "dead", False),
        (1, "queued", False),
    ]
    assert found[2]["last_error"] == "550 no"
    assert len(objects(told(userdrop, queued, "list", "--json", "--limit", 1))) == 1


def test_a_mail_is_shown_with_what_became_of_it(userdrop: Userdrop, queued: Site) -> None:
    shown = told(userdrop, queued, "show", 2)
    assert shown.code == 0
    for line in ("State: dead", "To: registrar@client.example", "Last error: 550 no", "37 of 1,204 users"):
        assert line in shown.out
    missing = told(userdrop, queued, "show", 99)
    assert (missing.code, missing.err) == (1, "userdrop: there is no mail 99\n")


def test_a_mail_can_be_tried_again_but_not_one_that_was_sent_or_is_being_sent(userdrop: Userdrop, queued: Site) -> None:
    ended = told(userdrop, queued, "retry", 1, 2, 3, 4, 99)
    assert (ended.code, ended.out) == (1, "mail 1 is queued again\nmail 2 is queued again\n")
    assert ended.err.endswith(": 3, 4, 99\n")
    states = [(row["state"], row["tries"]) for row in rows_of(queued.engine, mails)]
    assert states == [("queued", 0), ("queued", 0), ("sent", 0), ("queued", 0)]


def test_every_mail_that_is_dead_or_refused_can_be_tried_again(userdrop: Userdrop, queued: Site) -> None:
    with queued.engine.begin() as connection:
        connection.execute(update(mails).where(mails.c.id == 1).values(tries=7, refused_since=MAILED))
    listed = told(userdrop, queued, "list").out
    states = [line.split()[3] for line in listed.splitlines() if "2026-03" in line]
    assert [state[:4] for state in states] == ["send", "dead", "refu"]  # a narrow terminal folds them
    assert listed.endswith("mails: 2 queued, 1 sending, 1 refused, 1 dead, 1 sent\n")
    ended = told(userdrop, queued, "retry", "--all")
    assert (ended.code, ended.out) == (0, "2 mails are queued again\n")
    ends = [(row["state"], row["tries"], row["refused_since"]) for row in rows_of(queued.engine, mails)]
    assert ends == [("queued", 0, None), ("queued", 0, None), ("sent", 0, None), ("queued", 0, None)]
    assert told(userdrop, queued, "retry", "--all").out == "0 mails are queued again\n"


@pytest.mark.parametrize("arguments", [[], ["--all", "1"]])
def test_mails_are_retried_by_number_or_all_of_them(userdrop: Userdrop, queued: Site, arguments: list[str]) -> None:
    ended = told(userdrop, queued, "retry", *arguments)
    assert ended.code == ExitCode.USAGE
    assert "name mails by their numbers, or give --all" in ended.err


def test_a_mail_can_be_dropped(userdrop: Userdrop, queued: Site) -> None:
    ended = told(userdrop, queued, "drop", 1, 2)
    assert (ended.code, ended.out) == (0, "mail 1 is dropped\nmail 2 is dropped\n")
    assert [row["id"] for row in rows_of(queued.engine, mails)] == [3, 4]
    assert told(userdrop, queued, "drop", 3, 4).code == 1


def test_an_empty_queue_is_said_to_be_empty(userdrop: Userdrop, site: Site) -> None:
    ended = told(userdrop, site, "list")
    assert (ended.code, ended.out, ended.err) == (0, "", "no mail waits\n")


def test_a_path_is_taken_for_the_name_at_its_end(userdrop: Userdrop, site: Site) -> None:
    for given in ("bak/nothing.csv", "/etc/nothing.csv", "../nothing.csv"):
        ended = userdrop("why", given, UPLOAD_DIR=site.directory, DATABASE_URL=site.engine.url)
        assert (ended.code, ended.err.partition(":")[2].partition(":")[0]) == (1, " nothing is known of nothing.csv")
    assert userdrop("why", "", UPLOAD_DIR=site.directory).code == ExitCode.USAGE
