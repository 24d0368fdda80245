"""What alerts say of what failed: a code with its facts, told in the reader's language."""

import ast
import errno
import os
import string
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.files.anchoring import NotOursError
from importer.model import Detail
from importer.words.details import SENTENCES, SYSTEM_SENTENCES, detail, detail_in, listed, os_error_detail
from importer.words.outages import OUTAGE_SENTENCES
from watcher.uploads.folders import find
from watcher.work.jobs import WorkerDiedError

ROOT = Path(__file__).parents[3]
SOURCES = [
    path
    for path in chain.from_iterable((ROOT / name).rglob("*.py") for name in ("watcher", "importer", "notifier"))
    if path.name != "details.py"
]


def given_codes() -> Iterator[str]:
    """The codes that the code gives to `detail`."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "detail":
                (code,) = node.args
                assert isinstance(code, ast.Constant), f"{path} gives a code that is no literal"
                yield str(code.value)


def example(code: str) -> Detail:
    """A detail with x for each fact."""
    sentence = (SENTENCES | SYSTEM_SENTENCES | OUTAGE_SENTENCES)[code]
    return detail(code, **{name: "x" for _, name, _, _ in string.Formatter().parse(sentence) if name is not None})


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_is_one_that_the_code_says(sentence: str) -> None:
    assert sentence in set(given_codes())


@pytest.mark.parametrize("code", sorted({*SENTENCES, *SYSTEM_SENTENCES, *OUTAGE_SENTENCES, *given_codes()}))
def test_what_the_code_says_is_translated(code: str) -> None:
    assert detail_in(example(code), "fr") != str(example(code))


@pytest.mark.parametrize(
    ("told", "english", "french"),
    [
        (
            detail("not_writable", why=os_error_detail(OSError(errno.EACCES, os.strerror(errno.EACCES)))),
            "not writable: Permission denied",
            "pas accessible en écriture\u00a0: accès refusé",
        ),
        (listed(["bak", detail("state_directory")]), "bak, state directory", "bak, répertoire d\u2019état"),
        (
            listed(
                [
                    detail("folder_is_link", folder="acme"),
                    detail("no_folder", variables="USERDROP_CLIENTS__X__*"),
                ]
            ),
            "acme is a link, USERDROP_CLIENTS__X__* has no folder",
            "acme est un lien, USERDROP_CLIENTS__X__* ne correspond",
        ),
        (
            WorkerDiedError(-9, detail("file_took_long", seconds=60)).detail,
            "the importing process ended with -9 because a file took it longer than 60 s",
            "le processus d\u2019importation s\u2019est terminé avec le code -9, car un fichier",
        ),
        (detail("folder_is_link", folder="database"), "database is a link", "database est un lien"),
        (
            detail("at", where="content", why=detail("session_too_long")),
            "content: the session took too long",
            "content\u00a0: la séance a duré trop longtemps",
        ),
        (
            detail("at", where="size", why=detail("server_takes", limit=100)),
            "size: the server takes 100 bytes",
            "size\u00a0: le serveur accepte au plus 100 octets",
        ),
        (
            detail("at", where="connect", why="421 busy, try later"),
            "connect: 421 busy, try later",
            "connect\u00a0: 421 busy, try later",
        ),
    ],
)
def test_details_are_told_in_french(told: Detail, english: str, french: str) -> None:
    assert str(told) == english
    assert detail_in(told, "fr").startswith(french)


def test_what_is_said_of_folders_is_told_in_french(tmp_path: Path) -> None:
    for name in ("north shore", "north-shore", "south", "new\nline"):
        (tmp_path / name).mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "south")
    complaints = find(tmp_path, {"NORTH_SHORE", "SUOTH", "FAR"}).complaints
    assert len(complaints) == 5
    assert [said_ for said_ in complaints if detail_in(said_, "fr") == str(said_)] == []
    assert detail_in(listed(complaints), "fr") == ", ".join(detail_in(said_, "fr") for said_ in complaints)


@pytest.mark.parametrize("where", ["", detail("file_took_long", seconds=60), "at reading.py:7 in read: KeyError"])
def test_the_end_of_the_importing_process_is_told_in_french(where: Detail | str) -> None:
    died = WorkerDiedError(-9, where)
    assert str(died) == f"the importing process ended with -9 {where}".strip()
    assert detail_in(died.detail, "fr").startswith("le processus d\u2019importation s\u2019est")


PARTS: st.SearchStrategy[Detail | str] = st.sampled_from(
    [*map(example, [*SENTENCES, *SYSTEM_SENTENCES]), "a, b", "{x}", ""]
)


@given(st.lists(PARTS).map(listed) | st.text())
def test_in_english_a_detail_stays_as_it_is(told: Detail | str) -> None:
    assert detail_in(told, "en") == str(told)


@pytest.mark.parametrize("facts", [(), (("another", "x"),)])
def test_a_detail_of_another_version_stays_in_english(facts: tuple[tuple[str, str], ...]) -> None:
    told = Detail(text="its x is gone", code="folder_is_link" if facts else "gone", facts=facts)
    assert detail_in(told, "fr", str.upper) == "ITS X IS GONE"


def test_a_failure_of_the_system_is_told_by_its_words_or_else_by_its_kind() -> None:
    full, rare = (OSError(number, os.strerror(number)) for number in (errno.ENOSPC, errno.EXFULL))
    assert os_error_detail(full) == detail("ENOSPC")
    assert os_error_detail(rare) == os.strerror(errno.EXFULL)
    assert os_error_detail(OSError(errno.ENOSPC, "words of somebody else")) == "words of somebody else"
    assert os_error_detail(TimeoutError()) == "TimeoutError"


def test_a_failure_with_a_sentence_of_ours_is_told_by_it() -> None:
    sentence = detail("not_ours", name=".importing")
    error = NotOursError(errno.EPERM, sentence, Path("/srv/.importing"))
    assert isinstance(error, PermissionError)
    assert (error.errno, error.strerror, error.filename) == (errno.EPERM, str(sentence), Path("/srv/.importing"))
    assert os_error_detail(error) == sentence
