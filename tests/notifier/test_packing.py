"""How reports travel: as they are, merged, zipped, or their first rows."""

import csv
import io
import os
import re
import subprocess
import sys
import textwrap
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.csv_cutting import first_records, header_of
from notifier.letters import MOST_ATTACHMENTS
from notifier.messages import build, encode
from notifier.model import Attachment, LeasedMail, Report
from notifier.packing import LARGEST, Packed, Packing, UnreadError, pack
from tests.importing import examined, messages, report_bytes, report_rows
from tests.mailing import ADDRESSES, LETTERS, NOTES, NOW, failed_rows

ROWS = st.lists(
    st.lists(st.text(st.sampled_from('ab",\n\r '), max_size=5), min_size=2, max_size=2), min_size=1, max_size=9
)


def written(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n", quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue().encode()


def place(directory: Path, name: str, content: bytes) -> Report:
    """A report in a client's bak."""
    bak = directory / "bak"
    bak.mkdir(exist_ok=True)
    (bak / name).write_bytes(content)
    attachment = Attachment(claim_id=name, filename=f"{name}.failed.csv")
    return Report(attachment=attachment, directory=directory, places=(bak / name,), in_bak=f"{name}.failed.csv")


def mail_with(reports: list[Report]) -> LeasedMail:
    letter = LETTERS.to_client([failed_rows(number) for number in range(max(1, len(reports)))], NOW)
    attachments = tuple(report.attachment for report in reports)
    return LeasedMail(
        id=1,
        message_id="<1234@parking.example>",
        recipient="registrar@client.example",
        client="acme",
        letter=replace(letter, attachments=attachments),
        created_at=NOW,
        tries=0,
        next_try_at=NOW,
    )


def packed(reports: list[Report], *, largest: int = LARGEST, at_least: Packing = Packing.FILES) -> Packed:
    return pack(mail_with(reports), reports, NOTES, largest=largest, at_least=at_least)


@given(rows=ROWS)
def test_a_header_ends_outside_quotes(rows: list[list[str]]) -> None:
    assert header_of(io.BytesIO(written(rows))) == written(rows[:1])


@given(rows=ROWS, limit=st.integers(-1, 80))
def test_as_many_whole_records_are_cut_as_fit(rows: list[list[str]], limit: int) -> None:
    cut = first_records(io.BytesIO(written(rows)), limit)
    fitting = [number for number in range(1, len(rows) + 1) if len(written(rows[:number])) <= limit]
    assert cut.content == written(rows[: max(fitting, default=0)])
    assert cut.records == max(0, max(fitting, default=0) - 1)


def test_ten_reports_are_ten_attachments(tmp_path: Path) -> None:
    reports = [place(tmp_path, f"r{number}", b"uid\r\nU1\r\n") for number in range(MOST_ATTACHMENTS)]
    assert [name for name, _ in packed(reports).files] == [f"r{number}.failed.csv" for number in range(10)]


def test_a_thousand_reports_are_one_csv_for_each_header(tmp_path: Path) -> None:
    headers = (b"\xef\xbb\xbfuid,import_file\r\n", b"\xef\xbb\xbfuid;import_file\r\n")
    reports = [
        place(tmp_path, f"r{number}", headers[number % 2] + b"U%d,r%d.csv\r\n" % (number, number))
        for number in range(1000)
    ]
    made = packed(reports)
    assert [name for name, _ in made.files] == ["failed-users.csv", "failed-users-2.csv"]
    first = dict(made.files)["failed-users.csv"]
    assert first == headers[0] + b"".join(b"U%d,r%d.csv\r\n" % (number, number) for number in range(0, 1000, 2))
    assert made.note == ""


def test_merged_reports_can_be_dropped_again_as_they_are(tmp_path: Path) -> None:
    contents = [report_bytes(f"uid,email,city\n,x{number},=1+1\n", name=f"f{number}.csv") for number in range(12)]
    made = packed([place(tmp_path, f"r{number}", content) for number, content in enumerate(contents)])
    ((_, merged),) = made.files
    rows = report_rows(merged)
    assert [row[5] for row in rows[1:]] == [f"f{number}.csv" for number in range(12)]
    with examined(merged) as examination:
        assert [*messages(examination)] == [*range(2, 14)]
    again = report_rows(report_bytes(merged))
    assert [row[:4] for row in again] == [row[:4] for row in rows]


def test_more_than_ten_headers_travel_in_a_zip(tmp_path: Path) -> None:
    reports = [place(tmp_path, f"r{number}", b"uid%d\r\nU1\r\n" % number) for number in range(11)]
    made = packed(reports)
    ((name, content),) = made.files
    assert (made.packing, name) == (Packing.ZIP, "failed.zip")
    assert len(zipfile.ZipFile(io.BytesIO(content)).namelist()) == 11


def test_a_zip_of_many_small_reports_is_not_said_to_be_for_their_size(tmp_path: Path) -> None:
    reports = [place(tmp_path, f"r{number}", b"uid,c%d\r\nU1,\r\n" % number) for number in range(MOST_ATTACHMENTS + 1)]
    assert "they are many and their columns differ" in packed(reports).note
    assert "because they are large" in packed(reports, at_least=Packing.ZIP).note
    assert "because they are large" in packed([place(tmp_path, "big", b"uid\r\n" * 10_000)], largest=20_000).note


ELSEWHERE = ["unmounted", "gone", "another one", "a file", "bak is another one", "bak is a link", "closed"]


def _take_away(upload: Path, how: str) -> None:
    """What an outage leaves of an upload directory."""
    if how == "closed":
        (upload / "bak").chmod(0)
        return
    away = upload if not how.startswith("bak") else upload / "bak"
    away.rename(upload.parent / "away")
    if how in {"unmounted", "bak is another one"}:
        away.mkdir()
    elif how == "another one":
        (away / "data").mkdir(parents=True)
    elif how == "a file":
        away.write_bytes(b"")
    elif how == "bak is a link":
        away.symlink_to(upload.parent / "away")


@pytest.mark.parametrize("how", ELSEWHERE)
def test_a_report_that_cannot_be_read_is_waited_for_and_at_last_named(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = tmp_path / "upload"
    upload.mkdir()
    reports = [place(upload, "a", b"uid\r\nU1\r\n")]
    _take_away(upload, how)
    own = os.geteuid()
    if how in {"bak is another one", "closed"}:  # as of somebody else, which only root could make
        monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    with pytest.raises(UnreadError, match=re.escape(str(upload))):
        packed(reports)
    late = pack(mail_with(reports), reports, NOTES, largest=LARGEST, at_least=Packing.FILES, waits=False)
    assert late.files == ()
    assert "could not be read for a day; fetch it from the server: bak/a.failed.csv." in late.note
    assert "no longer there" not in late.note


@pytest.mark.parametrize("nth", range(1, 9))
def test_a_report_in_a_directory_that_is_back_while_it_is_looked_for_is_not_called_gone(
    tmp_path: Path, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, away = tmp_path / "upload", tmp_path / "away"
    upload.mkdir()
    report = place(upload, "a", b"uid\r\nU1\r\n")
    report = replace(report, places=(*report.places, upload / ".importing" / "claim" / ".failed.csv"))
    upload.rename(away)
    opened, tries = os.open, iter(range(1, 1_000))

    def open_(*arguments: Any, **how: Any) -> int:  # noqa: ANN401 - as os.open
        if next(tries) == nth:
            away.rename(upload)
        return opened(*arguments, **how)

    monkeypatch.setattr(os, "open", open_)
    with suppress(UnreadError):  # then the mail waits
        assert "no longer there" not in packed([report]).note


def test_of_several_reports_those_travel_that_can_be_read_once_a_mail_waits_no_more(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    reports = [place(here, "a", b"uid\r\nU1\r\n"), place(there, "b", b"uid\r\nU2\r\n"), place(here, "c", b"")]
    (here / "bak" / "c").unlink()
    there.rename(tmp_path / "away")
    late = pack(mail_with(reports), reports, NOTES, largest=LARGEST, at_least=Packing.FILES, waits=False)
    assert [name for name, _ in late.files] == ["a.failed.csv"]
    assert "no longer there: c.failed.csv." in late.note
    assert "fetch it from the server: bak/b.failed.csv." in late.note


def test_of_a_report_that_is_too_large_as_a_zip_the_first_rows_are_attached(tmp_path: Path) -> None:
    body = b"".join(b'U%d,"%s\r\n"\r\n' % (number, os.urandom(50).hex().encode()) for number in range(5000))
    report = place(tmp_path, "big", b"uid,city\r\n" + body)
    made = packed([report], largest=120_000)
    ((name, content),) = made.files
    assert (made.packing, name) == (Packing.FIRST_ROWS, "big.first-rows.failed.csv")
    assert (b"uid,city\r\n" + body).startswith(content)
    rows = report_rows(content)
    assert 100 < len(rows) < 5000
    assert made.note == (
        f"Only the first {len(rows) - 1:,} rows are attached, because the reports are too large for a mail."
        " Fetch the whole from the server: bak/big.failed.csv."
    )
    assert len(encode(build(mail_with([report]), ADDRESSES.admin, made))) <= 120_000


def test_where_not_even_one_row_fits_the_report_is_named(tmp_path: Path) -> None:
    report = place(tmp_path, "big", b"uid,city\r\nU1," + os.urandom(50_000).hex().encode() + b"\r\n")
    made = packed([report], largest=20_000)
    assert (made.packing, made.files) == (Packing.NOTHING, ())
    assert "bak/big.failed.csv" in made.note


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("count", [1, 2, MOST_ATTACHMENTS + 1])
def test_a_mail_into_which_no_report_fits_does_not_say_that_one_is_attached(
    tmp_path: Path, count: int, language: str
) -> None:
    report = place(tmp_path, "big", b"uid,city\r\nU1," + os.urandom(50_000).hex().encode() + b"\r\n")
    letters = replace(LETTERS, language=language)
    mail = replace(mail_with([report]), letter=letters.to_client([*map(failed_rows, range(count))], NOW))
    made = replace(packed([report], largest=20_000), note="")
    for part in build(mail, ADDRESSES.admin, made).tree.walk():
        if part.get_content_maintype() == "text":
            said = part.get_content()
            assert all(f"bak/students.20260301T143301Z.{number}.failed.csv" in said for number in range(count))
            assert not {"attached", "joint", "joints", "jointe", "jointes"} & set(re.findall(r"\w+", said))


@settings(max_examples=50, deadline=None)
@given(content=st.binary(max_size=400))
def test_an_attachment_is_encoded_as_the_standard_library_does_it(content: bytes) -> None:
    from email import message_from_bytes  # noqa: PLC0415 - beside what it is compared with
    from email.message import EmailMessage  # noqa: PLC0415
    from email.policy import default  # noqa: PLC0415

    mail = mail_with([])
    wire = encode(
        build(mail, ADDRESSES.admin, Packed(packing=Packing.FILES, files=(("a.csv", content), ("b.zip", b"z"))))
    )
    received = message_from_bytes(wire, policy=default)
    assert isinstance(received, EmailMessage)
    assert [part.get_payload(decode=True) for part in received.iter_attachments()] == [content, b"z"]
    assert max(map(len, wire.split(b"\r\n"))) < 998
    assert b"\n" not in wire.replace(b"\r\n", b"")


@pytest.mark.parametrize("megabytes", [7, 80])
def test_a_report_of_80_mb_costs_64_mb_of_memory_at_most(tmp_path: Path, megabytes: int) -> None:
    """In a process of its own, measured from before the report is looked at until the message is encoded."""
    bak = tmp_path / "bak"
    bak.mkdir()
    with (bak / "big").open("wb") as file:
        file.write(b"uid,city,import_error\r\n")
        block = b"".join(b"U%d,%s,city is too long\r\n" % (n, os.urandom(20).hex().encode()) for n in range(10_000))
        while file.tell() < megabytes * 1_000_000:
            file.write(block)
    program = f"""
        import resource
        from pathlib import Path
        from notifier.packing import LARGEST, Packing, pack
        from notifier.messages import build, encode
        from notifier.model import Attachment, Report
        from tests.mailing import NOTES
        from tests.notifier.test_packing import mail_with

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        attachment = Attachment(claim_id="big", filename="big.failed.csv")
        bak = Path({str(bak)!r})
        report = Report(attachment=attachment, directory=bak.parent, places=(bak / "big",), in_bak="big.failed.csv")
        mail = mail_with([report])
        before = peak()
        packed = pack(mail, [report], NOTES, largest=LARGEST, at_least=Packing.FILES)
        message = build(mail, "admin@parking.example", packed)
        assert message.files
        assert len(encode(message)) <= LARGEST
        print(peak() - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert int(done.stdout) <= 64 << 10
