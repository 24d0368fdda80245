"""At any step of the work links or other directories come in the places of ours, or in that of the client's folder."""

import datetime as dt
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from types import FrameType

import pytest

from importer.client_lock import ClientLocks
from importer.files import claiming
from importer.files.anchoring import Folder, anchored, opened_folder, own_directory
from importer.files.archiving import BAK, ForBak, opened_bak, put_into_bak
from importer.files.attempts import MAX_ATTEMPTS
from importer.files.claiming import QUARANTINE_DIRECTORY, WORK_DIRECTORY
from importer.files.reimporting import reimport
from importer.files.renaming import rename_noreplace
from importer.model import Claim, Fingerprint, Retention
from importer.removing.forgetting import Where, forget
from importer.removing.searching import look
from tests.importing import NOW, Site

Work = Callable[[Path], None]

ID = "20261122T101013Z-a"
NAME = "people.csv"
ARCHIVE, REPORT = "people.20261122T101013Z.csv", "people.20261122T101013Z.failed.csv"
DATA = b"unique_id\nU1\n"
OURS = (WORK_DIRECTORY, QUARANTINE_DIRECTORY, BAK)
STEPS = (
    *(open, os.open, os.mkdir, os.rmdir, os.rename, os.replace, os.unlink, os.chmod, os.chown, os.fsync),
    *(os.stat, os.lstat, os.fstat, os.listdir, os.scandir),
)
"""Functions that go to the disk, as rename_noreplace does: between any two of them the client may come."""


def new_claim(upload: Path, room: Path) -> Claim:
    claimed = claiming.claim(Claim(id=ID, client="acme", directory=upload, name=NAME, workroom=room))
    assert isinstance(claimed, Claim)
    claiming.make_durable([claimed])
    claiming.count_attempt(claimed)
    return claimed


def drop(upload: Path) -> None:
    (upload / NAME).write_bytes(DATA)


def archive(upload: Path) -> None:
    """What an import does to the disk."""
    seen = claiming.fingerprint((upload / NAME).lstat())
    with claiming.workroom(upload) as room:
        claimed = new_claim(upload, room)
        copied = claiming.copy(claimed, seen=seen, max_bytes=100)
        claimed.report.write_bytes(b"unique_id,error\r\n")
        (hindrance,) = put_into_bak([ForBak(claim=claimed, archive=ARCHIVE, report=REPORT, sha256=copied.sha256)])
        if hindrance is not None:
            raise hindrance


def give_back(upload: Path) -> None:
    seen = claiming.fingerprint((upload / NAME).lstat())
    with claiming.workroom(upload) as room:
        claimed = new_claim(upload, room)
        with suppress(claiming.ChangedWhileTakenError):
            claiming.copy(claimed, seen=replace(seen, size=1), max_bytes=100)
        claiming.give_back(claimed)


def set_aside(upload: Path) -> None:
    with claiming.workroom(upload) as room:
        claiming.quarantine(new_claim(upload, room), "It ended the process.")


def retry(upload: Path) -> None:
    for found in claiming.set_aside(upload):
        claiming.retry(found, upload)


def drop_again(upload: Path) -> None:
    reimport(upload, NAME)


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """Somebody else's files, under all names that ours have."""
    place = tmp_path / "somebody else's"
    for name in (
        f"{ID}/{NAME}",
        f"{ID}/.copy",
        f"{ID}/.failed.csv",
        f"{ID}/.attempts",
        f"{ID}/REASON",
        ARCHIVE,
        REPORT,
    ):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"precious")
    return place


def contents(place: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(place)): (b"" if path.is_dir() else path.read_bytes(), path.lstat().st_mode)
        for path in sorted(place.rglob("*"))
    }


def swap(upload: Path, trap: Path) -> None:
    """What a client may do in a folder that is not sticky: our directories away, links in their places."""
    for name in OURS:
        with suppress(FileNotFoundError):
            (upload / name).rename(upload / f"{name}-away")
        (upload / name).symlink_to(trap)


@contextmanager
def interrupted(nth: int, act: Callable[[], None]) -> Iterator[None]:
    """Have something happen before the nth step of the block."""
    steps = count(1)

    def watch(frame: FrameType, event: str, called: object) -> None:
        if event == "c_call":
            is_step = called in STEPS
        else:
            is_step = event == "call" and frame.f_code is rename_noreplace.__code__
        if is_step and next(steps) == nth:
            sys.setprofile(None)
            act()

    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize(
    ("before", "work"),
    [
        *(([drop], work) for work in (archive, give_back, set_aside)),
        ([drop, set_aside], retry),
        ([drop, archive], drop_again),
    ],
)
def test_at_no_step_a_link_in_the_place_of_our_directories_is_followed(
    tmp_path: Path, trap: Path, before: Sequence[Work], work: Work
) -> None:
    trapped = contents(trap)
    for nth in count(1):
        upload = tmp_path / f"upload-{nth}"
        upload.mkdir()
        for prepare in before:
            prepare(upload)
        with suppress(OSError), interrupted(nth, partial(swap, upload, trap)):
            work(upload)
        assert contents(trap) == trapped, f"step {nth}"
        ours = [path.read_bytes() for path in upload.rglob("*") if path.is_file()]
        assert DATA in ours, f"step {nth}"
        assert b"precious" not in ours, f"step {nth}"
        if not (upload / BAK).is_symlink():
            break
        shutil.rmtree(upload)
    assert nth > 8


@pytest.mark.parametrize("name", [WORK_DIRECTORY, QUARANTINE_DIRECTORY])
def test_bak_under_another_name_is_no_directory_to_work_in(tmp_path: Path, name: str) -> None:
    """It belongs to the service, but a client may read what lies in it."""
    with opened_bak(tmp_path) as bak:
        (bak / ARCHIVE).write_bytes(DATA)
        (tmp_path / BAK).rename(tmp_path / name)
    before = contents(tmp_path)
    with (
        pytest.raises(PermissionError, match=f"^.*{name} is not a directory of the service's own"),
        own_directory(tmp_path, name),
    ):
        pass
    assert contents(tmp_path) == before


def test_what_a_client_has_put_into_a_quarantine_of_its_own_is_not_taken_for_a_file(tmp_path: Path) -> None:
    place = tmp_path / QUARANTINE_DIRECTORY / ID
    place.mkdir(parents=True)
    (place / "link.csv").symlink_to("/etc/passwd")
    os.mkfifo(place / "fifo.csv")
    assert claiming.set_aside(tmp_path) == []


UPLOADS = {"a.csv": b"uid\nU1\n", "b.csv": b"uid\nU2\n"}
FOREIGN = {"a.csv": b"uid\nF1\n", "b.csv": b"uid\nF2\n"}
LATER = NOW + dt.timedelta(days=2)


class Clients:
    """The folders of two clients, of which `acme` is worked for, and what the service does in them."""

    def __init__(self, site: Site, upload: Path) -> None:
        self.site = site
        self.importer = site.importer(tokens=f"{upload.name}-")
        self.locks = ClientLocks(site.engine)
        self.acme, self.other, self.away = upload / "acme", upload / "other", upload.parent / f"{upload.name}-away"
        self.swapped = False
        for folder, files in ((self.acme, UPLOADS), (self.other, FOREIGN)):
            folder.mkdir(parents=True)
            for name, content in files.items():
                (folder / name).write_bytes(content)
        self.seen = [(name, claiming.fingerprint((self.acme / name).lstat())) for name in UPLOADS]
        with claiming.workroom(self.other) as room, opened_bak(self.other):
            (room / ID).mkdir(mode=0o700)
            (room / ID / NAME).write_bytes(b"uid\nF3\n")
        with own_directory(self.other, QUARANTINE_DIRECTORY), self.locks.locked("other", self.other):
            pass

    @contextmanager
    def job(self) -> Iterator[Folder]:
        """As the importing process does one."""
        with opened_folder(self.acme) as folder, self.locks.locked("acme", folder.anchor):
            yield folder

    def import_(self, uploads: Sequence[tuple[str, Fingerprint]]) -> None:
        with self.job() as folder:
            list(self.importer.import_files("acme", folder, uploads))

    def recover(self) -> None:
        with self.job() as folder:
            list(self.importer.recover("acme", folder))

    def finish(self) -> None:
        """What comes after a job that was cut short, once the folder is back."""
        self.recover()
        with anchored(self.acme) as folder:
            retry(folder)
        self.import_([each for each in self.seen if (self.acme / each[0]).exists()])
        self.recover()

    def imported(self) -> list[str]:
        ledger = [entry for entry in self.site.ledger() if entry["directory"] == str(self.acme)]
        return sorted(entry["file"] for entry in ledger if entry["status"] == "imported")


def import_one(clients: Clients) -> None:
    clients.import_(clients.seen[:1])


def import_together(clients: Clients) -> None:
    clients.import_(clients.seen)


def give_one_back(clients: Clients) -> None:
    ((name, seen), _) = clients.seen
    clients.import_([(name, replace(seen, size=seen.size + 1))])


def leave_claimed(clients: Clients) -> None:
    with claiming.workroom(clients.acme) as room:
        for number, name in enumerate(UPLOADS):
            new = Claim(id=f"{clients.acme.parent.name}-{number}", client="acme", directory=clients.acme, name=name)
            assert isinstance(claiming.claim(replace(new, workroom=room)), Claim)


def use_up_attempts(clients: Clients) -> None:
    leave_claimed(clients)
    for work in (clients.acme / WORK_DIRECTORY).glob("[!.]*"):
        (work / ".attempts").write_text(str(MAX_ATTEMPTS), encoding="ascii")


def archive_elsewhere_too(clients: Clients) -> None:
    """What lies in bak lies under the same names in the other client's."""
    import_one(clients)
    for path in (clients.acme / BAK).iterdir():
        shutil.copy2(path, clients.other / BAK)


def purge_all(clients: Clients) -> None:
    at_once = Retention(archives=dt.timedelta(), reports=dt.timedelta())
    with clients.job() as folder:
        clients.site.importer(now=LATER).purge("acme", folder, at_once)


def retry_all(clients: Clients) -> None:
    with anchored(clients.acme) as folder:
        retry(folder)


def drop_one_again(clients: Clients) -> None:
    with anchored(clients.acme) as folder:
        reimport(folder, "a.csv")
        (folder / "a.csv").unlink()


def forget_one(clients: Clients) -> None:
    with anchored(clients.acme) as folder:
        forget(
            clients.site.engine,
            clients.site.format,
            Where(client="acme", directory=folder),
            "U1",
            partial(look, known_names=clients.site.format.known_names),
            with_files=True,
        )


def put_a_link(clients: Clients) -> None:
    clients.acme.rename(clients.away)
    clients.acme.symlink_to(clients.other)
    clients.swapped = True


def exchange(clients: Clients) -> None:
    clients.acme.rename(clients.away)
    clients.other.rename(clients.acme)
    clients.away.rename(clients.other)
    clients.swapped = True


def mend(clients: Clients) -> None:
    """The folders are back in their places."""
    if clients.acme.is_symlink():
        clients.acme.unlink()
        clients.away.rename(clients.acme)
    elif clients.swapped:
        exchange(clients)


@pytest.mark.parametrize(
    ("before", "work", "swap_folders"),
    [
        *(([], work, put_a_link) for work in (import_one, import_together, give_one_back)),
        ([], import_together, exchange),
        ([leave_claimed], Clients.recover, put_a_link),
        ([use_up_attempts], Clients.recover, put_a_link),
        ([use_up_attempts, Clients.recover], retry_all, put_a_link),
        *(([archive_elsewhere_too], work, put_a_link) for work in (purge_all, drop_one_again, forget_one)),
    ],
)
def test_at_no_step_another_folder_in_the_place_of_the_clients_is_worked_in(
    site: Site,
    tmp_path: Path,
    before: Sequence[Callable[[Clients], None]],
    work: Callable[[Clients], None],
    swap_folders: Callable[[Clients], None],
) -> None:
    for nth in count(1):
        clients = Clients(site, tmp_path / f"upload-{nth}")
        for prepare in before:
            prepare(clients)
        others = contents(clients.other)
        with suppress(OSError), interrupted(nth, partial(swap_folders, clients)):
            work(clients)
        was_swapped = clients.swapped
        mend(clients)
        assert contents(clients.other) == others, f"step {nth}"
        clients.finish()
        assert clients.imported() == [*UPLOADS], f"step {nth}"
        assert site.users().keys() <= {"U1", "U2"}, f"step {nth}"
        if not was_swapped:
            break
    assert nth > 4
