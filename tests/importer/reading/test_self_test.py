"""What misreads a known file imports nothing: the program itself, with one thing in it broken, is started."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from importer.reading.self_test import misreadings
from tests.servers.tools import environment

ROOT = Path(__file__).parents[3]
PACKAGES = ("importer", "notifier", "watcher")
UNUSABLE = 3
CONTENT = b"unique_id,login_source\nU1,OPSCOM\n"
BREAKAGES = {
    "doubled quotes end a cell": ("grammar.py", """rb'"[^"]*"(?:"[^"]*")*'""", """rb'"[^"]*"'"""),
    "text may follow a closing quote": (
        "grammar.py",
        """(?:%s(?=%s|\\\\Z)|%s[^%s]*|.*)""",
        "(?:%s(?=%s|)|%s[^%s]*|.*)",
    ),
    "the header ends at its first line end": (
        "grammar.py",
        """rb'"[^"]*"(?:"[^"]*")*'""",
        """rb'"[^"\\n]*"(?:"[^"]*")*'""",
    ),
    "blanks may stand before a quote": ("grammar.py", """(?![%s]*")""", '(?!"[%s]*)'),
    "every match fails": ("grammar.py", "if closing:", "if cell:"),
    "an error is raised": ("grammar.py", "*before, last = self._cells.findall", "*before, last = self._cells.nothing"),
    "the parser drops a record": ("parsing.py", "return frame[1:] if guard else frame", "return frame[1:]"),
}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A copy of the program, to be run by this interpreter."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / "program" / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "program"


def run(program: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "watcher", *arguments],
        cwd=program,
        env=environment(PYTHONPATH=str(program), **settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def broken(program: Path, breakage: str) -> None:
    name, old, new = BREAKAGES[breakage]
    module = program / "importer" / "reading" / name
    source = module.read_text(encoding="utf-8")
    assert source.count(old) == 1
    module.write_text(source.replace(old, new), encoding="utf-8")


def test_this_interpreter_reads_the_known_file_as_it_must() -> None:
    assert [*misreadings()] == []


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_check_by_what_misreads_is_refused(program: Path, breakage: str) -> None:
    broken(program, breakage)
    (program / "users.csv").write_bytes(CONTENT)
    checked = run(program, "check", "users.csv")
    assert (checked.returncode, checked.stdout) == (UNUSABLE, "")
    assert checked.stderr.startswith(
        f"userdrop: this Python ({sys.version.split()[0]}, {sys.executable}) or one of its"
    )
    assert "nothing is imported" in checked.stderr


def test_a_service_that_misreads_ends_before_it_takes_a_file(program: Path) -> None:
    upload, state = program / "upload", program / "state"
    upload.mkdir()
    (upload / "users.csv").write_bytes(CONTENT)
    settings = {
        "USERDROP_UPLOAD_DIR": str(upload),
        "USERDROP_STATE_DIR": str(state),
        "USERDROP_MAIL_DIR": str(program / "mail"),
        "USERDROP_QUIET_SECONDS": "1",
    }
    broken(program, next(iter(BREAKAGES)))
    ended = run(program, "run", "--once", **settings)
    assert ended.returncode == UNUSABLE, ended.stderr
    assert "userdrop: this Python" in ended.stderr
    assert (upload / "users.csv").read_bytes() == CONTENT
