"""Many uploads at once, on the real server, with cuts and with names that are sent again and again."""

import hashlib
import io
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.e2e import files
from tests.e2e.house import House
from tests.servers import clients
from tests.servers.ftps import FtpsServer
from tests.servers.service import RUN, Service, with_renames


def versions() -> list[bytes]:
    """Files of different lengths whose rows are all of one version."""
    random = Random(5)  # noqa: S311 - it has to be repeatable
    return [
        files.csv_of(*(files.good(1000 * version + row) for row in range(random.randint(20, 400))))
        for version in range(12)
    ]


@pytest.mark.parametrize("reads_log", [True, False], ids=["with the log", "without the log"])
@pytest.mark.parametrize(
    ("seconds", "claims_slowly"),
    [
        pytest.param(8, False, id="8 s"),
        pytest.param(30, False, id="30 s", marks=pytest.mark.full),
        pytest.param(8, True, id="8 s, slow to claim"),
    ],
)
def test_three_sessions_that_send_the_same_two_names_again_and_again_tear_nothing(
    house: House,
    logged_server: FtpsServer,
    seconds: int,
    record_property: Callable[[str, object], None],
    *,
    claims_slowly: bool,
    reads_log: bool,
) -> None:
    """A slow claim lets 0.1 s pass between the last look at a file and its rename, in which a session may come.

    A machine that others use too is given up to four times as long for an import.
    """
    if not reads_log:
        house.set(VSFTPD_LOG="")
    house.set(QUIET_SECONDS=0.02)
    contents = versions()
    whole = {hashlib.sha256(content).hexdigest() for content in contents}
    ended = threading.Event()

    def send(session: int) -> int:
        random, sent = Random(session), 0  # noqa: S311
        with clients.ftplib_session(logged_server) as ftp:
            while not ended.wait(random.uniform(0, 0.1)):
                name = random.choice(["a.csv", "b.csv"])
                ftp.storbinary(f"STOR {name}", io.BytesIO(random.choice(contents)), blocksize=1024)
                sent += 1
        return sent

    command = with_renames("delay_enter=100000", "--seccomp-bpf") if claims_slowly else RUN
    with house.service(command=command) as service:
        with ThreadPoolExecutor(3) as sessions:
            sending = [sessions.submit(send, number) for number in range(3)]
            try:
                for tick in range(1, 1 + 20 * seconds):
                    service.tick()
                    has_failed = wait(sending, timeout=0.2, return_when=FIRST_EXCEPTION).done
                    if has_failed or (tick >= 5 * seconds and service.events("import_finished")):
                        break
            finally:
                ended.set()
            assert sum(each.result() for each in sending) > seconds
        assert service.terminate() == 0
    house.once()
    found = [entry for entry in house.imports() if entry["status"] == "imported"]
    assert found
    archived = house.archived()
    torn = [entry["file"] for entry in found if entry["sha256"] not in whole]
    changed = [
        entry["file"] for entry in found if hashlib.sha256(archived[entry["archive"]]).hexdigest() != entry["sha256"]
    ]
    assert (torn, changed) == ([], [])
    record_property("imports while the same names are sent again", len(found))
    given_back = len(service.events("import_returned")) + len(service.events("import_superseded"))
    assert given_back > 0 or not claims_slowly
    record_property("files given back as they changed while they were taken", given_back)
    assert house.waiting() == []


class Stalling(io.BytesIO):
    """Content that comes to a stop in its middle, once."""

    def __init__(self, content: bytes, stall: Callable[[], object]) -> None:
        super().__init__(content)
        self._half: int | None = len(content) // 2
        self._stall = stall

    def read(self, size: int | None = -1, /) -> bytes:
        if self._half is not None and self.tell() >= self._half:
            self._half = None
            self._stall()
        return super().read(size)


@pytest.mark.parametrize("seconds", [8, pytest.param(30, marks=pytest.mark.full)])
def test_uploads_that_stall_where_no_lock_tells_of_them_are_given_back_and_imported_whole(
    tmp_path: Path, ftps: Callable[..., FtpsServer], seconds: int, record_property: Callable[[str, object], None]
) -> None:
    """The claim itself is contested: a file is taken while its sender still has it open, and writes on."""
    server = ftps(settings={"lock_upload_files": "NO"})
    house = House(tmp_path, upload=server.upload)
    house.set(QUIET_SECONDS=0.02)
    contents = versions()
    whole = {hashlib.sha256(content).hexdigest() for content in contents}
    ended = threading.Event()

    def send(session: int) -> None:
        random = Random(session)  # noqa: S311
        with clients.ftplib_session(server) as ftp:
            while not ended.is_set():
                stalling = Stalling(random.choice(contents), lambda: ended.wait(random.uniform(0, 0.2)))
                ftp.storbinary(f"STOR {random.choice('ab')}{session}.csv", stalling, blocksize=1024)
                ended.wait(random.uniform(0, 1))

    with house.service() as service:
        with ThreadPoolExecutor(3) as sessions:
            sending = [sessions.submit(send, number) for number in range(3)]
            for _ in range(seconds * 5):
                service.tick()
                if any(each.done() for each in sending) or ended.wait(0.2):
                    break
            ended.set()
            for each in sending:
                each.result()
        assert service.terminate() == 0
    house.once()
    found = [entry for entry in house.imports() if entry["status"] == "imported"]
    archived = house.archived()
    assert [entry["file"] for entry in found if entry["sha256"] not in whole] == []
    assert all(hashlib.sha256(archived[entry["archive"]]).hexdigest() == entry["sha256"] for entry in found)
    given_back = len(service.events("import_returned")) + len(service.events("import_superseded"))
    assert given_back > 0
    record_property("imports while senders stall", len(found))
    record_property("files given back as they were being written", given_back)
    assert house.waiting() == []


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """An upload that is to be made: of these bytes the first `sent`, and how it ends; None for a good one."""

    name: str
    whole: bytes
    sent: int
    end: Callable[[clients.SlowUpload], object] | None

    @property
    def is_cut(self) -> bool:
        return self.end is not None


CUTS = (clients.SlowUpload.kill, clients.SlowUpload.reset, clients.SlowUpload.vanish)
"""What networks and killed clients do. One that ends properly before it has sent all says itself that it is done."""


def plan(number: int) -> list[Planned]:
    random = Random(number)  # noqa: S311 - it has to be repeatable
    planned = []
    for each in range(number):
        whole = files.csv_of(*(files.good(row) for row in range(random.randint(1, 60))))
        is_cut = random.random() < 0.4
        sent = random.randrange(len(whole)) if is_cut else len(whole)
        planned.append(
            Planned(name=f"{each:04}.csv", whole=whole, sent=sent, end=random.choice(CUTS) if is_cut else None)
        )
    return planned


def upload(server: FtpsServer, planned: Planned) -> None:
    if planned.end is None:
        assert clients.upload_with_ftplib(server, planned.whole, planned.name).startswith("226")
        return
    with clients.slow_upload(server, planned.whole, planned.name, hold_after=planned.sent) as slow:
        planned.end(slow)


def upload_all(server: FtpsServer, service: Service, planned: list[Planned]) -> None:
    """Four sessions at a time, and a tick now and then."""
    with ThreadPoolExecutor(4) as sessions:
        for each in [sessions.submit(upload, server, one) for one in planned]:
            each.result()
            service.tick()
    server.wait_for_sessions_to_end()


some = pytest.mark.parametrize("number", [60, pytest.param(1000, marks=[pytest.mark.full, pytest.mark.timeout(600)])])


@some
def test_of_uploads_that_are_cut_at_random_none_is_imported_where_the_log_can_be_read(
    house: House, logged_server: FtpsServer, number: int
) -> None:
    planned = plan(number)
    with house.service() as service:
        upload_all(logged_server, service, planned)
        for each in planned:
            if each.is_cut and each.sent:
                service.wait_for_event("upload_held", file=each.name)
        assert service.terminate() == 0
    house.once()
    found = {entry["file"]: entry for entry in house.imports() if entry["status"] == "imported"}
    good = {each.name: each for each in planned if not each.is_cut}
    assert found.keys() == good.keys()
    archived = house.archived()
    assert all(archived[entry["archive"]] == good[name].whole for name, entry in found.items())
    cut = {each.name for each in planned if each.is_cut}
    assert {notice["file"] for notice in house.notices()} == cut
    assert len([notice for notice in house.notices() if notice["audience"] == "client"]) == len(cut)


@some
def test_of_uploads_that_are_cut_at_random_those_imported_without_the_log_are_marked_but_at_the_end_of_a_row(
    house: House, logged_server: FtpsServer, number: int, record_property: Callable[[str, object], None]
) -> None:
    house.set(VSFTPD_LOG="")
    planned = plan(number)
    with house.service() as service:
        upload_all(logged_server, service, planned)
        for each in planned:
            service.wait_for_event("upload_settled", file=each.name)
        service.tick()
        for each in planned:
            service.wait_for_event("file_archived", timeout=120, file=each.name)
        assert service.terminate() == 0
    entries = {entry["file"]: entry for entry in house.imports()}
    archived = house.archived()
    cut = [each for each in planned if each.is_cut]
    for each in planned:
        assert archived[entries[each.name]["archive"]] == each.whole[: each.sent]
    marked = [each for each in cut if "may_be_cut" in str(entries[each.name]["warnings"])]
    refused = [each for each in cut if entries[each.name]["status"] != "imported"]
    unmarked = [each for each in cut if each not in marked and each not in refused]
    assert all(each.whole[: each.sent].endswith((b"\r", b"\n")) for each in unmarked)
    assert not [each for each in planned if not each.is_cut and entries[each.name]["warnings"] not in ("[]", None)]
    record_property("cut uploads", len(cut))
    record_property("cut uploads, imported and marked", len(marked))
    record_property("cut uploads, refused", len(refused))
    record_property("cut uploads, imported and not marked", len(unmarked))
