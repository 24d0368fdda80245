"""Scans of a client's directory. Events are hints; what a scan finds is the truth."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from importer.files.anchoring import anchored
from importer.files.archiving import BAK
from watcher.uploads.model import Draft, Scan

IMPORTED_SUFFIXES = (".csv", ".txt", ".csv.gz")
"""The suffixes of files that are imported; files with other names are left where they are."""

_MOST_LOOKED_THROUGH = 10_000
"""The number of entries of a sub-folder, with those below, that are looked through at most."""
_MOST_DRAFTS = 1_000
"""The number of files under temporary names that are noted at most."""

_TEMPORARY_SUFFIXES = (".filepart", ".part", ".partial", ".tmp", ".temp", ".crdownload", ".swp", "~")
"""The suffixes by which programs write before they rename: WinSCP, lftp, browsers, editors."""


def is_temporary(name: str) -> bool:
    """Whether a file is still being written, by its name (case does not matter)."""
    return name.startswith(".") or name.lower().endswith(_TEMPORARY_SUFFIXES)


def is_draft(name: str) -> bool:
    """Whether a temporary name is one of a file to import; other hidden files are nobody's concern."""
    return is_temporary(name) and (not name.startswith(".") or any(each in name.lower() for each in IMPORTED_SUFFIXES))


def is_draft_of(draft: str, name: str) -> bool:
    """Whether a temporary name is one by which a client writes a file of some name."""
    return is_temporary(draft) and draft.removeprefix(".").removeprefix("in.").startswith(name)


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
    drafts: list[Draft] = []
    with anchored(directory) as anchor, os.scandir(anchor) as entries:
        for entry in entries:
            if is_temporary(entry.name) or entry.name == BAK:
                if is_draft(entry.name) and len(drafts) < _MOST_DRAFTS:
                    drafts += _draft(entry)
                continue
            if entry.is_dir(follow_symlinks=False):
                odd += [entry.name] if is_candidate(entry.name) else _astray(anchor / entry.name)
            else:
                (candidates if is_candidate(entry.name) else odd).append(entry.name)
    return Scan(candidates=tuple(candidates), odd=tuple(odd), drafts=tuple(drafts))


def _draft(entry: os.DirEntry[str]) -> Iterator[Draft]:
    with suppress(OSError):
        if entry.is_file(follow_symlinks=False):
            status = entry.stat(follow_symlinks=False)
            yield Draft(name=entry.name, size=status.st_size, modified_ns=status.st_mtime_ns)


def _astray(folder: Path) -> list[str]:
    """The first user file in a folder, and in each one below, from which none is imported."""
    below = files_below(folder, is_candidate)
    first: dict[Path, Path] = {}
    for path in sorted(below):
        first.setdefault(path.parent, path)
    return [str(path) for path in first.values()]


def files_below(folder: Path, is_wanted: Callable[[str], bool]) -> list[Path]:
    """The files of some names in a folder and below, as FOLDER/FILE; folders that may not be read are passed over.

    Of many entries only the first `_MOST_LOOKED_THROUGH` are looked through.
    """
    found: list[Path] = []
    waiting, left = deque([folder]), _MOST_LOOKED_THROUGH
    while waiting and left:
        current = waiting.popleft()
        with suppress(OSError), anchored(current) as anchor, os.scandir(anchor) as entries:
            for entry in islice(entries, left):
                left -= 1
                within = current / entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting += [] if entry.name.startswith(".") else [within]
                elif is_wanted(entry.name):
                    found.append(within.relative_to(folder.parent))
    return found
