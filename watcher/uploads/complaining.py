"""What the administrator is told of the files of one client's directory, by alerts."""

from collections.abc import Callable, Iterable, Sequence

from importer.model import Detail, NotTakenWhy, shown_name
from importer.words.details import detail, listed
from notifier.alerts import Alerts
from notifier.model import AlertKind
from watcher.uploads.left_alone import LeftAlone, varied
from watcher.uploads.model import LogState
from watcher.uploads.settling import InDoubt
from watcher.uploads.tracking import TrackedFiles
from watcher.uploads.verdicts import ServerVerdicts

MOST_NAMED = 10
"""The number of files that an alert names; the others are counted."""
STUCK_SECONDS = 3600.0
"""Seconds after which a file that nothing will be done with, or a log that is of no use, is told."""


class Complaints:
    """Opens and resolves the alerts that one client's files give cause for.

    Args:
        client: the client to whom the directory belongs.
        alerts: the administrator's alerts.
        elapsed: the monotonic clock, in seconds.
    """

    def __init__(self, client: str, alerts: Alerts, elapsed: Callable[[], float]) -> None:
        self._client = client
        self._alerts = alerts
        self._elapsed = elapsed
        self._came_untold: float | None = None

    def note_upload(self, state: LogState) -> None:
        """Note that a file has come, as by an upload of which the log of the FTP server would tell."""
        if state is LogState.HAS_TOLD_NOTHING and self._came_untold is None:
            self._came_untold = self._elapsed()

    def tell_odd(self, left: LeftAlone, files: TrackedFiles) -> None:
        """Tell of what is no import file; of an import file with other names what to do with these."""
        odd = sorted([*left.odd, *untaken(files, NotTakenWhy.NOT_A_PLAIN_FILE)])
        linked = untaken(files, NotTakenWhy.HARD_LINKED)
        parts = [detail("hard_linked", file=shown_name(name)) for name in linked[:MOST_NAMED]]
        self._tell(AlertKind.ODD_FILE, _with(parts, named(odd, MOST_NAMED - len(parts))))

    def tell_unreadable(self, files: TrackedFiles) -> None:
        """Tell of files that the service may not read."""
        self._tell(AlertKind.UNREADABLE_FILE, named(untaken(files, NotTakenWhy.UNREADABLE)))

    def tell_stuck(self, left: LeftAlone, files: TrackedFiles) -> None:
        """Tell of files that have lain unchanged for long, and with which nothing will be done."""
        since = self._elapsed() - STUCK_SECONDS
        held = _held(files, since) if files.number(InDoubt) else []
        drafts = left.lasting_drafts(since)
        told = [
            *([detail("held_files", files=named(held))] if held else []),
            *([detail("draft_files", files=named(drafts))] if drafts else []),
        ]
        self._tell(AlertKind.STUCK_FILES, listed(told) if told else "")

    def tell_log(self, verdicts: ServerVerdicts) -> None:
        """Tell of a log of the FTP server that cannot be read, or seems not to tell of uploads into the directory."""
        since = self._elapsed() - STUCK_SECONDS
        unread = verdicts.unreadable
        if unread is None:
            self._alerts.resolve(AlertKind.SERVER_LOG)
        elif unread[0] <= since:
            self._alerts.open(AlertKind.SERVER_LOG, detail=detail("log_unreadable", why=unread[1]))
        if verdicts.state is LogState.TELLS:
            self._came_untold = None
        if verdicts.astray is not None:
            file, path = verdicts.astray
            self._tell(AlertKind.SERVER_LOG, detail("log_astray", file=file, path=path))
        elif self._came_untold is not None and self._came_untold <= since and unread is None:
            self._tell(AlertKind.SERVER_LOG, detail("log_told_nothing"))
        else:
            self._tell(AlertKind.SERVER_LOG, "")

    def _tell(self, kind: AlertKind, about: Detail | str) -> None:
        if about:
            self._alerts.open(kind, self._client, about)
        else:
            self._alerts.resolve(kind, self._client)


def untaken(files: TrackedFiles, why: NotTakenWhy) -> list[str]:
    """The files that cannot be looked at for a reason, by name."""
    return sorted(name for name, its in files.untaken().items() if its is why)


def named(names: Sequence[str], most: int = MOST_NAMED) -> Detail | str:
    """Names of files as an alert tells them: some of each kind, and where there are more, how many in all."""
    shown = [shown_name(name) for name in varied(names, most)]
    return ", ".join(shown) if len(names) <= most else listed([_in_all(names), *shown])


def counted(details: Sequence[Detail]) -> Detail | str:
    """Details in a row, and where there are more than an alert has room for, how many in all."""
    if not details:
        return ""
    return listed(details if len(details) <= MOST_NAMED else [_in_all(details), *details[:MOST_NAMED]])


def _in_all(things: Sequence[object]) -> Detail:
    return detail("in_all", number=f"{len(things):,}")


def _with(parts: Iterable[Detail], names: Detail | str) -> Detail | str:
    every = [*parts, *([names] if names else [])]
    return names if every == [names] else (listed(every) if every else "")


def _held(files: TrackedFiles, since: float) -> list[str]:
    return sorted(
        name
        for name, each in files.seen().items()
        if isinstance(each.decision, InDoubt) and each.watched.since <= since
    )
