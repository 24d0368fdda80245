"""The command line: which commands there are, each in a module of its name that is loaded when it is called."""

import io
import os
import sys
from collections.abc import Iterator, MutableMapping
from importlib import import_module
from types import MappingProxyType

import click

from watcher.base.exit_codes import ExitCode, exit_codes
from watcher.commands.terminal import fail

SUMMARIES = MappingProxyType(
    {
        "check": "Validate FILE without importing it.",
        "client": "Add, list or remove clients: account, folder, jail and rights.",
        "columns": "Show the columns that a user file may have.",
        "demo": "Show the whole job on an example file, in ./var/demo.",
        "doctor": "Find out what is wrong, by trying it, and say what to do.",
        "forget": "Remove the person with this KEY.",
        "history": "Show what happened to files, the newest first.",
        "mail": "Show, retry or drop the mails that were not delivered.",
        "now": "Have the running service import at once what is complete.",
        "reimport": "Drop a FILE of bak again, as a new upload.",
        "retry": "Have a FILE of the quarantine tried again.",
        "run": "Run the service: watch the upload directory and import.",
        "settings": "Show the settings in force, secrets as ***.",
        "setup": "Ask what a site has to decide, try each answer, and write the settings.",
        "status": "Show what the running service does, and what waits for it.",
        "tables": "Describe the database's tables and columns, as Markdown.",
        "template": "Print a CSV with the header and one example row.",
        "user": "Show which files brought and last changed the user with KEY.",
        "why": "Tell what happened to FILE, what did not, and why.",
    }
)
"""The first paragraph of each command's help: a list of the commands is made of it, and loads none of them."""


class Commands(MutableMapping[str, click.Command]):
    """The commands by their names; a command of `SUMMARIES` is loaded when it is looked up."""

    def __init__(self) -> None:
        self._loaded: dict[str, click.Command | None] = dict.fromkeys(SUMMARIES)

    def __getitem__(self, name: str) -> click.Command:
        if (command := self._loaded[name]) is None:
            module = import_module(f"{__package__}.{name}")
            command = self._loaded[name] = getattr(module, name)
        return command

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded)

    def __len__(self) -> int:
        return len(self._loaded)


class CommandLine(click.Group):
    """A group whose list of commands is made from `SUMMARIES`."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write the list as click does, without the commands themselves."""
        width = formatter.width - 6 - max(map(len, SUMMARIES))
        with formatter.section("Commands"):
            formatter.write_dl([(name, _shortened(said, width)) for name, said in SUMMARIES.items()])


def _shortened(summary: str, width: int) -> str:
    return click.Command(None, help=summary).get_short_help_str(width)


@click.group(cls=CommandLine, commands=Commands(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="userdrop", prog_name="userdrop")
@exit_codes(unavailable="database or disk out", bug="a bug", already_running="another instance is running")
def userdrop() -> None:
    """Managed user import: clients drop a CSV of users over FTPS, userdrop does the rest.

    Settings come from environment variables; `userdrop settings` shows them.
    """


def main() -> None:
    """Run a command; its mistakes are told in a sentence, not in a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        code = _run_command()
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        if sys.stdout is not None:  # what is left to write has nowhere to go
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        fail(f"{error.filename or 'standard output'}: {error.strerror or error}", ExitCode.USAGE)
    except Exception as error:  # noqa: BLE001 - its text may hold customers' data, so only its place is told
        from watcher.base.logs import place  # noqa: PLC0415 - structlog is a fifth of what a command has to load

        fail(f"a bug has ended the command {place(error)}", ExitCode.BUG)
    sys.exit(code)


def _run_command() -> int:
    try:
        code = userdrop.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except click.Abort:
        return 130
    except SystemExit as end:
        code = end.code
    return code if isinstance(code, int) else ExitCode.DONE
