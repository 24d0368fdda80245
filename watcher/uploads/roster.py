"""The clients whose folders the service has served, kept over restarts, so that a folder that has gone is missed.

Two files of the state directory: the service alone writes which folders there were, and `userdrop client` which clients
were removed on purpose, and are missed no more.
"""

import json
import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import structlog

from watcher.base.instance import REMOVED_FILE, ROSTER_FILE

log = structlog.get_logger()


class Roster:
    """The clients of an upload directory, and since when those without a folder have had none.

    Args:
        state_dir: the state directory.
        upload_dir: the upload directory; of another one nothing is known.
    """

    def __init__(self, state_dir: Path, upload_dir: Path) -> None:
        self._state_dir = state_dir
        self._upload_dir = upload_dir
        self._known = dict(_read(state_dir / ROSTER_FILE, upload_dir))

    def note(self, found: Collection[str], now: datetime) -> None:
        """Note which clients have a folder now, and which of them were removed; writes only what has changed."""
        removed = removed_clients(self._state_dir) if self._known.keys() - {*found} else frozenset()
        known = {
            client: since or now.astimezone(UTC).replace(microsecond=0)
            for client, since in self._known.items()
            if client not in removed
        } | dict.fromkeys(found)
        if known != self._known:
            self._known = known
            self._save()

    @property
    def gone(self) -> Mapping[str, datetime]:
        """The clients without a folder, and since when this is known, UTC."""
        return {client: since for client, since in self._known.items() if since is not None}

    def folder(self, client: str) -> Path:
        """The folder that a client has, or had."""
        return self._upload_dir / client

    def _save(self) -> None:
        clients = {client: since and since.isoformat() for client, since in sorted(self._known.items())}
        text = json.dumps({"directory": str(self._upload_dir), "clients": clients})
        try:
            _write(self._state_dir / ROSTER_FILE, text)
        except OSError as error:
            log.warning("uploads_not_remembered", error=error.strerror)


def gone_clients(state_dir: Path, upload_dir: Path, found: Iterable[str]) -> Mapping[str, datetime | None]:
    """The clients that are missed: known to the service, not removed, and not among those `found` now.

    Returns:
        Client → since when the service has known that, UTC; None where it has not run since.
    """
    known = _read(state_dir / ROSTER_FILE, upload_dir)
    others = known.keys() - {*found} - removed_clients(state_dir)
    return {client: known[client] for client in sorted(others)}


def removed_clients(state_dir: Path) -> frozenset[str]:
    """The clients that were removed on purpose."""
    with suppress(OSError, ValueError, TypeError):
        return frozenset(map(str, json.loads((state_dir / REMOVED_FILE).read_bytes())))
    return frozenset()


def note_removed(state_dir: Path, client: str, *, is_removed: bool) -> None:
    """Keep that a client was removed on purpose, or is one again.

    Raises:
        OSError: the state directory cannot be written.
    """
    before = removed_clients(state_dir)
    now = before | {client} if is_removed else before - {client}
    if now != before:
        path = state_dir / REMOVED_FILE
        _write(path, json.dumps(sorted(now)))
        if os.geteuid() == 0:  # the service is to read it
            owner = state_dir.stat()
            os.chown(path, owner.st_uid, owner.st_gid)


def _read(path: Path, upload_dir: Path) -> Mapping[str, datetime | None]:
    """Read what is kept; nothing where it is missing, damaged, or about another upload directory."""
    with suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
        kept = json.loads(path.read_bytes())
        if kept["directory"] == str(upload_dir):
            return {
                client: None if since is None else datetime.fromisoformat(since)
                for client, since in kept["clients"].items()
            }
    return {}


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}")
    draft.write_text(text, encoding="utf-8")
    draft.chmod(0o600)
    draft.replace(path)
