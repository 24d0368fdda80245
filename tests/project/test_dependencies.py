"""What is installed is used, what is used is declared, and the README says what each is for."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from tests.servers.tools import environment

ROOT = Path(__file__).parents[2]
OURS = {"importer", "notifier", "watcher"}
MET_BY_NAME = {"psycopg", "tzdata"}
"""SQLAlchemy loads the driver that the database's URL names, and zoneinfo the zones where the system has none."""


def declared() -> set[str]:
    """The names of the runtime dependencies."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {re.split(r"[\[><=~! ]", each)[0].lower() for each in project["dependencies"]}


def imported() -> Iterator[str]:
    """The top-level names that the code imports, wherever in it."""
    for path in (path for package in OURS for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                yield node.module.partition(".")[0]


def test_every_dependency_is_used_and_everything_used_is_declared() -> None:
    distributions = packages_distributions()
    foreign = {*imported()} - OURS - sys.stdlib_module_names
    used = {name.lower().replace("_", "-") for module in foreign for name in distributions[module]}
    assert used - MET_BY_NAME == declared() - MET_BY_NAME


def test_the_bill_of_materials_names_every_locked_package_with_its_hashes(tmp_path: Path) -> None:
    target = tmp_path / "sbom.json"
    subprocess.run([ROOT / "deploy" / "sbom", target], check=True, env=environment())
    components = json.loads(target.read_text(encoding="utf-8"))["components"]
    text = (ROOT / "deploy" / "requirements.txt").read_text(encoding="utf-8")
    locked = re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE)
    assert {(each["name"], each["version"]) for each in components} == {*locked}
    assert all(reference["hashes"] for each in components for reference in each["externalReferences"])


def test_the_readme_says_what_each_dependency_is_for() -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## What it is built on\n")[2]
    rows = re.findall(r"^\| ([a-z][a-z0-9-]*) \| \S.*\|$", section.partition("\n## ")[0], re.MULTILINE)
    assert rows == ["package", *sorted(declared())]


def test_every_package_is_locked_by_its_hash() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        pins = re.split(r"\n(?=[a-z])", (ROOT / "deploy" / name).read_text(encoding="utf-8"))[1:]
        assert pins
        assert [pin.partition(" ")[0] for pin in pins if "--hash=sha256:" not in pin] == []
