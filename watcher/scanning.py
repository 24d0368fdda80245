"""What lies in a client's directory. Events are hints; this is the truth."""

import os
from dataclasses import dataclass
from pathlib import Path

from importer.archiving import BAK

IMPORTED_SUFFIXES = (".csv", ".txt", ".csv.gz")
"""Files with other names are left where they are."""

_TEMPORARY_SUFFIXES = (".filepart", ".part", ".partial", ".tmp", ".temp", ".crdownload", ".swp", "~")
"""Names under which clients write before they rename: WinSCP, lftp, browsers, editors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The names in a directory: what may be imported, and what nobody told us to expect."""

    candidates: tuple[str, ...]
    odd: tuple[str, ...]


def is_temporary(name: str) -> bool:
    """Whether a file is still being written, by its name (case does not matter)."""
    return name.startswith(".") or name.lower().endswith(_TEMPORARY_SUFFIXES)


def is_candidate(name: str) -> bool:
    """Whether a file may be imported, by its name."""
    return not is_temporary(name) and name.lower().endswith(IMPORTED_SUFFIXES)


def scan(directory: Path) -> Scan:
    """List a directory.

    Raises:
        OSError: it is missing or may not be read.
    """
    candidates: list[str] = []
    odd: list[str] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if is_temporary(entry.name) or entry.name == BAK:
                continue
            if entry.is_dir(follow_symlinks=False):
                odd += [entry.name] if is_candidate(entry.name) else []
            else:
                (candidates if is_candidate(entry.name) else odd).append(entry.name)
    return Scan(candidates=tuple(candidates), odd=tuple(odd))
