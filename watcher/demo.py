"""The whole job on an example file: drop, import, mail, bak."""

import asyncio
import email
import email.policy
import shutil
from email.message import EmailMessage
from pathlib import Path

from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from sqlalchemy import select

from importer.archiving import BAK
from importer.database import user_table
from importer.engines import make_engine, reading_engine
from importer.format import Format
from importer.format_file import load_format
from watcher.app import Service, make_directories
from watcher.journal import Journal
from watcher.logs import configure_logs
from watcher.settings import Settings

_EXAMPLE = Path(__file__).with_name("demo.csv")
_SHOWN_COLUMNS = ("unique_id", "first_name", "last_name", "email", "province")


def show(place: Path) -> None:
    """Run the demonstration in a directory of its own, which is emptied first."""
    shutil.rmtree(place, ignore_errors=True)
    settings = Settings(
        upload_dir=place / "upload",
        state_dir=place / "state",
        mail_dir=place / "mail",
        quiet_seconds=1,
        vsftpd_log=None,
        vsftpd_log_root=None,
        smtp_host=None,
        smtp_tls="starttls",
        smtp_password=None,
        database_url=None,
    )
    make_directories(settings)
    format_ = load_format(None)
    console = Console(highlight=False)
    dropped = settings.upload_dir / "students.csv"
    dropped.write_bytes(_EXAMPLE.read_bytes())
    console.rule("1. A client drops students.csv over FTPS")
    console.print(Syntax(dropped.read_text(encoding="utf-8"), "text", word_wrap=False))
    console.rule("2. userdrop waits until it is complete and imports it")
    configure_logs(level="info", form="console")
    asyncio.run(_import(settings, format_))
    console.rule("3. Every good row is a user in the database")
    console.print(_users(settings, format_))
    console.rule("4. Every bad row is explained in a mail")
    for mail in sorted(settings.mail_dir.iterdir()):
        _print_mail(console, mail)
    console.rule(f"5. The file and its failed users lie in {settings.upload_dir / BAK}")
    for file in sorted((settings.upload_dir / BAK).iterdir()):
        console.print(f"{file}  ({file.stat().st_size:,} bytes)", soft_wrap=True)


async def _import(settings: Settings, format_: Format) -> None:
    await Service(settings, format_, Journal()).run_once()


def _users(settings: Settings, format_: Format) -> Table:
    users = user_table(format_)
    table = Table(*_SHOWN_COLUMNS, box=None)
    with reading_engine(make_engine(settings.database)).begin() as connection:
        for row in connection.execute(select(*(users.c[name] for name in _SHOWN_COLUMNS)).order_by(users.c.id)):
            table.add_row(*(value or "" for value in row))
    return table


def _print_mail(console: Console, path: Path) -> None:
    mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert isinstance(mail, EmailMessage)  # noqa: S101 - what this policy makes
    body = mail.get_body(("plain",))
    console.print(f"{path}\nTo: {mail['To']}\nSubject: {mail['Subject']}\n", markup=False)
    console.print("" if body is None else body.get_content(), markup=False)
    for part in mail.iter_attachments():
        console.print(f"Attached: {part.get_filename()}\n", markup=False)
