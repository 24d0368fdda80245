"""Names and cells that are made to shape a mail: on the wire there are our headers and no others."""

import dataclasses
import os
import random
from email.parser import BytesHeaderParser
from email.policy import default

import pytest

from importer.model import Notice, ReasonCount, Refusal, Remark
from importer.words.reasons import refusal, warning
from notifier.messages import build, encode
from notifier.model import LeasedMail
from notifier.packing import Packed, Packing
from tests.mailing import ADDRESSES, LETTERS, NOW, REPORT, failed_rows, refused

HEADERS = {
    "From",
    "Reply-To",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Content-Language",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "MIME-Version",
    "Content-Type",
}
PIECES = (
    *("\r", "\n", "\r\n", "\r\nBcc: evil@example.com\r\n", "\n\nbody", "\0", "\x1b[31m", "\t", "\x7f", "\x85"),
    *("=?utf-8?q?x=0D=0ABcc=3A_evil=40example.com?=", "=?utf-8?b?DQpCY2M6IHg=?=", "=?", "?=", "=?iso-8859-1?q?=0A?="),
    *("\u202e", "\u2066", "\u200f", "\u2028", "\u2029", "\ufeff", "\u00ad", "\U000e0041", "\udcff", "\ud800", "\udfff"),
    *("<script>", "</title>", "{{ 7*7 }}", "{% raw %}", "%(x)s", "{0}", "{headline}", '"', "'", ";", ",", "@", ":"),
    *("a", "é", "名前", "\u0301", "😀", ".csv", " ", "  ", "x" * 60, "=", "%0d%0a", "\\r\\n"),
)


def hostile(rng: random.Random) -> str:
    """A file name of up to 255 bytes, or a cell, of pieces that mean something to somebody."""
    text = "".join(rng.choices(PIECES, k=rng.randrange(1, 9)))
    dice = rng.random()
    if dice < 0.2:
        return os.fsdecode(rng.randbytes(rng.randrange(1, 256)))
    return (text * 20)[:255] if dice < 0.3 else text


def letters_about(rng: random.Random) -> list[Notice]:
    name, cell = hostile(rng), hostile(rng)
    reason = ReasonCount(code="invalid", column=cell, count=1, example_row=2, example=cell)
    remark = warning("unknown_column.suggestion", column=cell, suggestion=cell)
    told: tuple[Remark, ...] = (remark, Remark(code="odd", column=cell, message=cell))
    why: Refusal = refusal("missing_column", expected=cell, found=cell)
    report = rng.choice((name, f"{name}.failed.csv"))
    failed = failed_rows(file=name, client=cell, archive=name, report=report, reasons=(reason,), warnings=told)
    return [failed, refused(file=name, client=cell, refusal=why)][: rng.choice((1, 2))]


@pytest.mark.parametrize("count", [500, pytest.param(5_000, marks=[pytest.mark.full, pytest.mark.timeout(1200)])])
def test_no_name_and_no_cell_adds_takes_away_or_splits_a_header(count: int) -> None:
    rng = random.Random(count)  # noqa: S311 - repeatable, not secret
    for number in range(count):
        notices = letters_about(rng)
        write = rng.choice((LETTERS.to_client, LETTERS.to_admin, dataclasses.replace(LETTERS, language="fr").to_client))
        letter = write(notices, NOW)
        mail = LeasedMail(
            id=1,
            message_id="<1234@parking.example>",
            recipient="registrar@client.example",
            client="acme",
            letter=letter,
            created_at=NOW,
            tries=0,
            next_try_at=NOW,
        )
        files = tuple((attachment.filename, REPORT) for attachment in letter.attachments)
        wire = encode(build(mail, ADDRESSES.admin, Packed(packing=Packing.FILES, files=files)))
        head = wire.partition(b"\r\n\r\n")[0]
        found = BytesHeaderParser(policy=default).parsebytes(head)
        assert set(found.keys()) == HEADERS, number
        assert len(found.keys()) == len(HEADERS), number
        assert wire.isascii(), number
        assert max(map(len, wire.split(b"\r\n"))) < 998, number
        assert found["To"] == "registrar@client.example", number
        assert "<script>" not in letter.html, number
