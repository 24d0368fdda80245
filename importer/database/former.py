"""The memory of which database the service uses, by which a setting that was lost is told from a first start.

Without it a service whose USERDROP_DATABASE_URL is lost would go on with an empty SQLite file, as if nothing were
amiss.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

DATABASE_FILE = "database-in-use"
"""The file in the state directory that names the database, without its login."""

_SQLITE = "sqlite:///"


def remembered(state_dir: Path) -> str | None:
    """The place of the database that the service of a state directory has used; None where none is known."""
    path = state_dir / DATABASE_FILE
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except FileNotFoundError:
        return None


def remember(state_dir: Path, place: str) -> None:
    """Remember the place of a database that has the service's tables."""
    if remembered(state_dir) != place:
        (state_dir / DATABASE_FILE).write_text(f"{place}\n", encoding="utf-8")


def mistake_of_empty(state_dir: Path, place: str) -> str | None:
    """Why the service must not begin with an empty database at a place; None where it may.

    Raises:
        OSError: the memory cannot be read.
    """
    before = remembered(state_dir)
    if before is None or before == place or not _may_hold_something(before):
        return None
    return (
        f"the database {place} is empty, and until now the service has used {before}: set USERDROP_DATABASE_URL (or its"
        f" credential) as it was; or, if it is to begin anew without what is there, remove {state_dir / DATABASE_FILE}"
        " and start it again"
    )


def _may_hold_something(place: str) -> bool:
    """Whether a database has imports, as far as can be seen from here without its login."""
    if not place.startswith(_SQLITE):
        return True
    path = Path(place.removeprefix(_SQLITE))
    try:
        if not path.exists():
            return False
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT 1 FROM imports LIMIT 1").fetchone() is not None
    except (OSError, sqlite3.Error):
        return True
