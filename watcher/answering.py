"""What the answers of the ledger and of the queue of mails look like on a terminal, and as JSON."""

import datetime as dt
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from importer.history import PastImport, PastUser
from notifier.queueing import QueuedMail
from watcher.encoding import plain
from watcher.overview import Overview
from watcher.story import Told, reasons_told

_IMPORT_TITLES = ("when (UTC)", "file", "status", "rows", "failed", "why")
_MAIL_TITLES = ("mail", "when (UTC)", "state", "tries", "to", "subject")
_CLIENT_TITLES = ("client", "watch", "next run (UTC)", "files", "bytes")
_WAITING_TITLES = ("client", "file", "waits because", "since (UTC)")
_RUNNING_TITLES = ("importing", "since (UTC)", "files", "file", "rows", "read", "left")
_LAST_TITLES = ("when (UTC)", "client", "file", "status", "rows", "failed")
_ALERT_TITLES = ("since (UTC)", "severity", "alert", "client", "detail")
_USER_TITLES = ("", "when (UTC)", "file", "claim")
_TOLD_CHARACTERS = 80
"""Of a sentence, that a table has room for; JSON has them all."""


def imports_table(found: Iterable[PastImport]) -> Table:
    """A row for each import, as wide as a terminal allows: names in bak are in the JSON."""
    return _filled(_IMPORT_TITLES, map(_import_row, found))


def user_table(user: PastUser) -> Table:
    """The import that brought a user, and the last one that changed something where that is another one."""
    return _filled(_USER_TITLES, _user_rows(user))


def mails_table(found: Iterable[QueuedMail]) -> Table:
    """A row for each mail; JSON has the rest."""
    return _filled(_MAIL_TITLES, map(_mail_row, found))


def status_line(answer: Mapping[str, Any]) -> str:
    """Which service it is."""
    since = _when_said(answer["started_at"])
    return f"userdrop {answer['version']}, process {answer['pid']}, runs since {since} UTC"


def status_tables(answer: Mapping[str, Any]) -> Iterator[Table]:
    """What the service shows of itself: its clients, and of all else what there is."""
    clients = answer["clients"]
    yield _filled(_CLIENT_TITLES, map(_client_row, clients))
    if answer["running"]:
        yield _filled(_RUNNING_TITLES, [_running_row(answer["running"])])
    waiting = [(each["client"], file) for each in clients for file in each["waiting"]["shown"]]
    if waiting:
        yield _filled(_WAITING_TITLES, (_waiting_row(client, file) for client, file in waiting))
    if answer["alerts"]:
        yield _filled(_ALERT_TITLES, map(_alert_row, answer["alerts"]))


def story_lines(told: Iterable[Told], now: Iterable[str]) -> Iterator[str]:
    """What happened to a file, a line each with its time, and what is the case now."""
    yield from (f"{_when(each.at)}  {each.what}" for each in told)
    yield from (f"{'now':<19}  {each}" for each in now)


def story_json(told: Iterable[Told], now: Iterable[str]) -> str:
    """The same in one line."""
    return json.dumps({"story": [*told], "now": [*now]}, ensure_ascii=False, default=plain)


def overview_line(stored: Overview) -> str:
    """The database, and the mails by state."""
    if stored.mails is None:
        return f"database: {stored.error}"
    counts = ", ".join(f"{number:,} {state}" for state, number in asdict(stored.mails).items())
    return f"{stored.database}; mails: {counts}"


def overview_table(stored: Overview) -> Table:
    """The last imports."""
    return _filled(_LAST_TITLES, map(_last_row, stored.imports))


def status_json(answer: Mapping[str, Any], stored: Overview) -> str:
    """Everything in one line; times are ISO 8601."""
    return json.dumps({**answer, **asdict(stored)}, ensure_ascii=False, default=plain)


def _import_row(found: PastImport) -> tuple[str, ...]:
    figures = f"{found.counts.records:,}", f"{found.counts.failed:,}"
    return _when(found.committed_at), found.file, found.status, *figures, _why(found)


def _mail_row(found: QueuedMail) -> tuple[str, ...]:
    state = "sending" if found.is_being_sent else found.state
    return str(found.id), _when(found.created_at), state, str(found.tries), found.recipient, found.subject


def _client_row(client: Mapping[str, Any]) -> tuple[str, ...]:
    waiting = client["waiting"]
    figures = f"{waiting['files']:,}", f"{waiting['bytes']:,}"
    return client["client"], client["watch"]["state"], _when_said(client["next_tick"]), *figures


def _waiting_row(client: str, file: Mapping[str, str | None]) -> tuple[str, ...]:
    return client, str(file["file"]), str(file["reason"]).replace("_", " "), _when_said(file["since"])


def _running_row(running: Mapping[str, Any]) -> tuple[str, ...]:
    if running["file"] is None:
        return running["client"], _when_said(running["since"]), str(running["files"] or "left over"), "", "", "", ""
    left = "" if running["seconds_left"] is None else f"{running['seconds_left']:,} s"
    figures = f"{running['rows']:,}", f"{running['percent']} %", left
    return running["client"], _when_said(running["since"]), str(running["files"]), running["file"], *figures


def _last_row(found: PastImport) -> tuple[str, ...]:
    figures = f"{found.counts.records:,}", f"{found.counts.failed:,}"
    return _when(found.committed_at), found.client, found.file, found.status, *figures


def _alert_row(alert: Mapping[str, str]) -> tuple[str, ...]:
    kind = alert["kind"].replace("_", " ")
    return _when_said(alert["since"]), alert["severity"], kind, alert["client"], alert["detail"]


def _filled(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    table = _table(titles)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def mail_json(found: QueuedMail) -> str:
    """One line; times are ISO 8601."""
    return json.dumps(found, ensure_ascii=False, default=plain)


def mail_text(found: QueuedMail, text: str) -> str:
    """What became of a mail, an empty line, and its plain part."""
    facts = {
        "Mail": str(found.id),
        "State": "being sent" if found.is_being_sent else found.state,
        "To": found.recipient,
        "Client": found.client,
        "Subject": found.subject,
        "Date": f"{_when(found.created_at)} UTC",
        "Message-ID": found.message_id,
        "Tries": str(found.tries),
        "Next try": f"{_when(found.next_try_at)} UTC" if found.state == "queued" else None,
        "Ended": None if found.ended_at is None else f"{_when(found.ended_at)} UTC",
        "Last error": found.last_error,
        "Attached": ", ".join(found.attachments),
    }
    return "".join(f"{name}: {fact}\n" for name, fact in facts.items() if fact) + f"\n{text}"


def import_json(found: PastImport) -> str:
    """One line; times are ISO 8601."""
    return json.dumps(found, ensure_ascii=False, default=plain)


def user_json(user: PastUser, key: str) -> str:
    """The same of a user."""
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


def _when_said(at: str | None) -> str:
    """The same of a time that came as ISO 8601."""
    return "" if at is None else _when(dt.datetime.fromisoformat(at))


def _why(found: PastImport) -> str:
    if found.refusal_message is not None:
        return textwrap.shorten(found.refusal_message, _TOLD_CHARACTERS, placeholder=" …")
    return reasons_told(found)
