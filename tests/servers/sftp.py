"""A real OpenSSH server for SFTP only (internal-sftp) on a free loopback port; the clients sftp and lftp."""

import contextlib
import dataclasses
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.servers import processes
from tests.servers.ports import LOOPBACK, is_listening, reserved_ports
from tests.servers.tools import environment, needs, run, unavailable, wait_until

USER = "daemon"
"""An account that every system has, without a password and without a shell."""
_CHROOTS = Path("/run")
"""sshd wants every directory above a chroot to be root's and closed to others' writing, which /tmp is not."""
_PRIVILEGE_SEPARATION = Path("/run/sshd")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SftpServer:
    """A running sshd. `home` has keys and the server's log; the clients log in as `user`.

    `upload` is what sessions see as the folder `upload`; of those that are not kept in a chroot all folders lie there.
    """

    port: int
    home: Path
    upload: Path
    process: subprocess.Popen[bytes]
    user: str = USER

    @property
    def ssh_options(self) -> list[str]:
        """What ssh and sftp need to log in without a question."""
        settings = {
            "IdentityFile": str(self.home / "user_key"),
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": str(self.home / "known_hosts"),
            "StrictHostKeyChecking": "accept-new",
            "BatchMode": "yes",
            "LogLevel": "ERROR",
        }
        return ["-F", "none", *(part for name, value in settings.items() for part in ("-o", f"{name}={value}"))]


@contextlib.contextmanager
def sshd(tmp: Path, *, users: Sequence[str] = (USER,), unjailed_in: Path | None = None) -> Iterator[SftpServer]:
    """Run sshd; it accepts one key, gives sessions nothing but SFTP, and files get mode 0640. Root only.

    Sessions are in a chroot, with a folder `upload`; with `unjailed_in` they go where their accounts may, and that is
    the upload directory.
    """
    program = needs("sshd")
    if os.geteuid() != 0:
        unavailable("sshd changes users and roots only when root starts it")
    _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="sshd-", dir=tmp))
    with reserved_ports() as ports, tempfile.TemporaryDirectory(prefix="userdrop-test-", dir=_CHROOTS) as chroot:
        Path(chroot).chmod(0o755)
        upload = unjailed_in or _make_upload(Path(chroot))
        _write_configuration(home, ports[0], Path(chroot), users, is_jailed=unjailed_in is None)
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                processes.bound_to_us([program, "-D", "-e", "-f", str(home / "sshd_config")]),
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(lambda: process.poll() is not None or is_listening(ports[0]), f"sshd on port {ports[0]}")
            if process.returncode is not None:
                message = f"sshd ended with {process.returncode}: {(home / 'log').read_text(errors='replace')}"
                raise RuntimeError(message)
            yield SftpServer(port=ports[0], home=home, upload=upload, process=process, user=users[0])
        finally:
            processes.end_tree(process)


@contextlib.contextmanager
def sshd_as_installed(home: Path, within: Sequence[str], user: str, *options: str) -> Iterator[SftpServer]:
    """Run sshd with the machine's own configuration, for a user who has the key in `home`. Root only.

    Args:
        home: the directory with the key, from `key_made`; the server's log is there, too.
        within: a command that runs another one where it is to run, such as in a mount namespace.
        user: the account that logs in.
        options: further ones, such as `-oNAME=VALUE`.
    """
    _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    with reserved_ports() as ports, (home / "log").open("wb") as log:
        given = ["-D", "-e", "-p", str(ports[0]), f"-oListenAddress={LOOPBACK}", "-oPidFile=none", *options]
        process = subprocess.Popen(
            processes.bound_to_us([*within, needs("sshd"), *given]),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            wait_until(lambda: process.poll() is not None or is_listening(ports[0]), f"sshd on port {ports[0]}")
            yield SftpServer(port=ports[0], home=home, upload=home, process=process, user=user)
        finally:
            processes.end_tree(process)


def key_made(home: Path) -> Path:
    """Make a user's key in a directory; returns the public one."""
    run([needs("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(home / "user_key")], env=environment())
    return home / "user_key.pub"


def ssh(server: SftpServer, *options: str, command: Sequence[str] = ()) -> str:
    """What ssh says on both outputs, with the user's key; it need not succeed."""
    login = [*server.ssh_options, "-p", str(server.port), *options, f"{server.user}@{LOOPBACK}"]
    done = subprocess.run(
        [needs("ssh"), *login, *command],
        env=environment(HOME=str(server.home)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )
    return (done.stdout + done.stderr).decode(errors="replace")


def _make_upload(chroot: Path) -> Path:
    upload = chroot / "upload"
    upload.mkdir()
    os.chown(upload, 0, pwd.getpwnam(USER).pw_gid)
    upload.chmod(0o3770)
    return upload


def _write_configuration(home: Path, port: int, chroot: Path, users: Sequence[str], *, is_jailed: bool) -> None:
    for key in ("host_key", "user_key"):
        run([needs("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(home / key)], env=environment())
    keys = chroot / "authorized_keys"  # sshd reads it as the user, to whom our own directories are closed
    keys.write_bytes((home / "user_key.pub").read_bytes())
    settings = {
        "ListenAddress": f"{LOOPBACK}:{port}",
        "HostKey": home / "host_key",
        "PidFile": "none",
        "AuthorizedKeysFile": keys,
        "AuthenticationMethods": "publickey",
        "StrictModes": "no",
        "UsePAM": "no",
        "AllowUsers": " ".join(users),
        "AllowTcpForwarding": "no",
        "Subsystem": "sftp internal-sftp",
        "ForceCommand": "internal-sftp -u 0027",
        "ChrootDirectory": chroot if is_jailed else "none",
    }
    (home / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))


def sftp(server: SftpServer, *commands: str) -> None:
    """Run sftp with commands such as `put LOCAL upload/NAME`, `reput …` or `rename OLD NEW`.

    Raises:
        RuntimeError: one of them failed.
    """
    batch = server.home / "batch"
    batch.write_text("".join(f"{command}\n" for command in commands))
    run(_sftp(server, "-b", str(batch)), env=environment(HOME=str(server.home)))


def _sftp(server: SftpServer, *options: str) -> list[str]:
    return [needs("sftp"), *server.ssh_options, "-P", str(server.port), *options, f"{server.user}@{LOOPBACK}"]


@contextlib.contextmanager
def slow_sftp(server: SftpServer, path: Path, name: str, *, kilobits: int) -> Iterator[subprocess.Popen[bytes]]:
    """Send a file at a rate, and yield the client as soon as some of it is there; it is killed at the end."""
    batch = server.home / "slow batch"
    batch.write_text(f"put {path} upload/{name}\n")
    with subprocess.Popen(
        processes.bound_to_us(_sftp(server, "-l", str(kilobits), "-R", "1", "-B", "4096", "-b", str(batch))),
        env=environment(HOME=str(server.home)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as client:
        try:
            file = server.upload / name
            wait_until(lambda: file.exists() and file.stat().st_size > 0, f"the first bytes of {name}")
            yield client
        finally:
            processes.end_tree(client)


def wait_for_sessions_to_end(server: SftpServer) -> None:
    """Return when no client is served any more: then nothing is written."""
    wait_until(lambda: not processes.descendants(server.process.pid), "the end of sshd's sessions")


def upload_with_lftp(
    server: SftpServer, path: Path, name: str, *, temp_name: bool = False, resume: bool = False
) -> None:
    """Send a file with lftp by SFTP; `temp_name` sends it as .in.NAME and renames it, `resume` goes on with it."""
    connect = " ".join(["ssh", "-a", "-x", *server.ssh_options])
    script = [
        "set cmd:fail-exit yes",
        "set net:max-retries 1",
        f'set sftp:connect-program "{connect}"',
        f"set xfer:use-temp-file {'yes' if temp_name else 'no'}",
        f"open -p {server.port} -u {server.user},nothing sftp://{LOOPBACK}",
        f'put {"-c " if resume else ""}"{path}" -o "upload/{name}"',
    ]
    home = str(server.home)
    run([needs("lftp"), "--norc", "-c", "; ".join(script)], env=environment(HOME=home, LFTP_HOME=home))
