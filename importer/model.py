"""The importer's nouns: frozen values from the standard library only."""

import datetime as dt
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Self

MOST_TIMES = 20
"""The multiple of its content's size, 1 MB at least, that an upload may take on disk; users' rows are not counted."""


def shown_name(name: str) -> str:
    r"""A file's name as text that can be stored, logged and shown on one line.

    Bytes that are not UTF-8 become `\xNN`; controls, bidirectional marks, line separators and lone surrogates become
    `\xNN` or `\uNNNN`.
    """
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(_shown(character) for character in unicodedata.normalize("NFC", text))


def _shown(character: str) -> str:
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return character.encode("unicode_escape").decode("ascii")
    return character


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """A remark to the sender about one row or, as a warning, about the file as a whole.

    Attributes:
        message: the remark in English.
        kind: a key of `reasons.WARNING_SENTENCES` or `ROW_SENTENCES`, by which it is told in other languages.
        facts: the values that the sentence names, as JSON can hold them.
    """

    code: str
    column: str | None
    message: str
    kind: str = field(default="", compare=False)
    facts: Mapping[str, str | int] = field(default_factory=dict, compare=False)

    def plain(self) -> dict[str, str | None]:
        """The remark as JSON for programs and the ledger holds it, without what only other languages need."""
        return {"code": self.code, "column": self.column, "message": self.message}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The reason why a whole file was not imported.

    Attributes:
        message: the reason for the sender; it may repeat the first row, which without a header is a person's.
        summary: the reason for everybody else, without a cell; empty where the message has none either.
        facts: the values that the sentence of `reasons.REFUSAL_SENTENCES` names, to tell it in other languages.
    """

    code: str
    message: str
    summary: str = ""
    facts: Mapping[str, str | int] = field(default_factory=dict, compare=False)

    def summarised(self) -> Self:
        """The refusal as others than the sender may read it: without the cells of the first row."""
        facts = {name: fact for name, fact in self.facts.items() if name != "found"}
        return replace(self, message=self.summary or self.message, facts=facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What exactly is in the way of the service, in a sentence of ours.

    Attributes:
        text: in English.
        code: a key of the sentences of `importer.words.details`, by which it is told in other languages.
        facts: what that sentence names, in its order; each may be a sentence itself.
    """

    text: str
    code: str
    facts: tuple[tuple[str, "Detail | str"], ...] = ()

    def __str__(self) -> str:
        return self.text


class FileRefused(Exception):  # noqa: N818 - it is the sender's bad data, not our error
    """The file as a whole cannot be imported; raised while it is read, answered by the importing step."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The numbers of what became of a file's records; accepted + failed + blank = records."""

    records: int = 0
    accepted: int = 0
    failed: int = 0
    blank: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0

    def __post_init__(self) -> None:
        if self.accepted + self.failed + self.blank != self.records:
            message = f"the records do not add up: {self}"
            raise ArithmeticError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """A file's content as far as stat(2) can tell: device, inode, size in bytes, mtime in nanoseconds."""

    device: int
    inode: int
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A file that the importer has taken for itself, by renaming it into a work directory of its own.

    Attributes:
        id: the claim's id, sortable by time, unique for ever; the ledger refuses it a second time.
        client: the queue the file belongs to.
        directory: the client's upload directory, as the ledger and messages name it.
        name: the file's name as the sender chose it (bytes that are not UTF-8 are surrogate-escaped).
        anchor: the upload directory, by a path that stays with it while a job lasts; None where its name has to do.
        workroom: the directory in which the service works with the client's claims, by a path that stays with it while
            a job lasts; None where its name has to do.
        is_end_unseen: whether nothing has told of the end of the file's upload, though something should have.
    """

    id: str
    client: str
    directory: Path
    name: str
    anchor: Path | None = field(default=None, compare=False, repr=False)
    workroom: Path | None = field(default=None, compare=False, repr=False)
    is_end_unseen: bool = field(default=False, compare=False, repr=False)

    @property
    def folder(self) -> Path:
        """The path by which the upload directory is reached."""
        return self.anchor or self.directory

    @property
    def work(self) -> Path:
        """The claim's own directory, on the same file system as the upload directory."""
        return (self.workroom or self.folder / ".importing") / self.id

    @property
    def original(self) -> Path:
        """The sender's file. Our own files beside it begin with a dot, which no claimed name does."""
        return self.work / self.name

    @property
    def copy(self) -> Path:
        """Our copy of the sender's bytes: what is imported, and what goes to bak."""
        return self.work / ".copy"

    @property
    def report(self) -> Path:
        """The failed-users CSV until it goes to bak."""
        return self.work / ".failed.csv"


def claim_id(at: dt.datetime, token: str) -> str:
    """A new claim's id: the time, so that ids sort, and a token nobody else has."""
    return f"{at:%Y%m%dT%H%M%SZ}-{token}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonCount:
    """A reason with how often it occurred in a file, and the first row as an example."""

    code: str
    column: str | None
    count: int
    example_row: int
    example: str


class Status(StrEnum):
    """The fate of a file that was taken, as the ledger tells it."""

    IMPORTED = "imported"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    """The file was superseded by a newer file of its name."""
    QUARANTINED = "quarantined"
    """The file was set aside."""


class Audience(StrEnum):
    """The audience of a notice; addresses are found when a mail is formed."""

    CLIENT = "client"
    ADMIN = "admin"
    SUCCESS = "success"


class NoticeKind(StrEnum):
    """The kind of event that a notice tells; IMPORTED is told where rows failed or a warning is worth a mail."""

    IMPORTED = "imported"
    REFUSED = "refused"
    INCOMPLETE = "incomplete"
    SUPERSEDED = "superseded"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A fact somebody must be told, stored in the same transaction as the import it is about.

    Attributes:
        file: the file's name, safe to show.
        claim_id: None for a file that was never claimed.
        counts: zeros where the file was not read.
        reasons: the most frequent first.
        archive: the file's name in bak, None where it did not go there.
        report: the name of the failed-users CSV in bak, None where there is none.
    """

    client: str
    audience: Audience
    kind: NoticeKind
    file: str
    claim_id: str | None = None
    counts: Counts = Counts()
    reasons: tuple[ReasonCount, ...] = ()
    warnings: tuple[Remark, ...] = ()
    refusal: Refusal | None = None
    archive: str | None = None
    report: str | None = None

    def to(self, audience: Audience) -> Self:
        """The notice for another audience."""
        return replace(self, audience=audience)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The progress of reading a file.

    Attributes:
        rows: the number of rows that were read and judged.
        read: the bytes of the file that were read.
        total: the bytes of the whole file; where all are read, what is left is to store the rows.
    """

    rows: int
    read: int
    total: int

    @property
    def is_all(self) -> bool:
        """Whether the whole file is read."""
        return self.read >= self.total


@dataclass(frozen=True, slots=True, kw_only=True)
class InHand:
    """The file that is imported now."""

    claim: Claim
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A file whose good rows are users now."""

    claim: Claim
    counts: Counts
    reasons: tuple[ReasonCount, ...]
    warnings: tuple[Remark, ...]
    sha256: str
    same_as: str | None
    seconds: float
    archive: str
    report: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A file of which nothing was imported, for a reason its sender can mend."""

    claim: Claim
    refusal: Refusal
    sha256: str
    seconds: float
    archive: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """A file that changed while it was taken; it is back under its name and waits again."""

    claim: Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded:
    """A file that changed while it was taken and whose name was taken meanwhile: the newer stands."""

    claim: Claim
    archive: str


class NotTakenWhy(StrEnum):
    """The reason why a file could not be claimed."""

    GONE = "gone"
    NOT_A_PLAIN_FILE = "not_a_plain_file"
    HARD_LINKED = "hard_linked"
    UNREADABLE = "unreadable"
    NO_ROOM = "no_room"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTaken:
    """A file that lies where it was, or is gone; nothing was done with it."""

    client: str
    name: str
    why: NotTakenWhy


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspected:
    """A file during whose import the whole service ended; it waits until nothing else does, to be tried alone."""

    claim: Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A file set aside because each attempt to import it ended the importing process, or alone the service."""

    claim: Claim
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """A file that lies in bak, with its report."""

    claim: Claim
    archive: str
    report: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unarchived:
    """A file whose import is committed but which cannot be put into bak now; it is tried again."""

    claim: Claim
    why: Detail | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """The numbers of files that were removed from bak, and whether more are to be removed."""

    client: str
    archives: int
    reports: int
    is_more: bool = False


Outcome = (
    Imported | Refused | Returned | Superseded | NotTaken | Suspected | Quarantined | Archived | Unarchived | Purged
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """The times that files stay in bak after they came there; None for ever."""

    archives: dt.timedelta | None = None
    reports: dt.timedelta | None = None

    @property
    def shortest(self) -> dt.timedelta | None:
        """The shorter of the times, as nothing younger is removed; None where nothing is ever removed."""
        return min((kept for kept in (self.archives, self.reports) if kept is not None), default=None)
