"""`python -m tests.tools.digests`: what fixtures/ and 2,000 generated files are read as, in a line for each file.

Two interpreters read alike where they print the same. A line has the SHA-256 of all that `userdrop check` says of it:
numbers, remarks, reasons, accepted rows, and the report.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from importer.checking import check
from importer.formats.columns import Format
from importer.formats.format_file import load_format
from tests.importer.test_differential import case_to_judge

FIXTURES = Path(__file__).parents[2] / "fixtures"
GENERATED = 2000
TODAY = date(2026, 11, 29)
_LANGUAGES = ("en", "fr")
_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A file to be read, and in which language its report is written."""

    title: str
    name: str
    data: bytes
    format: Format
    language: str = "en"


def fixtures() -> Iterator[Sheet]:
    for path in sorted(FIXTURES.rglob("*.csv*")):
        own = path.with_suffix(".toml")
        yield Sheet(
            title=str(path.relative_to(FIXTURES)),
            name=path.name,
            data=path.read_bytes(),
            format=load_format(own if own.exists() else None),
        )


def generated(files: int) -> Iterator[Sheet]:
    for seed in range(files):
        case = case_to_judge(seed)
        language = _LANGUAGES[seed % len(_LANGUAGES)]
        yield Sheet(title=f"generated-{seed}", name=case.name, data=case.data, format=case.format, language=language)


def digest(sheet: Sheet) -> str:
    """All that is said of the file, as a SHA-256."""
    with TemporaryDirectory() as directory:
        path, accepted, failed = (Path(directory) / name for name in (sheet.name, "accepted", "failed"))
        path.write_bytes(sheet.data)
        said = io.StringIO()
        check(
            path,
            format_=sheet.format,
            max_bytes=_BYTES,
            today=TODAY,
            accepted=accepted,
            failed=failed,
            json_to=said,
            language=sheet.language,
        )
        outputs = [output.read_bytes() if output.exists() else b"" for output in (accepted, failed)]
    return sha256(b"\0".join([said.getvalue().encode(), *outputs])).hexdigest()


@click.command()
@click.option("--generated", "files", default=GENERATED, show_default=True, type=click.IntRange(min=0))
def main(*, files: int) -> None:
    """Print what each file is read as."""
    for sheet in (*fixtures(), *generated(files)):
        click.echo(f"{digest(sheet)} {sheet.title}")


if __name__ == "__main__":
    main()
