"""A whole import, what ends it early, and its recovery from every state that a crash can leave."""

import datetime as dt
import errno
import gzip
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from importer.files import claiming
from importer.files.attempts import MAX_ATTEMPTS
from importer.files.claiming import Copied
from importer.importing import Importer
from importer.model import (
    Archived,
    Audience,
    Claim,
    Counts,
    FileRefused,
    Imported,
    Notice,
    NoticeKind,
    NotTaken,
    NotTakenWhy,
    Outcome,
    Quarantined,
    Refused,
    Returned,
    Superseded,
    Suspected,
    Unarchived,
)
from importer.reading.user_file import Limits, open_user_file
from importer.storing.recording import record_quarantine, record_refusal
from importer.storing.repeats import MANY_ROWS
from importer.words.reasons import refusal
from tests.importing import (
    LIMITS,
    NOW,
    Site,
    asking_for_users,
    by_name,
    clock,
    large_roster,
    make_site,
    report_rows,
)

STAMP = "20261122T101013Z"


def claimed(site: Site, content: str, name: str = "people.csv", *, is_end_unseen: bool = False) -> Claim:
    """A file that was claimed and then left, as by a crash."""
    site.drop(name, content)
    new = Claim(id=f"{STAMP}-x", client="acme", directory=site.directory, name=name, is_end_unseen=is_end_unseen)
    with claiming.workroom(site.directory):
        claim = claiming.claim(new)
    assert isinstance(claim, Claim)
    return claim


def test_an_upload_whose_end_was_not_seen_is_imported_with_a_remark_that_makes_no_mail_of_its_own(site: Site) -> None:
    site.drop("a.csv", "uid\nU1\n")
    site.drop("b.csv", "uid\nU2\n")
    site.take("a.csv", "b.csv", unseen_ends=["a.csv"])
    site.drop("cut.csv", "uid\nU3")
    site.take("cut.csv", unseen_ends=["cut.csv"], tokens="u")
    remarks = {entry["file"]: [each["code"] for each in entry["warnings"]] for entry in site.ledger()}
    assert remarks == {"a.csv": ["end_not_seen"], "b.csv": [], "cut.csv": ["may_be_cut"]}
    assert site.notices() == [("imported", "client")], "of the one that may be cut"


def test_after_a_crash_it_is_known_still_that_the_end_of_an_upload_was_not_seen(site: Site) -> None:
    claimed(site, "uid\nU1\n", is_end_unseen=True)
    site.recover()
    (entry,) = site.ledger()
    assert [each["code"] for each in entry["warnings"]] == ["end_not_seen"]


def test_a_file_that_was_replaced_before_it_was_taken_is_in_the_ledger_once_and_nowhere_else(site: Site) -> None:
    replaced = Claim(id=f"{STAMP}-r", client="acme", directory=site.directory, name="people.csv")
    for _ in range(2):
        site.importer().supersede(replaced, size=152)
    (entry,) = site.ledger()
    assert (entry["status"], entry["size"], entry["archive"], entry["archived_at"]) == ("superseded", 152, "", NOW)
    assert site.notices() == []
    assert site.recover() == [], "nothing is left to be archived"


def test_good_rows_are_users_bad_ones_are_reported_and_the_file_lies_in_bak(site: Site) -> None:
    site.drop("people.csv", "uid,email\nU1,a@b.ca\nU2,x\n")
    imported, archived = site.take("people.csv")
    assert isinstance(imported, Imported)
    assert imported.counts == Counts(records=2, accepted=1, failed=1, inserted=1)
    assert imported.claim.id == f"{STAMP}-t1"
    assert (imported.archive, imported.report) == (f"people.{STAMP}.csv", f"people.{STAMP}.failed.csv")
    assert archived == Archived(claim=imported.claim, archive=imported.archive, report=imported.report)
    assert list(site.users()) == ["U1"]
    files = site.archived()
    assert files[f"people.{STAMP}.csv"] == b"uid,email\nU1,a@b.ca\nU2,x\n"
    assert report_rows(files[f"people.{STAMP}.failed.csv"])[1][:3] == ["U2", "x", "email 'x' is not a valid address"]
    (entry,) = site.ledger()
    assert (entry["status"], entry["archived_at"]) == ("imported", NOW)
    assert site.notices() == [("imported", "client")]
    assert site.left() == [".importing"]


def test_files_are_imported_in_the_order_given_after_one_pause(site: Site) -> None:
    pauses: list[list[str]] = []
    for name, city in (("b.csv", "Hull"), ("a.csv", "Ottawa")):
        site.drop(name, f"uid,city\nU1,{city}\n")
    outcomes = site.take("b.csv", "a.csv", pause=lambda: pauses.append(site.left()))
    assert [type(outcome) for outcome in outcomes] == [Imported, Imported, Archived, Archived]
    assert site.users()["U1"]["city"] == "Ottawa"
    assert len(pauses) == 1
    assert "b.csv" not in pauses[0]


def test_the_same_bytes_dropped_again_are_imported_again(site: Site) -> None:
    for token in "ab":
        site.drop("people.csv", "uid\nU1\n")
        site.take("people.csv", tokens=token)
    assert [(entry["same_as"], entry["unchanged"]) for entry in site.ledger()] == [(None, 0), (f"{STAMP}-a1", 1)]
    assert list(site.archived()) == [f"people.{STAMP}.1.csv", f"people.{STAMP}.csv"]


def test_the_users_are_asked_for_while_a_roster_is_copied_and_only_its_news_is_written(site: Site) -> None:
    site.drop("people.csv", large_roster("Hull"))
    site.take("people.csv", tokens="a")
    site.drop("people.csv", large_roster("Ottawa"))
    with asking_for_users(site.engine) as threads:
        site.take("people.csv", tokens="b")
    assert threads == ["foreknow_0"]
    counted = [(entry["inserted"], entry["updated"], entry["unchanged"]) for entry in site.ledger()]
    assert counted == [(MANY_ROWS, 0, 0), (0, 1, MANY_ROWS - 1)]
    assert site.users()["U0"]["city"] == "Ottawa"


def test_a_database_that_fails_while_a_file_is_copied_costs_no_attempt(site: Site) -> None:
    def fail() -> None:
        statement, cause = "SELECT", ConnectionError("gone")
        raise OperationalError(statement, None, cause)

    site.drop("people.csv", large_roster("Hull"))
    with asking_for_users(site.engine, fail), pytest.raises(OperationalError, match="gone"):
        site.take("people.csv")
    assert site.ledger() == []
    (claim,) = site.claims()
    assert claiming.count_attempt(claim) == 1
    imported, _ = site.importer().recover("acme", site.folder)
    assert isinstance(imported, Imported)


def test_the_users_are_asked_for_later_where_a_file_is_compressed(site: Site) -> None:
    site.drop("people.csv.gz", gzip.compress(large_roster("Hull").encode(), 0))
    with asking_for_users(site.engine) as threads:
        imported, _ = site.take("people.csv.gz")
    assert isinstance(imported, Imported)
    assert "foreknow_0" not in threads


def test_the_users_are_not_asked_for_where_a_file_is_too_large(site: Site) -> None:
    site.drop("people.csv", large_roster("Hull"))
    importer = Importer(site.engine, site.format, Limits(max_bytes=100, max_expanded_bytes=100), clock())
    with asking_for_users(site.engine) as threads:
        refused, _ = importer.import_files("acme", site.folder, [site.seen("people.csv")])
    assert isinstance(refused, Refused)
    assert threads == []


def test_a_name_that_is_not_utf_8_is_imported(site: Site) -> None:
    name = os.fsdecode(b"caf\xe9\n.csv")
    site.drop(name, "uid\nU1\n\n,\n" + "x" * 9 + "\n")
    site.take(name)
    assert site.ledger()[0]["file"] == r"caf\xe9\n.csv"
    assert list(site.archived()) == [rf"caf_xe9_n.{STAMP}.csv", rf"caf_xe9_n.{STAMP}.failed.csv"]


def test_a_file_that_is_gone_is_not_taken(site: Site) -> None:
    seen = site.seen(site.drop("people.csv", "uid\n").name)
    (site.directory / "people.csv").unlink()
    assert list(site.importer().import_files("acme", site.folder, [seen])) == [
        NotTaken(client="acme", name="people.csv", why=NotTakenWhy.GONE)
    ]


@pytest.mark.parametrize(
    ("content", "code"), [("", "empty_file"), ("uid,city\n", "no_records"), ("a,b\n1,2\n", "no_known_column")]
)
def test_a_refused_file_goes_to_bak_and_is_told_to_both(site: Site, content: str, code: str) -> None:
    site.drop("people.csv", content)
    refused, archived = site.take("people.csv")
    assert isinstance(refused, Refused)
    assert isinstance(archived, Archived)
    assert refused.refusal.code == code
    assert site.archived() == {f"people.{STAMP}.csv": content.encode()}
    assert site.notices() == [("refused", "client"), ("refused", "admin")]
    assert site.left() == [".importing"]


def test_a_file_that_is_too_large_goes_to_bak_unread(site: Site) -> None:
    site.drop("people.csv", "uid\nU1\n")
    limits = Limits(max_bytes=3, max_expanded_bytes=3)
    importer = Importer(site.engine, site.format, limits, clock())
    refused, _ = importer.import_files("acme", site.folder, [site.seen("people.csv")])
    assert isinstance(refused, Refused)
    assert (refused.refusal.code, refused.sha256) == ("file_too_large", "")
    archived = site.folder.directory / "bak" / f"people.{STAMP}.csv"
    with pytest.raises(FileRefused) as checked:
        open_user_file(archived, name="people.csv", known_names=site.format.known_names, limits=limits)
    assert refused.refusal == checked.value.refusal
    assert site.archived() == {f"people.{STAMP}.csv": b"uid\nU1\n"}


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"U2\n")


def rewrite(path: Path) -> None:
    before = path.stat()
    path.write_bytes(b"uid\nU9\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


@pytest.mark.parametrize(("change", "expected"), [(append, ["U1", "U2"]), (rewrite, ["U9"])])
def test_a_file_that_is_written_while_it_is_taken_is_given_back(
    site: Site, change: Callable[[Path], None], expected: list[str]
) -> None:
    site.drop("people.csv", "uid\nU1\n")

    def write() -> None:
        (claim,) = site.claims()
        change(claim.original)

    (returned,) = site.take("people.csv", pause=write)
    assert isinstance(returned, Returned)
    assert (site.users(), site.ledger(), site.notices()) == ({}, [], [])
    assert site.left() == [".importing", "people.csv"]
    site.take("people.csv")
    assert list(site.users()) == expected


def test_a_writer_that_still_has_the_file_open_gets_it_back(site: Site) -> None:
    path = site.drop("people.csv", "uid\nU1\n")
    with path.open("ab", buffering=0) as writer:
        (returned,) = site.take("people.csv", pause=lambda: writer.write(b"U2\n") and None)
        assert isinstance(returned, Returned)
        writer.write(b"U3\n")
    site.take("people.csv")
    assert list(site.users()) == ["U1", "U2", "U3"]


def test_a_file_that_was_replaced_before_it_was_taken_is_given_back(site: Site) -> None:
    site.drop("people.csv", "uid\nU1\n")
    old = site.seen("people.csv")
    (site.directory / "other").write_bytes(b"uid\nU2\n")
    (site.directory / "other").rename(site.directory / "people.csv")
    (returned,) = site.importer().import_files("acme", site.folder, [old])
    assert isinstance(returned, Returned)
    assert site.left() == [".importing", "people.csv"]


def test_a_changed_file_whose_name_is_taken_is_superseded_and_goes_to_bak(site: Site) -> None:
    site.drop("people.csv", "uid\nU1\n")

    def write() -> None:
        (claim,) = site.claims()
        append(claim.original)
        site.drop("people.csv", "uid\nU3\n")

    superseded, archived = site.take("people.csv", pause=write)
    assert isinstance(superseded, Superseded)
    assert isinstance(archived, Archived)
    assert site.archived() == {f"people.{STAMP}.csv": b"uid\nU1\nU2\n"}
    assert site.notices() == [("superseded", "client")]
    assert [entry["status"] for entry in site.ledger()] == ["superseded"]
    site.take("people.csv", tokens="n")
    assert list(site.users()) == ["U3"]
    assert f"people.{STAMP}.1.csv" in site.archived()


def test_a_notice_is_told_once(site: Site) -> None:
    notice = Notice(client="acme", audience=Audience.CLIENT, kind=NoticeKind.INCOMPLETE, file="x.csv")
    for _ in range(2):
        site.importer().tell(notice, once="x")
    assert site.notices() == [("incomplete", "client")]


def test_preparing_brings_the_database_up_to_date_again_and_again(site: Site) -> None:
    for _ in range(2):
        site.importer().prepare()


def test_a_bak_that_is_not_ours_leaves_the_archive_step_open(site: Site, tmp_path: Path) -> None:
    site.bak.symlink_to(tmp_path)
    site.drop("people.csv", "uid\nU1\n,\nU2\n" + "x" * 9 + "\n")
    imported, unarchived = site.take("people.csv")
    assert isinstance(imported, Imported)
    assert isinstance(unarchived, Unarchived)
    assert str(unarchived.why) == f"{site.directory / 'bak'}: bak is not a directory of the service's own"
    assert site.ledger()[0]["archived_at"] is None
    (still,) = site.recover()
    assert isinstance(still, Unarchived)
    site.bak.unlink()
    (archived,) = site.recover()
    assert isinstance(archived, Archived)
    assert len(site.archived()) == 2
    assert site.notices() == [("imported", "client")]
    assert site.recover() == []


def test_a_name_that_was_taken_in_bak_since_the_commit_is_changed(site: Site, tmp_path: Path) -> None:
    site.bak.symlink_to(tmp_path)
    site.drop("people.csv", "uid,city\nU1,\n,a\n")
    site.take("people.csv")
    site.bak.unlink()
    site.bak.mkdir(mode=0o2750)
    (site.bak / f"people.{STAMP}.failed.csv").write_bytes(b"foreign")
    (unarchived,) = site.recover()
    assert isinstance(unarchived, Unarchived)
    (archived,) = site.recover()
    assert isinstance(archived, Archived)
    assert (archived.archive, archived.report) == (f"people.{STAMP}.1.csv", f"people.{STAMP}.1.failed.csv")
    (entry,) = site.ledger()
    assert (entry["archive"], entry["report"]) == (archived.archive, archived.report)
    assert set(site.archived()) == {archived.archive, archived.report, f"people.{STAMP}.failed.csv"}


def test_a_claim_that_was_left_is_imported_after_a_pause(site: Site) -> None:
    claimed(site, "uid\nU1\n")
    pauses: list[int] = []
    outcomes = site.recover(pause=lambda: pauses.append(1))
    assert [type(outcome) for outcome in outcomes] == [Imported, Archived]
    assert (list(site.users()), pauses) == (["U1"], [1])
    assert site.recover(pause=lambda: pauses.append(1)) == []
    assert pauses == [1]


def test_a_claim_that_is_still_written_after_a_restart_is_given_back(site: Site) -> None:
    claim = claimed(site, "uid\nU1\n")
    (returned,) = site.recover(pause=lambda: append(claim.original))
    assert isinstance(returned, Returned)
    assert (site.users(), site.ledger()) == ({}, [])
    site.take("people.csv")
    assert list(site.users()) == ["U1", "U2"]


def test_a_file_whose_import_ended_the_process_three_times_is_set_aside(site: Site) -> None:
    claim = claimed(site, "uid\nU1\n")
    for _ in range(MAX_ATTEMPTS):
        claiming.count_attempt(claim)
    (quarantined,) = site.recover()
    assert quarantined == Quarantined(claim=claim, attempts=MAX_ATTEMPTS)
    assert (site.directory / ".quarantine" / claim.id / "people.csv").read_bytes() == b"uid\nU1\n"
    assert site.notices() == [("quarantined", "admin")]
    assert [entry["status"] for entry in site.ledger()] == ["quarantined"]
    assert (site.users(), site.archived(), site.recover()) == ({}, {}, [])


def end() -> None:
    raise KeyboardInterrupt


def run_of(site: Site, run: str, *, alone: bool = False) -> list[Outcome]:
    """What the next run of the service makes of what is left."""
    importer = Importer(site.engine, site.format, LIMITS, clock(tokens=run), run=run)
    return list(importer.recover("acme", site.folder, alone=alone))


def test_a_file_during_whose_import_the_service_ended_is_left_until_it_can_be_tried_alone(site: Site) -> None:
    suspect = claimed(site, "uid\nU1\n")
    claiming.count_attempt(suspect, "killed")
    site.drop("later.csv", "uid\nU2\n")
    with suppress(KeyboardInterrupt):
        site.take("later.csv", pause=end, tokens="u")
    done = run_of(site, "next")
    assert [type(outcome) for outcome in done] == [Imported, Archived, Suspected]
    assert done[-1] == Suspected(claim=suspect)
    assert list(site.users()) == ["U2"]
    assert run_of(site, "next") == [Suspected(claim=suspect)]
    assert [type(outcome) for outcome in run_of(site, "next", alone=True)] == [Imported, Archived]
    assert sorted(site.users()) == ["U1", "U2"]
    assert site.left() == [".importing"]


def test_of_several_suspects_one_is_tried_at_a_time(site: Site) -> None:
    for number in range(3):
        site.drop(f"{number}.csv", f"uid\nU{number}\n")
        with suppress(KeyboardInterrupt):
            site.take(f"{number}.csv", pause=end, tokens=f"n{number}")
    for claim in site.claims():
        claiming.count_attempt(claim, "killed")
    told = [[type(outcome).__name__ for outcome in run_of(site, "next", alone=True)] for _ in range(4)]
    assert told == [
        ["Suspected", "Suspected", "Imported", "Archived"],
        ["Suspected", "Imported", "Archived"],
        ["Imported", "Archived"],
        [],
    ]


def test_any_number_of_ends_of_the_service_beside_other_files_sets_nothing_aside(site: Site) -> None:
    """Such as three restarts of the machine: only what ends while the file is tried alone counts."""
    claim = claimed(site, "uid\nU1\n")
    claiming.count_attempt(claim, "killed")
    for number in range(2 * MAX_ATTEMPTS):
        assert run_of(site, f"run {number}") == [Suspected(claim=claim)]
    assert [type(outcome) for outcome in run_of(site, "last", alone=True)] == [Imported, Archived]


def test_a_file_that_ends_the_whole_service_three_times_while_it_is_tried_alone_is_set_aside(site: Site) -> None:
    claim = claimed(site, "uid\nU1\n")
    claiming.count_attempt(claim, "killed")
    for number in range(MAX_ATTEMPTS):
        assert run_of(site, f"run {number}") == [Suspected(claim=claim)]
        claiming.count_attempt(claim, f"run {number}", alone=True)
    assert run_of(site, "last") == [Quarantined(claim=claim, attempts=MAX_ATTEMPTS)]
    note = (site.directory / ".quarantine" / claim.id / "REASON").read_text(encoding="utf-8")
    assert "the whole service while it did nothing else" in note


def test_a_quarantine_that_somebody_else_made_takes_nothing_and_other_files_go_on(site: Site, tmp_path: Path) -> None:
    claim = claimed(site, "uid\nU1\n")
    for _ in range(MAX_ATTEMPTS):
        claiming.count_attempt(claim)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (site.directory / ".quarantine").symlink_to(elsewhere)
    (open_,) = site.recover()
    assert isinstance(open_, Unarchived)
    assert open_.claim == claim
    assert str(open_.why) == f"{site.directory}: .quarantine is not a directory of the service's own"
    assert list(elsewhere.iterdir()) == []
    site.drop("other.csv", "uid\nU2\n")
    site.take("other.csv")
    assert list(site.users()) == ["U2"]
    (site.directory / ".quarantine").unlink()
    (quarantined,) = site.recover()
    assert isinstance(quarantined, Quarantined)


def test_a_quarantine_that_a_crash_left_half_done_is_finished(site: Site) -> None:
    claim = claimed(site, "uid\nU1\n")
    with site.engine.begin() as connection:
        record_quarantine(connection, claim, at=NOW)
    (quarantined,) = site.recover()
    assert isinstance(quarantined, Quarantined)
    assert not claim.work.exists()
    assert site.notices() == [("quarantined", "admin")]
    assert site.recover() == []


def test_an_outage_of_the_database_costs_no_attempt(site: Site) -> None:
    site.drop("people.csv", "uid\nU1\n")
    with site.engine.begin() as connection:
        connection.execute(text("ALTER TABLE users RENAME TO gone"))
    for _ in range(MAX_ATTEMPTS + 2):
        with pytest.raises(OperationalError):
            site.take("people.csv") if (site.directory / "people.csv").exists() else site.recover()
    assert (site.ledger(), site.notices()) == ([], [])
    assert not any(path.endswith(("/.copy", "/.failed.csv")) for path in site.left())
    with site.engine.begin() as connection:
        connection.execute(text("ALTER TABLE gone RENAME TO users"))
    assert [type(outcome) for outcome in site.recover()] == [Imported, Archived]


def test_a_disk_that_is_full_when_the_file_lies_in_bak_already_is_an_outage(tmp_path: Path, database_url: str) -> None:
    site = make_site(tmp_path, url=database_url)

    def now() -> dt.datetime:
        if site.archived():
            raise OSError(errno.ENOSPC, "no space left")
        return NOW

    site.drop("people.csv", "uid\nU1\n")
    importer = Importer(site.engine, site.format, LIMITS, replace(clock(), now=now))
    with pytest.raises(OSError, match="no space left"):
        list(importer.import_files("acme", site.folder, [site.seen("people.csv")]))
    (archived,) = site.recover()
    assert isinstance(archived, Archived)
    assert (list(site.users()), site.left()) == (["U1"], [".importing"])
    site.engine.dispose()


def test_an_outage_after_the_commit_leaves_the_file_and_its_report_on_their_way_to_bak(site: Site) -> None:
    site.drop("people.csv", "uid,email\nU1,a@b.ca\nU2,x\n")
    outcomes = site.importer().import_files("acme", site.folder, [site.seen("people.csv")])
    assert isinstance(next(outcomes), Imported)
    with site.engine.begin() as connection:
        connection.execute(text("ALTER TABLE imports RENAME TO gone"))
    with pytest.raises(OperationalError):
        next(outcomes)
    with site.engine.begin() as connection:
        connection.execute(text("ALTER TABLE gone RENAME TO imports"))
    assert [type(outcome) for outcome in site.recover()] == [Archived]
    assert [*site.archived()] == [f"people.{STAMP}.csv", f"people.{STAMP}.failed.csv"]


def test_a_claim_whose_commit_is_in_the_ledger_is_not_imported_again(site: Site, tmp_path: Path) -> None:
    site.bak.symlink_to(tmp_path)
    site.drop("people.csv", "uid\nU1\n")
    site.take("people.csv")
    (claim,) = site.claims()
    site.bak.unlink()
    assert [type(outcome) for outcome in site.recover()] == [Archived]
    assert len(site.ledger()) == 1
    assert not claim.work.exists()


def test_a_work_directory_that_outlived_its_archive_is_removed(site: Site) -> None:
    site.drop("people.csv", "uid\nU1\n")
    imported, _ = site.take("people.csv")
    assert isinstance(imported, Imported)
    left = replace(imported.claim, anchor=None, workroom=None)
    left.work.mkdir()
    left.original.write_bytes(b"uid\nU1\n")
    assert site.recover() == []
    assert not left.work.exists()


def test_other_clients_are_not_recovered(site: Site, tmp_path: Path) -> None:
    site.bak.symlink_to(tmp_path)
    site.drop("people.csv", "uid\nU1\n")
    site.take("people.csv")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert list(site.importer().recover("other", by_name(elsewhere))) == []


def test_an_import_that_was_refused_before_a_crash_is_archived(site: Site) -> None:
    claim = claimed(site, "")
    claim.copy.write_bytes(b"")
    copied = Copied(size=0, sha256="e3b0")
    with site.engine.begin() as connection:
        record_refusal(connection, claim, copied, refusal("empty_file"), at=NOW, seconds=0.0)
    (archived,) = site.recover()
    assert isinstance(archived, Archived)
    assert site.archived() == {f"people.{STAMP}.csv": b""}


@pytest.mark.parametrize(("skips_unchanged", "city"), [(True, "Ottawa"), (False, "Hull")])
def test_an_importer_skips_or_writes_rows_that_repeat_what_the_file_said(
    site: Site,
    skips_unchanged: bool,  # noqa: FBT001 - a table
    city: str,
) -> None:
    for tokens in "ab":
        site.drop("people.csv", "uid,city\nU1,Hull\n")
        importer = Importer(site.engine, site.format, LIMITS, clock(tokens=tokens), skips_unchanged=skips_unchanged)
        assert len([*importer.import_files("acme", site.folder, [site.seen("people.csv")])]) == 2
        if tokens == "a":
            with site.engine.begin() as connection:
                connection.execute(text("UPDATE users SET city = 'Ottawa'"))
    assert site.users()["U1"]["city"] == city


def test_success_is_told_to_whom_it_concerns_and_failure_to_the_sender(site: Site) -> None:
    importer = Importer(site.engine, site.format, LIMITS, clock(), tells_success=True)
    contents = {
        "good.csv": "uid\nU1\n",
        "also.csv": "uid\nU2\n",
        "odd.csv": "uid,shoe\nU3,7\n",
        "bad.csv": "uid\n1234567890\n",
    }
    for name, content in contents.items():
        site.drop(name, content)
    assert [*importer.import_files("acme", site.folder, [site.seen(name) for name in contents])]
    assert sorted(site.notices()) == [("imported", "client"), *[("imported", "success")] * 3]
