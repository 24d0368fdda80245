"""The watcher's nouns: what is seen of a file, and what follows from that."""

from dataclasses import dataclass
from enum import StrEnum

from importer.model import Fingerprint

CLIENT = "default"
"""The name of the client to whom the upload directory belongs where there are no client folders."""


class ServerVerdict(StrEnum):
    """The verdict of the FTP server's log on a transfer that has ended; UNCLEAR is a FAIL whose bytes do not agree."""

    OK = "ok"
    FAILED = "failed"
    UNCLEAR = "unclear"


class LogState(StrEnum):
    """The use of the FTP server's log for a directory: whether it is read, can be, and has told of an upload there."""

    NOT_READ = "not_read"
    TELLS = "tells"
    HAS_TOLD_NOTHING = "has_told_nothing"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """An upload that has ended, as a line of the log tells it.

    Attributes:
        path: the path as logged, normalised, relative to the session's root.
        verdict: what the server thinks of it.
        size: the bytes of this transfer; None where it was before a rename and the log tells of the rename alone.
        is_live: whether it was logged while we were watching, not before.
    """

    path: bytes
    verdict: ServerVerdict
    size: int | None
    is_live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A look at a file, and what was seen.

    Attributes:
        name: the file's name in the client's directory.
        content: size, mtime and inode.
        changed_ns: ctime in nanoseconds; the sender can't set it.
        is_locked: whether somebody holds a write lock; None where that cannot be asked.
        verdict: what the server's log has said since the last look.
        came_by_rename: whether the file was given its name after it was written.
        was_there: whether the file lay there before anybody looked, so that the end of its upload may have been told
            to nobody.
    """

    name: str
    content: Fingerprint
    changed_ns: int
    is_locked: bool | None
    verdict: ServerVerdict | None = None
    came_by_rename: bool = False
    was_there: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """A complete upload that a newer one of its name has replaced before it was taken.

    Attributes:
        claim_id: the id under which the ledger tells of it, though it was never claimed.
    """

    sighting: Sighting
    claim_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A file under a name by which clients write what they rename in the end; its mtime is in nanoseconds."""

    name: str
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The names in a directory: files that may be imported, and odd ones that nobody told us to expect.

    Sub-folders are not entered for files to import; of each, and of those in it, in which there are some, the first is
    odd, as FOLDER/FILE.

    Attributes:
        candidates: the names of the files that may be imported.
        odd: the names of what is not.
        drafts: the files under temporary names.
    """

    candidates: tuple[str, ...]
    odd: tuple[str, ...]
    drafts: tuple[Draft, ...] = ()


class Evidence(StrEnum):
    """The evidence by which an upload was found to be complete."""

    SERVER_LOG = "server_log"
    RENAME = "rename"
    QUIET_AND_UNLOCKED = "quiet_and_unlocked"
    LONG_QUIET = "long_quiet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that is complete, and the evidence for it.

    Attributes:
        is_end_unseen: whether the FTP server's log should have told of the upload's end, and it is not known to have.
    """

    client: str
    sighting: Sighting
    evidence: Evidence
    is_end_unseen: bool = False

    @property
    def name(self) -> str:
        """The file's name in the client's directory."""
        return self.sighting.name

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        return self.sighting.content.size
