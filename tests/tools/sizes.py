"""`python -m tests.tools.sizes` prints how long functions, classes and modules of the product are.

A number is no verdict: what is long and reads well may stay. It shows where to look first.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import click

ROOT = Path(__file__).parents[2]
PACKAGES = ("importer", "notifier", "watcher")
LONG_BODY, LONG_CLASS, LONG_MODULE = 40, 300, 450


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """A piece of code, and its length in lines: of a function the body without its docstring."""

    what: str
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The pieces of some modules."""

    bodies: tuple[Sized, ...]
    classes: tuple[Sized, ...]
    modules: tuple[Sized, ...]


def sizes(modules: Sequence[Path], root: Path) -> Sizes:
    """Measure modules, named by their paths below `root`."""
    bodies: list[Sized] = []
    classes: list[Sized] = []
    lengths: list[Sized] = []
    for path in modules:
        name = str(path.relative_to(root))
        text = path.read_text(encoding="utf-8")
        lengths.append(Sized(what=name, lines=len(text.splitlines())))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                bodies.append(Sized(what=f"{name}:{node.lineno} {node.name}", lines=_body(node)))
            elif isinstance(node, ast.ClassDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                classes.append(Sized(what=f"{name}:{node.lineno} {node.name}", lines=length))
    return Sizes(bodies=tuple(bodies), classes=tuple(classes), modules=tuple(lengths))


def _body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    statements = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1 if statements else 0


def told(found: Sizes) -> Iterator[str]:
    """The sizes in words: first what is usual, then whatever is longer than most."""
    lengths = [body.lines for body in found.bodies]
    middle, most = round(median(lengths)), _p90(lengths)
    yield f"{len(lengths)} functions: the median body has {middle} lines, 9 of 10 have at most {most}"
    yield from _longer("function bodies", found.bodies, LONG_BODY)
    yield from _longer("classes", found.classes, LONG_CLASS)
    yield from _longer("modules", found.modules, LONG_MODULE)


def _p90(lengths: Sequence[int]) -> int:
    return round(quantiles(lengths, n=10, method="inclusive")[-1])


def _longer(kind: str, pieces: Sequence[Sized], bound: int) -> Iterator[str]:
    long = sorted((each for each in pieces if each.lines > bound), key=lambda each: -each.lines)
    yield f"{len(long)} {kind} of more than {bound} lines"
    yield from (f"  {each.lines:4}  {each.what}" for each in long)


def product() -> list[Path]:
    """The modules of the product, migrations aside, which are never changed again."""
    found = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    return [path for path in found if "migrations" not in path.parts]


@click.command(help=__doc__)
def main() -> None:
    for line in told(sizes(product(), ROOT)):
        click.echo(line)


if __name__ == "__main__":
    main()
