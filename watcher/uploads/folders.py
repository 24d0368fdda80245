"""Client folders: with USERDROP_CLIENT_FOLDERS each first-level folder of the upload directory is a client.

The client's name is the folder's. Its own settings are variables USERDROP_CLIENTS__KEY__…, where KEY is the folder's
name in capitals with everything but ASCII letters and digits as `_`; where several folders come to the same key, none
of them has settings of its own, so that nobody's mail goes to somebody else.
"""

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from importer.files.archiving import BAK
from importer.model import Detail, shown_name
from importer.words.details import detail

VARIABLES = "USERDROP_CLIENTS__"

_NO_CLIENTS = {BAK, "lost+found"}
_OTHER = re.compile(r"[^A-Z0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The clients whose folders were found.

    Attributes:
        clients: client → its directory.
        shared: the keys that several folders have.
        odd: names in the upload directory that are no folders', hidden names left out.
        complaints: a phrase for each folder that is not served, and for settings that belong to no client.
    """

    clients: Mapping[str, Path]
    shared: frozenset[str] = frozenset()
    odd: tuple[str, ...] = ()
    complaints: tuple[Detail, ...] = field(default=())


def key_of(folder: str) -> str:
    """The part of a variable's name that stands for a client: ACME_CO for acme-co."""
    return _OTHER.sub("_", folder.upper())


def find(directory: Path, keys: Collection[str]) -> Found:
    """Find the clients whose folders lie in a directory; a link is no client's folder.

    Args:
        directory: the upload directory.
        keys: the keys for which there are settings.

    Raises:
        OSError: the directory is missing or may not be read.
    """
    folders: list[str] = []
    links: list[str] = []
    odd: list[str] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _NO_CLIENTS:
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                (links if entry.is_dir() else odd).append(entry.name)
    clients = sorted(filter(is_client_name, folders))
    shared = _shared(clients)
    complaints = [
        *(detail("folder_is_link", folder=shown_name(name)) for name in sorted(links)),
        *(
            detail("folder_is_no_client", folder=shown_name(name))
            for name in sorted(folders)
            if not is_client_name(name)
        ),
        *(
            detail("folders_share", folders=" / ".join(shared[key]), variables=_variables(key))
            for key in sorted(shared.keys() & set(keys))
        ),
        *_nobodys(keys, clients),
    ]
    return Found(
        clients={name: directory / name for name in clients},
        shared=frozenset(shared),
        odd=tuple(sorted(odd)),
        complaints=tuple(complaints),
    )


def is_client_name(folder: str) -> bool:
    """Whether a name can be stored and shown as it is: printable, and UTF-8 on the disk."""
    return folder.isprintable() and not any("\ud800" <= letter <= "\udfff" for letter in folder)


def _shared(clients: Iterable[str]) -> dict[str, list[str]]:
    by_key: defaultdict[str, list[str]] = defaultdict(list)
    for client in clients:
        by_key[key_of(client)].append(client)
    return {key: names for key, names in by_key.items() if len(names) > 1}


def _nobodys(keys: Collection[str], clients: Collection[str]) -> Iterator[Detail]:
    known = {key_of(client): client for client in clients}
    for key in sorted(set(keys) - known.keys()):
        nearest = get_close_matches(key, known, n=1)
        if nearest:
            yield detail("no_folder.nearest", variables=_variables(key), nearest=_variables(nearest[0]))
        else:
            yield detail("no_folder", variables=_variables(key))


def _variables(key: str) -> str:
    return f"{VARIABLES}{key}__*"
