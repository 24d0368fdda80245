"""A machine of its own for a test: /etc with its accounts, /srv and /usr/local/bin are private to a mount namespace."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import processes
from tests.servers.tools import environment, needs, unavailable
from tests.tools.docs import ADMIN, GUIDES, ROOT, VSFTPD, part_of

FTP = GUIDES / "ftp.md"
MACHINE = """
cp -a /etc "$PWD/etc" && rm -rf "$PWD/etc/userdrop" && mount --bind "$PWD/etc" /etc
mount -t tmpfs -o mode=755 tmpfs /usr/local/bin
mount -t tmpfs -o mode=755 tmpfs /srv && mkdir -p /srv/userdrop
groupadd userdrop-ftp
useradd --no-create-home --groups userdrop-ftp userdrop
for client in acme bolt; do useradd --no-create-home --gid userdrop-ftp "$client"; done
printf '@include common-%s\\n' auth account session >/etc/pam.d/sshd # containers have no login ids
mkdir /etc/userdrop
cd /etc/userdrop
printf 'USERDROP_%s\\n' UPLOAD_DIR=/srv/userdrop/upload STATE_DIR=/srv/userdrop/state CLIENT_FOLDERS=true \
  VSFTPD_CONF=/nowhere.conf >userdrop.env
install -d -o userdrop -m 0700 /srv/userdrop/state
install -d -o userdrop -g userdrop-ftp -m 3770 /srv/userdrop/upload
"""
"""Accounts and directories as an earlier version's guide had them, seen by this process and its children only."""
USERDROP = """#!/bin/sh
umask 077
set -a; . /etc/userdrop/userdrop.env
if [ "$1" = doctor ]; then set -- doctor --accounts --json; fi
exec "$PYTHON" -m watcher "$@"
"""
"""What deploy/userdrop runs as root; systemd does not run in a test."""


def vsftpd_conf(*parts: str) -> str:
    """The configuration in deploy, with lines that parts of the recipes add."""
    return VSFTPD.read_text(encoding="utf-8") + "".join(map(recipe, parts))


def recipe(name: str) -> str:
    """The lines of a part of the recipes, without their fence."""
    found = part_of(FTP.read_text(encoding="utf-8"), name)
    return "".join(f"{line}\n" for line in found.strip().splitlines() if not line.startswith("```"))


class Machine:
    """A shell in a mount namespace, which runs one script after the other."""

    def __init__(self, shell: subprocess.Popen[bytes]) -> None:
        self._shell = shell

    def run(self, script: str) -> str:
        """What the script says on both outputs; it need not succeed."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{script}\necho; echo --- $?\n".encode())
        self._shell.stdin.flush()
        said: list[str] = []
        while not (line := self._shell.stdout.readline().decode()).startswith("--- "):
            assert line, "the shell has ended"
            said.append(line)
        return "".join(said).removesuffix("\n")

    @property
    def within(self) -> list[str]:
        """A command that runs another one on this machine."""
        return ["nsenter", f"--mount=/proc/{self._shell.pid}/ns/mnt"]

    def on_terminal(self, command: str) -> str:
        """What a command says on a terminal."""
        spawn = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
        return self.run(f'"$PYTHON" -c "{spawn}" {command} </dev/null; echo "ended with $?"').replace("\r\n", "\n")

    def may(self, account: str, command: str) -> bool:
        """Whether a command succeeds as an account, in the upload directory."""
        return (
            self.run(f"as {account} 'cd /srv/userdrop/upload; {command}' >/dev/null 2>&1 && echo yes").strip() == "yes"
        )

    def guide(self, name: str) -> str:
        """What lines of the guide say."""
        return self.run(part_of(ADMIN.read_text(encoding="utf-8"), name).replace("```sh", "").replace("```", ""))

    def mode(self, path: str) -> str:
        """Owner, group and mode."""
        return self.run(f"stat --format='%U %G %a' /srv/userdrop/upload/{path}").strip()


@contextmanager
def private_machine(tmp_path: Path) -> Iterator[Machine]:
    """Yield a machine with accounts, an upload directory and no client folders yet. Root only."""
    if os.geteuid() != 0:
        unavailable("only root can make accounts")
    for program in ("setfacl", "setpriv", "unshare", "useradd"):
        needs(program)
    (tmp_path / "userdrop").write_text(USERDROP)
    (tmp_path / "userdrop").chmod(0o755)
    env = environment(ROOT=str(ROOT), PYTHON=sys.executable, PYTHONPATH=str(ROOT))
    shell = subprocess.Popen(
        processes.bound_to_us(["unshare", "--mount", "bash"]),
        env={**env, "PATH": f"{tmp_path}:{env['PATH']}"},
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with shell:
        try:
            made = Machine(shell)
            made.run('as() { setpriv --reuid "$1" --regid "$(id -g "$1")" --init-groups sh -c "$2"; }')
            assert made.run(f"( set -e; {MACHINE} )") == ""
            yield made
        finally:
            processes.end_tree(shell)
