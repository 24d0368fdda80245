"""`python -m tests.tools.samples` writes a sample of each letter to deploy/letters, and pictures of them by Chromium.

So too pictures of the page that the service serves, to deploy/page.
"""

import subprocess
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from importer.model import Audience, Counts, ReasonCount
from importer.words.reasons import refusal, warning
from notifier.letters import Letters
from notifier.messages import build, encode
from notifier.model import Alert, AlertKind, AlertNotice, LeasedMail, Letter, Occasion
from notifier.packing import Packed, Packing
from notifier.templating import Templates
from tests.mailing import ADDRESSES, NOW, REPORT, failed_rows, refused
from tests.servers.tools import environment, needs
from tests.tools.page import full_page

PLACE = Path(__file__).parents[2] / "deploy" / "letters"
PAGES = PLACE.parent / "page"
PHONE, DESKTOP = 390, 1280
"""Widths in pixels."""
NARROWEST = 500
"""Chromium makes no window narrower than that, so that what is to be narrower is shown in a frame."""
HEIGHT = 900

_TORONTO = Templates(timezone=ZoneInfo("America/Toronto"))
_ENGLISH = Letters(_TORONTO, host="drop.example.org")
_FRENCH = Letters(_TORONTO, language="fr", host="drop.example.org")
_EXAMPLES = {
    "en": (
        "email 'ana@' is not a valid address",
        "user_type_id 'Studnet' is not a known user type; did you mean 'Student'?",
    ),
    "fr": (
        "email «\u00a0ana@\u00a0» n\u2019est pas une adresse valide",
        (
            "user_type_id «\u00a0Studnet\u00a0»\u00a0: ce type d\u2019utilisateur n\u2019est pas connu;"
            " vouliez-vous dire «\u00a0Student\u00a0»?"
        ),
    ),
}


def letters() -> dict[str, Letter]:
    """Name of a sample → the letter."""
    alert = Alert(kind=AlertKind.UNREADABLE_FILE, client="acme", detail="students.csv has mode 0600", opened_at=NOW)
    odd = Alert(kind=AlertKind.ODD_FILE, client="acme", detail="students.xlsx", opened_at=NOW, held=12)
    summed = (AlertNotice(alert=odd, occasion=Occasion.CHANGED),)
    opened = AlertNotice(alert=alert, occasion=Occasion.OPENED, summed=summed)
    return {
        "client": _to_client(_ENGLISH),
        "client-fr": _to_client(_FRENCH),
        "refused": _ENGLISH.to_client(
            [refused(refusal=refusal("not_text", kind="an Excel workbook or another archive"))], _next()
        ),
        "admin": _ENGLISH.to_admin([refused().to(Audience.ADMIN)], _next()),
        "alert": _ENGLISH.about_alert(opened, NOW),
        "undeliverable": _ENGLISH.undeliverable(
            mail=7,
            recipient="registrar@client.example",
            subject="[userdrop] 37 of 1,204 users in students.csv were not imported",
            client="acme",
            said="550: 5.1.1 (address): user unknown",
        ),
        "success": _ENGLISH.to_client(
            [failed_rows(counts=Counts(records=1204, accepted=1204), reasons=(), warnings=(), report=None)], _next()
        ),
    }


def _to_client(writer: Letters) -> Letter:
    first, second = _EXAMPLES[writer.language]
    reasons = (
        ReasonCount(code="invalid", column="email", count=30, example_row=17, example=first),
        ReasonCount(code="unknown", column="user_type_id", count=7, example_row=3, example=second),
    )
    remarks = (
        warning("unknown_column.suggestion", column="e-mial", suggestion="email"),
        warning("windows_1252"),
        warning("may_be_cut"),
    )
    return writer.to_client([failed_rows(reasons=reasons, warnings=remarks)], _next())


def _next() -> datetime:
    return NOW + timedelta(minutes=2)


def messages() -> Iterator[tuple[str, bytes]]:
    """Name of a file → the sample as it travels."""
    for name, letter in letters().items():
        mail = LeasedMail(
            id=1,
            message_id=f"<{name}@parking.example>",
            recipient="registrar@client.example",
            client="acme",
            letter=letter,
            created_at=NOW,
            tries=0,
            next_try_at=NOW,
        )
        files = tuple((attachment.filename, REPORT) for attachment in letter.attachments)
        yield f"{name}.eml", encode(build(mail, ADDRESSES.admin, Packed(packing=Packing.FILES, files=files)))


def browsed(html: str, directory: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Chromium's answer about a page."""
    page = directory / "letter.html"
    page.write_text(html, encoding="utf-8")
    command = [
        *(needs("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *(f"--user-data-dir={directory / 'profile'}", "--disable-dev-shm-usage", "--no-first-run"),
    ]
    return subprocess.run(
        [*command, *arguments, page.as_uri()],
        check=True,
        capture_output=True,
        env=environment(HOME=str(directory)),
        timeout=120,
    )


def picture(letter: Letter, width: int, height: int = HEIGHT) -> bytes:
    """A PNG of the HTML part in a window of that size."""
    with TemporaryDirectory() as name:
        target = Path(name) / "letter.png"
        browsed(framed(letter.html, width, height), Path(name), f"--screenshot={target}", *window(width, height))
        return target.read_bytes()


def window(width: int, height: int) -> tuple[str, ...]:
    """Chromium's arguments for a window with room for a frame of that size."""
    return (f"--window-size={max(width, NARROWEST)},{height}",)


def framed(html: str, width: int, height: int) -> str:
    """The page as a window of that width shows it, also of one that is narrower than Chromium's own can be."""
    frame = f'<iframe width="{width}" height="{height}" style="border:0" srcdoc="{escape(html)}"></iframe>'
    return f'<body style="margin:0">{frame}</body>'


def picture_of_page(width: int, height: int) -> bytes:
    """A PNG of the page."""
    with TemporaryDirectory() as name:
        target = Path(name) / "page.png"
        browsed(framed(full_page(), width, height), Path(name), f"--screenshot={target}", *window(width, height))
        return target.read_bytes()


PAGE_PICTURES: Mapping[str, tuple[int, int]] = {"phone": (PHONE, 4400), "desktop": (DESKTOP, 1900)}
PICTURES: Mapping[str, tuple[int, int]] = {
    "client": (DESKTOP, HEIGHT),
    "client-fr": (PHONE, 1450),
    "alert": (DESKTOP, HEIGHT),
}

if __name__ == "__main__":
    PLACE.mkdir(exist_ok=True)
    for its_name, content in messages():
        (PLACE / its_name).write_bytes(content)
    for its_name, its_size in PICTURES.items():
        (PLACE / f"{its_name}.png").write_bytes(picture(letters()[its_name], *its_size))
    PAGES.mkdir(exist_ok=True)
    for its_name, (its_width, its_height) in PAGE_PICTURES.items():
        (PAGES / f"{its_name}.png").write_bytes(picture_of_page(its_width, its_height))
