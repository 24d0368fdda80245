"""Folders of clients as sites have them: of one FTP group, as once was told, or by `userdrop client add`."""

import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.servers.tools import environment, needs

ROOT = Path(__file__).parents[2]
SERVICE = "daemon"
OF_ONE_GROUP = ("sync", "_apt")
OF_OWN_GROUPS = ("bin", "sys")
"""Accounts that every Debian has; those of the former are in the group nogroup, those of the latter each in its own.

The second of the former has no home, without which vsftpd lets nobody in.
"""


def made(path: Path, owner: str, group: int, mode: int) -> Path:
    """A directory, made with these rights."""
    path.mkdir()
    os.chown(path, pwd.getpwnam(owner).pw_uid, group)
    path.chmod(mode)
    return path


def of_their_groups(upload: Path, accounts: Mapping[str, str], *, mode: int = 0o755) -> None:
    """Folders as the administrator's page once had them, each with an upload and with an archived file.

    Args:
        upload: the directory for them.
        accounts: client → its account, whose primary group the folder gets.
        mode: of the directory.
    """
    upload.chmod(mode)
    for client, account in accounts.items():
        group = pwd.getpwnam(account).pw_gid
        folder = made(upload / client, SERVICE, group, 0o3770)
        made(folder / "bak", SERVICE, group, 0o2750)
        made(folder / ".importing", SERVICE, group, 0o2700)
        for path, owner in ((folder / "new.csv", account), (folder / "bak" / "old.csv", SERVICE)):
            path.write_text("unique_id\n")
            os.chown(path, pwd.getpwnam(owner).pw_uid, group)
            path.chmod(0o640)


def by_command(upload: Path, client: str, account: str) -> str:
    """What `userdrop client add` says, which lets an account in."""
    needs("setfacl")
    with tempfile.TemporaryDirectory(prefix="userdrop-state-") as state:
        os.chown(state, pwd.getpwnam(SERVICE).pw_uid, -1)
        given = {"UPLOAD_DIR": str(upload), "STATE_DIR": state, "CLIENT_FOLDERS": "true"}
        done = subprocess.run(
            [sys.executable, "-m", "watcher", "client", "add", client, "--account", account],
            env=environment(PYTHONPATH=str(ROOT), **{f"USERDROP_{name}": value for name, value in given.items()}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
