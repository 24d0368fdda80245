"""`userdrop demo`: the whole job on an example file: drop, import, mail, bak."""

import asyncio
import email
import email.policy
import shutil
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import click
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from sqlalchemy import select

from importer.database.history import open_history
from importer.database.tables import user_table
from importer.files.archiving import BAK
from importer.formats.columns import Format
from importer.formats.format_file import load_format
from watcher.app import Service
from watcher.base.exit_codes import ExitCode
from watcher.base.journal import Journal
from watcher.base.logs import configure_logs
from watcher.commands.ftps import NoServerError, upload
from watcher.commands.loading import loaded
from watcher.commands.terminal import fail, program
from watcher.settings.variables import Settings
from watcher.wiring import make_directories

_EXAMPLE = Path(__file__).with_name("demo.csv")
_NAME = "students.csv"
_OURS = ("mail", "state", "upload", "vsftpd")
"""What a demonstration makes in its directory."""
_NEXT = (
    ("check FILE", "tells what would become of a file of yours; nothing is stored"),
    ("setup", "asks what a site has to decide, and writes its settings"),
    ("run", "is the service; without settings, drop CSV files into var/upload"),
)
"""The commands that a stranger may try next, and what each is for."""
_SHOWN_COLUMNS = ("unique_id", "first_name", "last_name", "email", "province")


@click.command()
@click.option(
    "--place",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var/demo"),
    show_default=True,
    help="The demonstration's own directory, which is emptied first.",
)
def demo(*, place: Path) -> None:
    """Show the whole job on an example file, in ./var/demo."""
    loaded()
    try:
        _empty(place)
    except OSError as error:
        message = f"{error.filename} cannot be used: {error.strerror}; name a directory by --place"
        fail(message, ExitCode.USAGE)
    _show(place)


def _empty(place: Path) -> None:
    """Make the directory of the demonstration, or remove what an earlier one has left there, and nothing else."""
    place.mkdir(parents=True, exist_ok=True)
    for each in place.iterdir():
        if each.name not in _OURS:
            message = "it holds files that are no demonstration's"
            raise OSError(None, message, str(place))
    for name in _OURS:
        shutil.rmtree(place / name, ignore_errors=True)


def _show(place: Path) -> None:
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
        database_schema=None,
    )
    make_directories(settings)
    format_ = load_format(None)
    console = Console(highlight=False)
    content = _EXAMPLE.read_bytes()
    console.rule(f"1. A client drops {_NAME} over FTPS")
    console.print(Syntax(content.decode(), "text", word_wrap=False))
    console.print(_drop(content, settings.upload_dir, place / "vsftpd"), soft_wrap=True)
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
    console.rule("What is next")
    for line in _next():
        console.print(line, soft_wrap=True)


def _next() -> Iterator[str]:
    """The commands that may be tried next, as they can be typed here, a line each."""
    for arguments, meaning in _NEXT:
        yield f"{program()} {arguments:<12}{meaning}"


def _drop(content: bytes, directory: Path, server: Path) -> str:
    """Upload the example over FTPS, or put it there where no server can be had; returns what was done."""
    server.mkdir()
    try:
        address = upload(content, _NAME, directory, server)
    except NoServerError as error:
        (directory / _NAME).write_bytes(content)
        return f"It was put into {directory} without FTPS, because {error}."
    return f"It was uploaded over FTPS to a vsftpd of the demonstration's own at {address}, which has ended."


async def _import(settings: Settings, format_: Format) -> None:
    await Service(settings, format_, Journal()).run_once()


def _users(settings: Settings, format_: Format) -> Table:
    users = user_table(format_)
    table = Table(*_SHOWN_COLUMNS, box=None)
    with open_history(settings.database) as connection:
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
