"""`userdrop setup`: asked at a terminal, answered by options, and tried on a real mail server."""

import os
import select
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.smtp import SmtpServer
from tests.servers.tools import environment
from watcher.base.exit_codes import ExitCode
from watcher.commands.questions import kept_answers

COMMAND = [sys.executable, "-m", "watcher", "setup"]
ADDRESSES = ["--failed-import-email=failed@example.org", "--reply-to-admin-email=admin@example.org"]
PATIENCE_SECONDS = 60.0


def set_up(place: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = environment(PYTHONPATH=str(Path(__file__).parents[3]), **variables)
    command = [*COMMAND, *arguments]
    return subprocess.run(
        command, cwd=place, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


class Talk:
    """A talk with a command at a terminal."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self.said = ""
        self._heard = 0

    def until(self, part: str) -> None:
        while part not in self.said[self._heard :]:
            assert select.select([self._terminal], [], [], PATIENCE_SECONDS)[0], self.said
            try:
                self.said += os.read(self._terminal, 4096).decode()
            except OSError:  # the command has ended
                assert part in self.said[self._heard :], self.said
        self._heard = self.said.index(part, self._heard) + len(part)

    def answer(self, question: str, answer: str) -> None:
        self.until(question)
        os.write(self._terminal, f"{answer}\n".encode())


@contextmanager
def talking(place: Path, *arguments: str, **variables: str) -> Iterator[tuple[Talk, subprocess.Popen[bytes]]]:
    ours, theirs = os.openpty()
    env = environment(PYTHONPATH=str(Path(__file__).parents[3]), **variables)
    process = subprocess.Popen([*COMMAND, *arguments], cwd=place, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        yield Talk(ours), process
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def answers_in(file: Path) -> Mapping[str, str]:
    return kept_answers(file.read_text(encoding="utf-8"))


def test_what_is_asked_at_a_terminal_is_written(tmp_path: Path) -> None:
    with talking(tmp_path) as (talk, process):
        talk.answer("into which the FTP server writes", "drop here")
        talk.answer("a folder of its own", "y")
        talk.answer("Minutes between two imports", "99")
        talk.until("USERDROP_INTERVAL_MINUTES: input should be less than or equal to 60")
        talk.answer("Minutes between two imports", "1")
        talk.answer("remember", "")
        talk.answer("rows that failed", "nobody")
        talk.until("USERDROP_FAILED_IMPORT_EMAIL")
        talk.answer("rows that failed", "failed@example.org")
        talk.answer("administrator", "admin@example.org")
        talk.answer("language", "fr")
        talk.answer("mail server", "")
        talk.answer("database", "")
        talk.until("What is next:")
        assert process.wait(PATIENCE_SECONDS) == ExitCode.DONE
    assert (tmp_path / "drop here").is_dir()
    assert answers_in(tmp_path / "userdrop.env") == {
        "upload_dir": str(tmp_path / "drop here"),
        "client_folders": "true",
        "interval_minutes": "1",
        "state_dir": str(tmp_path / "var" / "state"),
        "failed_import_email": "failed@example.org",
        "reply_to_admin_email": "admin@example.org",
        "language": "fr",
    }


def test_a_mail_server_that_does_not_answer_is_asked_for_again(tmp_path: Path, smtp: SmtpServer) -> None:
    with talking(tmp_path, *ADDRESSES, "--upload-dir=upload", "--client-folders=false", "--interval-minutes=5") as (
        talk,
        process,
    ):
        for question in ("remember", "language"):
            talk.answer(question, "")
        talk.answer("mail server", smtp.host)
        talk.answer("TLS", "none")
        talk.answer("port", "1")
        talk.answer("login", "")
        talk.until("broken: ")
        talk.answer("Answer it again", "y")
        talk.answer("mail server", "")
        talk.answer("TLS", "")
        talk.answer("port", str(smtp.port))
        talk.answer("login", "")
        talk.until(f"{smtp.host}:{smtp.port} answers")
        talk.answer("database", "")
        talk.until("What is next:")
        assert process.wait(PATIENCE_SECONDS) == ExitCode.DONE
    assert answers_in(tmp_path / "userdrop.env")["smtp_port"] == str(smtp.port)
    assert not smtp.received


def test_without_a_terminal_nothing_is_asked_and_nothing_written(tmp_path: Path) -> None:
    done = set_up(tmp_path)
    assert done.returncode == ExitCode.USAGE
    assert done.stderr == (
        "userdrop: there is no terminal to ask at: give --yes, and the answers as options or variables\n"
    )
    assert not [*tmp_path.iterdir()]


def test_everything_can_be_given_by_options_and_variables(tmp_path: Path) -> None:
    arguments = [*ADDRESSES, "--client-folders=true", "--clients=acme, other", "--file=site.env", "--yes"]
    done = set_up(tmp_path, *arguments, USERDROP_INTERVAL_MINUTES="1", USERDROP_SMTP_PASSWORD="not shown")
    assert done.returncode == ExitCode.DONE, done.stderr
    assert "userdrop client add acme\n" in done.stdout
    assert "userdrop client add other\n" in done.stdout
    assert "not shown" not in done.stdout + done.stderr
    file = tmp_path / "site.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert answers_in(file)["interval_minutes"] == "1"


def test_a_second_setup_keeps_the_answers_of_the_first_and_the_lines_of_others(tmp_path: Path) -> None:
    set_up(tmp_path, *ADDRESSES, "--language=fr", "--yes")
    file = tmp_path / "userdrop.env"
    with file.open("a", encoding="utf-8") as text:
        text.write("USERDROP_BAK_DAYS=30\n")
    assert set_up(tmp_path, "--interval-minutes=1", "--yes").returncode == ExitCode.DONE
    found = answers_in(file)
    assert (found["language"], found["interval_minutes"]) == ("fr", "1")
    assert "USERDROP_BAK_DAYS=30\n" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "arguments",
    [["--interval-minutes=99"], ["--smtp-host=mail.example.org", "--smtp-tls=perhaps"], ["--failed-import-email=x"]],
)
def test_an_option_that_is_no_answer_ends_the_command(tmp_path: Path, arguments: list[str]) -> None:
    done = set_up(tmp_path, *ADDRESSES, *arguments, "--yes")
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.startswith("userdrop: USERDROP_")
    assert not (tmp_path / "userdrop.env").exists()


def test_an_option_that_makes_sense_beside_another_one_only_asks_for_that(tmp_path: Path) -> None:
    done = set_up(tmp_path, *ADDRESSES, "--smtp-tls=none", "--yes")
    assert (done.returncode, done.stderr) == (ExitCode.USAGE, "userdrop: --smtp-tls: give --smtp-host as well\n")


def test_an_answer_that_does_not_work_is_written_and_told_by_the_exit_code(tmp_path: Path) -> None:
    done = set_up(tmp_path, *ADDRESSES, "--smtp-host=127.0.0.1", "--smtp-port=1", "--yes")
    assert done.returncode == ExitCode.AMISS
    assert "broken: 127.0.0.1:1" in done.stdout
    assert answers_in(tmp_path / "userdrop.env")["smtp_port"] == "1"
