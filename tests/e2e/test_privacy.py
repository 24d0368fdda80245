"""What the service keeps for itself nobody else may read, whatever the umask is and whoever made the directories."""

import os
import stat
from pathlib import Path

import pytest

from tests.e2e import files
from tests.e2e.house import House, imported_at_next_tick
from tests.servers.service import RUN

STUDENTS = files.csv_of(files.good(1), files.bad(2))


def under_umask(umask: str) -> tuple[str, ...]:
    return ("sh", "-c", f'umask {umask}; exec "$@"', "sh", *RUN)


def modes(*directories: Path) -> dict[str, int]:
    """Of the directories and all in them."""
    found = [path for directory in directories for path in (directory, *directory.rglob("*"))]
    return {path.name: stat.S_IMODE(path.lstat().st_mode) for path in found}


def assert_private(house: House, *names: str) -> None:
    found = modes(house.state, house.mail)
    assert found.keys() >= {"state", "mail", "userdrop.db", "userdrop.db-wal", "userdrop.db-shm", *names}
    wrong = {name: oct(mode) for name, mode in found.items() if mode != (0o700 if name in {"state", "mail"} else 0o600)}
    assert wrong == {}


@pytest.mark.parametrize("umask", ["0000", "0022", "0077"])
def test_what_is_the_services_own_is_private_whatever_the_umask(house: House, umask: str) -> None:
    house.drop("students.csv", STUDENTS)
    with house.service(command=under_umask(umask)) as service:
        imported_at_next_tick(service, "students.csv")
        service.wait_for_event("mail_sent")
        assert_private(house, "userdrop.lock", "userdrop.db.lock", "node", "control", "database-in-use")
        assert service.terminate() == 0
    bak = house.upload / "bak"
    assert {stat.S_IMODE(path.stat().st_mode) for path in bak.iterdir()} == {0o640}
    assert stat.S_IMODE(bak.stat().st_mode) == 0o2750
    assert len([*house.mail.glob("*.eml")]) == 1


def test_what_was_open_before_is_closed_at_the_start(house: House) -> None:
    house.drop("students.csv", STUDENTS)
    with house.service() as service:
        imported_at_next_tick(service, "students.csv")
        service.wait_for_event("mail_sent")
        service.process.kill()  # so that -wal and -shm stay
        service.process.wait()
    for path in (house.state, house.mail):
        path.chmod(0o2777)
        for each in path.iterdir():
            each.chmod(0o666)
    with house.service(command=under_umask("0000")) as service:
        assert_private(house)
        assert service.terminate() == 0
    assert house.ids() == [f"{files.CANARY}-001"]


def test_a_directory_that_others_pass_through_is_left_and_the_files_in_it_are_closed(house: House) -> None:
    house.once()
    (house.state / "public").mkdir()
    house.state.chmod(0o755)
    (house.state / "userdrop.db").chmod(0o644)
    house.once()
    assert stat.S_IMODE(house.state.stat().st_mode) == 0o755
    assert stat.S_IMODE((house.state / "userdrop.db").stat().st_mode) == 0o600


def test_a_link_in_the_place_of_a_file_leads_to_nothing_that_is_closed(house: House, tmp_path: Path) -> None:
    house.once()
    public = tmp_path / "public"
    public.touch()
    public.chmod(0o644)
    os.link(public, house.mail / "one.eml")
    (house.mail / "other.eml").symlink_to(public)
    house.once()
    assert stat.S_IMODE(public.stat().st_mode) == 0o644
