"""`userdrop check`: a file validated without an import.

polars, which the check needs, is loaded after another process has begun to load the settings, beside that process.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import click

from watcher.base.exit_codes import exit_codes
from watcher.base.limits import forgo_algebra
from watcher.settings.check_settings import CheckSettings, loading

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUTPUT = click.Path(dir_okay=False, writable=True, path_type=Path)


@click.command()
@click.argument("file", type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a summary.")
@click.option(
    "--accepted",
    type=_OUTPUT,
    help="Write the accepted rows to this file, with canonical columns and normalised values.",
)
@click.option("--failed", type=_OUTPUT, help="Write the failed-users CSV to this file.")
@exit_codes(done="every row would be accepted", amiss="some failed", worse="the file would be refused")
def check(*, file: Path, as_json: bool, accepted: Path | None, failed: Path | None) -> NoReturn:
    """Validate FILE without importing it."""
    forgo_algebra()
    with _collecting_nothing(), loading() as sent:
        from watcher.commands.judgement import judged  # noqa: PLC0415 - beside the process that loads the settings

        settings = sent() or _loaded_here()
    sys.exit(judged(file, settings, accepted=accepted, failed=failed, as_json=as_json))


def _loaded_here() -> CheckSettings:
    from watcher.commands.loading import loaded  # noqa: PLC0415 - pydantic is met only where that process failed

    return CheckSettings.of(*loaded())


@contextmanager
def _collecting_nothing() -> Iterator[None]:
    """Keep the garbage collector from looking through what is loaded, which takes a twentieth of a second."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
