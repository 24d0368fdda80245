"""Messages of a command beside its answer, and the end that may come with them."""

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import click

from watcher.base.exit_codes import ExitCode

_FROM_CHECKOUT = Path("deploy/run")


def program() -> str:
    """The command line's own name as it can be typed here."""
    if shutil.which("userdrop"):
        return "userdrop"
    return f"./{_FROM_CHECKOUT}" if _FROM_CHECKOUT.exists() else sys.argv[0]


def fail(message: str, code: ExitCode) -> NoReturn:
    """End the command with a message, each line of it told by itself."""
    tell(message.splitlines())
    sys.exit(code)


def tell(lines: Iterable[str]) -> None:
    """Write a message to standard error."""
    for line in lines:
        click.echo(f"userdrop: {line}", err=True)
