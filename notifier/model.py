"""The notifier's nouns: frozen values from the standard library and the importer's model only."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Self, assert_never

from importer.model import Audience, Detail


class Severity(StrEnum):
    """How urgent an alert is; the order is the order in which alerts are mailed."""

    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"


class AlertKind(StrEnum):
    """Every condition that the administrator is told about; `alert_texts.ALERT_TEXTS` says what each means."""

    DATABASE = "database"
    SMTP = "smtp"
    SMTP_REFUSES = "smtp_refuses"
    WATCH = "watch"
    UNREADABLE_FILE = "unreadable_file"
    UPLOAD_DIRECTORY = "upload_directory"
    ARCHIVE = "archive"
    DISK_FULL = "disk_full"
    DISK = "disk"
    ODD_FILE = "odd_file"
    WORKER = "worker"
    LOW_DISK = "low_disk"
    TEMPLATE = "template"
    CLIENT_FOLDERS = "client_folders"
    CLIENT_WORK = "client_work"
    SERVER_LOG = "server_log"
    REPORT = "report"
    STUCK_FILES = "stuck_files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A condition that is, or was, in the way of the service.

    `mailed_at < resolved_at` says that the end is still to be told; see `alerting.due`.

    Attributes:
        client: empty for the service as a whole.
        detail: a sentence of ours or words of others, one line, safe to show; never a cell or an address.
        mailed_at: when the last mail about it was formed, None before the first.
        changed_at: since when the detail names something that no mail has named; None before the first mail.
        told: the details that mails have named, the last one last.
        held: how much news of it came due since the last mail and was held back by the bounds of `alerting`.
        held_at: when the first of it was held back; None where none is.
        held_news: the last of it, by which it is counted once.
    """

    kind: AlertKind
    client: str
    detail: Detail | str
    opened_at: datetime
    mailed_at: datetime | None = None
    resolved_at: datetime | None = None
    changed_at: datetime | None = None
    told: tuple[Detail | str, ...] = ()
    held: int = 0
    held_at: datetime | None = None
    held_news: str = ""


class Occasion(StrEnum):
    """Why an alert is mailed."""

    OPENED = "opened"
    CHANGED = "changed"
    REPEATED = "repeated"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertNotice:
    """What is to be told now of an alert; it sums up what the hourly bounds have held back of others, and of it."""

    alert: Alert
    occasion: Occasion
    summed: tuple["AlertNotice", ...] = ()


class MailState(StrEnum):
    """What became of a mail; one that is being sent is queued."""

    QUEUED = "queued"
    SENT = "sent"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A failed-users report that a mail carries; where it lies is looked up when the mail is sent."""

    claim_id: str
    filename: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A failed-users CSV.

    Attributes:
        directory: the client's upload directory.
        places: where it can be, the likelier first.
        in_bak: its name there.
    """

    attachment: Attachment
    directory: Path
    places: tuple[Path, ...]
    in_bak: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bodies:
    """What a mail says; the plain text is complete by itself."""

    text: str
    html: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail before it has a recipient.

    Attributes:
        attachments: the reports that travel with it, where they fit.
        unattached: what it says where none of them fits, which is known only when it is sent; None without any.
    """

    subject: str
    text: str
    html: str
    attachments: tuple[Attachment, ...] = ()
    unattached: Bodies | None = None
    language: str = "en"

    def bodies(self, *, attached: bool) -> Bodies:
        """What is said where reports travel with it, or where none does."""
        if self.unattached is not None and not attached:
            return self.unattached
        return Bodies(text=self.text, html=self.html)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A letter to one recipient, to be stored; its Message-ID and Date (created_at) never change."""

    message_id: str
    recipient: str
    audience: Audience
    client: str | None
    letter: Letter
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedMail:
    """A queued mail that this process has leased.

    Attributes:
        tries: how often it was tried before.
        next_try_at: when it was due; later than now for a mail that is tried early.
        refused_since: since when the server refuses it for what may be our sake; None where it does not.
    """

    id: int
    message_id: str
    recipient: str
    client: str | None
    letter: Letter
    created_at: datetime
    tries: int
    next_try_at: datetime
    refused_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A mail that was stored just now, as the log may know it."""

    id: int
    audience: Audience
    client: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnAddresses:
    """What a client has of its own; None and empty where the common addresses are meant."""

    failed_import: tuple[str, ...] = ()
    admin: str | None = None
    success: tuple[str, ...] = ()


def _nothing_own(_: str) -> OwnAddresses:
    return OwnAddresses()


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Who is written to.

    Attributes:
        failed_import: for the people who drop files; without any, the administrator is written to.
        admin: sender, reply address and the receiver of alerts.
        success: for those who want to know of imports without failures.
        own: what a client has instead of these; called in threads.
    """

    failed_import: tuple[str, ...]
    admin: str
    success: tuple[str, ...] = ()
    own: Callable[[str], OwnAddresses] = _nothing_own

    def of(self, audience: Audience, client: str) -> tuple[str, ...]:
        """The recipients of an audience."""
        match audience:
            case Audience.CLIENT:
                return self.own(client).failed_import or self.failed_import or (self.admin_of(client),)
            case Audience.ADMIN:
                return (self.admin_of(client),)
            case Audience.SUCCESS:
                return self.own(client).success or self.success
            case _:
                assert_never(audience)

    def admin_of(self, client: str | None) -> str:
        """The sender of a client's mails, and who is told of what needs an administrator; None: of the service."""
        return (self.own(client).admin if client else None) or self.admin


class Stage(StrEnum):
    """How far a delivery came before it failed."""

    CONNECT = "connect"
    HELLO = "hello"
    TLS = "tls"
    LOGIN = "login"
    SENDER = "sender"
    RECIPIENT = "recipient"
    SIZE = "size"
    CONTENT = "content"
    FOLDER = "folder"
    REPORT = "report"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a transport says about a delivery that failed.

    Attributes:
        code: the server's reply code; None where it sent none.
        enhanced: its enhanced code, as 5.7.1; None where it sent none.
        unfit: the two sides cannot talk whatever the time: a certificate, a missing extension, an unusable address.
        limit: the server's largest message in bytes, where it named one.
        text: a sentence of ours or what the server said, one line, without addresses.
    """

    stage: Stage
    code: int | None = None
    enhanced: str | None = None
    unfit: bool = False
    limit: int | None = None
    text: Detail | str = ""


class SendError(Exception):
    """A message was not accepted."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The server has taken the mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Try again by the schedule; `server` says that no other mail would fare better now."""

    server: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """This recipient will never take this mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Misconfigured:
    """Our settings and the mail server do not fit; every mail waits until somebody mends them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The server refuses the mail; `ours` says whether that is about us, as its sender, and else it is not known."""

    ours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """It was not tried: until then another mail finds out whether the server still refuses all that are like it."""

    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """Its report cannot be read now, so the mail server was not asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrink:
    """The server wants a smaller message, of at most `limit` bytes where it said so."""

    limit: int | None


FailureMeaning = Later | Dead | Misconfigured | Refused | Shrink


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a leased mail, to be written down."""

    mail: LeasedMail
    end: Sent | Later | Dead | Misconfigured | Refused | Held | Unread
    failure: Failure | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What one round of delivery did, counted in mails."""

    formed: int = 0
    sent: int = 0
    later: int = 0
    dead: int = 0

    def __add__(self, other: Self) -> Self:
        return replace(
            self,
            formed=self.formed + other.formed,
            sent=self.sent + other.sent,
            later=self.later + other.later,
            dead=self.dead + other.dead,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertText:
    """What the administrator reads about a kind of alert.

    Attributes:
        title: for the subject.
        means: what is wrong.
        meanwhile: what is not done as long as it lasts.
        cure: what to do.
        resolves: the condition that ends it.
        repeated: whether it is mailed again while it lasts though nothing is new.
        command: what shows more.
    """

    severity: Severity
    title: str
    means: str
    meanwhile: str
    cure: str
    resolves: str = field(default="It ends by itself as soon as the next attempt succeeds.")
    repeated: bool = True
    command: str = "userdrop status"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertCause:
    """What the administrator reads about a fault of a disk or a directory, whatever kind of alert it has led to.

    Attributes:
        title: for the subject, where no other thing is known to be wrong.
        means: what is wrong.
        cure: what to do.
        command: what shows more; it ends with an option or the place for a directory, which is added where it is known.
    """

    title: str
    means: str
    cure: str
    command: str
