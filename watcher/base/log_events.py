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
        "client": "the client whose file it is: the folder's name, or `default` where the upload directory is the one "
        "client",
        "file": "the file's name, with what cannot be printed replaced",
        "mail": "the mail's number in the table `mails`",
        "seconds": "the duration of what the event tells of, in seconds",
        "size": "the size of the file in bytes",
    }
)
"""Fields that mean the same in every event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventKind:
    """One kind of line."""

    level: Level
    fields: tuple[str, ...]
    meaning: str


EVENTS: Mapping[str, EventKind] = MappingProxyType(
    {
        "service_started": EventKind(
            level="info",
            fields=("version", "pid", "upload_dir", "interval_minutes", "database", "format_file"),
            meaning="the service has started with these settings",
        ),
        "doctor_found": EventKind(
            level="warning",
            fields=("about", "state", "what", "cure"),
            meaning="`userdrop doctor`, asked when the service starts, has found something that is not `ok`",
        ),
        "control_unavailable": EventKind(
            level="warning",
            fields=("error",),
            meaning="the socket that `userdrop status` talks to could not be made in the state directory",
        ),
        "http_listening": EventKind(
            level="info",
            fields=("address",),
            meaning="the service answers HTTP at this address: metrics, health and the page",
        ),
        "http_failed": EventKind(
            level="error", fields=("path", "error"), meaning="an HTTP request could not be answered because of a bug"
        ),
        "progress_stalled": EventKind(
            level="error",
            fields=("tasks",),
            meaning="`watch`, `imports` or `delivery` has not finished a step within the time that any step may take;"
            " systemd, where it watches the service, restarts it",
        ),
        "mail_goes_to_folder": EventKind(
            level="warning",
            fields=("mail_dir", "until"),
            meaning="no mail server is set, so the service writes mails as .eml files into `mail_dir`",
        ),
        "service_stopping": EventKind(
            level="info", fields=("why",), meaning="the service was told to stop; it finishes the file in hand"
        ),
        "service_stopped": EventKind(level="info", fields=(), meaning="the service has ended"),
        "watch_changed": EventKind(
            level="info",
            fields=("client", "from", "to", "why"),
            meaning="the way in which new files are found has changed: `live` is by events; `starting`, `deaf`, "
            "`rebuilding` and `scanning_only` are by scans every few seconds",
        ),
        "server_log_unreadable": EventKind(
            level="warning",
            fields=("error",),
            meaning="vsftpd's log cannot be read, so uploads wait the long quiet time",
        ),
        "uploads_not_remembered": EventKind(
            level="warning",
            fields=("error",),
            meaning="what was decided of files that wait cannot be written into the state directory; after a restart"
            " they may wait the long quiet time",
        ),
        "upload_seen": EventKind(
            level="info", fields=("client", "file", "size"), meaning="a new file has appeared in the upload directory"
        ),
        "upload_resumed": EventKind(
            level="info",
            fields=("client", "file", "size"),
            meaning="a file that was complete, or held, has changed, and waits again",
        ),
        "upload_settled": EventKind(
            level="info",
            fields=("client", "file", "size", "evidence"),
            meaning="the file is complete by the evidence that is named; it is imported at the next tick",
        ),
        "upload_held": EventKind(
            level="warning",
            fields=("client", "file", "size"),
            meaning="the upload was cut off according to vsftpd's log, or the log says nothing of its end; the file "
            "waits for a change, and the sender is told if there is none within minutes",
        ),
        "upload_gone": EventKind(
            level="info",
            fields=("client", "file", "size"),
            meaning="a file was removed or renamed in the upload directory before it was taken",
        ),
        "upload_replaced": EventKind(
            level="warning",
            fields=("claim", "client", "file", "size"),
            meaning="a file that was complete and not yet taken was replaced by a newer upload of its name; `size` is"
            " that of the older one, of which nothing is imported",
        ),
        "client_found": EventKind(
            level="info",
            fields=("client", "directory"),
            meaning="the service has found a client's directory, and serves it from now on",
        ),
        "client_gone": EventKind(
            level="warning",
            fields=("client",),
            meaning="a client's folder is no longer there, and the service no longer serves it",
        ),
        "client_held_elsewhere": EventKind(
            level="info",
            fields=("client",),
            meaning="another node imports the client's files; this node leaves them alone and asks again at each tick",
        ),
        "client_taken_over": EventKind(
            level="info",
            fields=("client",),
            meaning="the node that imported the client's files has let go of them; this node goes on with them",
        ),
        "batch_started": EventKind(
            level="info", fields=("client", "files", "bytes"), meaning="a tick has found complete files of the client"
        ),
        "batch_finished": EventKind(
            level="info",
            fields=("client", "files", "done", "seconds"),
            meaning="the files of a tick are dealt with; `done` of them are finished",
        ),
        "import_finished": EventKind(
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
            meaning="the file is imported: its good rows are users; `same_as` names an earlier import of the same "
            "bytes",
        ),
        "import_refused": EventKind(
            level="warning",
            fields=("claim", "client", "file", "code", "seconds"),
            meaning="the file was refused, and none of it imported; its sender and the administrator are told why",
        ),
        "import_returned": EventKind(
            level="info",
            fields=("claim", "client", "file"),
            meaning="the file changed while it was taken; it is back in the upload directory, and waits again",
        ),
        "import_superseded": EventKind(
            level="warning",
            fields=("claim", "client", "file"),
            meaning="the file changed while it was taken, and a newer file has its name already; the older one goes to"
            " bak",
        ),
        "import_interrupted": EventKind(
            level="error",
            fields=("kind", "error"),
            meaning="the database or the disk failed during an import; what was begun is recovered when it is back",
        ),
        "worker_died": EventKind(
            level="error",
            fields=("exit_code", "where"),
            meaning="the importing process ended in the middle of its work; it is replaced, and the file is tried "
            "again",
        ),
        "file_not_taken": EventKind(
            level="warning",
            fields=("client", "file", "why"),
            meaning="a file that was to be imported was gone, unreadable, or no plain file with one name",
        ),
        "file_archived": EventKind(
            level="info",
            fields=("claim", "client", "file", "archive", "report"),
            meaning="the file and its failed-users CSV lie in bak under these names",
        ),
        "file_not_archived": EventKind(
            level="error",
            fields=("claim", "client", "file", "error"),
            meaning="the import is committed, but bak cannot take the file now; the service tries again",
        ),
        "file_suspected": EventKind(
            level="warning",
            fields=("claim", "client", "file"),
            meaning="the whole service ended, without being stopped, while the file was imported; the file is tried "
            "alone, after all others",
        ),
        "file_quarantined": EventKind(
            level="error",
            fields=("claim", "client", "file", "attempts"),
            meaning="the file has ended the importing process, or alone the whole service, too often; it lies in "
            ".quarantine",
        ),
        "bak_purged": EventKind(
            level="info",
            fields=("client", "files", "reports"),
            meaning="files that have lain in bak for USERDROP_BAK_DAYS or USERDROP_REPORT_DAYS were removed",
        ),
        "mail_queued": EventKind(
            level="info", fields=("mail", "audience", "client"), meaning="a mail was written, and waits to be sent"
        ),
        "mail_sent": EventKind(
            level="info", fields=("mail", "client", "tries"), meaning="the mail server has taken a mail"
        ),
        "mail_deferred": EventKind(
            level="warning",
            fields=("mail", "client", "code", "next_try_at"),
            meaning="a mail could not be sent now; it is tried again at `next_try_at`",
        ),
        "mail_dead": EventKind(
            level="error",
            fields=("mail", "client", "code"),
            meaning="a mail was given up: its recipient or content was refused, or it was tried for five days; the "
            "administrator is told",
        ),
        "mail_not_built": EventKind(
            level="error",
            fields=("mail", "client"),
            meaning="a mail could not be put together because of a bug; it is tried again",
        ),
        "database_failed": EventKind(
            level="error",
            fields=("error",),
            meaning="the queue of mails could not be read or written; the service tries again",
        ),
        "mails_wait": EventKind(
            level="info",
            fields=(),
            meaning="the queue of mails waits, because a file is being written to the database",
        ),
        "alert_opened": EventKind(
            level="warning",
            fields=("kind", "client", "severity", "detail"),
            meaning="a condition needs the administrator, who is told by mail if it lasts",
        ),
        "alert_held": EventKind(
            level="info",
            fields=("kind", "client", "number"),
            meaning="a mail about an alert was held back, because too many would go out; a later mail sums it up",
        ),
        "alert_resolved": EventKind(
            level="info", fields=("kind", "client", "seconds"), meaning="the condition of an alert is over"
        ),
        "library_message": EventKind(
            level="warning", fields=("message", "library"), meaning="a library that userdrop uses has logged a warning"
        ),
    }
)
