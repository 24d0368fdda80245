"""Every event that is logged, in one place: the documentation is made from it, and a test compares it with the code.

Each line is one JSON object with `timestamp` (UTC, ISO 8601), `level`, `event` and the fields below. No event holds a
cell of a file, or anybody's address.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Level = Literal["debug", "info", "warning", "error"]

FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "claim": "the import's id: the ledger's key, and the name of the work directory",
        "client": "whose file it is: the folder's name, or `default` where the upload directory is the one client",
        "file": "the file's name, shown form",
        "mail": "the mail's number in the table `mails`",
        "seconds": "how long it took",
        "size": "bytes",
    }
)
"""Fields that mean the same in every event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One kind of line."""

    level: Level
    fields: tuple[str, ...]
    meaning: str


EVENTS: Mapping[str, Event] = MappingProxyType(
    {
        "service_started": Event(
            level="info",
            fields=("version", "pid", "upload_dir", "interval_minutes", "database", "format_file"),
            meaning="the service has begun, with these settings",
        ),
        "doctor_found": Event(
            level="warning",
            fields=("about", "state", "what", "cure"),
            meaning="what `userdrop doctor` finds at the start of the service, where it is not `ok`",
        ),
        "control_unavailable": Event(
            level="warning",
            fields=("error",),
            meaning="the socket by which `userdrop status` asks cannot be made in the state directory",
        ),
        "http_listening": Event(
            level="info",
            fields=("address",),
            meaning="metrics, health and the page are served there",
        ),
        "http_failed": Event(
            level="error", fields=("path", "error"), meaning="a bug: what was asked for by HTTP could not be told"
        ),
        "progress_stalled": Event(
            level="error",
            fields=("tasks",),
            meaning="`watch`, `imports` or `delivery` did not get on for longer than any step takes; systemd, where it "
            "watches the service, starts it anew",
        ),
        "mail_goes_to_folder": Event(
            level="warning",
            fields=("mail_dir", "until"),
            meaning="no mail server is set, so mails are written as .eml files into `mail_dir`",
        ),
        "service_stopping": Event(
            level="info", fields=("why",), meaning="a signal was received; the file in hand is finished"
        ),
        "service_stopped": Event(level="info", fields=(), meaning="the service has ended"),
        "watch_changed": Event(
            level="info",
            fields=("client", "from", "to", "why"),
            meaning="how new files are found: `live` by events; `starting`, `deaf`, `rebuilding` and `scanning_only` "
            "by scans every few seconds",
        ),
        "server_log_unreadable": Event(
            level="warning", fields=("error",), meaning="vsftpd's log cannot be read; uploads wait the long quiet time"
        ),
        "upload_seen": Event(level="info", fields=("client", "file", "size"), meaning="a new file has appeared"),
        "upload_resumed": Event(
            level="info",
            fields=("client", "file", "size"),
            meaning="a file that was complete, or held, has changed, and waits anew",
        ),
        "upload_settled": Event(
            level="info",
            fields=("client", "file", "size", "evidence"),
            meaning="the file is complete, by that evidence, and joins the next tick",
        ),
        "upload_held": Event(
            level="warning",
            fields=("client", "file", "size"),
            meaning="the server's log says that the upload was cut off, or says nothing of its end; its sender is "
            "told, and it waits for a change",
        ),
        "client_found": Event(
            level="info",
            fields=("client", "directory"),
            meaning="a client's directory is there, and is served from now on",
        ),
        "client_gone": Event(
            level="warning",
            fields=("client",),
            meaning="a client's folder is no longer there, and is not served any more",
        ),
        "client_held_elsewhere": Event(
            level="info",
            fields=("client",),
            meaning="another node imports the client's files; this one leaves them alone and asks again at each tick",
        ),
        "client_taken_over": Event(
            level="info",
            fields=("client",),
            meaning="the node that imported the client's files has let go of them; this one goes on with them",
        ),
        "batch_started": Event(
            level="info", fields=("client", "files", "bytes"), meaning="a tick found complete files of the client"
        ),
        "batch_finished": Event(
            level="info",
            fields=("client", "files", "done", "seconds"),
            meaning="a tick's files were dealt with, `done` to their end",
        ),
        "import_finished": Event(
            level="info",
            fields=(
                "claim",
                "client",
                "file",
                "rows",
                "accepted",
                "failed",
                "blank",
                "inserted",
                "updated",
                "unchanged",
                "seconds",
                "same_as",
            ),
            meaning="the good rows are users; `same_as` is an earlier import of the same bytes",
        ),
        "import_refused": Event(
            level="warning",
            fields=("claim", "client", "file", "code", "seconds"),
            meaning="nothing of the file was imported; client and admin are told why",
        ),
        "import_returned": Event(
            level="info",
            fields=("claim", "client", "file"),
            meaning="the file changed while it was taken; it is back in the upload directory and waits again",
        ),
        "import_superseded": Event(
            level="warning",
            fields=("claim", "client", "file"),
            meaning="the same, but a newer file has its name already; the older goes to bak",
        ),
        "import_interrupted": Event(
            level="error",
            fields=("kind", "error"),
            meaning="the database or the disk failed; what was begun is recovered when it is back",
        ),
        "worker_died": Event(
            level="error",
            fields=("exit_code", "where"),
            meaning="the importing process ended in mid-work; it is replaced, and the file is tried again",
        ),
        "file_not_taken": Event(
            level="warning",
            fields=("client", "file", "why"),
            meaning="a file was gone, unreadable or no plain file when it was to be imported",
        ),
        "file_archived": Event(
            level="info",
            fields=("claim", "client", "file", "archive", "report"),
            meaning="the file and its failed-users CSV lie in bak under these names",
        ),
        "file_not_archived": Event(
            level="error",
            fields=("claim", "client", "file", "error"),
            meaning="the import is committed, but bak cannot take the file now; it is tried again",
        ),
        "file_quarantined": Event(
            level="error",
            fields=("claim", "client", "file", "attempts"),
            meaning="the file ended the importing process too often; it lies in .quarantine",
        ),
        "bak_purged": Event(
            level="info",
            fields=("client", "files", "reports"),
            meaning="files that have lain in bak for USERDROP_BAK_DAYS or USERDROP_REPORT_DAYS were removed",
        ),
        "mail_queued": Event(level="info", fields=("mail", "audience", "client"), meaning="a mail was written"),
        "mail_sent": Event(
            level="info", fields=("mail", "client", "tries"), meaning="the mail server has taken a mail"
        ),
        "mail_deferred": Event(
            level="warning",
            fields=("mail", "client", "code", "next_try_at"),
            meaning="a mail could not be sent now; it is tried again",
        ),
        "mail_dead": Event(
            level="error", fields=("mail", "client", "code"), meaning="a mail will never be taken; the admin is told"
        ),
        "mail_not_built": Event(level="error", fields=("mail", "client"), meaning="a mail could not be put together"),
        "database_failed": Event(
            level="error", fields=("error",), meaning="the queue of mails cannot be read or written; it is tried again"
        ),
        "alert_opened": Event(
            level="warning",
            fields=("kind", "client", "severity", "detail"),
            meaning="something needs the admin, who is told by mail if it lasts",
        ),
        "alert_resolved": Event(level="info", fields=("kind", "client", "seconds"), meaning="it is over"),
        "library_message": Event(
            level="warning", fields=("message", "library"), meaning="a library has something to say"
        ),
    }
)
