"""`python -m tests.tools.mutants [MODULE…]`: which share of the changes to a module its tests notice.

mutmut makes the changes, in a copy of the project. The command ends with 1 where the share is below the aim, or where a
change that `EXPLAINED` does not tell of is not noticed.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tests.servers.tools import environment

ROOT = Path(__file__).parents[2]
MUTMUT = Path(sys.executable).with_name("mutmut")
AIM = 0.9
TESTS = {
    "importer/files/claiming.py": ("tests/importer/files/test_claiming.py", "tests/importer/test_importing.py"),
    "importer/reading/guarding.py": ("tests/importer/reading/test_guarding.py",),
    "importer/storing/ledger.py": (
        "tests/importer/test_importing.py",
        "tests/importer/database/test_history.py",
        *(
            f"tests/importer/storing/test_storing.py::test_{name}"
            for name in (
                "the_ledger_says_what_was_imported",
                "the_first_import_of_the_same_bytes_is_named",
                "each_of_several_contents_has_its_own_first_import_and_what_was_not_copied_has_none",
                "failed_rows_are_one_notice_to_the_client",
                "a_file_that_may_have_been_cut_off_is_a_notice_though_no_row_failed",
                "a_claim_is_never_imported_twice",
                "a_refused_file_is_told_to_the_sender_and_to_the_admin",
                "a_file_that_is_superseded_or_set_aside_is_recorded_and_told_by_its_name_and_its_claim",
                "a_notice_is_stored_once",
                "entries_that_are_not_archived_are_found_oldest_first",
            )
        ),
    ),
    "notifier/outbox.py": ("tests/notifier/test_outbox.py", "tests/notifier/test_queueing.py"),
    "notifier/recording.py": ("tests/notifier/test_outbox.py",),
    "notifier/safety.py": ("tests/notifier/test_safety.py",),
    "watcher/uploads/settling.py": ("tests/watcher/uploads/test_settling.py",),
}
"""What must not be wrong, and by what that is noticed soon: a survivor goes through all of it."""

_AGAIN = "rows that are chosen again are the same"
_ANY = "whether there is a row is all that is asked"
_ASCII = "what is written is ASCII, in every encoding of a locale"
_BY_KEY = "SQLite reads these rows in the order of their keys anyway"
_CODEC = "codecs are found by names in any case"
_MORE = "to look at more than can be shown changes no result"
_PLACE = "a report's place has neither the client nor the file's name in it"
_THREADS = "how many threads there are, and what they are called, changes no result"
_TURNS = "all take turns under the same name, whatever it is; on SQLite under none"
_UNREACHABLE = "mypy proves that nothing comes here"
EXPLAINED = {
    "importer/files/claiming.py": {
        "for first in claims_[:2]:": "all are of one client: the same directories are synced again",
        "if len(things) <= 2:": _THREADS,
        "if len(things) < 3:": _THREADS,
        'with ThreadPoolExecutor(None, thread_name_prefix="claiming") as threads:': _THREADS,
        'with ThreadPoolExecutor(thread_name_prefix="claiming") as threads:': _THREADS,
        "with ThreadPoolExecutor(_WRITERS, thread_name_prefix=None) as threads:": _THREADS,
        "with ThreadPoolExecutor(_WRITERS, ) as threads:": _THREADS,
        'with ThreadPoolExecutor(_WRITERS, thread_name_prefix="XXclaimingXX") as threads:': _THREADS,
        'with ThreadPoolExecutor(_WRITERS, thread_name_prefix="CLAIMING") as threads:': _THREADS,
        'name = names[0] if names else "XXXX"': "a claim without a file is given to nobody",
        r'(place / _REASON).write_text(f"{why}\n", encoding=None)': _ASCII,
        r'(place / _REASON).write_text(f"{why}\n", )': _ASCII,
        r'(place / _REASON).write_text(f"{why}\n", encoding="UTF-8")': _CODEC,
        "return int((claimed.work / _ATTEMPTS).read_text(encoding=None))": _ASCII,
        'return int((claimed.work / _ATTEMPTS).read_text(encoding="ASCII"))': _CODEC,
        'with draft.open("w", encoding=None) as file:': _ASCII,
        'with draft.open("w", ) as file:': _ASCII,
        'with draft.open("w", encoding="ASCII") as file:': _CODEC,
    },
    "importer/reading/guarding.py": {
        'return normalised("IMPORT_ERROR") in map(normalised, header)': "names are compared without their case",
    },
    "importer/storing/ledger.py": {},
    "notifier/outbox.py": {
        "waiting = and_(mails.c.state == MailState.QUEUED, mails.c.next_try_at >= now)": "what is due now stays so",
        "return connection.execute(select(mails.c.id).where(wanted).limit(None)).first() is not None": _ANY,
        "return connection.execute(select(mails.c.id).where(wanted).limit(2)).first() is not None": _ANY,
        "return connection.execute(select(None).where(wanted).limit(1)).first() is not None": _ANY,
        "query = select(mails).where(wanted).order_by(mails.c.next_try_at, ).limit(limit)": _BY_KEY,
        'domain = addresses.admin.rpartition("@")[2].encode("IDNA").decode("ascii")': _CODEC,
        'domain = addresses.admin.rpartition("@")[2].encode("idna").decode("ASCII")': _CODEC,
        "query = select(notices.c.id).where(notices.c.formed_at.is_(None)).limit(None)": _ANY,
        "query = select(notices.c.id).where(notices.c.formed_at.is_(None)).limit(2)": _ANY,
        "query = select(None).where(notices.c.formed_at.is_(None)).limit(1)": _ANY,
        "query = select(notices).where(notices.c.formed_at.is_(None)).order_by(None).limit(MOST_NOTICES)": _BY_KEY,
        "chosen = notices.c.id.in_(ids[start : start + 501])": _AGAIN,
        "(key,) = connection.execute(insert(mails).values(values)).inserted_primary_key or (1,)": (
            "a row that was inserted has a key; the rest is for mypy"
        ),
        'take_turns(connection, "XXforming of mailsXX")': _TURNS,
        'take_turns(connection, "FORMING OF MAILS")': _TURNS,
        'work = Claim(id=row.claim_id, client=row.client, directory=directory, name="XXXX").report': _PLACE,
        "take_turns(connection, None)": _TURNS,
        'work = Claim(id=row.claim_id, client=None, directory=directory, name="").report': _PLACE,
        "work = Claim(id=row.claim_id, client=row.client, directory=directory, name=None).report": _PLACE,
        "for start in range(0, len(ids), ):": _AGAIN,
        "query = select(*columns).where(imports.c.claim_id.in_(ids[start : start + 501]))": _AGAIN,
    },
    "notifier/recording.py": {
        "take_turns(connection, None)": _TURNS,
        'take_turns(connection, "XXalertsXX")': _TURNS,
        'take_turns(connection, "ALERTS")': _TURNS,
    },
    "notifier/safety.py": {
        'normal = unicodedata.normalize("NFC", text[: 5 * (limit + 1)])': _MORE,
        'normal = unicodedata.normalize("NFC", text[: 4 * (limit + 2)])': _MORE,
        'plain = unicodedata.normalize("NFKD", stem).encode("ASCII", "ignore").decode("ascii")': _CODEC,
        'plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode("ASCII")': _CODEC,
    },
    "watcher/uploads/settling.py": {
        "assert_never(None)": _UNREACHABLE,
        "without case _: assert_never(evidence)": _UNREACHABLE,
    },
}
"""Of each module: changed line → why no test can tell it from ours."""

_COPIED = ("importer", "notifier", "watcher", "tests", "fixtures", "deploy", "pyproject.toml", "README.md")
_NOTICED = {"killed", "timeout", "segfault"}
_CONFIG = """
[tool.mutmut]
source_paths = ["importer", "notifier", "watcher"]
only_mutate = ["{module}"]
also_copy = ["fixtures", "deploy", "README.md"]
pytest_add_cli_args = ["-m", "not full", "-k", "not postgresql", "-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = {tests}
process_isolation = "forkserver"
use_git_change_detection = false
debug = true
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survivor:
    """A change that no test noticed: the line that it made, or `without` the one that it took, and mutmut's diff."""

    line: str
    diff: str


@click.command()
@click.argument("modules", nargs=-1, type=click.Choice([*TESTS]))
@click.option("--children", default=1, show_default=True, type=click.IntRange(min=1), help="Mutants at a time.")
def main(*, modules: tuple[str, ...], children: int) -> None:
    """Print the share of mutants that are killed, and those that survive."""
    if not MUTMUT.exists():
        message = f"mutmut is not among the locked packages: {sys.executable} -m pip install 'mutmut>=3.8,<4'"
        raise click.ClickException(message)
    are_fine = [_is_fine(module, children) for module in modules or TESTS]
    sys.exit(0 if all(are_fine) else 1)


def _is_fine(module: str, children: int) -> bool:
    with TemporaryDirectory(prefix="userdrop-mutants-") as place:
        _copy(Path(place), module)
        _mutmut(Path(place), "run", "--max-children", str(children))
        ends = _ends(_mutmut(Path(place), "results", "--all", "true"))
        survivors = [*_survivors(Path(place), ends)]
    return _show(module, len(ends), survivors)


def _copy(place: Path, module: str) -> None:
    for name in _COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, place / name)
    with (place / "pyproject.toml").open("a", encoding="utf-8") as project:
        project.write(_CONFIG.format(module=module, tests=json.dumps(TESTS[module])))


def _mutmut(place: Path, *arguments: str) -> str:
    done = subprocess.run(
        [MUTMUT, *arguments],
        cwd=place,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise click.ClickException(done.stdout[-4000:])
    return done.stdout


def _ends(results: str) -> dict[str, str]:
    """What became of each mutant, from lines such as `    NAME: killed`."""
    return dict(line.strip().split(": ") for line in results.splitlines() if ": " in line)


def _survivors(place: Path, ends: dict[str, str]) -> Iterator[Survivor]:
    for name in (name for name, end in ends.items() if end not in _NOTICED):
        diff = _mutmut(place, "show", name)
        yield Survivor(line=_changed(diff, "+") or f"without {_changed(diff, '-')}", diff=diff)


def _changed(diff: str, sign: str) -> str:
    lines = [line for line in diff.splitlines() if line.startswith(sign) and not line.startswith(3 * sign)]
    return " ".join(line[1:].strip() for line in lines)


def _show(module: str, mutants: int, survivors: list[Survivor]) -> bool:
    reasons = EXPLAINED[module]
    unexplained = [each for each in survivors if each.line not in reasons]
    for each in unexplained:
        click.echo(each.diff)
    surviving = {each.line for each in survivors}
    for line, reason in reasons.items():
        click.echo(f"{line}\n    {reason if line in surviving else 'is explained, but noticed or gone'}")
    killed = mutants - len(survivors)
    click.echo(
        f"{module}: killed {killed} of {mutants} ({killed / mutants:.1%}, the aim is {AIM:.0%}), "
        f"explained {len(survivors) - len(unexplained)}, unexplained {len(unexplained)}"
    )
    return killed >= AIM * mutants and not unexplained


if __name__ == "__main__":
    main()
