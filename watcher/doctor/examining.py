"""The order of the examination. Whatever an examination meets is a finding, never a traceback."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path

from importer.format import Format
from notifier.smtp import Transport
from watcher.clock import utc_now
from watcher.doctor import database, directory, ftp_server, mail, service
from watcher.doctor.findings import Finding, broken, ok, warning
from watcher.folders import find
from watcher.logs import place
from watcher.settings import Settings, variable

SETTINGS = "settings"
CONFIGURATION = "vsftpd configuration"
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
    """Every finding, as soon as it is there.

    Args:
        settings: in force.
        format_: the columns of a user file.
        make_transport: makes the way that mails go.
        send: whether to send a test mail to the administrator.
        around: where the kernel tells what it knows.
    """
    around = around or directory.Surroundings()
    yield ok(SETTINGS, f"all are understood; an import every {settings.interval_minutes} min")
    parts: list[tuple[str, Callable[[], Iterable[Finding]]]] = [
        (service.NAME, lambda: service.examined(settings.state_dir, around.locks)),
        (directory.NAME, lambda: _directories(settings, around)),
        (CONFIGURATION, lambda: _ftp_server(settings)),
        (LOG, lambda: _log(settings.vsftpd_log)),
        (
            database.NAME,
            lambda: database.examined(settings.database, format_, now=utc_now(), mountinfo=around.mountinfo),
        ),
        (mail.NAME, lambda: asyncio.run(_mail(settings, make_transport, send=send))),
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
    found: Iterable[Path] = [settings.upload_dir]
    if settings.client_folders and settings.upload_dir.is_dir():
        found = find(settings.upload_dir, ()).clients.values()
    for each in found:
        yield from directory.examined(each, max_bytes=settings.max_file_mb << 20, around=around)


def _ftp_server(settings: Settings) -> Iterator[Finding]:
    path = settings.vsftpd_conf
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        cure = f"set {variable('vsftpd_conf')} to the file that vsftpd is started with"
        is_set = "vsftpd_conf" in settings.model_fields_set
        what = f"there is no {path}, so that it was not examined"
        yield warning(CONFIGURATION, what, cure) if is_set else ok(CONFIGURATION, f"{what}; {cure}")
        return
    except OSError as error:
        what = f"{path}: {error.strerror}, so that it was not examined"
        yield warning(CONFIGURATION, what, f"run the doctor as one who may read it, or chmod o+r {path}")
        return
    needs = ftp_server.Needs(log=settings.vsftpd_log, long_quiet_seconds=settings.long_quiet_seconds)
    yield from ftp_server.judged(ftp_server.understood(path, text), needs)


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


async def _mail(settings: Settings, make_transport: Callable[[], Transport], *, send: bool) -> list[Finding]:
    try:
        transport = make_transport()
    except ValueError as error:
        return [broken(mail.NAME, str(error), f"set {variable('smtp_tls')} to starttls or implicit")]
    examine: Awaitable[list[Finding]] = mail.examined(
        transport, admin=settings.reply_to_admin_email, now=utc_now(), send=send
    )
    return await examine
