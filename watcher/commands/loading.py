"""The settings that a command needs, and the directories that they name."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from importer.files.anchoring import anchored
from importer.formats.columns import Format
from importer.model import shown_name
from watcher.base.exit_codes import ExitCode
from watcher.commands.terminal import fail
from watcher.settings.configuration import MISTAKES, load
from watcher.settings.variables import Settings
from watcher.uploads.folders import find
from watcher.uploads.model import CLIENT

MOST_NAMED = 10
"""The number of clients that a sentence names."""


def loaded() -> tuple[Settings, Format]:
    """Load settings and format; the command ends with every mistake in them."""
    try:
        return load()
    except MISTAKES as error:
        fail("\n".join(error.mistakes), ExitCode.USAGE)


def clients_of(settings: Settings, client: str | None) -> tuple[str, ...]:
    """The clients that a command is about: the one that was named, or else all that have a folder now."""
    if client is not None:
        return (client,)
    if not settings.client_folders:
        return (CLIENT,)
    found = tuple(sorted(find(settings.upload_dir, ()).clients))
    if not found:
        fail(f"no folder in {settings.upload_dir} is a client; --client names one that is gone", ExitCode.USAGE)
    return found


def only_client(found: Sequence[str], clients: Sequence[str], what: str) -> str:
    """The only client that has what was asked for.

    Args:
        found: the clients that have it.
        clients: the clients that were searched.
        what: names what was asked for in the sentences with which the command ends where none has it, or several.
    """
    if not found:
        fail(f"there is no {what}{_of_whom(clients)}", ExitCode.AMISS)
    if len(found) > 1:
        fail(f"several clients have {what}; give one as --client: {listed_names(found)}", ExitCode.USAGE)
    return found[0]


def searched(clients: Sequence[str]) -> str:
    """The clients that were searched, as a sentence names them after "of"."""
    return f"the client {shown_name(clients[0])}" if len(clients) == 1 else f"any of {len(clients):,} clients"


def _of_whom(clients: Sequence[str]) -> str:
    return "" if tuple(clients) == (CLIENT,) else f" of {searched(clients)}"


def listed_names(clients: Sequence[str]) -> str:
    """The names of clients as a sentence tells them; of many only the first."""
    shown = ", ".join(map(shown_name, clients[:MOST_NAMED]))
    more = len(clients) - MOST_NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown


def directory_of(settings: Settings, client: str) -> Path:
    """The directory of a client; the command ends where there is no such client."""
    if not settings.client_folders:
        return settings.upload_dir
    directory = find(settings.upload_dir, ()).clients.get(client)
    if directory is None:
        fail(f"no folder of the upload directory is the client {shown_name(client)}", ExitCode.USAGE)
    return directory


@contextmanager
def opened_directory_of(settings: Settings, client: str) -> Iterator[Path]:
    """Open a client's directory, to reach it by a path that stays with it.

    Only the upload directory itself may be a link, of the administrator's. The command ends where the directory cannot
    be opened.
    """
    directory = directory_of(settings, client)
    with ExitStack() as stack:
        try:
            anchor = stack.enter_context(anchored(directory if settings.client_folders else directory.resolve()))
        except OSError as error:
            fail(f"{directory} cannot be opened: {error.strerror}", ExitCode.USAGE)
        yield anchor
