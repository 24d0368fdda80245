"""`python -m tests.tools.fuzz --seconds N` feeds the reader with mutated files until the time is up, or a find.

Every file is examined twice, in large blocks and in small ones. Whatever it holds, it is refused with a reason or each
of its records is accepted, failed or blank (`Judged.counts` adds them up), and both ways say the same. A find is
written into the current directory; it becomes a case of `tests/importer/reading/test_fuzz.py`.
"""

import random
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import click

from importer.formats.format_file import load_format
from importer.model import Counts, FileRefused
from tests.generate.hostile import contents
from tests.importing import accepted, examined
from watcher.base.clock import elapsed

FIXTURES = Path(__file__).parents[2] / "fixtures"
FORMAT = load_format(None)
LONGEST = 20_000
"""Bytes of a file; longer ones are slow, and say no more."""
MOST_BLOCKS = 40
_TOKENS = (
    *(b",", b";", b"\t", b"|", b'"', b'""', b'"\n"', b"\r", b"\n", b"\r\n", b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf"),
    *(b"\xff\xfe", b"\x85", b"\xe2\x80\xa8", b" ", b"'", b"=", b"<clear>", b"unique_id", b"login_source", b"email"),
    *(b"password", b"import_error", b"sep=;\n", b"\x1f\x8b\x08\0", b"\\", b"\x1a", b"U1,OPSCOM\n", b'"U1","OPSCOM"\n'),
)

Verdict = tuple[Counts, dict[int, dict[str, str | None]]] | str
"""Counts and accepted rows, or the code of the refusal."""


def corpus() -> list[bytes]:
    """What is mutated: the fixtures and the hostile files, as far as they are short."""
    files = [path.read_bytes() for path in sorted(FIXTURES.rglob("*.csv"))]
    return [content[:LONGEST] for content in (*files, *(content for _, _, content in contents()))]


def mutated(chance: random.Random, known: list[bytes]) -> bytes:
    """One of the files with a few changes."""
    content = bytearray(chance.choice(known))
    for _ in range(chance.randint(1, 8)):
        chance.choice(_CHANGES)(chance, content, known)
    return bytes(content[:LONGEST])


def _put(chance: random.Random, content: bytearray, _: list[bytes]) -> None:
    at = chance.randint(0, len(content))
    content[at:at] = chance.choice(_TOKENS) * chance.choice((1, 1, 1, 2, 40))


def _flip(chance: random.Random, content: bytearray, _: list[bytes]) -> None:
    if content:
        content[chance.randrange(len(content))] = chance.randrange(256)


def _cut(chance: random.Random, content: bytearray, _: list[bytes]) -> None:
    start = chance.randint(0, len(content))
    del content[start : start + chance.randint(0, 60)]


def _end(chance: random.Random, content: bytearray, _: list[bytes]) -> None:
    del content[chance.randint(0, len(content)) :]


def _repeat(chance: random.Random, content: bytearray, _: list[bytes]) -> None:
    start = chance.randint(0, len(content))
    content[start:start] = content[start : start + chance.randint(0, 200)] * chance.randint(1, 3)


def _splice(chance: random.Random, content: bytearray, known: list[bytes]) -> None:
    other = chance.choice(known)
    start = chance.randint(0, len(other))
    content[chance.randint(0, len(content)) :] = other[start:]


_CHANGES: tuple[Callable[[random.Random, bytearray, list[bytes]], None], ...] = (
    _put,
    _flip,
    _cut,
    _end,
    _repeat,
    _splice,
)


def verdict(content: bytes, block_bytes: int) -> Verdict:
    """What becomes of a file that is read in blocks of that size, or of one that cuts it in MOST_BLOCKS."""
    block_bytes = max(block_bytes, len(content) // MOST_BLOCKS)
    try:
        with examined(content, FORMAT, block_bytes=block_bytes) as examination:
            for _ in examination.failed():
                pass
            return examination.counts, accepted(examination)
    except FileRefused as refused:
        return refused.refusal.code


def fuzz(
    seed: int, *, until: Callable[[int], bool], judge: Callable[[bytes, int], object] = verdict
) -> Iterator[bytes]:
    """Files on which the reader fails, or does not agree with itself.

    Args:
        seed: of all chance.
        until: told how many files were examined; ends it.
        judge: see `verdict`.
    """
    chance, known = random.Random(seed), corpus()  # noqa: S311 - it has to be repeatable
    for number in count():
        if until(number):
            return
        content = mutated(chance, known)
        try:
            agrees = judge(content, 1 << 20) == judge(content, chance.choice((1, 7, 64, 1000)))
        except Exception:  # noqa: BLE001 - whatever it is, it is a find
            agrees = False
        if not agrees:
            yield content


@click.command()
@click.option("--seconds", default=600.0, show_default=True, help="How long.")
@click.option("--seed", default=0, show_default=True, help="Of all chance; other seeds, other files.")
def main(*, seconds: float, seed: int) -> None:
    """Fuzz the reader. Exit codes: 0 nothing was found, 1 something was."""
    started, examined_files = elapsed(), 0

    def is_over(number: int) -> bool:
        nonlocal examined_files
        examined_files = number
        return elapsed() - started > seconds

    for content in fuzz(seed, until=is_over):
        path = Path(f"find-{seed}-{examined_files}.csv")
        path.write_bytes(content)
        click.echo(f"{path}: the reader fails, or does not agree with itself")
        sys.exit(1)
    click.echo(f"{examined_files:,} files examined twice, nothing found")


if __name__ == "__main__":
    main()
