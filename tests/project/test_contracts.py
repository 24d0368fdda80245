"""The contracts have teeth: wrong imports are caught, and rooms have few floors."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import grimp
import pytest

from tests.servers.tools import environment

ROOT = Path(__file__).parents[2]
PACKAGES = ("importer", "notifier", "watcher")
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")
MOST_FLOORS = 9
WRONG = [
    ("importer/model.py", "from importer.words.reasons import refusal"),
    ("importer/words/reasons.py", "import sqlalchemy"),
    ("importer/formats/columns.py", "from importer.reading.grammar import WHITE_SPACE"),
    ("importer/formats/header.py", "import subprocess"),
    ("importer/reading/lines.py", "from importer.judging.validating import Validator"),
    ("importer/reading/grammar.py", "from importer.reading.records import Split"),
    ("importer/reading/dialect.py", "import socket"),
    ("importer/judging/validating.py", "import shutil"),
    ("importer/judging/examining.py", "from importer.database.tables import imports"),
    ("importer/judging/together.py", "from importer.storing.staging import Staging"),
    ("importer/database/history.py", "from importer.files.claiming import workroom"),
    ("importer/files/claiming.py", "from importer.database.engines import make_engine"),
    ("importer/storing/adding.py", "from importer.importing import Importer"),
    ("importer/removing/purging.py", "from importer.storing.ledger import Entry"),
    ("importer/client_lock.py", "from importer.storing.staging import Staging"),
    ("importer/checking.py", "from importer.storing.staging import Staging"),
    ("importer/importing.py", "from notifier.outbox import form"),
    ("notifier/model.py", "from watcher.base.clock import utc_now"),
    ("notifier/letters.py", "from importer.database.tables import mails"),
    ("notifier/csv_cutting.py", "from importer.reading.user_file import open_user_file"),
    ("notifier/packing.py", "from notifier.sending import Sender"),
    ("notifier/retrying.py", "import sqlite3"),
    ("notifier/sentences.py", "import polars"),
    ("watcher/base/logs.py", "from watcher.settings.variables import Settings"),
    ("watcher/disks.py", "from watcher.uploads.folders import find"),
    ("watcher/uploads/settling.py", "import time"),
    ("watcher/uploads/batching.py", "import os"),
    ("watcher/uploads/intake.py", "from watcher.settings.variables import Settings"),
    ("watcher/uploads/watching.py", "from importer.files.claiming import workroom"),
    ("watcher/uploads/clients.py", "from watcher.work.imports import Imports"),
    ("watcher/work/counting.py", "from importer.storing.ledger import Entry"),
    ("watcher/work/turns.py", "from watcher.doctor.findings import State"),
    ("watcher/doctor/mail.py", "from watcher.work.worker import Worker"),
    ("watcher/web/page.py", "from importer.database.tables import imports"),
    ("watcher/web/gathering.py", "from importer.importing import Importer"),
    ("watcher/app.py", "from watcher.commands.demo import demo"),
    ("watcher/running.py", "from importer.importing import Importer"),
    ("watcher/__main__.py", "from importer.removing.forgetting import forget"),
    ("watcher/asking_doctor.py", "from importer.checking import check"),
    ("watcher/commands/run.py", "from importer.reading.user_file import open_user_file"),
    ("watcher/commands/status.py", "from importer.reading.self_test import misreadings"),
    ("watcher/commands/overview.py", "import polars"),
    ("importer/judging/reporting.py", "from importer.database.engines import make_engine"),
    ("importer/judging/judge.py", "from importer.database.loading import load"),
    ("importer/judging/judge.py", "from importer.database.history import PastImport"),
    ("importer/checking.py", "from importer.database.engines import make_engine"),
    ("importer/closing.py", "from importer.grouping import Group"),
    ("importer/client_lock.py", "from importer.formats.columns import Format"),
    ("importer/reading/lines.py", "from importer.formats.header import Header"),
    ("importer/reading/parsing.py", "from importer.formats.kinds import kind_of"),
    ("importer/formats/format_file.py", "import sqlalchemy"),
    ("importer/words/translating.py", "import sqlalchemy"),
    ("importer/files/archiving.py", "import sqlalchemy"),
    ("importer/prefetch.py", "import sqlalchemy"),
    ("notifier/outbox.py", "from importer.prefetch import ahead"),
    ("notifier/packing.py", "import sqlalchemy"),
    ("watcher/base/control.py", "from notifier.outbox import form"),
    ("watcher/base/clock.py", "from importer.model import Claim"),
    ("watcher/uploads/intake.py", "from importer.database.engines import make_engine"),
    ("watcher/uploads/intake.py", "from importer.formats.columns import Format"),
    ("watcher/uploads/clients.py", "from notifier.outbox import form"),
    ("watcher/work/imports.py", "from watcher.uploads.watching import Supervisor"),
    ("watcher/work/imports.py", "from notifier.outbox import form"),
    ("watcher/work/imports.py", "import sqlalchemy"),
    ("watcher/work/counting.py", "from watcher.uploads.scanning import scan"),
    ("watcher/work/looking.py", "from importer.removing.forgetting import forget"),
    ("watcher/web/page.py", "from watcher.work.imports import Imports"),
    ("watcher/doctor/mail.py", "from notifier.outbox import form"),
    ("watcher/doctor/mail.py", "from notifier.delivering import Delivery"),
    ("importer/durability.py", "from importer.model import Claim"),
    ("watcher/web/page.py", "from watcher.uploads.scanning import scan"),
    ("watcher/web/page.py", "from watcher.uploads.intake import Intake"),
    ("watcher/web/metrics.py", "from watcher.doctor.mail import examined"),
    ("watcher/web/serving.py", "import sqlalchemy"),
    ("watcher/doctor/directory.py", "from importer.importing import Importer"),
    ("watcher/doctor/service.py", "from watcher.uploads.intake import Intake"),
    ("watcher/running.py", "from watcher.doctor.examining import examined"),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code without its tests, in which a wrong import may be written."""
    place = tmp_path_factory.mktemp("contracts")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, place / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", place)
    return place


def is_kept(copy: Path) -> bool:
    done = subprocess.run(
        [LINT_IMPORTS, "--no-logo", "--cache-dir", copy / "cache"],
        cwd=copy,
        env=environment(PYTHONPATH=str(copy)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Contracts:" in done.stdout, done.stdout + done.stderr
    return done.returncode == 0


def test_the_code_as_it_is_keeps_its_contracts(copy: Path) -> None:
    assert is_kept(copy)


@pytest.mark.parametrize(
    ("module", "statement"),
    [*WRONG[::2], *(pytest.param(*each, marks=pytest.mark.full) for each in WRONG[1::2])],
)
def test_a_wrong_import_is_caught(copy: Path, module: str, statement: str) -> None:
    path = copy / module
    source = path.read_text(encoding="utf-8")
    path.write_text(f"{source}\n{statement}\n", encoding="utf-8")
    try:
        assert not is_kept(copy)
    finally:
        path.write_text(source, encoding="utf-8")


@pytest.mark.parametrize("room", ["importer", "importer/judging", "notifier", "watcher/uploads"])
def test_a_module_without_a_place_on_the_map_is_caught(copy: Path, room: str) -> None:
    path = copy / room / "nowhere.py"
    path.write_text('"""Nobody knows where this belongs."""\n', encoding="utf-8")
    try:
        assert not is_kept(copy)
    finally:
        path.unlink()


def contracts() -> Iterator[tuple[str, ConfigParser]]:
    parser = ConfigParser()
    parser.read(ROOT / ".importlinter", encoding="utf-8")
    for section in parser.sections():
        if section.startswith("importlinter:contract:"):
            yield section.rpartition(":")[2], parser


def listed(name: str, key: str) -> list[str]:
    parser = dict(contracts())[name]
    return parser[f"importlinter:contract:{name}"][key].split("\n")[1:]


def layered() -> list[str]:
    return [name for name, parser in contracts() if parser[f"importlinter:contract:{name}"]["type"] == "layers"]


def test_every_package_and_room_has_its_floors_and_never_many() -> None:
    containers = {listed(name, "containers")[0] for name in layered() if name != "packages"}
    rooms = {str(path.parent.relative_to(ROOT)).replace("/", ".") for package in PACKAGES for path in inits(package)}
    assert containers == rooms
    assert max(len(listed(name, "layers")) for name in layered()) <= MOST_FLOORS


def inits(package: str) -> list[Path]:
    return [path for path in (ROOT / package).rglob("__init__.py") if "migrations" not in path.parts]


def test_a_room_says_what_it_is_for_and_imports_nothing() -> None:
    for path in (path for package in PACKAGES for path in inits(package)):
        (docstring,) = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(docstring, ast.Expr), path


def room_docstrings() -> dict[str, str]:
    paths = [path for package in PACKAGES for path in inits(package) if path.parent.name not in PACKAGES]
    return {
        ".".join(path.parent.relative_to(ROOT).parts): ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        or ""
        for path in paths
    }


@pytest.mark.parametrize(("room", "docstring"), room_docstrings().items(), ids=room_docstrings())
def test_a_room_names_its_doors(room: str, docstring: str) -> None:
    graph = grimp.build_graph(*PACKAGES)
    used = {
        module.removeprefix(f"{room}.")
        for module in graph.find_children(room)
        if any(not user.startswith(f"{room}.") for user in graph.find_modules_that_directly_import(module))
    }
    named = set(re.findall(r"`(\w+)`", docstring))
    assert "Each module is a door" in docstring or used <= named
    assert "door" in docstring
