"""Answers of the ledger, of the service and of the queue of mails, as tables for a terminal and as JSON."""

import datetime as dt
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict

from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from importer.database.history import PastImport, PastUser
from importer.model import shown_name
from notifier.model import MailState
from notifier.queueing import ListedMail, MailCounts
from watcher.base.encoding import plain
from watcher.commands.overview import Overview
from watcher.stories.story import Happened, reasons_told
from watcher.uploads.snapshot import ClientSnapshot, OpenAlert, RunningImport, ServiceSnapshot, WaitingFile

_IMPORT_TITLES = ("when (UTC)", "file", "status", "rows", "failed", "why")
_MAIL_TITLES = ("mail", "when (UTC)", "state", "tries", "to", "subject")
_CLIENT_TITLES = ("client", "watch", "server log", "next run (UTC)", "files", "bytes", "left alone")
_WAITING_TITLES = ("client", "file", "waits because", "since (UTC)")
_RUNNING_TITLES = ("importing", "since (UTC)", "files", "file", "rows", "read", "left")
_LAST_TITLES = ("when (UTC)", "client", "file", "status", "rows", "failed")
_ALERT_TITLES = ("since (UTC)", "severity", "alert", "client", "detail")
_USER_TITLES = ("", "when (UTC)", "file", "claim")
_TOLD_CHARACTERS = 80
"""The number of a sentence's characters for which a table has room; JSON has them all."""


def imports_table(found: Iterable[PastImport], *, with_clients: bool = False) -> Table:
    """A table with a row for each import, as wide as a terminal allows; names in bak are only in the JSON."""
    if with_clients:
        return _filled(("client", *_IMPORT_TITLES), ((each.client, *_import_row(each)) for each in found))
    return _filled(_IMPORT_TITLES, map(_import_row, found))


def user_table(user: PastUser) -> Table:
    """A table of the import that brought a user, and of the last one that changed something if it is another one."""
    return _filled(_USER_TITLES, _user_rows(user))


def mails_table(found: Iterable[ListedMail]) -> Table:
    """A table with a row for each mail; the rest is only in the JSON."""
    return _filled(_MAIL_TITLES, map(_mail_row, found))


def status_line(answer: ServiceSnapshot) -> str:
    """A line that says which service has answered."""
    return f"userdrop {answer.version}, process {answer.pid}, runs since {_when(answer.started_at)} UTC"


def status_tables(answer: ServiceSnapshot) -> Iterator[Table]:
    """The tables of what the service shows: one of its clients, and one of each other thing that there is."""
    yield _filled(_CLIENT_TITLES, map(_client_row, answer.clients))
    if answer.running is not None:
        yield _filled(_RUNNING_TITLES, [_running_row(answer.running)])
    waiting = [(each.client, file) for each in answer.clients for file in (*each.waiting.shown, *each.left_alone.shown)]
    if waiting:
        yield _filled(_WAITING_TITLES, (_waiting_row(client, file) for client, file in waiting))
    if answer.alerts:
        yield _filled(_ALERT_TITLES, map(_alert_row, answer.alerts))


def story_lines(told: Iterable[Happened], now: Iterable[str]) -> Iterator[str]:
    """The lines of a file's story: what happened, each with its time, and then what is the case now."""
    yield from (f"{_when(each.at)}  {each.what}" for each in told)
    yield from (f"{'now':<19}  {each}" for each in now)


def story_json(client: str, told: Iterable[Happened], now: Iterable[str]) -> str:
    """The story of a client's file as one line of JSON."""
    answer = {"client": shown_name(client), "story": [*told], "now": [*now]}
    return json.dumps(answer, ensure_ascii=False, default=plain)


def overview_line(stored: Overview) -> str:
    """A line that names the database, and how many mails are in each state."""
    if stored.mails is None:
        return f"database: {stored.error}"
    return f"{stored.database}; mails: {mail_counts(stored.mails)}"


def mail_counts(counts: MailCounts) -> str:
    """A list of how many mails are in each state."""
    return ", ".join(f"{number:,} {state}" for state, number in asdict(counts).items())


def overview_table(stored: Overview) -> Table:
    """A table of the last imports."""
    return _filled(_LAST_TITLES, map(_last_row, stored.imports))


def status_json(answer: Mapping[str, object], stored: Overview) -> str:
    """The status as one line of JSON; times are ISO 8601."""
    return json.dumps({**answer, **asdict(stored)}, ensure_ascii=False, default=plain)


def _import_row(found: PastImport) -> tuple[str, ...]:
    figures = f"{found.counts.records:,}", f"{found.counts.failed:,}"
    return _when(found.committed_at), found.file, found.status, *figures, _why(found)


def _mail_row(found: ListedMail) -> tuple[str, ...]:
    state = _mail_state(found, "sending")
    return str(found.id), _when(found.created_at), state, str(found.tries), found.recipient, found.subject


def _mail_state(found: ListedMail, sending: str) -> str:
    if found.is_being_sent:
        return sending
    return found.state if found.refused_since is None else "refused"


def _client_row(client: ClientSnapshot) -> tuple[str, ...]:
    figures = f"{client.waiting.files:,}", f"{client.waiting.bytes:,}", f"{client.left_alone.files:,}"
    log = client.server_log.value.replace("_", " ")
    return client.client, client.watch.state.value, log, _when(client.next_tick), *figures


def _waiting_row(client: str, file: WaitingFile) -> tuple[str, ...]:
    return client, file.file, file.reason.value.replace("_", " "), "" if file.since is None else _when(file.since)


def _running_row(running: RunningImport) -> tuple[str, ...]:
    if running.file is None:
        return running.client, _when(running.since), str(running.files or "left over"), "", "", "", ""
    left = "" if running.seconds_left is None else f"{running.seconds_left:,} s"
    figures = f"{running.rows:,}", f"{running.percent} %", left
    return running.client, _when(running.since), str(running.files), running.file, *figures


def _last_row(found: PastImport) -> tuple[str, ...]:
    figures = f"{found.counts.records:,}", f"{found.counts.failed:,}"
    return _when(found.committed_at), found.client, found.file, found.status, *figures


def _alert_row(alert: OpenAlert) -> tuple[str, ...]:
    kind = alert.kind.value.replace("_", " ")
    held = f" (mails held back: {alert.held:,})" if alert.held else ""
    return _when(alert.since), alert.severity.value, kind, alert.client, alert.detail + held


def _filled(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    table = _table(titles)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def mail_json(found: ListedMail) -> str:
    """One line of JSON; times are ISO 8601."""
    return json.dumps(found, ensure_ascii=False, default=plain)


def mail_text(found: ListedMail, text: str) -> str:
    """A text of what became of a mail, an empty line, and the mail's plain part."""
    facts = {
        "Mail": str(found.id),
        "State": _mail_state(found, "being sent"),
        "Refused": None if found.refused_since is None else f"since {_when(found.refused_since)} UTC",
        "To": found.recipient,
        "Client": found.client,
        "Subject": found.subject,
        "Date": f"{_when(found.created_at)} UTC",
        "Message-ID": found.message_id,
        "Tries": str(found.tries),
        "Next try": f"{_when(found.next_try_at)} UTC" if found.state is MailState.QUEUED else None,
        "Ended": None if found.ended_at is None else f"{_when(found.ended_at)} UTC",
        "Last error": found.last_error,
        "Attached": ", ".join(found.attachments),
    }
    return "".join(f"{name}: {fact}\n" for name, fact in facts.items() if fact) + f"\n{text}"


def import_json(found: PastImport) -> str:
    """One line of JSON; times are ISO 8601."""
    return json.dumps(found, ensure_ascii=False, default=plain)


def user_json(user: PastUser, key: str) -> str:
    """The imports that brought and last changed a user, as one line of JSON; times are ISO 8601."""
    return json.dumps({"key": key, **asdict(user)}, ensure_ascii=False, default=plain)


def _table(titles: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        justify: JustifyMethod = "right" if title in {"rows", "failed", "tries"} else "left"
        table.add_column(title, justify=justify, overflow="fold", no_wrap=title.startswith("when"))
    return table


def _user_rows(user: PastUser) -> Iterator[tuple[str, ...]]:
    yield "brought", *_user_row(user.created_at, user.created_by, user.brought)
    if user.updated_by != user.created_by:
        yield "last changed", *_user_row(user.updated_at, user.updated_by, user.changed)


def _user_row(at: dt.datetime, claim: str, entry: PastImport | None) -> tuple[str, ...]:
    return _when(at), "no longer in the ledger" if entry is None else entry.file, claim


def _when(at: dt.datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _why(found: PastImport) -> str:
    if found.refusal_message is not None:
        return textwrap.shorten(found.refusal_message, _TOLD_CHARACTERS, placeholder=" …")
    return reasons_told(found)
