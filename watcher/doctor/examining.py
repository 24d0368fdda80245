"""The order of the doctor's examination. Whatever an examination meets is a finding, never a traceback."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from importer.formats.columns import Format
from notifier.smtp import Transport
from watcher.base.clock import utc_now
from watcher.base.logs import place
from watcher.doctor import accounts, database, directory, ftp_examining, mail, neighbours, reach, service
from watcher.doctor.findings import Finding, broken, ok, warning
from watcher.settings.client_settings import CLIENT_PREFIX
from watcher.settings.naming import variable
from watcher.settings.privacy import Private
from watcher.settings.variables import Settings
from watcher.uploads.folders import find

SETTINGS = "settings"
LOG = "vsftpd log"


def mistaken(mistakes: Iterable[str]) -> list[Finding]:
    """Findings for settings that cannot be used, so that nothing else can be examined."""
    cure = (
        "correct it in /etc/userdrop/userdrop.env and restart the service; `userdrop settings` shows what is in force"
    )
    return [broken(SETTINGS, mistake, cure) for mistake in mistakes]


def examined(
    settings: Settings,
    format_: Format,
    *,
    make_transport: Callable[[], Transport],
    send: bool,
    around: directory.Surroundings | None = None,
) -> Iterator[Finding]:
    """Examine everything; yields each finding as soon as it is there.

    Args:
        settings: the settings in force.
        format_: the columns of a user file.
        make_transport: makes the transport of mails.
        send: whether to send a test mail to the administrator.
        around: the files in which the kernel tells what it knows.
    """
    around = around or directory.Surroundings()
    yield ok(SETTINGS, f"all are understood; an import every {settings.interval_minutes} min")
    parts: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        (service.NAME, lambda: service.examined(Private.of(settings), around.locks)),
        (neighbours.NAME, lambda: _clients_apart(settings)),
        (directory.NAME, lambda: _directories(settings, around)),
        (ftp_examining.CONFIGURATION, lambda: ftp_examining.examined(settings)),
        (LOG, lambda: _log(settings.vsftpd_log)),
        (
            database.NAME,
            lambda: database.examined(
                settings.database, format_, now=utc_now(), mountinfo=around.mountinfo, state_dir=settings.state_dir
            ),
        ),
        (mail.NAME, lambda: asyncio.run(examined_mail(settings, make_transport, send=send))),
    ]
    for name, examine in parts:
        yield from _guarded(name, examine)


def _guarded(name: str, examine: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    try:
        yield from examine()
    except OSError as error:
        what = f"{error.filename or 'it'}: {error.strerror or type(error).__name__}"
        yield broken(name, what, "mend what the error names; `dmesg` may tell more")
    except Exception as error:  # noqa: BLE001 - its text may hold customers' data, so only its place is told
        yield broken(name, f"a bug has ended this examination {place(error)}", "report it with this line")


def _directories(settings: Settings, around: directory.Surroundings) -> Iterator[Finding]:
    """The upload directory, or each client's folder in it."""
    found = [settings.upload_dir]
    if settings.client_folders and settings.upload_dir.is_dir():
        found = [*find(settings.upload_dir, ()).clients.values()]
    yield reach.limits(around.inotify, len(found))
    for each in found:
        for finding in directory.examined(each, max_bytes=settings.max_file_mb << 20, around=around):
            yield replace(finding, folder=str(each))


def examined_as_accounts(settings: Settings) -> Iterator[Finding]:
    """Examine what root alone can find out, and nothing else: the accounts of clients, tried."""
    if not settings.client_folders:
        yield ok(neighbours.NAME, "the upload directory is one client's, so there are no others")
    yield from _guarded(neighbours.NAME, lambda: _clients_apart(settings))
    yield from _guarded(ftp_examining.CONFIGURATION, lambda: ftp_examining.examined_users(settings))


def _clients_apart(settings: Settings) -> Iterator[Finding]:
    """Examine whether clients are kept from one another's folders; no finding where there is one client."""
    if settings.client_folders and settings.upload_dir.is_dir():
        folders = find(settings.upload_dir, ()).clients
        yield from accounts.examined(
            settings.upload_dir, folders, service.number(settings.state_dir, settings.upload_dir)
        )


def _log(path: Path | None) -> Iterator[Finding]:
    if path is None:
        return
    try:
        with path.open("rb"):
            yield ok(LOG, f"{path} can be read")
    except FileNotFoundError:
        yield warning(LOG, f"there is no {path} yet", "upload a file; if it does not appear, see the vsftpd settings")
    except OSError as error:
        what = f"{path}: {error.strerror}; uploads wait the long quiet time"
        cure = f"chgrp adm {path}; chmod g+r {path}; usermod -aG adm the service's user; the same in its logrotate rule"
        yield broken(LOG, what, cure)


async def examined_mail(settings: Settings, make_transport: Callable[[], Transport], *, send: bool) -> list[Finding]:
    """Examine the way that mails go, as it is configured."""
    try:
        transport = make_transport()
    except ValueError as error:
        return [broken(mail.NAME, str(error), f"set {variable('smtp_tls')} to starttls or implicit")]
    examine: Awaitable[list[Finding]] = mail.examined(
        transport,
        admin=settings.reply_to_admin_email,
        envelopes=_envelopes(settings),
        now=utc_now(),
        send=send,
    )
    return await examine


def _envelopes(settings: Settings) -> dict[str, tuple[str, str]]:
    """Senders and recipients of mails, each pair once, by the variable that names the recipient."""
    common = settings.reply_to_admin_email
    pairs = {
        variable("reply_to_admin_email"): (common, (common,)),
        variable("failed_import_email"): (common, settings.failed_import_email),
    }
    for key, own in sorted(settings.clients.items()):
        sender = own.reply_to_admin_email or common
        if own.reply_to_admin_email or own.failed_import_email:
            recipients = own.failed_import_email or settings.failed_import_email
            pairs[f"{CLIENT_PREFIX}{key}__FAILED_IMPORT_EMAIL"] = (sender, recipients)
    envelopes: dict[tuple[str, str], str] = {}
    for name, (sender, recipients) in pairs.items():
        for number, recipient in enumerate(recipients, 1):
            envelopes.setdefault((sender, recipient), name if len(recipients) == 1 else f"{name}, address {number}")
    return {name: envelope for envelope, name in envelopes.items()}
