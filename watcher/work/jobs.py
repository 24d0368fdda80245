"""The messages between the parent and the child that works for it: jobs, and how they end."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from importer.client_lock import LockedElsewhereError
from importer.formats.columns import Format
from importer.model import Detail, Fingerprint, Notice, Outcome, Retention
from importer.words.details import detail
from watcher.base.limits import Allowance


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """The configuration of a child, frozen for its life. `run` is the name of this run of the service."""

    database_url: str
    state_dir: Path
    format: Format
    max_bytes: int
    allowance: Allowance
    retention: Retention
    run: str = ""
    max_work_bytes: int | None = None
    skips_unchanged: bool = True
    tells_success: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare:
    """Check the format's patterns and bring the database up to date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFiles:
    """Import complete files of a client, each with what was seen of it when it was found complete.

    `unseen_ends` names those of which nothing has told the end of the upload, though something should have.
    """

    client: str
    directory: Path
    uploads: tuple[tuple[str, Fingerprint], ...]
    unseen_ends: frozenset[str] = frozenset()
    language: str = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recover:
    """Finish what an earlier run left half done; with `alone` also a file during whose import the service ended."""

    client: str
    directory: Path
    language: str = "en"
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Store a notice, at most once for each `once`."""

    notice: Notice
    once: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Supersede:
    """Record that a complete file was replaced by a newer one of its name before it was taken."""

    client: str
    directory: Path
    name: str
    size: int
    claim_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """Remove from a client's bak what has stayed there long enough."""

    client: str
    directory: Path
    language: str = "en"


Job = Prepare | ImportFiles | Recover | Tell | Supersede | Purge


class OutageKind(StrEnum):
    """The thing that was out while a job was done."""

    DATABASE = "database"
    DISK = "disk"
    WORKER = "importing process"


class OutageError(Exception):
    """A job stopped because something failed that is not ours; what it left is recovered later."""

    def __init__(self, kind: OutageKind, detail: Detail | str) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail


class UnusableSetupError(Exception):
    """This Python misreads files, the format file's patterns are not understood, or the database does not suit them."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


class WorkerDiedError(Exception):
    """The child ended in the middle of a job: killed, out of memory, or by a bug of ours.

    Attributes:
        where: the place of a bug, or why the child was killed; empty where neither is known.
        detail: all of this in a sentence.
    """

    def __init__(self, exit_code: int | None, where: Detail | str) -> None:
        if isinstance(where, Detail):
            self.detail = detail("worker_ended.because", code=str(exit_code), why=where)
        else:
            self.detail = detail("worker_ended", code=f"{exit_code} {where}".strip())
        super().__init__(self.detail.text)
        self.exit_code = exit_code
        self.where = where


@dataclass(frozen=True, slots=True)
class Bug:
    """The job ended by a bug of ours, or by a limit of the database; `where` tells which, and no customer's data."""

    where: Detail | str


class Finished:
    """The job is done, and all went well."""


class FinishFile:
    """Stop after the file in hand."""


Answer = Outcome | LockedElsewhereError | OutageError | UnusableSetupError | Bug | Finished
"""An answer of the child to a job: what became of a file, and at last how the job has ended."""
