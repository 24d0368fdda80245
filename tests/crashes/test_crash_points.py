"""Every system call of a whole import that changes the disk is killed and failed, one by one, by `strace`.

After the restart every file is imported once, told once and in bak once, and nothing is left over.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from itertools import product
from pathlib import Path

import pytest

from tests.crashes import seeded
from tests.crashes.house import (
    ONE_FILE,
    RIGHT,
    SEVERAL_FILES,
    Build,
    House,
    Story,
    deliver,
    give_back_all,
    import_all,
    message_ids,
    to_smtp,
)
from tests.crashes.points import violations
from tests.importing import mounted
from tests.servers.smtp import smtp_server

KILL, EIO, ENOSPC = "signal=KILL", "error=EIO", "error=ENOSPC"
RENAMES, SYNCS, REMOVALS = ("renameat2", "rename"), ("fsync", "fdatasync"), ("unlink", "unlinkat")
CALLS = (*RENAMES, *SYNCS, *REMOVALS, "pwrite64")
OTHERS = ("write", "mkdir", "rmdir", "fchmodat", "chmod", "chown", "ftruncate")
EVERYWHERE = (*product(CALLS, (KILL, EIO, ENOSPC)), *product(OTHERS, (KILL,)))
DELIVERING = tuple(product((*RENAMES, *SYNCS, *REMOVALS, "pwrite64"), (KILL, EIO, ENOSPC)))
GIVING_BACK = tuple(product((*RENAMES, "fsync", *REMOVALS, "rmdir"), (KILL, ENOSPC)))
ACROSS_MOUNTS = tuple(product(("renameat2", "fsync", "unlink", "chmod", "utimensat", "sendfile"), (KILL, ENOSPC)))
SAMPLE = (("renameat2", KILL), ("fdatasync", KILL), ("fsync", EIO), ("unlinkat", ENOSPC))
Record = Callable[[str, object], None]


def house(tmp_path: Path, story: Story = ONE_FILE, build: Build = RIGHT) -> House:
    return House(place=tmp_path / "house", story=story, build=build)


def test_a_sample_of_points_loses_and_repeats_nothing(tmp_path: Path, record_property: Record) -> None:
    number, wrong = violations(import_all, SAMPLE, house(tmp_path))
    record_property("points", number)
    assert wrong == []
    assert number >= 15


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("story", "at_least"), [(ONE_FILE, 200), (SEVERAL_FILES, 200)], ids=["one file", "several"])
def test_no_point_of_an_import_loses_or_repeats_anything(
    tmp_path: Path, record_property: Record, story: Story, at_least: int
) -> None:
    number, wrong = violations(import_all, EVERYWHERE, house(tmp_path, story))
    record_property("points", number)
    assert wrong == []
    assert number >= at_least


@pytest.mark.full
@pytest.mark.timeout(900)
def test_no_point_of_giving_a_changed_file_back_loses_it(tmp_path: Path, record_property: Record) -> None:
    number, wrong = violations(give_back_all, GIVING_BACK, house(tmp_path))
    record_property("points", number)
    assert wrong == []
    assert number >= 20


@contextmanager
def bak_elsewhere(of: House) -> Iterator[None]:
    """A bak on another mount, with what is in it already."""
    bak = of.site().bak
    files = of.site().archived()
    with mounted(bak, "-t", "tmpfs", "-o", "size=1m,mode=2750", "tmpfs"):
        for name, content in files.items():
            (bak / name).write_bytes(content)
        yield


@pytest.mark.full
@pytest.mark.timeout(900)
def test_no_point_of_archiving_across_mounts_loses_or_repeats_anything(tmp_path: Path, record_property: Record) -> None:
    number, wrong = violations(import_all, ACROSS_MOUNTS, house(tmp_path), setting=bak_elsewhere)
    record_property("points", number)
    assert wrong == []
    assert number >= 40


@pytest.mark.full
@pytest.mark.timeout(900)
def test_no_point_of_telling_loses_or_repeats_a_mail(tmp_path: Path, record_property: Record) -> None:
    number, wrong = violations(deliver, DELIVERING, house(tmp_path, SEVERAL_FILES), before=import_all)
    record_property("points", number)
    assert wrong == []
    assert number >= 60


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_house_killed_while_it_talks_to_a_mail_server_loses_no_mail(tmp_path: Path, record_property: Record) -> None:
    with smtp_server(tmp_path, security="none") as server:
        (tmp_path / "port").write_text(str(server.port), encoding="ascii")

        def never_arrived(tried: House) -> list[str]:
            arrived = {message_from_bytes(mail.data)["Message-ID"] for mail in server.received}
            return [f"never arrived: {id_}" for id_ in message_ids(tried) if id_ not in arrived]

        number, wrong = violations(
            deliver,
            [("sendto", KILL), ("connect", KILL), ("fdatasync", KILL)],
            house(tmp_path, SEVERAL_FILES, Build(transport=to_smtp)),
            before=import_all,
            also=never_arrived,
        )
    record_property("points", number)
    assert wrong == []
    assert number >= 15


@pytest.mark.parametrize(
    ("build", "fault", "shown"),
    [
        (seeded.TWO_TRANSACTIONS, ("fdatasync", KILL), "inserted, updated, unchanged: (0, 0, 3)"),
        (seeded.ARCHIVED_BEFORE_THE_MOVE, ("renameat2", KILL), "its bytes are not in bak"),
        (seeded.NO_RULE_FOR_COMMITTED, ("renameat2", KILL), "not archived"),
        (seeded.BLIND_RETRY, ("renameat2", KILL), "ledger: [('people.csv', 'imported'), ('people.csv', 'imported')]"),
    ],
    ids=["two transactions", "archived before the move", "no rule for committed", "blind retry"],
)
def test_a_bug_in_the_protocol_is_found(tmp_path: Path, build: Build, fault: tuple[str, str], shown: str) -> None:
    _, wrong = violations(import_all, [fault], house(tmp_path, build=build))
    assert any(shown in line for line in wrong), wrong


def test_marking_a_mail_sent_before_it_is_sent_is_found(tmp_path: Path) -> None:
    build, fault = seeded.SENT_BEFORE_SENDING, ("rename", KILL)
    _, wrong = violations(deliver, [fault], house(tmp_path, build=build), before=import_all)
    assert any("mail files: 1 of 1 are missing" in line for line in wrong), wrong
