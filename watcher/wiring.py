"""The plain values with which the parts of the service are made, taken from the settings."""

import secrets
import socket
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from importer.database.engines import sqlite_file
from importer.files.archiving import BAK
from importer.formats.columns import Format
from importer.model import Detail, Retention
from importer.words.details import detail
from notifier.letters import Letters, OwnLetters
from notifier.model import Addresses, OwnAddresses
from notifier.smtp import FolderTransport, SmtpTransport, Tls, Transport
from notifier.templating import Templates
from watcher.base.clock import elapsed
from watcher.base.limits import Allowance
from watcher.settings.client_settings import ClientSettings
from watcher.settings.variables import SESSION_USER, Settings
from watcher.uploads.folders import Found, find, key_of
from watcher.uploads.model import CLIENT
from watcher.uploads.server_log import ServerLog
from watcher.uploads.settling import Patience
from watcher.uploads.verdicts import SharedLog
from watcher.work.jobs import WorkerConfig


class OwnSettings:
    """The settings that clients have of their own.

    Args:
        settings: the settings in force.
        shared: the keys that several clients have now.
    """

    def __init__(self, settings: Settings, shared: Callable[[], AbstractSet[str]]) -> None:
        self._settings = settings
        self._shared = shared

    def of(self, client: str) -> ClientSettings:
        """The own settings of a client; none where they may be meant for another one."""
        key = key_of(client)
        own = self._settings.clients.get(key)
        return ClientSettings() if own is None or key in self._shared() else own

    def addresses(self, client: str) -> OwnAddresses:
        """The addresses of those who are told of a client's files."""
        own = self.of(client)
        return OwnAddresses(
            failed_import=own.failed_import_email or (),
            admin=own.reply_to_admin_email,
            success=own.success_email or (),
        )

    def letters(self, client: str) -> OwnLetters:
        """The way in which mails to a client are written."""
        own = self.of(client)
        return OwnLetters(
            language=own.language,
            attaches=None if own.mail_attach is None else own.mail_attach == "always",
            timezone=None if own.timezone is None else ZoneInfo(own.timezone),
        )


def upload_directory(settings: Settings) -> Path:
    """The path of the upload directory once every link is followed."""
    return settings.upload_dir.resolve()


def worker_config(settings: Settings, format_: Format) -> WorkerConfig:
    """The configuration of the importing process; every run of the service is named anew."""
    return WorkerConfig(
        database_url=settings.database,
        state_dir=settings.state_dir.absolute(),
        format=format_,
        max_bytes=settings.max_file_mb << 20,
        max_work_bytes=settings.work_mb << 20,
        retention=retention(settings),
        run=secrets.token_hex(8),
        skips_unchanged=settings.unchanged_rows == "skip",
        tells_success=bool(settings.success_email or any(own.success_email for own in settings.clients.values())),
        allowance=allowance(settings),
    )


def places(settings: Settings) -> dict[Detail | str, Path]:
    """The places where the service needs room; the disk of a PostgreSQL server is left to its own administrator."""
    upload = upload_directory(settings)
    places: dict[Detail | str, Path] = {
        detail("upload_directory"): upload,
        BAK: upload / BAK,
        detail("state_directory"): settings.state_dir,
    }
    file = sqlite_file(settings.database)
    if file is not None:
        places[detail("database")] = file.parent
    if settings.smtp_host is None:
        places[detail("mail_directory")] = settings.mail_dir
    return places


def letters(settings: Settings, own: Callable[[str], OwnLetters]) -> Letters:
    """The way in which mails are written, by the settings; `own` says what a client has of its own."""
    return Letters(
        Templates(directory=settings.template_dir, timezone=ZoneInfo(settings.timezone)),
        language=settings.language,
        attaches=settings.mail_attach == "always",
        own=own,
        host=socket.gethostname(),
    )


def addresses(settings: Settings, own: Callable[[str], OwnAddresses]) -> Addresses:
    """The addresses of those who are told of files, by the settings; `own` says what a client has of its own."""
    return Addresses(
        failed_import=settings.failed_import_email,
        admin=settings.reply_to_admin_email,
        success=settings.success_email,
        own=own,
    )


def clients_found(settings: Settings) -> Found:
    """Find the clients that there are now; raises OSError where the upload directory cannot be read."""
    directory = upload_directory(settings)
    if settings.client_folders:
        return find(directory, settings.clients.keys())
    return Found(clients={CLIENT: directory})


def retention(settings: Settings) -> Retention:
    """The time that files stay in bak."""
    archives, reports = (
        None if days is None else timedelta(days=days) for days in (settings.bak_days, settings.report_days)
    )
    return Retention(archives=archives, reports=reports)


def patience_of(settings: Settings, own: ClientSettings) -> Patience:
    """The times for which a client's file must lie unchanged."""
    quiet, long_quiet = settings.quiet_times(own)
    return Patience(
        proven=min(Patience().proven, quiet),
        quiet=quiet,
        long_quiet=long_quiet,
        reads_log=settings.vsftpd_log is not None,
        serves_sftp=settings.sftp if own.sftp is None else own.sftp,
    )


def server_log(settings: Settings) -> SharedLog | None:
    """Make the reader of the FTP server's log; None where it is not read."""
    if settings.vsftpd_log is None:
        return None
    root = (settings.vsftpd_log_root or settings.upload_dir).resolve()
    if SESSION_USER in str(root):
        return SharedLog(ServerLog(settings.vsftpd_log, str(root)), Path("/"), elapsed=elapsed)
    return SharedLog(ServerLog(settings.vsftpd_log), root, elapsed=elapsed)


def make_directories(settings: Settings) -> None:
    """Make the directories that the settings name, where they are missing.

    Raises:
        OSError: one cannot be made.
    """
    settings.upload_dir.mkdir(parents=True, exist_ok=True)
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if settings.smtp_host is None:
        settings.mail_dir.mkdir(mode=0o700, parents=True, exist_ok=True)


def allowance(settings: Settings) -> Allowance:
    """The limits of the importing process, by the settings."""
    return Allowance(
        memory_bytes=settings.file_memory_mb << 20,
        cpu_seconds=settings.file_cpu_seconds,
        seconds=settings.file_seconds,
        files=settings.worker_files,
    )


def transport(settings: Settings) -> Transport:
    """Make the transport of mails.

    Raises:
        ValueError: the settings would send a login without TLS.
    """
    if settings.smtp_host is None:
        return FolderTransport(directory=settings.mail_dir)
    return SmtpTransport(
        host=settings.smtp_host,
        port=settings.port,
        tls=Tls(settings.smtp_tls),
        user=settings.smtp_user,
        password=None if settings.smtp_password is None else settings.smtp_password.get_secret_value(),
        ca_file=settings.smtp_ca_file,
        hello=settings.smtp_helo,
    )
