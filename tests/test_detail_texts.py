"""What alerts say of what failed: found again by its form, and told in the reader's language."""

import ast
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.detail_texts import SENTENCES, SYSTEM, detail_in
from watcher.folders import find
from watcher.worker import WorkerDiedError

ROOT = Path(__file__).parents[1]
APART = re.compile(r"\{\w+\}|\(")
"""What stands between the parts of a sentence that are said in one piece."""
SOURCES = [
    path
    for path in chain.from_iterable((ROOT / name).glob("*.py") for name in ("watcher", "importer", "notifier"))
    if path.name != "detail_texts.py"
]
DETAILED = {"Faulted", "NotBuilt", "Unhearable", "Unarchived", "BakNotOursError", "Failure"}
"""Whose texts become details of alerts."""


def literals(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def said() -> str:
    """Every literal of the code."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES)
    return "\n".join(chain.from_iterable(map(literals, trees)))


def details() -> Iterator[str]:
    """What is given to the calls of `DETAILED`, with x for what is filled in."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in DETAILED:
                for given_ in (*node.args, *(keyword.value for keyword in node.keywords)):
                    if isinstance(given_, ast.Constant) and isinstance(given_.value, str):
                        yield given_.value
                    elif isinstance(given_, ast.JoinedStr):
                        yield "".join(
                            str(part.value) if isinstance(part, ast.Constant) else "x" for part in given_.values
                        )


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_is_one_that_the_code_says(sentence: str) -> None:
    everything = said()
    assert [part for part in APART.split(sentence) if part.strip() not in everything] == []


@pytest.mark.parametrize("detail", sorted(set(details())))
def test_what_the_code_says_is_translated(detail: str) -> None:
    assert detail_in(detail, "fr") != detail


@pytest.mark.parametrize(
    ("detail", "french"),
    [
        ("not writable: Permission denied", "pas accessible en écriture\u00a0: accès refusé"),
        ("bak, state directory", "bak, répertoire d\u2019état"),
        (
            "acme is a link, USERDROP_CLIENTS__X__* has no folder",
            "acme est un lien, USERDROP_CLIENTS__X__* ne correspond",
        ),
        (
            "the importing process ended with -9 because a file took it longer than 60 s",
            "le processus d\u2019importation s\u2019est terminé avec le code -9, car un fichier",
        ),
        ("database is a link", "database est un lien"),
        ("content: the session took too long", "content\u00a0: la séance a duré trop longtemps"),
        ("size: the server takes 100 bytes", "size\u00a0: le serveur accepte au plus 100 octets"),
        ("connect: 421 busy, try later", "connect\u00a0: 421 busy, try later"),
    ],
)
def test_details_are_told_in_french(detail: str, french: str) -> None:
    assert detail_in(detail, "fr").startswith(french)


def test_what_is_said_of_folders_is_told_in_french(tmp_path: Path) -> None:
    for name in ("north shore", "north-shore", "south", "new\nline"):
        (tmp_path / name).mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "south")
    complaints = find(tmp_path, {"NORTH_SHORE", "SUOTH", "FAR"}).complaints
    assert len(complaints) == 5
    assert [said_ for said_ in complaints if detail_in(said_, "fr") == said_] == []
    both = ", ".join(complaints)
    assert detail_in(both, "fr") == ", ".join(detail_in(said_, "fr") for said_ in complaints)


@pytest.mark.parametrize("where", ["", "because a file took it longer than 60 s", "at reading.py:7 in read: KeyError"])
def test_the_end_of_the_importing_process_is_told_in_french(where: str) -> None:
    assert detail_in(str(WorkerDiedError(-9, where)), "fr").startswith("le processus d\u2019importation s\u2019est")


@given(st.lists(st.sampled_from([*SENTENCES, *SYSTEM, "a, b", "{x}", ""])).map(", ".join) | st.text())
def test_in_english_a_detail_stays_as_it_is(detail: str) -> None:
    assert detail_in(detail, "en") == detail
