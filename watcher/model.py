"""The watcher's nouns: what is seen of a file, and what that makes of it."""

from dataclasses import dataclass
from enum import StrEnum

from importer.model import Fingerprint

CLIENT = "default"
"""The client that the upload directory itself is."""


class ServerVerdict(StrEnum):
    """What the FTP server's log says of a transfer that has ended."""

    OK = "ok"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One look at a file.

    Attributes:
        name: the file's name in the client's directory.
        content: size, mtime and inode.
        changed_ns: ctime in nanoseconds; the sender can't set it.
        is_locked: whether somebody holds a write lock; None where that cannot be asked.
        verdict: what the server's log has said since the last look.
        came_by_rename: whether the file was given its name after it was written.
    """

    name: str
    content: Fingerprint
    changed_ns: int
    is_locked: bool | None
    verdict: ServerVerdict | None = None
    came_by_rename: bool = False


class Evidence(StrEnum):
    """What decided that an upload is complete."""

    SERVER_LOG = "server_log"
    RENAME = "rename"
    QUIET_AND_UNLOCKED = "quiet_and_unlocked"
    LONG_QUIET = "long_quiet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that is complete, by that evidence."""

    client: str
    sighting: Sighting
    evidence: Evidence

    @property
    def name(self) -> str:
        """The file's name in the client's directory."""
        return self.sighting.name

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self.sighting.content.size
