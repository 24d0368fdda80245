"""kill -9 at the points that hurt: after the restart every file is imported once, told once and in bak once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from importer.files.attempts import MAX_ATTEMPTS, read
from tests.e2e import files
from tests.e2e.house import House, imported_at_next_tick
from tests.generate.big import big_file
from tests.servers import processes, service
from tests.servers.tools import wait_until

LARGE_ROWS = 100_000
STUDENTS = files.csv_of(files.good(1), files.bad(2))


def held_at_rename(nth: int) -> list[str]:
    """The service, whose importing process stands still at a rename for a minute, in which the test kills it."""
    return service.with_renames(f"delay_enter=60000000:when={nth}", "--seccomp-bpf")


def kill_traced(running: service.Service) -> None:
    """Kill the service first: strace would keep its killed child from dying, and without strace the child goes on."""
    pid = running.process.pid
    with processes.handles([_tracer(pid)]) as strace, processes.handles(processes.descendants(pid)) as children:
        running.process.kill()
        running.process.wait()
        processes.kill(strace)
        processes.wait_for_end(children)


def _tracer(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("TracerPid:")[2].split()[0])


def assert_done_once(house: House) -> None:
    """Nothing is left over, and nothing was done twice."""
    (entry,) = house.imports()
    assert (entry["accepted"], entry["failed"], entry["inserted"]) == (1, 1, 1)
    assert house.ids() == [f"{files.CANARY}-001"]
    assert len(house.notices()) == len(house.mail_files()) == 1
    assert sorted(house.archived()) == sorted([entry["archive"], entry["report"]])
    assert house.archived()[entry["archive"]] == STUDENTS
    assert entry["archived_at"] is not None
    assert house.waiting() == []
    assert house.claimed() == []


def wait_for_claim(house: House, _: service.Service) -> None:
    wait_until(lambda: any(house.upload.glob(".importing/[!.]*")), "the claim's directory", timeout=30)


def wait_for_claim_of(name: str, house: House) -> None:
    wait_until(lambda: any(path.name == name for path in house.claimed()), f"the claim of {name}", timeout=30)


def wait_for_commit(_: House, running: service.Service) -> None:
    running.wait_for_event("import_finished")


def wait_for_archive(house: House, _: service.Service) -> None:
    wait_until(lambda: bool(house.archived()), "the file in bak", timeout=30)


@pytest.mark.parametrize(
    ("nth", "wait", "in_bak"),
    [(1, wait_for_claim, 0), (2, wait_for_commit, 0), (3, wait_for_archive, 1)],
    ids=["before the claim", "between the commit and the move", "between the file and its report"],
)
def test_a_service_killed_before_a_rename_is_done_once_by_the_next(
    house: House, nth: int, wait: Callable[[House, service.Service], None], in_bak: int
) -> None:
    house.drop("students.csv", STUDENTS)
    with house.service(command=held_at_rename(nth)) as running:
        running.wait_for_event("upload_settled", file="students.csv")
        running.tick()
        wait(house, running)
        kill_traced(running)
    assert len(house.archived()) == in_bak
    assert house.mail_files() == []
    house.once()
    assert_done_once(house)


def test_a_mail_that_went_out_before_the_move_does_not_go_out_again_after_a_crash(house: House) -> None:
    house.drop("students.csv", STUDENTS)
    with house.service(command=held_at_rename(2)) as running:
        running.wait_for_event("upload_settled", file="students.csv")
        running.tick()
        running.wait_for_event("mail_sent")
        kill_traced(running)
    assert house.archived() == {}
    house.once()
    assert_done_once(house)


def test_an_importing_process_that_dies_between_the_commit_and_the_move_is_replaced(house: House) -> None:
    house.drop("students.csv", STUDENTS)
    with house.service(command=service.with_renames("signal=KILL:when=2")) as running:
        imported_at_next_tick(running, "students.csv")
        # The first process dies at the move of the file, the second at that of the report.
        assert [event["exit_code"] for event in running.events("worker_died")] == [-9, -9]
        assert len(running.events("import_finished")) == 1
        running.wait_for_event("alert_resolved", kind="worker")
        assert running.terminate() == 0
    house.once()
    assert_done_once(house)


def test_the_importing_process_dies_with_a_killed_service_and_the_next_imports_once(house: House) -> None:
    house.drop("first.csv", files.csv_of())
    with house.service() as running:
        imported_at_next_tick(running, "first.csv")
        with house.locked_database():
            house.drop("students.csv", files.csv_of(files.good(1)))
            running.wait_for_event("upload_settled", file="students.csv")
            running.tick()
            wait_for_claim_of("students.csv", house)
            running.kill()
    assert house.ids() == []
    house.once()
    assert [entry["file"] for entry in house.imports()] == ["first.csv", "students.csv"]
    assert house.ids() == [f"{files.CANARY}-001"]
    assert house.waiting() == []
    assert house.claimed() == []


def begun(house: House) -> bool:
    """Whether an attempt to import a file is under way, as its claim says."""
    return any(read(path.read_text("ascii")).begun_by for path in house.upload.glob(".importing/*/.attempts"))


def drop_large(house: House) -> None:
    """A file that is imported for some seconds, which is long enough to be interrupted."""
    draft = house.root / "large.csv"
    big_file(draft, LARGE_ROWS, 0.0)
    draft.rename(house.upload / draft.name)


@pytest.mark.full
@pytest.mark.timeout(300)
def test_stops_in_the_middle_of_an_import_set_nothing_aside(house: House) -> None:
    """Even of a supervisor that waits for a moment only before it kills, as many as there are."""
    drop_large(house)
    for number in range(MAX_ATTEMPTS + 1):
        with house.service(ready=False) as running:
            if number == 0:
                running.wait_for_event("upload_settled", file="large.csv")
                running.tick()
            wait_until(lambda: begun(house), "the attempt", timeout=60)
            running.process.terminate()
            wait_until(lambda: not begun(house), "the attempt to be given back", timeout=60)
            running.kill()
            assert running.events("import_finished") == []
    assert house.once().events("file_quarantined") == []
    (entry,) = house.imports()
    assert (entry["inserted"], house.claimed()) == (LARGE_ROWS, [])


def test_a_file_during_whose_import_the_service_was_killed_is_tried_after_the_others(house: House) -> None:
    drop_large(house)
    with house.service() as running:
        running.wait_for_event("upload_settled", file="large.csv")
        running.tick()
        wait_until(lambda: begun(house), "the attempt", timeout=60)
        running.kill()
        assert running.events("import_finished") == []
    with house.service() as running:
        running.wait_for_event("file_suspected", file="large.csv")
        house.drop("other.csv", files.csv_of(files.good(1)))
        running.wait_for_event("upload_settled", file="other.csv")
        running.tick()
        running.wait_for_event("file_archived", file="large.csv", timeout=120)
        assert [event["file"] for event in running.events("import_finished")] == ["other.csv", "large.csv"]
        assert running.terminate() == 0
