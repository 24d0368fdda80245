"""The project's own soak: its plan, its files, its oracle, and itself for a while."""

import ast
import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import insert

from importer.database.tables import notices, user_types
from importer.formats.format_file import load_format
from tests.importing import Site, make_site, rows_of
from tests.servers import processes
from tests.soak import drops, judging, oracle, plan
from tests.soak.judging import Dropped, Ending, World, wrong, wrong_at_the_end
from tests.soak.plan import Begin, Drop, End, Fault, Quiet

CLIENT = "acme"
ADDRESS = f"acme@{drops.CANARY}.example"


def random(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - it has to be repeatable


def test_the_same_seed_drops_and_breaks_the_same() -> None:
    assert plan.plan(7, 120) == plan.plan(7, 120)
    assert plan.plan(7, 120) != plan.plan(8, 120)


@pytest.mark.parametrize("seed", range(5))
def test_every_fault_is_made_ends_and_is_alone_but_for_one_of_the_mail_server(seed: int) -> None:
    steps = plan.plan(seed, 240)
    begun = Counter(step.act.fault for step in steps if isinstance(step.act, Begin))
    ended = Counter(step.act.fault for step in steps if isinstance(step.act, End))
    assert begun.keys() == {*Fault}
    assert {fault: times for fault, times in begun.items() if fault not in plan.INSTANT} == ended
    for lane in ({*plan.MAIL_FAULTS}, {*Fault} - {*plan.MAIL_FAULTS} - plan.INSTANT):
        acts = [step.act for step in steps if isinstance(step.act, Begin | End) and step.act.fault in lane]
        assert all(isinstance(act, Begin) for act in acts[::2])
        assert all(isinstance(act, End) for act in acts[1::2])


def test_what_the_machine_cannot_break_is_left_out() -> None:
    steps = plan.plan(1, 240, frozenset({Fault.CLOCK}))
    assert not [step for step in steps if isinstance(step.act, Begin | End) and step.act.fault is Fault.CLOCK]


def test_ten_minutes_have_a_quiet_point_every_two_and_some_hundred_files_some_of_them_cut() -> None:
    steps = plan.plan(1, 600)
    assert sum(isinstance(step.act, Quiet) for step in steps) >= 5
    assert sum(isinstance(step.act, Drop) for step in steps) > 400
    assert any(step.act.sent is not None for step in steps if isinstance(step.act, Drop))


def test_the_oracle_shares_no_code_with_the_product() -> None:
    for module in (oracle, judging):
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        roots = {name.partition(".")[0] for name in names}
        assert roots <= {*sys.stdlib_module_names, "tests"}
        assert {name for name in names if name.startswith("tests")} <= {"tests.soak", "tests.soak.oracle"}


def site_at(place: Path, url: str | None = None) -> Site:
    """A client's directory, with the format and the user types of the soak."""
    site = make_site(place, load_format(None, default_login_source=oracle.DEFAULT_LOGIN), url)
    with site.engine.begin() as connection:
        connection.execute(insert(user_types), [{"id": id_, "name": name} for id_, name in drops.TYPES.items()])
    return site


def soaked_files(seed: int, number: int) -> list[Drop]:
    """The files of a plan, each with a name of its own."""
    acts = (step.act for step in plan.plan(seed, 3 * number))
    found = [act for act in acts if isinstance(act, Drop) and act.sent is None]
    return [replace(drop, name=f"{place:04}-{drop.name}") for place, drop in enumerate(found[:number])]


def world_of(site: Site, dropped: list[Dropped]) -> World:
    waiting = {path.name: path.read_bytes() for path in site.directory.iterdir() if path.is_file()}
    return World(
        users=[*site.users().values()],
        ledger=site.ledger(),
        bak={CLIENT: site.archived()},
        waiting={CLIENT: waiting},
        left_over=[name for name in site.left() if name not in (".importing", *waiting)],
        dropped=dropped,
    )


def imported(site: Site, files: list[Drop]) -> list[Dropped]:
    """Import files in groups, and a corrected report after some of them."""
    dropped = []
    corrected = set[str]()
    chance = random(1)
    takes = itertools.count(1)

    def take(*taken: tuple[str, bytes]) -> None:
        for name, content in taken:
            site.drop(name, content)
            dropped.append(Dropped(client=CLIENT, name=name, content=content))
        site.take(*(name for name, _ in taken), tokens=f"{next(takes):04}-")

    waiting = [(drop.name, drop.content) for drop in files]
    while waiting:
        group, waiting = waiting[: (many := chance.choice([1, 3, 9]))], waiting[many:]
        take(*group)
        reports = sorted({name for name in site.archived() if name.endswith(".failed.csv")} - corrected)
        if reports and chance.random() < 0.3:
            corrected.add(report := chance.choice(reports))
            number = len(dropped)
            take((f"{number}-again.csv", drops.corrected(random(number), number, site.archived()[report])))
    return dropped


@pytest.mark.parametrize("number", [60, pytest.param(400, marks=[pytest.mark.full, pytest.mark.timeout(600)])])
def test_the_importer_and_the_oracle_make_the_same_of_files_of_every_kind(
    tmp_path: Path, database_url: str, number: int
) -> None:
    site = site_at(tmp_path, database_url)
    world = world_of(site, imported(site, soaked_files(3, number)))
    assert wrong(world) == []
    codes = {reason["code"] for entry in world.ledger for reason in entry["reasons"]}
    refusals = {entry["refusal_code"] for entry in world.ledger} - {None}
    expected = {"required", "invalid", "unknown", "too_long", "control_character", "duplicate_in_file"}
    assert codes >= expected | {"duplicate_user", "too_few_cells", "too_many_cells", "bad_encoding"}
    assert sum(entry["blank"] for entry in world.ledger) > 0
    assert sum(entry["updated"] for entry in world.ledger) > 0
    if number > 60:
        every = {"empty_file", "no_records", "not_text", "missing_column", "repeated_column", "no_known_column"}
        assert refusals == every | {"broken_gzip"}
    site.engine.dispose()


SMALL = (
    b"unique_id,last_name,email\r\n"
    b"kanari-u1,kanari-t1-0,kanari-1@kanari.example\r\n"
    b"kanari-u2,kanari-t1-1,kanari.example\r\n"
    b"kanari-u3,kanari-t1-2,\r\n"
)
REPORT = (
    b"\xef\xbb\xbfunique_id,last_name,email,import_error,import_row,import_file,import_line\r\n"
    b"kanari-u2,kanari-t1-1,kanari.example,email 'kanari.example' is not a valid address,3,a.csv,\r\n"
)
REFUSED = b"last_name\r\nkanari-t2-0\r\n"


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Ending]:
    """A world in which nothing is wrong, and how it ended."""
    site = site_at(tmp_path_factory.mktemp("right"))
    dropped = [
        Dropped(client=CLIENT, name="a.csv", content=SMALL),
        Dropped(client=CLIENT, name="b.csv", content=REFUSED),
        Dropped(client=CLIENT, name="c.csv", content=SMALL, fate="replaced"),
        Dropped(client=CLIENT, name="d.csv", content=SMALL, fate="cut"),
    ]
    site.drop("a.csv", SMALL)
    site.take("a.csv", tokens="1-")
    site.drop("b.csv", REFUSED)
    site.take("b.csv", tokens="2-")
    site.drop("d.csv", SMALL[:40])
    told = [row["facts"] | {"client": CLIENT, "audience": row["audience"]} for row in rows_of(site.engine, notices)]
    cut = {"client": CLIENT, "audience": "client", "kind": "incomplete", "file": "d.csv", "claim_id": None}
    (archived,) = (content for name, content in site.archived().items() if name.endswith(".failed.csv"))
    assert archived == REPORT
    mail = mail_of(REPORT)
    ending = Ending(
        notices=[*told, cut],
        mails=[mail, mail],
        recipients={ADDRESS: CLIENT},
        log=['{"event": "service_started"}', "userdrop: bye"],
    )
    world = world_of(site, dropped)
    site.engine.dispose()
    return world, ending


def mail_of(report: bytes, message_id: str = "<1@here>") -> bytes:
    message = EmailMessage()
    message["To"], message["Message-ID"] = ADDRESS, message_id
    message.set_content("One row was not imported.")
    message.add_attachment(report, maintype="text", subtype="csv", filename="a.failed.csv")
    return bytes(message)


def test_where_all_is_well_nothing_is_found(right: tuple[World, Ending]) -> None:
    assert wrong_at_the_end(*right) == []


def test_a_file_that_gave_way_before_it_was_copied_is_known_by_what_lies_in_bak(right: tuple[World, Ending]) -> None:
    world, _ = right
    newer = b"last_name\r\nkanari-t3-0\r\n"
    refused = world.ledger[1]
    entry = {**refused, "claim_id": "z", "status": "superseded", "sha256": "", "archive": "b.9.csv", "report": None}
    dropped = [*world.dropped, Dropped(client=CLIENT, name="b.csv", content=newer)]
    found = wrong(
        with_bak(
            replace(world, dropped=dropped, ledger=[*world.ledger, entry]), lambda bak: bak.update({"b.9.csv": newer})
        )
    )
    assert found == []


def test_an_upload_that_was_replaced_is_in_the_ledger_without_a_file_and_no_other_one_is(
    right: tuple[World, Ending],
) -> None:
    world, _ = right
    gone = {"claim_id": "z", "status": "superseded", "sha256": "", "archive": "", "report": None}
    replaced = {**world.ledger[1], **gone, "file": "c.csv"}
    assert wrong(replace(world, ledger=[*world.ledger, replaced])) == []
    stranger = {**replaced, "file": "a.csv"}
    assert wrong(replace(world, ledger=[*world.ledger, stranger])) == ["not replaced: acme a.csv (1 times called so)"]


def changed(rows: Any, place: int, **values: object) -> list[dict[str, Any]]:  # noqa: ANN401 - rows of any kind
    return [{**row, **values} if at == place else dict(row) for at, row in enumerate(rows)]


def with_bak(world: World, change: Callable[[dict[str, bytes]], object]) -> World:
    folder = dict(world.bak[CLIENT])
    change(folder)
    return replace(world, bak={CLIENT: folder})


def report_name(world: World) -> str:
    return str(world.ledger[0]["report"])


WORLDS: Mapping[str, tuple[Callable[[World], World], str]] = {
    "a cell of a user is another": (
        lambda w: replace(w, users=changed(w.users, 0, last_name="x")),
        "last_name 'x', not 'kanari-t1-0'",
    ),
    "a user was brought by another import": (lambda w: replace(w, users=changed(w.users, 0, created_by="x")), "user "),
    "a user's comparison key is wrong": (lambda w: replace(w, users=changed(w.users, 0, email_key="x")), "comparison"),
    "a user is gone": (lambda w: replace(w, users=w.users[1:]), "users: missing"),
    "a user is there twice": (lambda w: replace(w, users=[*w.users, w.users[0]]), "users: 1 are there twice"),
    "a user is nobody's": (
        lambda w: replace(w, users=[*w.users, {**w.users[0], "unique_id": "x"}]),
        "users: nobody's",
    ),
    "an entry of the ledger is gone": (lambda w: replace(w, ledger=w.ledger[1:]), "lost: acme a.csv"),
    "an entry is there twice": (lambda w: replace(w, ledger=[*w.ledger, w.ledger[0]]), "too often: acme a.csv"),
    "an entry is not archived": (lambda w: replace(w, ledger=changed(w.ledger, 0, archived_at=None)), "not archived"),
    "a file was set aside": (lambda w: replace(w, ledger=changed(w.ledger, 0, status="quarantined")), "quarantined"),
    "rows are counted wrongly": (lambda w: replace(w, ledger=changed(w.ledger, 0, accepted=3)), "is not records"),
    "new users are counted wrongly": (lambda w: replace(w, ledger=changed(w.ledger, 0, inserted=1)), "'inserted': 1"),
    "a reason is missing": (lambda w: replace(w, ledger=changed(w.ledger, 0, reasons=[])), "reasons: "),
    "a file is refused for another reason": (
        lambda w: replace(w, ledger=changed(w.ledger, 1, refusal_code="empty_file")),
        "status: ",
    ),
    "a good file is refused": (
        lambda w: replace(w, ledger=changed(w.ledger, 0, status="refused", refusal_code="no_records")),
        "status: ",
    ),
    "a file of bak is gone": (
        lambda w: with_bak(w, lambda bak: bak.pop(w.ledger[1]["archive"])),
        "not in bak: ",
    ),
    "a file of bak is changed": (
        lambda w: with_bak(w, lambda bak: bak.update({w.ledger[1]["archive"]: b""})),
        "changed in bak",
    ),
    "a file of bak is a stranger": (lambda w: with_bak(w, lambda bak: bak.update(x=b"")), "unknown in bak: acme x"),
    "a report is gone": (lambda w: with_bak(w, lambda bak: bak.pop(report_name(w))), "not in bak: "),
    "a report lacks a row": (
        lambda w: with_bak(w, lambda bak: bak.update({report_name(w): REPORT[: REPORT.index(b"\n") + 1]})),
        "rows [], not [3]",
    ),
    "a report has a row twice": (
        lambda w: with_bak(w, lambda bak: bak.update({report_name(w): REPORT + REPORT.splitlines()[1]})),
        "rows [3, 3], not [3]",
    ),
    "a file still waits": (lambda w: replace(w, waiting={CLIENT: {"x.csv": b""}}), "still waits"),
    "a working directory is left": (lambda w: replace(w, left_over=["acme/.importing/1/a.csv"]), "left over"),
    "a cut upload is gone": (lambda w: replace(w, waiting={}), "cut: acme d.csv"),
    "a dropped file is nowhere": (
        lambda w: replace(w, dropped=[*w.dropped, Dropped(client=CLIENT, name="n.csv", content=b"n")]),
        "lost: acme n.csv",
    ),
    "a file comes from nowhere": (lambda w: replace(w, dropped=w.dropped[1:]), "too often"),
}
"""What is done to a right world, and what must be said then."""


@pytest.mark.parametrize("wrongly", WORLDS)
def test_what_is_wrong_in_a_world_is_noticed(right: tuple[World, Ending], wrongly: str) -> None:
    change, said = WORLDS[wrongly]
    assert any(said in line for line in wrong(change(right[0]))), wrong(change(right[0]))


ENDINGS: Mapping[str, tuple[Callable[[Ending], Ending], str]] = {
    "nobody is told of failed rows": (lambda e: replace(e, notices=e.notices[1:]), "told 0 times: "),
    "a client is told twice": (lambda e: replace(e, notices=[*e.notices, e.notices[0]]), "told 2 times: "),
    "nobody is told of a cut upload": (lambda e: replace(e, notices=e.notices[:-1]), "not told that it was cut"),
    "failed rows are in no mail": (lambda e: replace(e, mails=()), "in none: ['kanari-t1-1']"),
    "failed rows are in a mail without them": (lambda e: replace(e, mails=[mail_of(b"")]), "in none"),
    "failed rows are in two mails": (
        lambda e: replace(e, mails=[*e.mails, mail_of(REPORT, "<2@here>")]),
        "too often: ['kanari-t1-1']",
    ),
    "a mail comes again without its report": (
        lambda e: replace(e, mails=[*e.mails, mail_of(b"")]),
        "came again with another content",
    ),
    "a mail is not sent": (lambda e: replace(e, unsent=[7]), "not sent: mail 7"),
    "an alert lasts": (lambda e: replace(e, alerts=["smtp"]), "an alert is not over: smtp"),
    "a process is left": (lambda e: replace(e, processes=["python"]), "a process is left"),
    "there is a traceback": (lambda e: replace(e, log=["Traceback (most recent call last):"]), "neither JSON"),
    "a line is torn": (lambda e: replace(e, log=['{"event": "serv']), "no JSON"),
    "a cell is in the log": (lambda e: replace(e, log=[json.dumps({"event": "Kanari"})]), "a cell or an address"),
    "an address is in the log": (lambda e: replace(e, log=[json.dumps({"event": "a@b"})]), "a cell or an address"),
}


@pytest.mark.parametrize("wrongly", ENDINGS)
def test_what_is_wrong_at_the_end_is_noticed(right: tuple[World, Ending], wrongly: str) -> None:
    change, said = ENDINGS[wrongly]
    found = wrong_at_the_end(right[0], change(right[1]))
    assert any(said in line for line in found), found


def soak(tmp_path: Path, *options: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run it as people do; it dies with us."""
    command = [sys.executable, "-m", "tests.soak", *options, "--directory", str(tmp_path), "--quietly"]
    return subprocess.run(
        processes.bound_to_us(command),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.mark.timeout(300)
def test_a_soak_of_20_seconds_finds_nothing(tmp_path: Path) -> None:
    done = soak(tmp_path, "--seconds", "20", "--seed", "1", timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [*tmp_path.iterdir()] == []


@pytest.mark.timeout(300)
def test_a_soak_that_finds_something_says_so_keeps_the_house_and_fails(tmp_path: Path) -> None:
    done = soak(tmp_path, "--seconds", "3", "--seed", "5", "--spoil", timeout=280)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "seed 5, 3 s, sqlite: " in done.stdout
    assert "last_name 'spoiled', not " in done.stdout
    (house,) = tmp_path.iterdir()
    assert "spoiled" in (house / "kept" / "wrong").read_text()
    assert (house / "kept" / "state" / "userdrop.db").exists()


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_soak_of_five_minutes_finds_nothing(
    tmp_path: Path, database: str, record_property: Callable[[str, object], None]
) -> None:
    done = soak(tmp_path, "--seconds", "240", "--seed", "11", "--database", database, timeout=1180)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    record_property(done.stdout.strip(), 1)
