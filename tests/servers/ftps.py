"""A real vsftpd with TLS on a free loopback port."""

import contextlib
import dataclasses
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.servers import processes, tls
from tests.servers.ports import LOOPBACK, is_listening, reserved_ports
from tests.servers.tools import environment, needs, unavailable, wait_until

TLS_1_2 = Path(__file__).parents[2] / "deploy" / "vsftpd-openssl.cnf"

_COMMON = {
    "listen": "YES",
    "background": "NO",
    "listen_address": LOOPBACK,
    "write_enable": "YES",
    "ssl_enable": "YES",
    "ssl_ciphers": "HIGH",
    "xferlog_enable": "YES",
    "dual_log_enable": "YES",
}

# One user, nobody's rights but our own: works without root, and for root without any account.
_ANONYMOUS = {
    "run_as_launching_user": "YES",
    "anonymous_enable": "YES",
    "local_enable": "NO",
    "anon_upload_enable": "YES",
    "anon_mkdir_write_enable": "YES",
    "anon_other_write_enable": "YES",
    "anon_world_readable_only": "NO",
    "anon_umask": "027",
    "allow_anon_ssl": "YES",
    "force_anon_logins_ssl": "YES",
    "force_anon_data_ssl": "YES",
    # It must exist, and is only written to the log.
    "ftp_username": "root",
}

# PAM's own service "su" lets whatever root asks for pass, so that no account or PAM file has to be made.
_LOCAL = {
    "anonymous_enable": "NO",
    "local_enable": "YES",
    "pam_service_name": "su",
    "chroot_local_user": "YES",
    "allow_writeable_chroot": "YES",
    "chmod_enable": "NO",
    "local_umask": "027",
}


_ANYTHING = "anything"
"""The password of accounts of which PAM asks none."""


class ServerDidNotStartError(RuntimeError):
    """vsftpd refused its configuration; the text is what it said."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FtpsServer:
    """A running vsftpd.

    `log` is vsftpd.log, `xferlog` the wu-ftpd style log. Paths in the logs begin at `root`: the upload directory's
    own path for the anonymous user (there is no chroot), "/" for a local user.
    """

    host: str
    port: int
    user: str
    password: str
    ca_file: Path
    home: Path
    upload: Path
    root: str
    log: Path
    xferlog: Path
    process: subprocess.Popen[bytes]

    def log_lines(self) -> list[str]:
        """Return the lines of vsftpd.log so far."""
        return self.log.read_text(encoding="ascii").splitlines() if self.log.exists() else []

    def wait_for_log(self, *parts: str, timeout: float = 10) -> str:
        """Return the first line of vsftpd.log that holds all the parts; TimeoutError after `timeout` seconds."""
        found: list[str] = []

        def look() -> bool:
            found.extend(line for line in self.log_lines() if all(part in line for part in parts))
            return bool(found)

        wait_until(look, f"{parts} in {self.log}", timeout=timeout)
        return found[0]

    def sessions(self) -> list[int]:
        """Return the pids of the processes that serve clients at this moment."""
        return processes.descendants(self.process.pid)

    def wait_for_sessions_to_end(self, *, timeout: float = 10) -> None:
        """Return when no client is served any more: then nothing is written, logged or locked by the server."""
        wait_until(lambda: not self.sessions(), "the end of vsftpd's sessions", timeout=timeout)

    def kill_sessions(self) -> None:
        """Kill the processes that serve clients, as the out-of-memory killer would; the server goes on listening."""
        with processes.handles(self.sessions()) as opened:
            processes.kill(opened)

    def stop(self) -> None:
        """End the server and its sessions, if they still run."""
        processes.end_tree(self.process)


@contextlib.contextmanager
def vsftpd(
    tmp: Path, upload: Path, *, local_user: str | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[FtpsServer]:
    """Run vsftpd with `upload` as the client's root directory; its configuration and logs are in a folder of `tmp`.

    Without `local_user` everything is done by who runs the tests. With it (root only; an account with a home
    directory, such as daemon) sessions are that account's, in a chroot, and `upload` becomes that group's with mode
    3770. `settings` are added to the configuration and win over ours; a server that is to go on with the log of an
    earlier one gets its vsftpd_log_file.

    Raises:
        ServerDidNotStartError: vsftpd refused its configuration.
        PermissionError: `local_user` has no way to `upload`.
    """
    program = needs("vsftpd")
    rules = _local_rules(upload, local_user) if local_user else {**_ANONYMOUS, "anon_root": str(upload)}
    with reserved_ports() as ports:
        home = Path(tempfile.mkdtemp(prefix="vsftpd-", dir=tmp))
        all_settings = {**_COMMON, **rules, **_places(home, ports), **(settings or {})}
        server = _start(program, home, all_settings, upload, local_user)
        try:
            _wait_for_start(server)
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def vsftpd_as_written(
    tmp: Path,
    text: str,
    upload: Path,
    *,
    user: str,
    password: str = _ANYTHING,
    within: Sequence[str] = (),
    openssl: Path = TLS_1_2,
    certificate: Path | None = None,
) -> Iterator[FtpsServer]:
    """Run vsftpd with a configuration's own text, to which ports, certificate and logs are added. Root only.

    Args:
        tmp: the directory for a folder with the configuration and logs.
        text: the configuration.
        upload: the directory that the user's sessions see as /.
        user: the account that logs in.
        password: the account's password.
        within: a command that runs another one where it is to run, such as in a mount namespace.
        openssl: the configuration of OpenSSL.
        certificate: the certificate and its key; None for one that is made.

    Raises:
        ServerDidNotStartError: vsftpd refused its configuration.
    """
    program = needs("vsftpd")
    if os.geteuid() != 0:
        unavailable("vsftpd serves local users only when root starts it")
    with reserved_ports() as ports:
        home = Path(tempfile.mkdtemp(prefix="vsftpd-", dir=tmp))
        own = {"background": "NO", "listen_address": LOOPBACK, **_places(home, ports)}
        if certificate is not None:
            own |= {"rsa_cert_file": str(certificate), "rsa_private_key_file": str(certificate)}
        server = _start(program, home, own, upload, user, text=text, within=within, password=password, openssl=openssl)
        try:
            _wait_for_start(server)
            yield server
        finally:
            server.stop()


def _local_rules(upload: Path, user: str) -> Mapping[str, str]:
    if os.geteuid() != 0:
        unavailable("vsftpd serves local users only when root starts it")
    for directory in upload.parents:
        if not directory.stat().st_mode & 0o001:
            message = f"{user} can't get to {upload}: {directory} is closed; take reachable_directory()"
            raise PermissionError(message)
    os.chown(upload, -1, pwd.getpwnam(user).pw_gid)
    upload.chmod(0o3770)
    return {**_LOCAL, "local_root": str(upload)}


def _places(home: Path, ports: range) -> Mapping[str, str]:
    certificate = str(tls.issue(home).key_and_chain)
    (home / "empty").mkdir(mode=0o755)
    return {
        "listen_port": str(ports[0]),
        "pasv_min_port": str(ports[1]),
        "pasv_max_port": str(ports[-1]),
        "rsa_cert_file": certificate,
        "rsa_private_key_file": certificate,
        "secure_chroot_dir": str(home / "empty"),
        "vsftpd_log_file": str(home / "vsftpd.log"),
        "xferlog_file": str(home / "xferlog"),
    }


def _start(
    program: str,
    home: Path,
    settings: Mapping[str, str],
    upload: Path,
    local_user: str | None,
    *,
    text: str = "",
    within: Sequence[str] = (),
    password: str = _ANYTHING,
    openssl: Path = TLS_1_2,
) -> FtpsServer:
    configuration = home / "vsftpd.conf"
    configuration.write_text(text + "".join(f"{name}={value}\n" for name, value in settings.items()))
    # vsftpd reports why it can't start to the client, and before there is one, that is file descriptor 0.
    with (home / "oops").open("w+b") as oops:
        process = subprocess.Popen(
            processes.bound_to_us([*within, program, str(configuration)]),
            env=environment(OPENSSL_CONF=str(openssl)),
            stdin=oops,
            stdout=oops,
            stderr=oops,
            cwd=home,
        )
    return FtpsServer(
        host=settings["listen_address"],
        port=int(settings["listen_port"]),
        user=local_user or "anonymous",
        password=password,
        ca_file=home / "ca.pem",
        home=home,
        upload=upload,
        root="/" if local_user else str(upload),
        log=Path(settings["vsftpd_log_file"]),
        xferlog=Path(settings["xferlog_file"]),
        process=process,
    )


def _wait_for_start(server: FtpsServer) -> None:
    def decided() -> bool:
        return server.process.poll() is not None or is_listening(server.port)

    wait_until(decided, f"vsftpd on port {server.port}")
    if server.process.returncode is not None:
        said = (server.home / "oops").read_text(errors="replace").strip()
        message = f"vsftpd ended with {server.process.returncode}: {said}"
        raise ServerDidNotStartError(message)


@contextlib.contextmanager
def reachable_directory() -> Iterator[Path]:
    """Yield a new directory that other accounts may pass through; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory(prefix="userdrop-test-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        yield directory
