"""No cure harms: nobody is told to remove what may hold a client's file, or to take a directory from somebody."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEAKING = [
    *("notifier/alert_texts.py", "importer/words/details.py", "watcher/stories/story.py", "watcher/asking_doctor.py"),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "watcher" / "doctor").glob("*.py")),
]
"""The modules whose sentences tell the administrator what to do."""
HARMLESS = {
    "Do not delete it",
    "neither imported nor moved nor deleted",
    "delete_failed_uploads",  # a line of vsftpd.conf
    "clients can remove or rename bak",
    "remove a file from ",  # the doctor's own, with which it has tried
    ", and removed, on one device",
    "before it was taken here: removed, renamed, or taken by another node",  # what somebody has done
}
REMOVING = re.compile(r"\b(?:remov\w*|delet\w*|rm|rmdir|unlink|truncate|shred)\b", re.IGNORECASE)


def sentences(module: Path) -> Iterator[str]:
    """The texts of a module, those in its docstrings left out."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    documenting = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
    for each in ast.walk(tree):
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and id(each) not in documenting:
            yield each.value


@pytest.mark.parametrize("name", SPEAKING)
def test_no_cure_says_to_remove_anything(name: str) -> None:
    for text in sentences(ROOT / name):
        said = text
        for harmless in HARMLESS:
            said = said.replace(harmless, "")
        assert REMOVING.search(said) is None, text


@pytest.mark.parametrize("name", SPEAKING)
def test_a_directory_is_made_only_where_there_is_none(name: str) -> None:
    """`install -d -o` gives one that exists to another owner."""
    told = [text for text in sentences(ROOT / name) if "install -d" in text]
    assert told == [] or name == "watcher/doctor/cures.py"


def test_what_is_harmless_is_still_said_somewhere() -> None:
    said = "\n".join(text for name in SPEAKING for text in sentences(ROOT / name))
    assert all(each in said for each in HARMLESS)
