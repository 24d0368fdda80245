"""The rounds in which archived files are closed to others: bounded, and each goes on where the last one stopped."""

from pathlib import Path

from structlog.testing import capture_logs

from watcher.bak_rights import BakRights


def make(directory: Path, client: str, files: int) -> Path:
    bak = directory / client / "bak"
    bak.mkdir(parents=True)
    for number in range(files):
        (bak / f"{number}.csv").touch()
        (bak / f"{number}.csv").chmod(0o660)
    return directory / client


def open_all(directory: Path) -> None:
    for path in directory.glob("*/bak/*"):
        path.chmod(0o666)


def still_open(directory: Path) -> int:
    return sum(path.stat().st_mode & 0o020 != 0 for path in directory.glob("*/bak/*"))


async def test_all_files_of_all_clients_are_closed_in_rounds_of_a_bounded_size(tmp_path: Path) -> None:
    clients = {name: make(tmp_path, name, files) for name, files in (("a", 3), ("b", 0), ("c", 7), ("d", 2))}
    rights = BakRights(lambda: clients, most=5)
    left = []
    with capture_logs() as logged:
        for _ in range(3):
            await rights.look()
            left.append(still_open(tmp_path))
    assert left == [7, 2, 0]
    assert {each["event"] for each in logged} == {"bak_files_closed"}
    assert sum(each["files"] for each in logged) == 12


async def test_what_is_opened_again_is_closed_again(tmp_path: Path) -> None:
    clients = {"a": make(tmp_path, "a", 4)}
    rights = BakRights(lambda: clients, most=5)
    await rights.look()
    open_all(tmp_path)
    await rights.look()
    assert still_open(tmp_path) == 0


async def test_a_client_that_has_gone_meanwhile_is_passed_over(tmp_path: Path) -> None:
    clients = {name: make(tmp_path, name, 3) for name in "abc"}
    rights = BakRights(lambda: clients, most=4)
    await rights.look()
    del clients["b"]
    await rights.look()
    assert still_open(tmp_path) == 2
