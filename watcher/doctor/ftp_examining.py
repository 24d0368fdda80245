"""The examination of vsftpd: its configuration as vsftpd reads it, its users, and whether it runs."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from watcher.base.clock import utc_now
from watcher.doctor import ftp_logins, ftp_running, ftp_server, ftp_users, service
from watcher.doctor.accounts import let_in, sees_all
from watcher.doctor.acls import is_inherited
from watcher.doctor.findings import Finding, broken, ok, warning
from watcher.doctor.vsftpd_conf import Configuration, understood
from watcher.settings.naming import variable
from watcher.settings.variables import Settings
from watcher.uploads.folders import find

CONFIGURATION = "vsftpd configuration"


def examined(settings: Settings) -> Iterator[Finding]:
    """Examine vsftpd."""
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
    main = understood(path, text)
    if sees_all() and not main.is_on("run_as_launching_user") and not ftp_users.is_usable(path):
        what = f"{path} is not a file of root's, so that vsftpd does not start with it"
        yield broken(CONFIGURATION, what, f"chown root {path}, then restart vsftpd")
    answer, silence = ftp_running.asked(main)
    yield from ftp_running.judged(main, answer, utc_now()) if answer is not None else silence
    yield from ftp_running.files(main)
    needs = _needs(settings, answer.version if answer is not None else "")
    yield from ftp_server.of_server(main, needs)
    if sees_all():
        yield from _of_users(settings, main, needs)
    else:
        yield ok(
            ftp_logins.NAME, "users are not seen from the service's sandbox; `userdrop doctor` as root looks at them"
        )


def examined_users(settings: Settings) -> Iterator[Finding]:
    """Examine the users alone, whom the service's sandbox hides; no finding where the configuration cannot be read."""
    with suppress(OSError):
        main = understood(settings.vsftpd_conf, settings.vsftpd_conf.read_text(encoding="utf-8", errors="replace"))
        yield from _of_users(settings, main, _needs(settings))


def _needs(settings: Settings, version: str = "") -> ftp_server.Needs:
    return ftp_server.Needs(log=settings.vsftpd_log, long_quiet_seconds=settings.long_quiet_seconds, version=version)


def _of_users(settings: Settings, main: Configuration, needs: ftp_server.Needs) -> Iterator[Finding]:
    places = _places(settings)
    accounts = _accounts(settings, places)
    is_of_guests = main.is_on("guest_enable")
    try:
        users = ftp_users.with_own_files(main, [] if is_of_guests else [*accounts])
    except OSError as error:
        what = f"{error.filename}: {error.strerror}, so that what users have of their own was not examined"
        yield warning(CONFIGURATION, what, "run the doctor as one who may read it, or chmod o+r it")
        users = {}
    if is_of_guests and not users and main.value("user_sub_token") in main.value("local_root"):
        users = dict.fromkeys(places, main)  # as their folders are called
    folders = {user: accounts.get(user) or _folder(settings, places, user) for user in users}
    inheriting = [user for user, folder in folders.items() if folder is not None and is_inherited(folder)]
    yield from ftp_server.of_users(main, needs, users or None, inheriting)
    log_root = str(settings.vsftpd_log_root or settings.upload_dir) if settings.vsftpd_log else None
    yield from ftp_logins.judged([*ftp_users.logins(main, users, folders)], main, log_root)
    if not users:
        yield ok(ftp_logins.NAME, "no account of a client is seen, so that no login was judged")


def _places(settings: Settings) -> Mapping[str, Path]:
    """Client → the directory from which its files are imported."""
    if not settings.upload_dir.is_dir():
        return {}
    if settings.client_folders:
        return find(settings.upload_dir, ()).clients
    return {"": settings.upload_dir}


def _accounts(settings: Settings, places: Mapping[str, Path]) -> dict[str, Path | None]:
    """Account → the directory from which its files are imported; None for one that gets into several."""
    own = service.number(settings.state_dir, settings.upload_dir)
    found: dict[str, Path | None] = {}
    for place in places.values():
        for account in let_in(place, own):
            found[account.name] = None if account.name in found else place
    return found


def _folder(settings: Settings, places: Mapping[str, Path], user: str) -> Path | None:
    """The directory of a virtual user; where clients have folders, that which is called as the user."""
    return places.get(user) if settings.client_folders else settings.upload_dir
