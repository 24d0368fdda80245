"""Files that attack: the service lives on, each is decided, and nothing of them is told where it should not be."""

import gzip
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from importer.judging.brevity import room_on_disk
from importer.model import shown_name
from tests.e2e import files
from tests.e2e.house import ADMIN_ADDRESS, CLIENT_ADDRESS, House, imported_at_next_tick, judge_processes
from tests.generate.hostile import CELL, IMPORTED, LEFT, Hostile, hostile_things, report_bombs
from tests.servers.processes import peak_bytes
from tests.servers.smtp import smtp_server

assert CELL == files.CANARY
_MOST_PARENT_BYTES = 200 << 20


@pytest.mark.parametrize(
    "megabytes",
    [
        pytest.param(20, marks=pytest.mark.timeout(600), id="small"),
        pytest.param(300, marks=[pytest.mark.full, pytest.mark.timeout(900)], id="large"),
    ],
)
def test_every_hostile_file_is_decided_and_the_service_lives_on(house: House, megabytes: int) -> None:
    seconds = "30" if megabytes == 20 else "900"
    house.change(MAX_FILE_MB="512", DEFAULT_LOGIN_SOURCE="OPSCOM", FILE_SECONDS="300", FILE_CPU_SECONDS=seconds)
    things = [*hostile_things(megabytes)]
    for thing in things:
        thing.make(house.upload / thing.name)
    (house.upload / "good.csv").write_bytes(files.csv_of(files.good(999)).replace(b",kanari,", b",OPSCOM,"))
    to_be_imported = sum(thing.becomes != LEFT for thing in things) + 1
    with house.service() as service:
        service.wait_for_event("upload_settled", nth=to_be_imported, timeout=120)
        service.tick()
        service.wait_for_event("batch_finished", timeout=600)
        peak = peak_bytes(service.process.pid)
        assert judge_processes(service, house.environment) >= 2, "the importing process lives on"
        assert service.terminate(30) == 0
    house.once()
    assert service.events("worker_died") == [], "no limit of the process was needed"
    files_ = [thing for thing in things if thing.becomes != LEFT]
    assert _what_became(house) == {shown_name(thing.name): _expected(thing) for thing in files_}
    assert house.waiting() == sorted(thing.name for thing in things if thing not in files_)
    (odd,) = service.events("alert_opened", kind="odd_file")
    assert all(name in odd["detail"] for name in ("pipe.csv", "socket.csv", "link.csv"))
    assert peak < _MOST_PARENT_BYTES
    _admin_reads_no_cell(house)
    _bak_keeps_to_its_bounds(house)


def test_another_clients_file_comes_between_bombs(house: House) -> None:
    house.change(CLIENT_FOLDERS="true", DEFAULT_LOGIN_SOURCE="OPSCOM")
    for client in ("attacker", "neighbour"):
        (house.upload / client).mkdir()
    bombs = [*report_bombs(4 << 20)]
    for title, _, content in bombs:
        (house.upload / "attacker" / f"{title}.csv").write_bytes(content)
    with house.service() as service:
        service.wait_for_event("upload_settled", client="attacker", nth=len(bombs), timeout=120)
        service.wait_for_event("watch_changed", client="neighbour", to="live")
        service.tick()
        service.wait_for_event("batch_started", client="attacker")
        draft = house.root / "good.csv"
        draft.write_bytes(files.csv_of(files.good(999)).replace(b",kanari,", b",OPSCOM,"))
        draft.rename(house.upload / "neighbour" / "good.csv")
        service.wait_for_event("upload_settled", client="neighbour")
        service.tick()
        service.wait_for_event("file_archived", client="neighbour", timeout=300)
        assert service.events("batch_finished", client="attacker") == [], "it came between them"
        assert service.terminate(30) == 0


def test_a_secret_from_a_file_stays_there(house: House, tmp_path: Path) -> None:
    secret = "hunter2-canary"
    file = tmp_path / "smtp-password"
    file.write_text(secret, encoding="utf-8")
    file.chmod(0o600)
    with smtp_server(tmp_path, login=("userdrop", secret)) as smtp:
        house.mails_through(smtp)
        house.change(SMTP_USER="userdrop", SMTP_PASSWORD_FILE=str(file))
        house.drop("people.csv", files.csv_of(files.bad(1)))
        with house.service() as service:
            imported_at_next_tick(service, "people.csv")
            (mail,) = smtp.wait_for(1)
            assert mail.user == "userdrop"
            assert judge_processes(service, {}, secret) >= 2, "the importing process lives on"
            assert service.terminate(30) == 0
    assert secret not in repr(service.events())
    assert secret.encode() not in mail.data
    assert secret not in repr(house.records("SELECT * FROM mails"))


def _expected(thing: Hostile) -> tuple[str, str | None]:
    return (IMPORTED, None) if thing.becomes == IMPORTED else ("refused", thing.becomes)


def _bak_keeps_to_its_bounds(house: House) -> None:
    """What lies there because of a file is at most 20 times its content, 1 MB at least."""
    for entry in house.imports():
        if entry["report"] is not None:
            original, report = (house.upload / "bak" / entry[name] for name in ("archive", "report"))
            with gzip.open(original) if entry["archive"].endswith(".gz") else original.open("rb") as file:
                content = sum(len(chunk) for chunk in iter(lambda: file.read(1 << 20), b""))
            size = original.stat().st_size
            assert size + report.stat().st_size < room_on_disk(max(content, size)), entry["file"]


def _what_became(house: House) -> dict[str, tuple[str, str | None]]:
    ledger = {entry["file"]: (entry["status"], entry["refusal_code"]) for entry in house.imports()}
    assert ledger.pop("good.csv") == (IMPORTED, None)
    assert len(house.imports()) == len(ledger) + 1, "none came twice"
    return ledger


def _admin_reads_no_cell(house: House) -> None:
    mails = [message_from_bytes(each, policy=policy.default) for each in house.mail_files()]
    of_admin = [each for each in mails if each["To"] == ADMIN_ADDRESS]
    assert of_admin
    for mail in of_admin:
        body = mail.get_body(("plain",))
        assert body is not None
        text = body.get_content().replace(CLIENT_ADDRESS, "").replace(ADMIN_ADDRESS, "")
        assert CELL not in text, text
