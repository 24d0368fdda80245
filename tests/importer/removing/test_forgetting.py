"""A person is removed from wherever we keep something of them; everybody else stays, byte for byte."""

import csv
import datetime as dt
import gzip
import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, update

from importer.database.tables import mails, notices
from importer.files.claiming import QUARANTINE_DIRECTORY
from importer.formats.format_file import parse_format
from importer.removing.forgetting import Forgotten, Where, forget
from importer.removing.persons import ELSEWHERE
from importer.removing.searching import look
from notifier import outbox
from tests import canaries
from tests.importing import NOW, Site, make_site, rows_of
from tests.mailing import ADDRESSES, LETTERS
from watcher.base.limits import Allowance
from watcher.work.looking import looking

GOOD = "uid,email,user_name\nU1,ana@example.edu,ana\nU2,bo@example.edu,bo\n"
BAD = 'uid,email,city\nU1,ana@example.edu,much too long for it\nU2,bo@example.edu,"two\nlines, and too long"\n'
ODD_KEYS = ["U;1", "U|1", 'U"1', "U\t1", "U\N{NO-BREAK SPACE}1", "U,1", "U 1", "'U1", "=U1", "0012", "é1", "U\n1", "1"]
WIDE = parse_format(
    """
    key = "uid"
    [columns.uid]
    max_length = 40
    [columns.email]
    kind = "email"
    unique = true
    [columns.user_name]
    unique = true
    [columns.city]
    max_length = 12
    """
)


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    site = make_site(tmp_path, url=database_url)
    for name, content in (("good.csv", GOOD), ("bad.csv", BAD)):
        site.drop(name, content)
        site.take(name, tokens=name)
    yield site
    site.engine.dispose()


def forgotten(site: Site, key: str, *, with_files: bool = False, mails_in: Path | None = None) -> Forgotten:
    where = Where(client="acme", directory=site.directory, mails=mails_in)
    looks = partial(look, known_names=site.format.known_names)
    return forget(site.engine, site.format, where, key, looks, with_files=with_files)


def left(done: Forgotten) -> dict[str, str]:
    return {each.what: each.why for each in done.left}


def texts(site: Site) -> str:
    """Everything that is kept of the client outside bak, as text."""
    return str((site.users(), site.ledger(), [row["facts"] for row in rows_of(site.engine, notices)]))


def test_user_texts_and_rows_of_reports_are_removed_and_files_are_listed(site: Site) -> None:
    before = site.archived()
    done = forgotten(site, "U1")
    (report,) = (name for name in before if name.endswith(".failed.csv"))
    assert done.was_user
    assert done.reports == (report,)
    assert done.files == tuple(sorted(f"bak/{name}" for name in before if name != report))
    assert left(done) == dict.fromkeys(done.files, "names the person; --files removes it")
    assert (done.searched.files, done.searched.entries) == (3, 2)
    assert [*site.users()] == ["U2"]
    assert "ana" not in texts(site)
    after = site.archived()
    assert after.keys() == before.keys()
    assert b"ana@" not in after[report]
    kept = before[report].partition(b"U2,")[2]
    assert kept
    assert after[report].endswith(kept)
    assert {name: after[name] for name in after if name != report} == {
        name: before[name] for name in before if name != report
    }
    assert sorted(entry["failed"] for entry in site.ledger()) == [0, 2], "the counts stay"


def test_files_that_name_the_person_are_removed_where_that_is_asked_for(site: Site) -> None:
    place = site.directory / QUARANTINE_DIRECTORY / "c1"
    place.mkdir(parents=True)
    (place / "poison.csv.gz").write_bytes(gzip.compress(GOOD.encode()))
    (place / "utf16.csv").write_bytes(GOOD.encode("utf-16"))
    (place / "other.csv").write_bytes(b"uid,email\nU11,anna@example.edu\n")
    (site.bak / "kept.csv").write_bytes(b"uid,email\nU3,x@example.edu\n")
    done = forgotten(site, "U1", with_files=True)
    assert (len(done.files), done.left) == (4, ())
    assert sorted(path.name for path in place.iterdir()) == ["other.csv"]
    assert [name for name in site.archived() if not name.endswith(".failed.csv")] == ["kept.csv"]


def test_mails_that_name_the_person_are_listed_and_removed_where_that_is_asked_for(site: Site) -> None:
    mail = {
        "client": "acme",
        "recipient": "x@example.org",
        "subject": "s",
        "html": "",
        "attachments": [],
        "state": "queued",
        "tries": 0,
        "created_at": NOW,
        "next_try_at": NOW,
    }
    with site.engine.begin() as connection:
        for number, text in enumerate(("row 2: email 'Ana@example.edu' is used", "row 3: anaconda"), 1):
            connection.execute(insert(mails).values({**mail, "message_id": str(number), "text": text}))
    assert forgotten(site, "U1").mails == (1,)
    assert len(rows_of(site.engine, mails)) == 2
    site.drop("again.csv", GOOD)
    site.take("again.csv", tokens="again")
    assert forgotten(site, "U1", with_files=True).mails == (1,)
    assert [row["message_id"] for row in rows_of(site.engine, mails)] == ["2"]


def test_who_was_never_stored_is_found_in_reports_by_the_key(site: Site) -> None:
    site.drop("late.csv", "uid,city\nU9,much too long for it\n")
    site.take("late.csv", tokens="late")
    done = forgotten(site, "U9")
    assert (done.was_user, len(done.reports), len(done.files)) == (False, 1, 1)
    before = texts(site)
    nobody = forgotten(site, "nobody")
    assert (nobody.is_nothing, nobody.left) == (True, ())
    assert (sorted(site.users()), texts(site)) == (["U1", "U2"], before)


def test_a_key_of_nobody_that_others_have_elsewhere_harms_none_of_them(site: Site) -> None:
    site.drop("towns.csv", "uid,email,city\nU7,@,Oslo\nU8,@,Oslo\n")
    site.drop("headless.csv", "U7,Oslo\n")
    for name in ("towns.csv", "headless.csv"):
        site.take(name, tokens=name)
    before, users = site.archived(), site.users()
    done = forgotten(site, "Oslo", with_files=True)
    assert (done.was_user, done.reports, done.files, done.mails) == (False, (), (), ())
    assert (site.archived(), site.users()) == (before, users)
    assert left(done) == {
        f"bak/{name}": "may hold the person: the key is in it, but in no column of keys, and nobody is stored under it"
        for name in before
        if name.startswith("headless")
    }
    rows = forgotten(site, "U7", with_files=True)
    assert (len(rows.reports), len(rows.files)) == (1, 1)
    assert b"U8" in b"".join(content for name, content in site.archived().items() if name in rows.reports)


def test_an_example_of_the_persons_row_goes_though_it_does_not_name_the_person(site: Site) -> None:
    site.drop("typo.csv", "uid,email,city\nU1,hunter2,x\nU2,,much too long for it\n")
    site.take("typo.csv", tokens="typo")
    assert "hunter2" in texts(site)
    forgotten(site, "U1")
    assert "hunter2" not in texts(site)


def test_where_files_are_gone_their_examples_may_be_the_persons(site: Site) -> None:
    site.drop("typo.csv", "uid,email\nU1,hunter2\n")
    site.take("typo.csv", tokens="typo")
    for path in site.bak.iterdir():
        path.unlink()
    forgotten(site, "nobody")
    assert "hunter2" in texts(site), "nobody was known, so nothing is in doubt"
    forgotten(site, "U1")
    assert "hunter2" not in texts(site)


def test_a_refused_file_without_a_header_is_a_person_in_its_notices(site: Site) -> None:
    site.drop("headless.csv", "U1,hunter2@example.org,Hunter\nU2,x@example.org,X\n")
    site.take("headless.csv", tokens="headless")
    assert "hunter2@example.org" in texts(site)
    done = forgotten(site, "U1", with_files=True)
    assert "hunter" not in texts(site).lower()
    assert not [name for name in site.archived() if "headless" in name]
    assert done.texts > 0
    (told, *_) = (row["facts"] for row in rows_of(site.engine, notices) if row["facts"]["refusal"])
    assert told["refusal"]["message"].startswith("the first row names no known column")
    assert LETTERS.to_client([outbox.notice_from(told)], None).text


def test_files_that_wait_are_named_and_stay_as_they_bring_the_person_back(site: Site) -> None:
    waiting = site.drop("next.csv", GOOD)
    claimed = site.directory / ".importing" / "c9"
    claimed.mkdir(parents=True)
    (claimed / ".attempts").write_text("1")
    (claimed / "now.csv").write_text(GOOD)
    done = left(forgotten(site, "U1", with_files=True))
    assert done["next.csv"].startswith("waits to be imported: the person comes back by it")
    assert done[".importing/c9/now.csv"].startswith("is being imported: the person comes back by it")
    assert (len(done), waiting.read_text()) == (2, GOOD)


def test_what_cannot_be_searched_is_left_and_told(site: Site) -> None:
    (site.bak / "book.csv").write_bytes(b"PK\x03\x04" + bytes(40))
    (site.bak / "torn.csv.gz").write_bytes(gzip.compress(os.urandom(4000))[:2000])
    (site.bak / "link.csv").symlink_to("/dev/null")
    done = left(forgotten(site, "U1", with_files=True))
    start = "may hold the person: "
    assert done["bak/book.csv"].startswith(f"{start}the file is an Excel workbook or another archive")
    assert done["bak/torn.csv.gz"].startswith(f"{start}the compressed file is damaged")
    assert done["bak/link.csv"] == f"{start}it is no regular file"


def test_mails_that_lie_as_files_are_searched_with_what_is_packed_in_them(site: Site, tmp_path: Path) -> None:
    place = tmp_path / "mails"
    place.mkdir()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("users.failed.csv", BAD)
    for name, content in (
        ("text", b""),
        ("csv", BAD.encode()),
        ("zip", packed.getvalue()),
        ("other", b"uid\r\nU2\r\n"),
    ):
        mail = EmailMessage()
        mail["Subject"] = "userdrop"
        mail.set_content("row 2: email 'Ana@example.edu' is used" if name == "text" else "x")
        if content:
            mail.add_attachment(content, maintype="application", subtype="octet-stream", filename=f"r.{name}")
        (place / f"{name}.eml").write_bytes(mail.as_bytes())
    assert {*left(forgotten(site, "U1", mails_in=place))} >= {
        str(place / f"{name}.eml") for name in ("text", "csv", "zip")
    }
    site.drop("again.csv", GOOD)
    site.take("again.csv", tokens="again")
    assert not forgotten(site, "U1", with_files=True, mails_in=place).left
    assert [path.name for path in place.iterdir()] == ["other.eml"]


def test_mails_of_another_client_that_lie_as_files_stay(site: Site, tmp_path: Path) -> None:
    place = tmp_path / "mails"
    place.mkdir()
    mail = {"recipient": "x@example.org", "subject": "s", "text": "", "html": "", "attachments": [], "tries": 0}
    times = {"state": "sent", "created_at": NOW, "next_try_at": NOW}
    for number, client in enumerate(("acme", "bolt", None), 1):
        identity = f"{number:032x}"
        message = EmailMessage()
        message.set_content("row 2: email 'Ana@example.edu' is used")
        (place / f"20261129T172603Z-{identity}.eml").write_bytes(message.as_bytes())
        with site.engine.begin() as connection:
            row = {**mail, **times, "client": client, "message_id": f"<{identity}@example.org>"}
            connection.execute(insert(mails).values(row))
    assert not forgotten(site, "U1", with_files=True, mails_in=place).left
    assert [path.name for path in place.iterdir()] == [f"20261129T172603Z-{2:032x}.eml"]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_are_found_as_they_are_imported(tmp_path: Path, key: str) -> None:
    site = make_site(tmp_path, WIDE)
    rows = [["uid", "email", "city"], [key, "ana@example.edu", "x"], ["U12", "bo@example.edu", "12345"]]
    broken = [["uid", "email", "city"], [key, "ana@example.edu", "much too long for it"], ["U12", "", "y" * 20]]
    for separator in ",;\t|":
        for name, table in (("good", rows), ("bad", broken)):
            site.drop(f"{name}.csv", written(table, separator))
            site.take(f"{name}.csv", tokens=f"{name}{ord(separator)}")
    assert len([name for name in site.archived() if name.endswith(".failed.csv")]) == 4
    stored = next(each for each in site.users() if each != "U12")
    done = forgotten(site, stored, with_files=True)
    assert (done.was_user, len(done.reports), len(done.files), done.left) == (True, 4, 8, ())
    assert [*site.users()] == ["U12"]
    assert all(content.count(b"\r\nU12") == 1 for content in site.archived().values())
    assert not canaries.places(tmp_path, site.engine, ["ana@example.edu"])
    site.engine.dispose()


def written(table: Sequence[Sequence[str]], separator: str = ",") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows(table)
    return text.getvalue()


def test_a_bomb_costs_its_own_search_and_the_rest_is_searched(site: Site) -> None:
    (site.bak / "bomb.csv.gz").write_bytes(gzip.compress(b"uid\n" + b'"' + b"a" * (1 << 28), 1))
    (site.bak / "znext.csv").write_text("uid,email\nU1,\n")
    allowed = Allowance(memory_bytes=100 << 20, cpu_seconds=2, seconds=60, files=1)
    with looking(site.format.known_names, allowed) as looks:
        where = Where(client="acme", directory=site.directory)
        done = forget(site.engine, site.format, where, "U1", looks, with_files=True)
    assert "bak/znext.csv" in done.files
    (bomb,) = done.left
    assert bomb.what == "bak/bomb.csv.gz"
    assert bomb.why.startswith("may hold the person: it takes more memory or processor time")


# Everything that is stored, searched by another program


@dataclass(frozen=True, slots=True, kw_only=True)
class Somebody:
    """A person each of whose cells is a word that nobody else has; `odd` stands in the middle of the key."""

    number: int
    odd: str

    @property
    def word(self) -> str:
        return f"zq{self.number}kanari"

    def row(self, defect: str) -> list[str]:
        email = f"{self.word}@mail" if defect == "email" else f"{self.word}@mail.example"
        city = f"{self.word} is too long" if defect == "city" else f"{self.word[:8]}"
        return [f"{self.word}{self.odd}k", email, f"{self.word}n", city]


ODD = st.text(st.sampled_from(";|,\"'\t \N{NO-BREAK SPACE}=é-\n&<"), max_size=3)
DEFECTS = st.sampled_from(["", "email", "city", "twice", "wide"])
FILES = st.tuples(
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    st.sampled_from(",;\t|"),
    st.booleans(),
    st.sampled_from(["header", "headless", "quarantined"]),
    st.tuples(DEFECTS, DEFECTS, DEFECTS),
)
HEADER = ["uid", "email", "user_name", "city"]


@settings(max_examples=20, deadline=None)
@given(odd=st.tuples(ODD, ODD, ODD), files=st.lists(FILES, min_size=1, max_size=4), chosen=st.integers(0, 2))
def test_nothing_of_a_forgotten_person_is_found_by_another_program(
    odd: tuple[str, str, str],
    files: list[tuple[str, str, bool, str, tuple[str, ...]]],
    chosen: int,
) -> None:
    people = [Somebody(number=number, odd=each) for number, each in enumerate(odd)]
    with TemporaryDirectory() as place:
        root = Path(place)
        site = make_site(root, WIDE)
        for number, file in enumerate(files):
            store(site, number, people, *file)
        person = people[chosen]
        assert canaries.places(root, site.engine, [person.word])
        done = forgotten(site, person.row("")[0], with_files=True)
        left_in = {each.what for each in done.left if each.why.endswith(ELSEWHERE)}
        assert left_in == {each.what for each in done.left}
        if done.was_user or not any(is_beyond_columns(fate, defects[chosen]) for *_, fate, defects in files):
            assert not left_in
        found = canaries.places(root, site.engine, [person.word])
        in_mails = {name for name in found if name.startswith(("mails.", "state/"))}
        assert {f"upload/{name}" for name in left_in if not name.startswith("mail ")} == found - in_mails
        assert any(name.startswith("mail ") for name in left_in) == bool(in_mails)
        site.engine.dispose()


def is_beyond_columns(fate: str, defect: str) -> bool:
    """Whether a key stands in no column of the file: of somebody who is not stored it may be another word there."""
    return fate == "headless" or defect == "wide"


def store(  # noqa: PLR0917 - what hypothesis draws
    site: Site,
    number: int,
    people: list[Somebody],
    encoding: str,
    separator: str,
    is_packed: bool,  # noqa: FBT001 - as above
    fate: str,
    defects: tuple[str, ...],
) -> None:
    """Import a file of these people, have mails formed of it, and let some of them be sent."""
    rows = [row for person, defect in zip(people, defects, strict=True) for row in rows_with(person, defect)]
    text = written(rows if fate == "headless" else [HEADER, *rows], separator)
    content = text.encode(encoding)
    name = f"f{number}.csv{'.gz' if is_packed else ''}"
    content = gzip.compress(content) if is_packed else content
    if fate == "quarantined":
        place = site.directory / QUARANTINE_DIRECTORY / f"q{number}"
        place.mkdir(parents=True)
        (place / name).write_bytes(content)
        return
    site.drop(name, content)
    site.take(name, tokens=f"t{number}", now=NOW + dt.timedelta(minutes=number))
    outbox.form(site.engine, LETTERS, ADDRESSES, now=NOW + dt.timedelta(minutes=number), next_run=None)
    with site.engine.begin() as connection:
        connection.execute(
            update(mails).where(mails.c.state == "queued").values(state=["sent", "dead", "queued"][number % 3])
        )


def rows_with(person: Somebody, defect: str) -> list[list[str]]:
    row = person.row(defect)
    return {"twice": [row, row], "wide": [[*row, f"{person.word}w"]]}.get(defect, [row])
