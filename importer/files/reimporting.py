"""An archived file dropped again as a new upload; what lies in bak stays there."""

import os
import re
import shutil
from pathlib import Path

from importer.durability import fsync_directory
from importer.files.anchoring import anchored
from importer.files.archiving import BAK, FILE_MODE
from importer.files.renaming import rename_noreplace

_STAMPED = re.compile(
    r"(?P<stem>.*)\.(?P<at>\d{8}T\d{6}Z)(?:\.(?P<number>\d+))?(?P<extension>(?:\.\w+){0,2})", re.DOTALL
)
_DRAFT = ".userdrop-reimport-"
"""Names that begin with a dot are not taken for uploads."""


def uploaded_name(archived: str) -> str:
    """The name under which a file of bak was uploaded, or what is left of it where it was too long for bak."""
    stamped = _STAMPED.fullmatch(archived)
    return archived if stamped is None else stamped["stem"] + stamped["extension"]


def newest_of(names: list[str], name: str) -> str | None:
    """Choose the archive that a name means: the one of that very name, or the last of the file uploaded as that."""
    if name in names:
        return name
    return max((each for each in names if each != name and uploaded_name(each) == name), key=_age, default=None)


def archive_of(directory: Path, name: str) -> str | None:
    """The archive that a name means, by its name in the client's bak; None where there is none.

    Raises:
        OSError: bak is a link or cannot be read.
    """
    try:
        with anchored(directory / BAK) as bak:
            return newest_of([path.name for path in bak.iterdir()], name)
    except FileNotFoundError:
        return None


def _age(archived: str) -> tuple[str, int]:
    stamped = _STAMPED.fullmatch(archived)
    return ("", 0) if stamped is None else (stamped["at"], int(stamped["number"] or 0))


def reimport(directory: Path, name: str) -> tuple[str, str]:
    """Copy a file of the client's bak into its upload directory: (name in bak, name of the upload).

    The copy gets its name when it is complete, so that it is not taken too early; it belongs to whom the archived file
    belongs to.

    Args:
        directory: the client's.
        name: the file's in bak, or the one under which it was uploaded, which means its last archive.

    Raises:
        FileNotFoundError: bak holds no such file.
        FileExistsError: an upload of that name waits; nothing was changed.
        OSError: bak is a link or cannot be read, or the directory cannot be written.
    """
    with anchored(directory / BAK) as bak:
        archived = newest_of([path.name for path in bak.iterdir()], name)
        if archived is None:
            raise FileNotFoundError(name)
        descriptor = os.open(bak / archived, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    target = directory / uploaded_name(archived)
    draft = directory / f"{_DRAFT}{os.getpid()}"
    try:
        with os.fdopen(descriptor, "rb") as source, draft.open("xb") as copy:
            _give_owner(copy.fileno(), os.fstat(descriptor))
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        rename_noreplace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    fsync_directory(directory)
    return archived, target.name


def _give_owner(copy: int, archived: os.stat_result) -> None:
    os.fchmod(copy, FILE_MODE)
    if os.geteuid() == 0:
        os.fchown(copy, archived.st_uid, archived.st_gid)
