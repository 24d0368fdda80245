"""The grounds of an examination, the upload directory with clients' folders, and what an account gets at in it."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from importer.files.archiving import BAK
from importer.files.claiming import QUARANTINE_DIRECTORY, WORK_DIRECTORY
from importer.model import shown_name
from watcher.doctor.acls import ENTER, READ, WRITE, Account, Rights
from watcher.doctor.neighbours import Access, Deed, Reach

_PLACES = ("", BAK, WORK_DIRECTORY, QUARANTINE_DIRECTORY)
_GRANTS = {Deed.LIST: READ, Deed.READ: READ, Deed.ENTER: ENTER, Deed.WRITE: WRITE | ENTER}
_LOOKED_AT = 1000
"""The number of entries of a directory that are looked at for a file to try, and of those tried beside the folders."""

May = Callable[[Path, Deed], bool]
"""The question whether an account may do something with a directory, or READ a file."""
AllRights = Mapping[Path, Rights]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPlace:
    """A directory of a client, and a file in it on which reading is tried, None where there is none."""

    client: str
    name: str
    path: Path
    sample: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """The upload directory with clients' folders, as far as who asks can see into them.

    Attributes:
        directory: the upload directory.
        folders: client → its folder, followed by the service's directories in it.
        beside: files and directories in the upload directory that are no client's folder.
    """

    directory: Path
    folders: Mapping[str, Sequence[ClientPlace]]
    beside: Sequence[Path]

    @property
    def places(self) -> Iterator[ClientPlace]:
        """The places of all clients."""
        for places in self.folders.values():
            yield from places

    @property
    def paths(self) -> Iterator[Path]:
        """The paths of all that is tried."""
        yield self.directory
        yield from self.beside
        for place in self.places:
            yield place.path
            if place.sample is not None:
                yield place.sample


def grounds_of(directory: Path, folders: Mapping[str, Path]) -> Grounds:
    """Find what there is to be tried.

    Args:
        directory: the upload directory, which is no link.
        folders: client → its folder.

    Raises:
        OSError: the upload directory cannot be read.
    """
    own = {path.name for path in folders.values()}
    with os.scandir(directory) as entries:
        beside = [Path(entry) for entry in entries if entry.name not in own]
    return Grounds(
        directory=directory,
        folders={client: [*_places(client, directory / path.name)] for client, path in folders.items()},
        beside=beside[:_LOOKED_AT],
    )


def _places(client: str, folder: Path) -> Iterator[ClientPlace]:
    shown = shown_name(client)
    for name in _PLACES:
        path = folder / name
        if os.path.isdir(path) and not path.is_symlink():  # noqa: PTH112 - Path's fails where it may not look
            yield ClientPlace(client=shown, name=f"{shown}/{name}".rstrip("/"), path=path, sample=_sample(path))


def _sample(directory: Path) -> Path | None:
    try:
        with os.scandir(directory) as entries:
            some = islice(entries, _LOOKED_AT)
            return next((Path(entry) for entry in some if entry.is_file(follow_symlinks=False)), None)
    except OSError:
        return None


def worked_out(account: Account, grounds: Grounds, rights: AllRights) -> Reach:
    """Work out what an account gets at, by the rights of each directory on the way from the upload directory."""

    def may(path: Path, deed: Deed) -> bool:
        way = [each for each in path.parents if each.is_relative_to(grounds.directory)]
        is_there = all(each in rights and rights[each].allow(account, ENTER) for each in way)
        return is_there and path in rights and rights[path].allow(account, _GRANTS[deed])

    return reach(account.name, grounds, may)


def reach(account: str, grounds: Grounds, may: May) -> Reach:
    """Ask what an account gets at; nothing in a folder is asked where it does not get into that."""
    return Reach(
        account=account,
        directory=tuple(deed for deed in (Deed.LIST, Deed.WRITE) if may(grounds.directory, deed)),
        beside=any(may(path, Deed.READ) for path in grounds.beside),
        places=tuple(found for places in grounds.folders.values() for found in _reached(places, may)),
    )


def _reached(places: Sequence[ClientPlace], may: May) -> Iterator[Access]:
    for place in places:
        deeds = [deed for deed in (Deed.LIST, Deed.ENTER, Deed.WRITE) if may(place.path, deed)]
        if place.sample is not None and may(place.sample, Deed.READ):
            deeds.append(Deed.READ)
        if deeds:
            yield Access(client=place.client, place=place.name, deeds=tuple(deeds))
        if place is places[0] and Deed.ENTER not in deeds:
            return
