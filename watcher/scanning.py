"""What lies in a client's directory. Events are hints; this is the truth."""

import os
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from importer.anchoring import anchored
from importer.archiving import BAK

IMPORTED_SUFFIXES = (".csv", ".txt", ".csv.gz")
"""Files with other names are left where they are."""

_MOST_LOOKED_THROUGH = 10_000
"""Entries of a sub-folder."""

_TEMPORARY_SUFFIXES = (".filepart", ".part", ".partial", ".tmp", ".temp", ".crdownload", ".swp", "~")
"""Names under which clients write before they rename: WinSCP, lftp, browsers, editors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The names in a directory: what may be imported, and what nobody told us to expect.

    Sub-folders are not entered for files to import; of one in which there are some, the first is odd, as FOLDER/FILE.
    """

    candidates: tuple[str, ...]
    odd: tuple[str, ...]


def is_temporary(name: str) -> bool:
    """Whether a file is still being written, by its name (case does not matter)."""
    return name.startswith(".") or name.lower().endswith(_TEMPORARY_SUFFIXES)


def is_candidate(name: str) -> bool:
    """Whether a file may be imported, by its name."""
    return not is_temporary(name) and name.lower().endswith(IMPORTED_SUFFIXES)


def scan(directory: Path) -> Scan:
    """List a client's directory.

    Raises:
        OSError: it is missing, a link, or may not be read.
    """
    candidates: list[str] = []
    odd: list[str] = []
    with anchored(directory) as anchor, os.scandir(anchor) as entries:
        for entry in entries:
            if is_temporary(entry.name) or entry.name == BAK:
                continue
            if entry.is_dir(follow_symlinks=False):
                odd += [entry.name] if is_candidate(entry.name) else _astray(anchor / entry.name)
            else:
                (candidates if is_candidate(entry.name) else odd).append(entry.name)
    return Scan(candidates=tuple(candidates), odd=tuple(odd))


def _astray(folder: Path) -> list[str]:
    """The first user file in a folder from which none is imported; none where the folder may not be read."""
    with suppress(OSError):
        with anchored(folder) as anchor, os.scandir(anchor) as entries:
            names = [entry.name for entry in islice(entries, _MOST_LOOKED_THROUGH) if is_candidate(entry.name)]
        return [f"{folder.name}/{name}" for name in sorted(names)[:1]]
    return []
