"""The judgement of `userdrop check`, and how a terminal shows it."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from importer import checking
from importer.checking import Checked
from importer.formats.patterns import pattern_mistakes
from importer.model import Progress, ReasonCount, shown_name
from importer.reading.self_test import misreadings
from watcher.base.clock import utc_now
from watcher.base.exit_codes import ExitCode
from watcher.commands.terminal import fail
from watcher.settings.check_settings import CheckSettings

_PROGRESS_BYTES = 8 << 20


def judged(
    file: Path, settings: CheckSettings, *, accepted: Path | None, failed: Path | None, as_json: bool
) -> ExitCode:
    """Check a file and show what is found; the command ends where the file or the outputs cannot be used.

    Args:
        file: the file to check.
        settings: the settings by which it is checked.
        accepted: where to write the accepted rows; None for nowhere.
        failed: where to write the failed-users CSV; None for nowhere.
        as_json: whether one JSON object is printed instead of a summary.
    """
    if mistakes := [*_mistaken_paths(file, accepted, failed), *pattern_mistakes(settings.format_), *misreadings()]:
        fail("\n".join(mistakes), ExitCode.USAGE)
    try:
        with _progress(file) as progress:
            checked = checking.check(
                file,
                format_=settings.format_,
                max_bytes=settings.max_bytes,
                today=utc_now().date(),
                accepted=accepted,
                failed=failed,
                json_to=sys.stdout if as_json else None,
                language=settings.language,
                progress=progress,
            )
    except OSError as error:
        fail(f"{error.filename or file}: {error.strerror or error}", ExitCode.USAGE)
    if not as_json:
        Console(soft_wrap=False).print(_summary(checked))
    if checked.refused:
        return ExitCode.WORSE
    return ExitCode.AMISS if checked.counts.failed else ExitCode.DONE


def _mistaken_paths(file: Path, *outputs: Path | None) -> Iterator[str]:
    if not file.is_file():
        yield f"{file}: not a regular file"
    paths = [path.resolve() for path in (file, *outputs) if path is not None]
    if len(set(paths)) < len(paths):
        yield "FILE, --accepted and --failed must be different files"


@contextmanager
def _progress(file: Path) -> Iterator[Callable[[Progress], None] | None]:
    """A progress bar on standard error, for long files on a terminal; else None."""
    console = Console(stderr=True)
    if not console.is_terminal or file.stat().st_size <= _PROGRESS_BYTES:
        yield None
        return
    from rich import progress  # noqa: PLC0415 - slow to load, and most checks are short or not watched

    with progress.Progress(console=console, transient=True) as bar:
        task = bar.add_task(file.name, total=None)
        yield lambda at: bar.update(task, completed=at.read, total=at.total)


def _summary(checked: Checked) -> RenderableType:
    """The lines of a summary: the counts, what to correct with the most frequent first, and the warnings."""
    name = shown_name(checked.file)
    if checked.refused is not None:
        return Text(f"{name} would be refused: {checked.refused.message}", style="red")
    counts = checked.counts
    line = f"{name}: {counts.records:,} rows, {counts.accepted:,} accepted, {counts.failed:,} failed"
    head = Text(line + (f", {counts.blank:,} blank" if counts.blank else ""), style="red" if counts.failed else "green")
    parts: list[RenderableType] = [head]
    if checked.reasons:
        parts.append(_reasons(checked.reasons))
    parts += [Text(f"Note: {warning.message}.", style="yellow") for warning in checked.warnings]
    return Group(*parts)


def _reasons(reasons: Iterable[ReasonCount]) -> Table:
    table = Table("rows", "column", "code", "for example", box=None, pad_edge=False)
    table.columns[0].justify = "right"
    for reason in reasons:
        example = Text(f"row {reason.example_row}: {reason.example}")
        table.add_row(f"{reason.count:,}", Text(reason.column or ""), reason.code, example)
    return table
