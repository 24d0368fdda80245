"""Judgements on what clients' accounts get at in the folders of other clients. Pure.

It need not be known whose an account is: one that gets into the folders of two clients is a fault in any case.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from watcher.doctor.findings import Finding, broken, ok, warning

NAME = "client folders"

_SHOWN = 3
"""The number of accounts, and of folders of each, that are named; the others are only counted."""
_AS_ROOT = "run `userdrop doctor` as root, which tries it as each account"


class Deed(StrEnum):
    """A deed of an account with a directory: LIST its names, ENTER it, WRITE in it, READ a file of it."""

    LIST = "list"
    ENTER = "enter"
    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A place within a client's folder that an account gets at.

    Attributes:
        client: the folder's name.
        place: the folder's name, followed by that of a directory in it where it is one, such as `acme/bak`.
        deeds: what the account may do there.
    """

    client: str
    place: str
    deeds: tuple[Deed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The reach of one account: all that it gets at.

    Attributes:
        account: the account's name.
        directory: what the account may do with the upload directory itself.
        beside: whether it may read what lies there beside the clients' folders.
        places: what it gets at within the folders.
    """

    account: str
    directory: tuple[Deed, ...] = ()
    beside: bool = False
    places: tuple[Access, ...] = ()

    @property
    def clients(self) -> tuple[str, ...]:
        """The clients whose folders the account gets at, in order."""
        return tuple(dict.fromkeys(each.client for each in self.places))


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The accounts of all clients' folders, and what each gets at.

    Attributes:
        directory: the upload directory, with a folder for each client.
        folders: how many there are.
        reaches: one for each account.
        is_tried: whether it was tried as each account, rather than worked out from modes and access control lists.
        sees_all: accounts and groups can be seen; within the service's sandbox they cannot, and there are no reaches.
        strangers: folders that a group gets into which cannot be seen, and which may be the same for all.
    """

    directory: Path
    folders: int
    reaches: Sequence[Reach]
    is_tried: bool
    sees_all: bool = True
    strangers: Sequence[str] = ()


def judged(survey: Survey) -> Iterator[Finding]:
    """Judge the folders: what is wrong with them, or else one finding that says how it is known that all is well."""
    if not survey.sees_all:
        yield _from_the_sandbox(survey)
        return
    faults = [*_across(survey), *_around(survey)]
    yield from faults or [_in_order(survey)]


def _in_order(survey: Survey) -> Finding:
    none = f"none of {len(survey.reaches)} accounts gets at more than one of {survey.folders} folders"
    if survey.is_tried:
        return ok(NAME, f"tried as each of them, {none}")
    return ok(NAME, f"by modes and access control lists, {none}; `userdrop doctor` as root tries it")


def _from_the_sandbox(survey: Survey) -> Finding:
    if len(survey.strangers) > 1:
        what = f"who is in the groups of {_some(survey.strangers)} cannot be seen from within the service's sandbox"
        return warning(NAME, f"{what}, so that the same accounts may get into all of them", _AS_ROOT)
    return ok(NAME, "which accounts get into them is not seen from the service's sandbox; `userdrop doctor` tries it")


def _across(survey: Survey) -> Iterator[Finding]:
    crossing = [each for each in survey.reaches if len(each.clients) > 1]
    is_shared = len(survey.reaches) == 1
    for each in crossing[:_SHOWN]:
        what = f"the account {each.account} gets at the folders of {len(each.clients)} clients: {_told(each.places)}"
        yield _shared_by_all(what) if is_shared else broken(NAME, what, _cure(each.clients))
    if len(crossing) > _SHOWN:
        clients = tuple(dict.fromkeys(client for each in crossing[_SHOWN:] for client in each.clients))
        yield broken(NAME, f"further accounts that do so: {len(crossing) - _SHOWN}", _cure(clients))


def _shared_by_all(what: str) -> Finding:
    """The finding of one account for all clients, such as vsftpd's guest, whose sessions the server keeps apart."""
    cure = (
        "have an account for each client by `userdrop client add`, or see to it that the server keeps every session in"
        " its folder, as vsftpd does with guest_enable=YES"
    )
    return warning(NAME, f"{what}; nothing but the server keeps its sessions apart", cure)


def _cure(clients: Sequence[str]) -> str:
    """The cure, which depends on whose the accounts are, as the administrator alone knows."""
    add = "userdrop client add CLIENT --account ACCOUNT"
    return f"as root run {add} for {_some(clients)}, each with an account of its own"


def _around(survey: Survey) -> Iterator[Finding]:
    close = f"chmod 0711 {survey.directory}"
    writing = [each.account for each in survey.reaches if Deed.WRITE in each.directory]
    if writing:
        what = f"{_some(writing)} may make folders in {survey.directory}, each of which would be a client"
        yield broken(NAME, what, close)
    listing = [each.account for each in survey.reaches if Deed.LIST in each.directory]
    if listing:
        yield warning(NAME, f"{_some(listing)} may list the names of all clients in {survey.directory}", close)
    reading = [each.account for each in survey.reaches if each.beside]
    if reading:
        what = f"{_some(reading)} may read what lies in {survey.directory} beside the clients' folders"
        yield broken(NAME, what, "move it to the folder of the client whose it is, or chmod go= it")


def _told(places: Sequence[Access]) -> str:
    return _listed([f"{each.place} ({', '.join(each.deeds)})" for each in places], "places")


def _some(names: Sequence[str]) -> str:
    return _listed(names, "others")


def _listed(names: Sequence[str], what: str) -> str:
    """List the first names, and how many more there are."""
    shown, more = ", ".join(names[:_SHOWN]), len(names) - _SHOWN
    return f"{shown} and {more} {what}" if more > 0 else shown
