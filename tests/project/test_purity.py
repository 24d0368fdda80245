"""What calls itself pure is held to it: it computes with libraries that compute, and names nothing that acts.

What may be imported is listed, so that whatever is not known to be harmless is caught. What comes by an argument is not
seen: nothing here tells a path's `replace` from a string's.
"""

import ast
import re
from configparser import ConfigParser
from pathlib import Path, PurePath

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("importer", "notifier", "watcher")
ALL = frozenset[str]()
"""All names of a library that does nothing but compute."""
LIBRARIES = {
    **dict.fromkeys(
        ["base64", "binascii", "bisect", "collections", "collections.abc", "dataclasses", "datetime", "enum", "errno"],
        ALL,
    ),
    **dict.fromkeys(["functools", "heapq", "hmac", "ipaddress", "itertools", "math", "re", "string", "types"], ALL),
    **dict.fromkeys(["typing", "unicodedata", "rapidfuzz.fuzz", "rapidfuzz.process", "prometheus_client.core"], ALL),
    "difflib": frozenset({"get_close_matches"}),
    "json": frozenset({"JSONDecodeError", "dumps", "loads"}),
    "pathlib": frozenset({"Path", "PurePath"}),
    "shlex": frozenset({"join", "quote"}),
    "sys": frozenset({"version"}),
    "numpy": frozenset({"cumsum", "searchsorted"}),
    "polars": frozenset({"DataFrame", "Expr", "Int64", "Series", "String", "all", "any_horizontal", "coalesce", "col"})
    | {"concat", "concat_str", "lit", "when"},
    "polars_hash": frozenset({"HExpr", "concat_str"}),
    # The collector of the process reads its own numbers in /proc; the metrics are pure but for that.
    "prometheus_client": frozenset({"CollectorRegistry", "ProcessCollector", "generate_latest"}),
    "prometheus_client.exposition": frozenset({"CONTENT_TYPE_PLAIN_0_0_4"}),
    "prometheus_client.registry": frozenset({"Collector"}),
}
OURS_THAT_COMPUTE = {"is_candidate", "is_temporary", "translated"}
"""The functions of modules that are not pure themselves; else only nouns (classes and constants) come from there."""
ACTING_BUILTINS = {
    *("breakpoint", "compile", "delattr", "eval", "exec", "exit", "getattr", "globals", "help", "input", "locals"),
    *("open", "print", "quit", "setattr", "vars", "__builtins__", "__import__", "__loader__", "__spec__"),
}
# What a Path does and a PurePath does not; strings have a `replace` too.
ACTING_ATTRIBUTES = {*dir(Path)} - {*dir(PurePath)} - {"replace"}
ACTING_ATTRIBUTES |= {"__builtins__", "__dict__", "__globals__", "__loader__", "__subclasses__", "fromfile", "tofile"}
ACTING_PREFIXES = ("read_", "scan_", "sink_", "write_")
"""What frames do with files."""


def pure_modules() -> list[str]:
    parser = ConfigParser()
    parser.read(ROOT / ".importlinter", encoding="utf-8")
    return parser["importlinter:contract:pure"]["source_modules"].split()


PURE = pure_modules()


def source_of(module: str) -> str:
    return (ROOT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")


def impurities(source: str) -> list[str]:
    """What in a module's source is not known to compute only, each with its line."""
    nodes = [*ast.walk(ast.parse(source))]
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    limited = {name: names for node in imports for name, names in bound(node) if names}
    fine = {id(node.value) for node in nodes if isinstance(node, ast.Attribute) and is_allowed(node, limited)}
    found = [f"{each} in line {node.lineno}" for node in imports for each in unknown_imports(node)]
    for node in nodes:
        if isinstance(node, ast.Name) and (node.id in ACTING_BUILTINS or (node.id in limited and id(node) not in fine)):
            found.append(f"{node.id} in line {node.lineno}")
        if isinstance(node, ast.Attribute) and is_acting(node.attr):
            found.append(f"{node.attr} in line {node.lineno}")
    return found


def bound(node: ast.Import | ast.ImportFrom) -> list[tuple[str, frozenset[str]]]:
    """The names by which libraries are known in the module, and which of their names may be used."""
    libraries = node.names if isinstance(node, ast.Import) else []
    return [(each.asname or each.name, LIBRARIES.get(each.name, ALL)) for each in libraries]


def unknown_imports(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [each.name for each in node.names if each.name not in LIBRARIES]
    return [f"{node.module}.{each.name}" for each in node.names if not may_come(node, each.name)]


def may_come(node: ast.ImportFrom, name: str) -> bool:
    module = node.module or ""
    if node.level or name == "*":
        return False
    if module.partition(".")[0] in PACKAGES:
        return module in PURE or name[:1].isupper() or name in OURS_THAT_COMPUTE
    return module in LIBRARIES and (not LIBRARIES[module] or name in LIBRARIES[module])


def is_allowed(node: ast.Attribute, known: dict[str, frozenset[str]]) -> bool:
    return isinstance(node.value, ast.Name) and node.attr in known.get(node.value.id, ())


def is_acting(attribute: str) -> bool:
    return attribute in ACTING_ATTRIBUTES or attribute.startswith(ACTING_PREFIXES)


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_only_computes(module: str) -> None:
    assert impurities(source_of(module)) == []


def says_pure(path: Path) -> bool:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return path.name != "__init__.py" and re.search(r"\bpure\b", docstring, re.IGNORECASE) is not None


def test_what_calls_itself_pure_is_held_to_it() -> None:
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if says_pure(path)]
    assert {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths} <= {*PURE}


@pytest.mark.parametrize(
    "statement",
    [
        *(
            f"import {name}"
            for name in ("codecs", "dbm", "bz2", "posix", "_io", "pickle", "netrc", "mimetypes", "termios")
        ),
        *(
            f"import {name}"
            for name in ("curses", "xmlrpc.client", "telnetlib", "email.generator", "importlib", "logging")
        ),
        *(f"import {name}" for name in ("os", "io", "time", "random", "socket", "subprocess", "asyncio", "sqlalchemy")),
        "from polars import read_csv",
        "import polars as pl\nframe = pl.scan_csv('x')",
        "import polars as pl\nlibrary = pl",
        "frame.write_csv('x')",
        "import numpy as np\narray = np.fromfile('x')",
        "from importer.reading.user_file import open_user_file",
        "from importer.files.claiming import workroom",
        "from . import recording",
        "from json import *",
        "import json\njson.dump({}, file)",
        "import sys\nsys.stdout.write('x')",
        "import sys as system\nsystem.stdout.write('x')",
        "from pathlib import os",
        "Path('x').open('w')",
        "Path('x').rename('y')",
        "texts = map(Path.read_text, paths)",
        "o = open; o('x')",
        "codecs = __import__('codecs')",
        "__import__('os').system('x')",
        "getattr(path, 'unlink')()",
        "__builtins__['open']('x')",
        "print.__self__.open('x')",
    ],
)
def test_what_is_not_pure_is_caught(statement: str) -> None:
    assert impurities(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "import datetime as dt\nday = dt.date(2026, 1, 1)",
        "from pathlib import Path\nname = Path('x').name",
        "text = 'x'.replace('x', 'y')",
        "import json\ntext = json.dumps({})",
        "import polars as pl\ncell: pl.Expr = pl.col('x')",
        "from importer.model import Claim, shown_name",
        "from importer.database.history import PastImport",
    ],
)
def test_what_computes_is_pure(statement: str) -> None:
    assert impurities(statement) == []
