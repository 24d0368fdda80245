"""`userdrop why`: the story of a file in each of its states, from the service that runs and from what it has left."""

import fcntl
import json
import sys
from pathlib import Path

from tests.e2e import files
from tests.e2e.house import CLIENT_ADDRESS, House, imported_at_next_tick
from tests.servers.tools import run

STUDENTS = files.csv_of(files.good(1), files.bad(2))


def why(house: House, file: str, *arguments: str) -> dict[str, list[str]]:
    """What is told, without the times."""
    printed = run([sys.executable, "-m", "watcher", "why", file, "--json", *arguments], env=house.environment)
    told = json.loads(printed)
    return {"story": [each["what"] for each in told["story"]], "now": told["now"]}


def test_the_story_of_a_file_is_told_while_it_lasts_and_when_the_service_has_ended(house: House) -> None:
    size = len(STUDENTS)
    with house.service() as service:
        with (house.upload / "a.csv").open("wb") as slow:
            fcntl.lockf(slow, fcntl.LOCK_EX)
            slow.write(STUDENTS)
            slow.flush()
            service.wait_for_event("upload_seen", file="a.csv")
            locked, *_ = why(house, "a.csv")["now"]
        service.wait_for_event("upload_settled", file="a.csv")
        complete = why(house, "a.csv")
        imported_at_next_tick(service, "a.csv")
        service.wait_for_event("mail_sent")
        done = why(house, "a.csv")
        log = Path(house.root / "log")
        log.write_text("no JSON\n" + "".join(json.dumps(event) + "\n" for event in service.events()))
    assert "being written by process" in locked
    assert complete["story"][1].startswith(f"complete, {size} bytes: it lay unchanged for the quiet time")
    assert "it is complete; the next run is at" in complete["now"][0]
    decided, archived, mailed = done["story"][2:]
    assert decided.startswith("imported: 1 of 2 rows are users (1 new, 0 changed, 0 unchanged); 1 failed (1x ")
    assert archived.startswith("lies in bak as a.2")
    assert mailed == f"mail 1 to {CLIENT_ADDRESS}: sent (tries: 1)"
    assert done["now"][0].startswith("it lies in bak as a.2")
    assert why(house, "a.csv")["story"] == done["story"][2:], "the ledger knows it without the service"
    assert why(house, "a.csv", "--log", str(log)) == done, "the log knows the rest"


def test_what_is_not_done_is_told_with_its_reason(house: House) -> None:
    house.drop("list.xlsx", STUDENTS)
    house.drop("b.csv.part", STUDENTS)
    house.drop("c.csv", STUDENTS)
    with house.service() as service:
        service.wait_for_event("alert_opened", kind="odd_file")
        other_name, alert, *_ = why(house, "list.xlsx")["now"]
        still_written, *_ = why(house, "b.csv.part")["now"]
        draft, *_ = why(house, "b.csv")["now"]
    nobody, *_ = why(house, "c.csv")["now"]
    assert "only names that end with .csv, .txt, .csv.gz are imported" in other_name
    assert "odd_file, list.xlsx" in alert
    assert "under which clients still write" in still_written
    assert "as b.csv.part" in draft
    assert nobody.endswith(f"{len(STUDENTS)} bytes; nothing is done with it, as no userdrop runs")
